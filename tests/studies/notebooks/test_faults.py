"""Whatever goes wrong in a notebook turns `hmrm notebooks run` red and is told in a sentence."""

import json
import os
from pathlib import Path

import nbformat
import pytest
from made_notebooks import hmrm, make_notebook

from hmrm_lab.studies.notebooks.faults import Fault, describe, told_by

pytest.importorskip("papermill", reason="the extra 'jupyter' is not installed")
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("default")]

FAULTS = {  # the source of a cell, and the kind and the reason of its fault
    "import ipywidgets\nbutton = ipywidgets.Button()\n"
    "button.on_click(lambda _: 1 / 0)\nbutton.click()": ("callback", "ZeroDivisionError"),
    "import ipywidgets\nout = ipywidgets.Output()\nwith out:\n    raise ValueError('boom')\n"
    "out.clear_output()": ("callback", "ValueError: boom"),
    "from ipywidgets import interact\ninteract(lambda x: 1 / x, x=0);": (
        "callback",
        "ZeroDivisionError",
    ),
    "import threading\ngate = threading.Event()\n"  # the thread raises after its cell has ended
    "late = threading.Thread(target=lambda: (gate.wait(), 1 / 0))\nlate.start()": (
        "thread",
        "ZeroDivisionError",
    ),
    "gate.set()\nlate.join()": ("stderr", "ZeroDivisionError"),
    "import subprocess, sys\nsubprocess.run([sys.executable, '-c', 'raise ValueError(7)'])": (
        "stderr",
        "ValueError: 7",
    ),
    "import multiprocessing, os\nchild = multiprocessing.get_context('fork').Process()\n"
    "child.run = lambda: os.kill(os.getpid(), 9)\nchild.start(); child.join()": (
        "process",
        "killed by signal 9",
    ),
    "import warnings\nwarnings.warn('odd')": ("stderr", "UserWarning: odd"),
    "1 / 0": ("cell", "ZeroDivisionError: division by zero"),
}
HARMLESS = (
    "import multiprocessing as m, time\nchild = m.Process(target=time.sleep, args=(9,))\n"
    "child.start(); child.terminate(); child.join()",
    "import sys\nprint('said on purpose', file=sys.stderr)",
)


def test_every_fault_is_told_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    books = (
        make_notebook(tmp_path / "faulty.ipynb", *FAULTS, "print('not reached')"),
        make_notebook(tmp_path / "killed.ipynb", "import os\nos.kill(os.getpid(), 9)", "0"),
        make_notebook(tmp_path / "loud.ipynb", *HARMLESS, tags=("expects-stderr",)),
    )
    out = tmp_path / "out"
    assert hmrm(monkeypatch, "notebooks", "run", *books, "--out", out, "--json") == 1
    told = capsys.readouterr()
    complaint = told.err.splitlines()[-1]
    assert "hmrm: faulty, cell [10] `1 / 0`: ZeroDivisionError: division by zero" in complaint
    assert "; killed, cell [2] `import os`: the kernel died: SIGKILL" in complaint
    faulty, killed, loud = json.loads(told.out)["notebooks"]
    for number, (source, (kind, reason)) in enumerate(FAULTS.items(), start=2):
        (fault,) = [fault for fault in faulty["faults"] if fault["cell"] == number]
        assert fault["kind"] == kind and reason in fault["reason"], (source, fault)
    assert len(faulty["faults"]) == len(FAULTS)
    assert [fault["kind"] for fault in killed["faults"]] == ["kernel"]
    assert loud["ok"], loud
    assert {file.name for file in out.iterdir()} == {
        *("faulty.failed.ipynb", "faulty.failed.html", "killed.failed.ipynb"),
        *("killed.failed.html", "loud.ipynb", "loud.html", "index.html"),
    }
    for name in ("faulty", "killed"):
        done = nbformat.read(out / f"{name}.failed.ipynb", as_version=4)
        cells = [cell for cell in done.cells if cell.cell_type == "code"]
        states = [cell.metadata["papermill"]["status"] for cell in cells]
        assert states == ["completed"] * (len(cells) - 2) + ["failed", "pending"]


def test_a_kernel_that_does_not_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = make_notebook(tmp_path / "made.ipynb")
    (tmp_path / "ipykernel").mkdir()
    (tmp_path / "ipykernel" / "__init__.py").write_text("raise ImportError('broken')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    assert hmrm(monkeypatch, "notebooks", "run", path, "--out", tmp_path / "out") == 1
    complaint = capsys.readouterr().err.splitlines()[-1]
    assert complaint.startswith("hmrm: made, there is no kernel: ")
    assert complaint.endswith(": ImportError: broken")
    path.write_text(path.read_text().replace('"python3"', '"nosuch"'))
    assert hmrm(monkeypatch, "notebooks", "run", path, "--out", tmp_path / "out") == 1
    assert "there is no kernel: No such kernel named nosuch" in capsys.readouterr().err


def test_a_mistyped_parameter_is_refused_before_anything_is_executed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = make_notebook(tmp_path / "made.ipynb", parameters='profile = "smoke"\nseed = 0')
    for words, message in (
        (["profil", "smoke"], "unknown parameter of made 'profil'; did you mean 'profile'?"),
        (["seed", "one"], "'one' is no value for the parameter 'seed' of made; it is a whole"),
        (["seed", "1.5"], "'1.5' is no value for the parameter 'seed'"),
        (["seed"], "'-p seed' has no value"),
    ):
        command = ["notebooks", "run", path, "-p", *words, "--out", tmp_path / "out"]
        assert hmrm(monkeypatch, *command) == 2
        assert message in capsys.readouterr().err
        assert not (tmp_path / "out").exists()


def test_of_several_faults_the_gravest_is_told() -> None:
    faults = [
        Fault("stderr", "hm", 1, "a"),
        Fault("thread", "ValueError", 3, "b"),
        Fault("stderr", "ValueError", 3, "b"),
    ]
    assert describe("05_loso", faults) == (
        "05_loso, cell [3] `b`: in a thread: ValueError (and faults in 1 other cell)"
    )


def test_the_telling_line_of_what_is_printed() -> None:
    for printed, told in {
        "\x1b[31mTraceback:\n  a\nhmrm_lab.errors.InputError: no\n": (
            "hmrm_lab.errors.InputError: no"
        ),
        "/a/b.py:3: RuntimeWarning: mean of empty slice\n  x.mean()\n": (
            "RuntimeWarning: mean of empty slice"
        ),
        "first\nlast\n\n": "last",
        "": "nothing was said",
    }.items():
        assert told_by(printed) == told
