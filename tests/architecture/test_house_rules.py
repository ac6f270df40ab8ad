"""Rules of the house that a search can check."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HEAVY = {"torch", "numpy", "pandas", "numba", "cv2", "sklearn", "matplotlib", "plotly", "joblib"}
PICKLERS = {"pickle", "cPickle", "dill", "cloudpickle", "shelve", "marshal"}
LOADERS = {"joblib.load", "pd.read_pickle", "pandas.read_pickle", "yaml.load", "eval", "exec"}
SOURCES = sorted([*ROOT.glob("hmrm_lab/**/*.py"), *ROOT.glob("widgets/hmrm_widgets/**/*.py")])
PROGRAMS = [*SOURCES, *sorted(ROOT.glob("benchmarks/*.py"))]


def names(paths: list[Path]) -> list[str]:
    return [str(path.relative_to(ROOT)) for path in paths]


@pytest.mark.parametrize("path", SOURCES, ids=names(SOURCES))
def test_modules_explain_themselves_and_stay_small(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert ast.get_docstring(ast.parse(text)), "no docstring"
    assert len(text.splitlines()) <= 400


@pytest.mark.parametrize("path", PROGRAMS, ids=names(PROGRAMS))
def test_nothing_loads_pickles(path: Path) -> None:
    assert loaders(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "line",
    [
        *("import pickle", "import dill as d", "from pickle import loads", "import marshal"),
        *("torch.load(f)", "torch.load(f, weights_only=False)", "np.load(f)", "numpy.load(f)"),
        *("np.load(f, allow_pickle=True)", "joblib.load(f)", "pd.read_pickle(f)", "eval(text)"),
        *("yaml.load(f)", "exec(text)", "import shelve", "from joblib import load"),
    ],
)
def test_what_loads_pickles_is_found(line: str) -> None:
    assert loaders(line)
    assert not loaders("torch.load(f, weights_only=True); np.load(f, allow_pickle=False)")


def loaders(text: str) -> list[str]:
    """What in a program could run what a file says."""
    found = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            modules = {alias.name.partition(".")[0] for alias in node.names}
            found += [ast.unparse(node)] if modules & PICKLERS else []
        if isinstance(node, ast.ImportFrom) and node.module:
            whole = {f"{node.module}.{alias.name}" for alias in node.names}
            dangerous = node.module.partition(".")[0] in PICKLERS or whole & LOADERS
            found += [ast.unparse(node)] if dangerous else []
        if isinstance(node, ast.Call) and not _harmless(node):
            found.append(ast.unparse(node))
    return found


def _harmless(call: ast.Call) -> bool:
    called = ast.unparse(call.func)
    given = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
    if called == "torch.load":
        return given.get("weights_only") == "True"
    if called in ("np.load", "numpy.load"):
        return given.get("allow_pickle") == "False"
    return called not in LOADERS


@pytest.mark.parametrize(
    "command",
    [
        "",
        "run",
        "demo",
        "predict",
        "prepare",
        "bench",
        "compare",
        "inputs",
        "audit",
        "sweep",
        "evolve",
        "data check",
        "notebooks run",
    ],
)
def test_help_imports_nothing_heavy(command: str) -> None:
    program = (
        "import sys, hmrm_lab, hmrm_lab.cli\n"
        f"sys.argv = ['hmrm', *{command.split()!r}, '--help']\n"
        "try:\n    hmrm_lab.cli.main()\nexcept SystemExit:\n    pass\n"
        f"sys.exit(', '.join(sorted({HEAVY!r} & set(sys.modules))) or 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "Usage: hmrm" in done.stdout


def test_every_decision_is_listed() -> None:
    notes = sorted((ROOT / "docs" / "decisions").glob("[0-9]*.md"))
    index = (ROOT / "docs" / "decisions" / "README.md").read_text(encoding="utf-8")
    assert notes
    for note in notes:
        assert f"({note.name})" in index


def test_paper_map_names_files_that_exist() -> None:
    text = (ROOT / "docs" / "paper-map.md").read_text(encoding="utf-8")
    mentioned = [word for word in text.replace("`", " ").split() if word.startswith("hmrm_lab/")]
    assert len(mentioned) > 10
    missing = [word for word in mentioned if not (ROOT / word.rstrip(".,;:)")).exists()]
    assert not missing
