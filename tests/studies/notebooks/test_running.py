"""`hmrm notebooks run`: what it takes, what it leaves, how it ends."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest
from made_notebooks import hmrm, make_notebook
from nbformat import v4

from hmrm_lab.cli.notebooks import join_pairs
from hmrm_lab.errors import ConfigError, InputError
from hmrm_lab.studies.notebooks.pages import (
    Notebook,
    all_notebooks,
    find_notebooks,
    parameters_of,
    read_parameters,
)

pytest.importorskip("papermill", reason="the extra 'jupyter' is not installed")
pytestmark = pytest.mark.filterwarnings("default")

FIGURE = """
import plotly.graph_objects as go, plotly.io
plotly.io.renderers.default = "plotly_mimetype"
go.Figure(go.Bar(y=[height]), {"title": {"text": "</script><b>"}, "height": 321})
"""
WIDGET = "import ipywidgets\nslider = ipywidgets.IntSlider()\nslider"


@pytest.mark.slow
def test_a_run_leaves_copies_pages_and_an_index(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    parameters = 'profile = "smoke"\nheight = 1.0'
    path = make_notebook(tmp_path / "07_{made}.ipynb", FIGURE, WIDGET, parameters=parameters)
    out = tmp_path / "out"
    out.mkdir()
    (out / "07_{made}.failed.ipynb").write_text("of an earlier run")
    words = ["notebooks", "run", path, "-p", "height", "2", "--profile=demo"]
    assert hmrm(monkeypatch, *words, "--out", out, "--json") == 0
    (told,) = json.loads(capsys.readouterr().out)["notebooks"]
    assert told["ok"]
    assert told["faults"] == []
    assert told["notebook"] == str(out / "07_{made}.ipynb")
    names = {"07_{made}.ipynb", "07_{made}.html", "index.html", "plotly.min.js"}
    assert {file.name for file in out.iterdir()} == names

    copy = nbformat.read(told["notebook"], as_version=4)
    assert "widgets" not in copy.metadata
    assert str(tmp_path) not in json.dumps(copy)
    assert parameters_of(Notebook(Path(told["notebook"]))) == {"profile": "demo", "height": 2}
    assert copy.cells[-1].outputs[0].data == {
        "text/plain": "IntSlider: interactive where a kernel runs"
    }

    page = Path(told["page"]).read_text()
    assert "<title>Made up</title>" in page
    assert '<script src="plotly.min.js">' in page
    assert 'style="height:321px;"' in page
    assert "</script><b>" not in page
    assert not re.search(r'(src|href)="(https?:)?//', page)

    index = (out / "index.html").read_text()
    assert "You will see a thing and another.</p>" in index
    assert "Not this" not in index
    assert 'href="07_{made}.html">Made up</a>' in index
    assert "profile demo" in index
    assert "Failed" not in index


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_ctrl_c_ends_the_kernel_and_its_children(tmp_path: Path) -> None:
    source = (
        "import os, subprocess, time\nfrom pathlib import Path\n"
        "child = subprocess.Popen(['sleep', '300'])\n"
        "Path('part').write_text(f'{os.getpid()} {child.pid}')\nPath('part').rename('pids')\n"
        "time.sleep(300)"
    )
    path = make_notebook(tmp_path / "made.ipynb", source)
    command = subprocess.Popen(
        [sys.executable, "-c", "from hmrm_lab.cli import main; main()"]
        + ["notebooks", "run", str(path), "--out", "out"],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_for((tmp_path / "pids").exists)
    command.send_signal(signal.SIGINT)
    _, complaint = command.communicate(timeout=300)
    assert command.returncode == 130
    assert complaint == "hmrm: stopped; 0 of 1 notebooks are finished\n"
    for pid in map(int, (tmp_path / "pids").read_text().split()):
        wait_for(lambda pid=pid: not is_running(pid))
    assert not (tmp_path / "out").exists()


def wait_for(happened: Callable[[], bool]) -> None:
    end = time.monotonic() + 300  # so that a fault ends the test
    while not happened():
        assert time.monotonic() < end
        time.sleep(0.1)


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{pid}/stat")
    return not (stat.exists() and stat.read_text().rpartition(")")[2].split()[0] == "Z")


@pytest.mark.slow
def test_a_check_compares_marked_outputs_with_the_stored_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made = 'Path("made here").touch()'
    source = f"# NBVAL_CHECK_OUTPUT\nfrom pathlib import Path\n{made}\nprint(1)\n2"
    stored = [v4.new_output("stream", text="1\n"), v4.new_output("execute_result")]
    paths = [make_notebook(tmp_path / f"{name}.ipynb", source) for name in ("same", "other")]
    for path, result in zip(paths, ("2", "3"), strict=True):
        book = nbformat.read(path, as_version=4)
        stored[1].data = {"text/plain": result}
        book.cells[-1].outputs = stored
        nbformat.write(book, path)
    assert hmrm(monkeypatch, "notebooks", "check", *paths) == 1
    told = capsys.readouterr()
    assert told.err == "hmrm: not as stored: other\n"
    assert told.out.startswith("ok      same\nFAILED  other\nother, cell [2]: text/plain is not")
    assert "\n-3\n+2\n" in told.out
    assert sorted(tmp_path.iterdir()) == sorted(paths)


def test_a_notebook_is_not_replaced_by_its_copy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = make_notebook(tmp_path / "made.ipynb")
    before = path.read_bytes()
    monkeypatch.chdir(tmp_path)
    assert hmrm(monkeypatch, "notebooks", "run", "made.ipynb", "--out", ".") == 2
    assert "would replace the notebook" in capsys.readouterr().err
    assert path.read_bytes() == before


def test_a_notebook_is_found_by_number_and_name() -> None:
    for name in ("00", "0", "00_quickstart", "00_quickstart.ipynb"):
        assert [found.name for found in find_notebooks([name])] == ["00_quickstart"]


def test_all_are_found_in_order_and_each_once(tmp_path: Path) -> None:
    assert find_notebooks([]) == all_notebooks()
    names = [notebook.name for notebook in all_notebooks()]
    assert names == sorted(names)
    path = make_notebook(tmp_path / "mine.ipynb")
    assert [n.name for n in find_notebooks([str(path), "02", "2", str(path)])] == [
        "mine",
        "02_flow",
    ]


def test_a_notebook_that_there_is_not(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match="unknown notebook '00_quickstar'; did you mean '00_quick"
    ):
        find_notebooks(["00_quickstar"])
    with pytest.raises(ConfigError, match="unknown notebook '77'"):
        find_notebooks(["77"])
    with pytest.raises(InputError, match=r"no\.ipynb: there is no such notebook"):
        find_notebooks([str(tmp_path / "no.ipynb")])
    (tmp_path / "bad.ipynb").write_text("{}")
    with pytest.raises(InputError, match=r"bad\.ipynb: this is no notebook"):
        parameters_of(Notebook(tmp_path / "bad.ipynb"))
    path = make_notebook(tmp_path / "odd.ipynb", parameters="%magic")
    with pytest.raises(InputError, match=r"odd\.ipynb: the cell of parameters cannot be read"):
        parameters_of(Notebook(path))


def test_values_are_read_as_the_defaults_are_written(tmp_path: Path) -> None:
    parameters = 'name = "a"  # text\nrate = 0.5\ncount = -1\nwide = False'
    notebook = Notebook(make_notebook(tmp_path / "made.ipynb", parameters=parameters))
    assert parameters_of(notebook) == {"name": "a", "rate": 0.5, "count": -1, "wide": False}
    given = {"name": "1", "rate": "2", "count": "-3", "wide": "true"}
    assert read_parameters(notebook, given) == {"name": "1", "rate": 2, "count": -3, "wide": True}
    for name, text in (("rate", "fast"), ("count", "0.5"), ("count", "True"), ("wide", "1")):
        with pytest.raises(ConfigError, match=f"'{text}' is no value for the parameter '{name}'"):
            read_parameters(notebook, {name: text})


def test_pairs_are_joined() -> None:
    words = ["02", "-p", "seed", "-3", "-p", "a=b", "-p", "root", "", "--json", "-p", "x", "--out"]
    joined = ["02", "-p", "seed=-3", "-p", "a=b", "-p", "root=", "--json", "-p", "x", "--out"]
    assert join_pairs(words) == joined
