"""Notebooks: their form, and that they run and print what is stored."""

import pytest

pytest.importorskip("papermill", reason="the extra 'jupyter' is not installed")

import base64
import json
import re
import sys
import tomllib
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from multiprocessing import get_context
from os import chdir
from pathlib import Path
from typing import Any

import nbformat
import plotly.io
from IPython.core.displayhook import CapturingDisplayHook
from IPython.core.displaypub import CapturingDisplayPublisher
from IPython.core.interactiveshell import InteractiveShell
from nbformat.v4 import new_output

from hmrm_lab.errors import HmrmError
from hmrm_lab.studies.notebooks.faults import Fault, first_line
from hmrm_lab.studies.notebooks.notebook import Notebook, code_digest, parameters_of
from hmrm_lab.studies.notebooks.run import COMPARED, Execution, problems

ROOT = Path(__file__).parents[2]
NOTEBOOKS = {path.stem: path for path in sorted((ROOT / "notebooks").glob("*.ipynb"))}
LARGEST_BYTES = 1_000_000
LARGEST_IMAGE_BYTES = 60_000
IMAGES = {"image/png", "image/jpeg"}
STATIC = {*IMAGES, "text/html", "text/markdown", "text/plain"}
SCRIPT = re.compile(r"<script|<img|<svg|javascript:")
LONGEST_CELL = 15
PARAMETER = re.compile(r"\w+ = (\"[^\"]*\"|-?[\d.]+|True|False)(  # .*)?")
PROGRAM = re.compile(r"^\s*(class|def|async def|try|while)\b", re.MULTILINE)
OF_ONE_MACHINE = re.compile(r"(?<![\w.:/])/(home|root|tmp|work|Users|mnt|opt)/|[A-Z]:\\\\")
IMPORT = re.compile(r"(?:import|from) (hmrm_lab[\w.]*.*)")
CHEAPER: dict[str, dict[str, object]] = {
    "01_faces_and_apex": {"sample": 8},
    "05_loso": {"epochs": 8},
    "11_ammsm": {"epochs": 1, "population": 2, "generations": 1},
    "12_mesti_meganet": {"epochs": 1},
}
"""Parameters with which a notebook takes less time; what it prints where it is compared stays."""
NO_DETECTOR = pytest.param(
    "01_faces_and_apex",
    {"faces": "template", "sample": 4},
    marks=pytest.mark.full,
    id="01_template",
)
FORKS = get_context("forkserver")
FORKS.set_forkserver_preload([__name__, "hmrm_widgets", "torch._dynamo"])
REFUSED = Path(__file__).with_name("refused_parameters.toml").read_text(encoding="utf-8")


def code_cells(path: Path) -> list[dict[str, Any]]:
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return [cell for cell in cells if cell["cell_type"] == "code"]


def source(cell: dict[str, Any]) -> str:
    return "".join(cell["source"])


def broken_rules(path: Path) -> dict[str, bool]:
    """The rules of form for a notebook, and whether it breaks each."""
    text = path.read_text(encoding="utf-8")
    notebook = json.loads(text)
    cells, code = notebook["cells"], code_cells(path)
    first, last, parameters = cells[0], cells[-1], code[0]
    outputs = [output for cell in code for output in cell["outputs"]]
    shown = [output["data"] for output in outputs if "data" in output]
    images = [base64.b64decode(data[kind]) for data in shown for kind in IMAGES & data.keys()]
    compared = [cell for cell in code if COMPARED in cell["metadata"].get("tags", [])]
    return {
        "outputs are of this code (`make notebooks`)": notebook["metadata"].get("hmrm")
        != {"outputs_of": code_digest(Notebook(path).content)},
        "all cells were executed in order": [cell["execution_count"] for cell in code]
        != list(range(1, len(code) + 1)),
        "outputs are text, tables and images": any(data.keys() - STATIC for data in shown),
        "tables hold no script and no picture": any(
            SCRIPT.search("".join(data.get("text/html", ""))) for data in shown
        ),
        f"no image has more than {LARGEST_IMAGE_BYTES} bytes": any(
            len(image) > LARGEST_IMAGE_BYTES for image in images
        ),
        "figures are stored": not images,
        "compared cells have outputs": not all(cell["outputs"] for cell in compared),
        "cells show no time of their execution": any(
            cell["metadata"].keys() - {"tags"} for cell in notebook["cells"]
        ),
        "only the first code cell is tagged `parameters`": [
            "parameters" in cell["metadata"].get("tags", []) for cell in code
        ]
        != [True] + [False] * (len(code) - 1),
        "parameters begin with the profile": not source(parameters).startswith('profile = "smoke"'),
        "parameters are plain literals": not all(
            map(PARAMETER.fullmatch, source(parameters).splitlines())
        ),
        f"no cell is longer than {LONGEST_CELL} lines": any(
            len(source(cell).splitlines()) > LONGEST_CELL for cell in code
        ),
        "cells hold no program": any(PROGRAM.search(source(cell)) for cell in code),
        "it comes in through the face": IMPORT.findall("\n".join(map(source, code)))
        != ["hmrm_lab as lab"],
        "no path of one machine": bool(OF_ONE_MACHINE.search(json.dumps(notebook))),
        "no state of widgets": "widgets" in notebook["metadata"],
        "the kernel is python3": notebook["metadata"]["kernelspec"]["name"] != "python3",
        "cells have ids of their own": len({cell["id"] for cell in cells}) < len(cells),
        "nothing on standard error": any(output.get("name") == "stderr" for output in outputs),
        "it opens with what the reader will see": "You will see" not in source(first),
        "it ends with a question": "?" not in source(last) or last["cell_type"] != "markdown",
        f"it has less than {LARGEST_BYTES} bytes": len(text.encode()) >= LARGEST_BYTES,
    }


def test_notebooks_keep_the_rules_of_form() -> None:
    numbers = [name.partition("_")[0] for name in NOTEBOOKS]
    assert next(iter(NOTEBOOKS)) == "00_quickstart" and len(numbers) == len(set(numbers))
    broken = [
        f"{name}: {rule}"
        for name, path in NOTEBOOKS.items()
        for rule, is_broken in broken_rules(path).items()
        if is_broken
    ]
    assert not broken, "\n".join(broken)


@pytest.fixture(scope="module")
def processes() -> Iterator[ProcessPoolExecutor]:
    """A process for each notebook, forked where all that notebooks import is in memory already."""
    with ProcessPoolExecutor(1, FORKS, max_tasks_per_child=1) as pool:
        yield pool


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "parameters"),
    [*(pytest.param(name, CHEAPER.get(name, {}), id=name) for name in NOTEBOOKS), NO_DETECTOR],
)
def test_it_runs_in_the_smoke_profile_and_prints_what_is_stored(
    name: str, parameters: dict[str, object], tmp_path: Path, processes: ProcessPoolExecutor
) -> None:
    """The one execution of each notebook in the tests; `hmrm notebooks check` takes a kernel."""
    notebook = Notebook(NOTEBOOKS[name])
    assert parameters.keys() <= parameters_of(notebook).keys()
    done = processes.submit(execute_cells, notebook.path, tmp_path, parameters).result()
    assert not problems(notebook, done), "\n".join(problems(notebook, done))
    assert done.copy.stat().st_size < LARGEST_BYTES


def execute_cells(path: Path, folder: Path, parameters: dict[str, object]) -> Execution:
    """As a kernel would, but in this process."""
    chdir(folder)
    faults, content = list[Fault](), Notebook(path).content
    shell = InteractiveShell.instance()
    shell.kernel = object()  # progress is told in the cell, not on standard error
    shown = shell.display_pub = CapturingDisplayPublisher()
    shell.display_trap.hook = CapturingDisplayHook(shell, shown.outputs)
    shell.showtraceback = lambda given=None, **_: faults.append(  # also those of callbacks
        Fault("cell", repr((given or sys.exc_info())[1]), number, first_line(cell.source))
    )
    for number, cell in enumerate(c for c in content.cells if c.cell_type == "code"):
        with redirect_stdout(StringIO()) as said, redirect_stderr(StringIO()) as warned:
            shell.run_cell(cell.source)
        if warned.getvalue():
            faults.append(Fault("stderr", warned.getvalue(), number, first_line(cell.source)))
        if not number:
            shell.push(parameters)
        stream = new_output("stream", text=said.getvalue())
        figures = [new_output("display_data", data=each["data"]) for each in shown.outputs]
        cell.outputs, cell.execution_count = [stream, *figures], number
        shown.outputs.clear()
    copy = folder / path.name
    copy.write_text(nbformat.writes(content), encoding="utf-8")
    return Execution(path.stem, 0.0, copy, tuple(faults))


@pytest.mark.filterwarnings("default")
def test_a_mistyped_parameter_is_refused_in_the_first_cell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That is the one after the parameters. Without a kernel: these two cells are plain Python."""
    pytest.importorskip("ipywidgets", reason="the extra 'jupyter' is not installed")
    monkeypatch.setattr(plotly.io.renderers, "default", plotly.io.renderers.default)
    monkeypatch.chdir(tmp_path)
    for name, path in NOTEBOOKS.items():
        first, second, *_ = code_cells(path)
        names: dict[str, Any] = {}
        exec(source(first), names)
        for case in tomllib.loads(REFUSED)["refused"]:
            parameters, message = case["parameters"], case["says"]
            if not parameters.keys() <= names.keys():
                continue
            try:
                exec(source(second), names | parameters)
                complaint = "nothing"
            except HmrmError as error:
                complaint = str(error)
            assert message in complaint, f"{name} with {parameters} says {complaint}"
    assert not list(tmp_path.iterdir()), "it is refused before any work"
