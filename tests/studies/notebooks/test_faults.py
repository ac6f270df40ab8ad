"""Whatever goes wrong in a notebook turns `hmrm notebooks run` red and is told in a sentence."""

import os
from pathlib import Path

import nbformat
import pytest
from made_notebooks import hmrm, make_notebook

from hmrm_lab.studies.notebooks.faults import Fault, describe, told_by

pytest.importorskip("papermill", reason="the extra 'jupyter' is not installed")
pytestmark = [pytest.mark.notebook, pytest.mark.filterwarnings("default")]

FAULTS = {
    "cell": ("1 / 0", "cell [2] `1 / 0`: ZeroDivisionError: division by zero"),
    "callback": (
        "import ipywidgets\nbutton = ipywidgets.Button()\n"
        "button.on_click(lambda _: 1 / 0)\nbutton.click()",
        "`import ipywidgets`: in a widget or a callback: ZeroDivisionError",
    ),
    "output": (
        "import ipywidgets\nout = ipywidgets.Output()\nwith out:\n    raise ValueError('boom')\n"
        "out.clear_output()",
        "in a widget or a callback: ValueError: boom",
    ),
    "interact": (
        "from ipywidgets import interact\ninteract(lambda x: 1 / x, x=0);",
        "in a widget or a callback: ZeroDivisionError",
    ),
    "thread": (  # which raises after its cell has ended
        "import threading, time\nthreading.Thread(target=lambda: (time.sleep(0.2), 1 / 0)).start()",
        "cell [2] `import threading, time`: in a thread: ZeroDivisionError",
    ),
    "process": (
        "import subprocess, sys\nsubprocess.run([sys.executable, '-c', 'raise ValueError(7)'])",
        "cell [2] `import subprocess, sys`: on standard error: ValueError: 7",
    ),
    "killed_process": (
        "import multiprocessing, os\nchild = multiprocessing.get_context('fork').Process()\n"
        "child.run = lambda: os.kill(os.getpid(), 9)\nchild.start(); child.join()",
        "a child process ended with: killed by signal 9",
    ),
    "kernel": (
        "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)",
        "cell [2] `import os, signal`: the kernel died: SIGKILL",
    ),
    "warning": (
        "import warnings\nwarnings.warn('odd')",
        "on standard error: UserWarning: odd",
    ),
}


@pytest.mark.parametrize("kind", FAULTS)
def test_a_fault_is_told(
    kind: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    source, message = FAULTS[kind]
    path = make_notebook(tmp_path / "made.ipynb", source, "print('went on')")
    assert hmrm(monkeypatch, "notebooks", "run", path, "--out", tmp_path / "out") == 1
    complaint = capsys.readouterr().err.splitlines()[-1]
    assert complaint.startswith("hmrm: made, ")
    assert message in complaint
    names = {file.name for file in (tmp_path / "out").iterdir()}
    assert names == {"made.failed.ipynb", "made.failed.html", "index.html"}
    done = nbformat.read(tmp_path / "out" / "made.failed.ipynb", as_version=4)
    cells = [cell for cell in done.cells if cell.cell_type == "code"]
    states = [cell.metadata["papermill"]["status"] for cell in cells]
    stops = kind in ("cell", "kernel")
    assert states[1:] == (["failed", "pending"] if stops else ["completed", "completed"])


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


def test_nothing_is_told_of_a_notebook_without_faults(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    loud = "import sys\nprint('said on purpose', file=sys.stderr)"
    ended = "import multiprocessing as m, time\nchild = m.Process(target=time.sleep, args=(9,))\n"
    ended += "child.start(); child.terminate(); child.join()"
    path = make_notebook(tmp_path / "made.ipynb", ended, loud, tags=("expects-stderr",))
    status = hmrm(monkeypatch, "notebooks", "run", path, "--out", tmp_path / "out")
    assert status == 0, capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["-p", "profil", "smoke"], "unknown parameter of made 'profil'; did you mean 'profile'?"),
        (
            ["-p", "seed", "one"],
            "'one' is no value for the parameter 'seed' of made; it is a whole",
        ),
        (["-p", "seed", "1.5"], "'1.5' is no value for the parameter 'seed'"),
        (["-p", "seed"], "'-p seed' has no value"),
    ],
)
def test_a_mistyped_parameter_is_refused_before_anything_is_executed(
    words: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = make_notebook(tmp_path / "made.ipynb", parameters='profile = "smoke"\nseed = 0')
    assert hmrm(monkeypatch, "notebooks", "run", path, *words, "--out", tmp_path / "out") == 2
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


@pytest.mark.parametrize(
    ("printed", "told"),
    [
        (
            "\x1b[31mTraceback:\n  a\nhmrm_lab.errors.InputError: no\n",
            "hmrm_lab.errors.InputError: no",
        ),
        (
            "/a/b.py:3: RuntimeWarning: mean of empty slice\n  x.mean()\n",
            "RuntimeWarning: mean of empty slice",
        ),
        ("first\nlast\n\n", "last"),
        ("", "nothing was said"),
    ],
)
def test_the_telling_line_of_what_is_printed(printed: str, told: str) -> None:
    assert told_by(printed) == told
