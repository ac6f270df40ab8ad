"""Rules of the house that a search can check. The numbers are limits that only ever go down."""

import ast
import json
import re
import subprocess
import sys
from collections import Counter
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import typer

from hmrm_lab.cli import app

ROOT = Path(__file__).parents[2]
LIBRARY = sorted(ROOT.glob("hmrm_lab/**/*.py"))
WIDGETS = sorted(ROOT.glob("widgets/hmrm_widgets/**/*.py"))
NOTEBOOKS = sorted(ROOT.glob("notebooks/*.ipynb"))
DOCUMENTS = [ROOT / "README.md", *sorted(ROOT.glob("docs/**/*.md"))]
PAGES = [*DOCUMENTS, *sorted(ROOT.glob("*/README.md")), ROOT / "CONTRIBUTING.md"]

MOST_LINES = 33_690  # of hmrm_lab
MOST_FILES = 190
MOST_ENTRIES = 18  # directly in hmrm_lab/
MOST_LINES_OF_TESTS = 17_335
MOST_LINES_OF_A_FILE = 400
MOST_SHARED_NAMES = 5  # file names that stand for two modules or more
MOST_PRIVATE_WORDS = 0
MOST_MODULES_IN_NOTEBOOKS = 1  # of the library: hmrm_lab itself
HEAVY = {"torch", "numpy", "pandas", "numba", "cv2", "sklearn", "matplotlib", "plotly", "joblib"}
COMMANDS = (
    *("", "run", "demo", "predict", "prepare", "bench", "compare", "inputs", "audit", "sweep"),
    *("evolve", "data check", "notebooks run"),
)
PRIVATE_WORDS = re.compile(
    r"\b(?:Desk|desk|Place|Ran|arriving|Arrived|ArrivalReader|dealt round|dealing|deal_\w+|mend"
    r"|who met whom|persons|fitted in one step|one_step|the rise|look_counts|\d looks|by_looks"
    r"|described_anew|Company|nearest_company|outermost|it is told|said of|is left as it is"
    r"|with the story|blind_\w+|remembered = |_remembered|remembering|arrivals|unseal\w*)\b"
)


def lines(paths: list[Path]) -> int:
    return sum(len(path.read_text(encoding="utf-8").splitlines()) for path in paths)


def sources(notebook: Path) -> str:
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    return "\n".join("".join(cell["source"]) for cell in cells)


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported(text: str, known: set[str]) -> set[str]:
    """The modules among `known` that a program imports at its top, not inside functions."""
    found = set()
    for node in ast.parse(text).body:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        if isinstance(node, ast.ImportFrom) and node.module:
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= inner & known if inner & known else {node.module}
    return found & known


def test_the_library_is_small() -> None:
    entries = [path for path in (ROOT / "hmrm_lab").iterdir() if path.name != "__pycache__"]
    assert lines(LIBRARY) <= MOST_LINES, f"{lines(LIBRARY)} lines"
    assert len(LIBRARY) <= MOST_FILES, f"{len(LIBRARY)} files"
    assert len(entries) <= MOST_ENTRIES, f"{len(entries)} entries in hmrm_lab/"


def test_the_tests_are_few() -> None:
    tests = lines(sorted(ROOT.glob("tests/**/*.py")))
    assert tests <= MOST_LINES_OF_TESTS, f"{tests} lines"


def test_no_file_is_long() -> None:
    long = [f"{path}: {lines([path])}" for path in LIBRARY + WIDGETS]
    long = [name for name in long if int(name.rpartition(" ")[2]) > MOST_LINES_OF_A_FILE]
    assert not long, "\n".join(long)


def test_no_file_imports_itself_in_a_circle() -> None:
    """By imports at the top of files; those in functions and for types run later or never."""
    modules = {module_of(path): path.read_text(encoding="utf-8") for path in LIBRARY + WIDGETS}
    graph = {name: imported(text, set(modules)) - {name} for name, text in modules.items()}
    try:
        TopologicalSorter(graph).prepare()
        circle = []
    except CycleError as error:
        circle = error.args[1]
    assert not circle, " imports ".join(reversed(circle))


def test_a_file_name_stands_for_one_module() -> None:
    counts = Counter(path.stem for path in LIBRARY + WIDGETS if path.stem != "__init__")
    shared = sorted(name for name, count in counts.items() if count > 1)
    assert len(shared) <= MOST_SHARED_NAMES, f"{len(shared)}: {', '.join(shared)}"


def test_no_private_words() -> None:
    texts = [path.read_text(encoding="utf-8") for path in LIBRARY + WIDGETS + DOCUMENTS]
    texts += [sources(path) for path in NOTEBOOKS]
    found = Counter(word for text in texts for word in PRIVATE_WORDS.findall(text))
    assert found.total() <= MOST_PRIVATE_WORDS, f"{found.total()}: {found}"


def test_notebooks_import_little_of_the_library() -> None:
    text = "\n".join(map(sources, NOTEBOOKS))
    modules = set(re.findall(r"^\s*(?:from|import) (hmrm_lab[\w.]*)", text, re.MULTILINE))
    assert len(modules) <= MOST_MODULES_IN_NOTEBOOKS, f"{len(modules)}: {sorted(modules)}"


def test_help_imports_nothing_heavy() -> None:
    program = (
        "import sys, hmrm_lab, hmrm_lab.cli\n"
        f"for command in {COMMANDS!r}:\n"
        "    sys.argv = ['hmrm', *command.split(), '--help']\n"
        "    try:\n        hmrm_lab.cli.main()\n    except SystemExit:\n        pass\n"
        f"    heavy = {HEAVY!r} & set(sys.modules)\n"
        "    assert not heavy, (command, heavy)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Usage: hmrm") == len(COMMANDS)


def test_every_decision_is_listed() -> None:
    notes = sorted((ROOT / "docs" / "decisions").glob("[0-9]*.md"))
    index = (ROOT / "docs" / "decisions" / "README.md").read_text(encoding="utf-8")
    assert notes
    assert not [note.name for note in notes if f"({note.name})" not in index]


def test_pages_name_commands_and_options_that_exist() -> None:
    program = typer.main.get_command(app)
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M)
    wrong = []
    for path in PAGES:
        text = path.read_text(encoding="utf-8").replace("\\\n", " ")
        for line in re.findall(r"(?:^|`)hmrm ([^`\n#]+)", text, re.M):
            command, words = program, line.split()
            while words and words[0] in getattr(command, "commands", ()):
                command = command.commands[words.pop(0)]
            options = {name for each in command.params for name in each.opts} | {"--help"}
            given = [word.partition("=")[0] for word in words]
            unknown = {word for word in given if word.startswith("--")} - options
            no_command = hasattr(command, "commands") and words and words[0][0] != "-"
            wrong += [f"{path.name}: hmrm {line}"] if unknown or no_command else []
        made = re.findall(r"(?:^|`)make ([a-z-]+)(?=`| {2}|$)", text, re.M)
        wrong += [f"{path.name}: make {target}" for target in made if target not in targets]
    assert not wrong, "\n".join(wrong)


def test_pages_name_files_that_exist() -> None:
    missing = []
    for path in [*PAGES, *NOTEBOOKS, ROOT / "CHANGELOG.md"]:
        text = path.read_text(encoding="utf-8")
        targets = re.findall(r"\]\((?!\w+:|#|\{)([^)#\s]+)", text)
        missing += [f"{path.name}: {one}" for one in targets if not (path.parent / one).exists()]
        named = re.findall(r"(?:python |`)((?:hmrm_lab|benchmarks|docs|notebooks)/[\w./-]+)", text)
        missing += [f"{path.name}: {one}" for one in named if not (ROOT / one).exists()]
    assert not missing, "\n".join(missing)


def test_figures_of_readme_stand_on_the_page_that_names_their_command() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    results, speed = ((ROOT / "docs" / f"{page}.md").read_text() for page in ("results", "speed"))
    told = {
        name: readme.split(f"\n## {name}\n")[1].split("\n## ")[0] for name in ("Results", "Speed")
    }
    scores = set(re.findall(r"\.\d{3}\b", told["Results"]))
    ratios = set(re.findall(r"\d[\d.]*(?= to \d| times as)", told["Speed"]))
    assert scores and not scores - set(re.findall(r"\.\d{3}\b", results))
    assert ratios and not ratios - set(re.findall(r"(\d[\d.]*) x", speed))


def test_one_version() -> None:
    texts = [
        (ROOT / name).read_text() for name in ("pyproject.toml", "CITATION.cff", "CHANGELOG.md")
    ]
    found = [re.search(r"^(?:version\W+|## \[)(\d[\d.]*\d)", text, re.MULTILINE) for text in texts]
    assert len({match and match[1] for match in found}) == 1, found
