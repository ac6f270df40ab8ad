"""Rules of the house that a search can check."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = sorted([*ROOT.glob("hmrm_lab/**/*.py"), *ROOT.glob("widgets/hmrm_widgets/**/*.py")])


def names(paths: list[Path]) -> list[str]:
    return [str(path.relative_to(ROOT)) for path in paths]


@pytest.mark.parametrize("path", SOURCES, ids=names(SOURCES))
def test_modules_explain_themselves_and_stay_small(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert ast.get_docstring(ast.parse(text)), "no docstring"
    assert len(text.splitlines()) <= 330


@pytest.mark.parametrize("path", SOURCES, ids=names(SOURCES))
def test_nothing_loads_pickles(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            assert not {alias.name for alias in node.names} & {"pickle", "dill", "shelve"}
        if not isinstance(node, ast.Call):
            continue
        called = ast.unparse(node.func)
        given = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
        if called == "torch.load":
            assert given.get("weights_only") == "True"
        if called == "np.load":
            assert given.get("allow_pickle") == "False"


def test_help_does_not_import_torch() -> None:
    program = "import sys, hmrm_lab.cli; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


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
