"""Notebooks: their form, and that they run."""

import json
import re
from pathlib import Path
from typing import Any

import plotly.io
import pytest

from hmrm_lab.errors import HmrmError
from hmrm_lab.studies.notebooks.pages import Notebook
from hmrm_lab.studies.notebooks.run import execute

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
LARGEST_BYTES = 1_000_000
LONGEST_CELL = 15
CHECKED = "# NBVAL_CHECK_OUTPUT"


@pytest.fixture(params=NOTEBOOKS, ids=[path.stem for path in NOTEBOOKS])
def notebook(request: pytest.FixtureRequest) -> dict[str, Any]:
    return json.loads(request.param.read_text(encoding="utf-8"))


def code_cells(notebook: dict[str, Any]) -> list[dict[str, Any]]:
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def source(cell: dict[str, Any]) -> str:
    return "".join(cell["source"])


def test_there_are_notebooks() -> None:
    assert [path.name for path in NOTEBOOKS][:1] == ["00_quickstart.ipynb"]
    numbers = [path.name.partition("_")[0] for path in NOTEBOOKS]
    assert len(numbers) == len(set(numbers))


def test_one_cell_of_plain_parameters(notebook: dict[str, Any]) -> None:
    tagged = [c for c in code_cells(notebook) if "parameters" in c["metadata"].get("tags", [])]
    assert len(tagged) == 1
    assert tagged[0] is code_cells(notebook)[0]
    assert source(tagged[0]).startswith('profile = "smoke"')
    for line in source(tagged[0]).splitlines():
        assert re.fullmatch(r"\w+ = (\"[^\"]*\"|-?[\d.]+|True|False)(  # .*)?", line), line


def test_cells_are_short_and_hold_no_program(notebook: dict[str, Any]) -> None:
    for cell in code_cells(notebook):
        text = source(cell)
        assert len(text.splitlines()) <= LONGEST_CELL, text
        assert not re.search(r"^\s*(class|def|async def|try|while) ?", text, re.MULTILINE), text


def test_nothing_of_one_machine(notebook: dict[str, Any]) -> None:
    text = json.dumps(notebook)
    assert not re.search(r"(?<![\w.:/])/(home|root|tmp|work|Users|mnt|opt)/|[A-Z]:\\\\", text)


def test_committed_without_state(notebook: dict[str, Any]) -> None:
    assert "widgets" not in notebook["metadata"]
    assert notebook["metadata"]["kernelspec"]["name"] == "python3"
    ids = [cell["id"] for cell in notebook["cells"]]
    assert len(ids) == len(set(ids))
    for cell in code_cells(notebook):
        assert bool(cell["outputs"]) == (cell["execution_count"] is not None), "nbval compares so"
        assert not [out for out in cell["outputs"] if out.get("name") == "stderr"]
        assert bool(cell["outputs"]) == source(cell).startswith(CHECKED)


def test_it_opens_with_what_the_reader_will_see_and_ends_with_a_question(
    notebook: dict[str, Any],
) -> None:
    first, last = notebook["cells"][0], notebook["cells"][-1]
    assert first["cell_type"] == last["cell_type"] == "markdown"
    assert "You will see" in source(first)
    assert "?" in source(last)


def test_links_lead_somewhere(notebook: dict[str, Any]) -> None:
    text = "\n".join(source(c) for c in notebook["cells"] if c["cell_type"] == "markdown")
    targets = re.findall(r"\]\((?!\w+:|#)([^)#\s]+)", text)
    assert not [target for target in targets if not (ROOT / "notebooks" / target).exists()]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=[path.stem for path in NOTEBOOKS])
def test_it_is_small(path: Path) -> None:
    assert path.stat().st_size < LARGEST_BYTES


@pytest.mark.notebook
@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("path", NOTEBOOKS, ids=[path.stem for path in NOTEBOOKS])
def test_it_runs_in_the_smoke_profile(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("papermill", reason="the extra 'jupyter' is not installed")
    monkeypatch.chdir(tmp_path)
    done = execute(Notebook(path), tmp_path / "out", {"profile": "smoke"})
    assert done.ok, done.sentence()
    assert done.copy.stat().st_size < LARGEST_BYTES


@pytest.mark.notebook
@pytest.mark.filterwarnings("default")
def test_faces_and_apex_needs_no_detector(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("papermill", reason="the extra 'jupyter' is not installed")
    monkeypatch.chdir(tmp_path)
    path = ROOT / "notebooks" / "01_faces_and_apex.ipynb"
    done = execute(Notebook(path), tmp_path / "out", {"faces": "template", "sample": 4})
    assert done.ok, done.sentence()


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize(
    ("name", "parameters", "message"),
    [
        ("00_quickstart", {"profile": "smok"}, "did you mean 'smoke'"),
        ("00_quickstart", {"system": "hmrn"}, "did you mean 'hmrm'"),
        ("00_quickstart", {"seed": "one"}, "evaluation.seeds"),
        ("02_flow", {"profile": "smok"}, "did you mean 'smoke'"),
        ("02_flow", {"expression": "suprise"}, "did you mean 'surprise'"),
        ("02_flow", {"methods": "dis tvl"}, "did you mean 'tvl1'"),
        ("02_flow", {"weights": "mine.safetensors"}, "no such weights"),
        ("02_flow", {"seed": "one"}, "data set 'synthetic': seed"),
        ("06_ablations", {"profile": "smok"}, "did you mean 'smoke'"),
        ("06_ablations", {"data": "synthetik"}, "did you mean 'synthetic'"),
        ("06_ablations", {"data": "flowmaps"}, "lies in a folder"),
        ("06_ablations", {"seeds": "one"}, "evaluation.seeds"),
        ("03_motionmix", {"profile": "smok"}, "did you mean 'smoke'"),
        ("03_motionmix", {"regions": "eyes muth"}, "'eyes' or 'mouth'"),
        ("03_motionmix", {"expression": "suprise"}, "did you mean 'surprise'"),
        ("03_motionmix", {"strength": "half"}, "augment.mix_lambda"),
        ("10_your_own_clip", {"profile": "smok"}, "did you mean 'smoke'"),
        ("10_your_own_clip", {"clip": "absent.mp4"}, "no such recording"),
        ("10_your_own_clip", {"run": "absent"}, "not a run folder"),
        ("10_your_own_clip", {"faces": "dlob"}, "did you mean 'dlib'"),
        ("10_your_own_clip", {"apex": "six"}, "apex 'six' is no frame number"),
        ("10_your_own_clip", {"seed": "one"}, "evaluation.seeds"),
        ("07_heatmap", {"profile": "smok"}, "did you mean 'smoke'"),
        ("07_heatmap", {"data": "synthetik"}, "did you mean 'synthetic'"),
        ("07_heatmap", {"widths": "16 thirty"}, "widths: '16 thirty' are not whole numbers"),
        ("07_heatmap", {"seeds": "one"}, "evaluation.seeds"),
        ("04_grained_mamba", {"profile": "smok"}, "did you mean 'smoke'"),
        ("04_grained_mamba", {"data": "synthetik"}, "did you mean 'synthetic'"),
        ("04_grained_mamba", {"epochs": -1}, "training.epochs"),
        ("04_grained_mamba", {"run": "nowhere"}, "not a run folder"),
        ("01_faces_and_apex", {"profile": "smok"}, "did you mean 'smoke'"),
        ("01_faces_and_apex", {"data": "synthetik"}, "did you mean 'synthetic'"),
        ("01_faces_and_apex", {"data": "casme2"}, "lies in a folder"),
        ("01_faces_and_apex", {"faces": "dlob"}, "did you mean 'dlib'"),
        ("01_faces_and_apex", {"seed": "one"}, "data set 'synthetic': seed"),
        ("05_loso", {"profile": "smok"}, "did you mean 'smoke'"),
        ("05_loso", {"system": "hmrn"}, "did you mean 'hmrm'"),
        ("05_loso", {"data": "flowmap"}, "did you mean 'flowmaps'"),
        ("05_loso", {"data": "flowmaps", "root": "nowhere"}, "nowhere: no such folder"),
        ("05_loso", {"seed": "one"}, "evaluation.seeds"),
        ("08_results", {"profile": "smok"}, "did you mean 'smoke'"),
        ("08_results", {"systems": "hmrm ststnt"}, "did you mean 'ststnet'"),
        ("08_results", {"data": "flowmap"}, "did you mean 'flowmaps'"),
        ("08_results", {"seeds": "one"}, "evaluation.seeds"),
        ("09_honest_numbers", {"profile": "smok"}, "did you mean 'smoke'"),
        ("09_honest_numbers", {"system": "ststnt"}, "did you mean 'ststnet'"),
        ("09_honest_numbers", {"data": "flowmap"}, "did you mean 'flowmaps'"),
        ("09_honest_numbers", {"epochs": "many"}, "training.epochs"),
        ("11_ammsm", {"profile": "smok"}, "did you mean 'smoke'"),
        ("11_ammsm", {"data": "synthetik"}, "did you mean 'synthetic'"),
        ("11_ammsm", {"data": "flowmaps"}, "lies in a folder"),
        ("11_ammsm", {"epochs": -1}, "training.epochs"),
        ("11_ammsm", {"rate": "fast"}, "training.lr"),
        ("11_ammsm", {"seed": "one"}, "evaluation.seeds"),
        ("12_mesti_meganet", {"profile": "smok"}, "did you mean 'smoke'"),
        ("12_mesti_meganet", {"networks": "vgg19 meganot"}, "did you mean 'meganet'"),
        ("12_mesti_meganet", {"data": "flowmaps"}, "lies in a folder"),
        ("12_mesti_meganet", {"seeds": "one"}, "evaluation.seeds"),
        ("12_mesti_meganet", {"epochs": "many"}, "training.epochs"),
    ],
)
def test_a_mistyped_parameter_is_refused_in_the_first_cell(
    name: str,
    parameters: dict[str, Any],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """That is the one after the parameters. Without a kernel: these two cells are plain Python."""
    pytest.importorskip("ipywidgets", reason="the extra 'jupyter' is not installed")
    monkeypatch.setattr(plotly.io.renderers, "default", plotly.io.renderers.default)
    monkeypatch.chdir(tmp_path)
    path = ROOT / "notebooks" / f"{name}.ipynb"
    first, second, *_ = code_cells(json.loads(path.read_text(encoding="utf-8")))
    names: dict[str, Any] = {}
    exec(source(first), names)
    assert parameters.keys() <= names.keys()
    with pytest.raises(HmrmError, match=message):
        exec(source(second), names | parameters)
    assert not list(tmp_path.iterdir()), "it is refused before any work"
