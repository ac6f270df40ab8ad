"""`hmrm notebooks`: what it takes and leaves, and that whatever goes wrong is told."""

import json
import os
import signal
import subprocess
import sys
import tomllib
from functools import partial
from pathlib import Path

import nbformat
import pytest
from loops import wait_for
from nbformat import v4
from test_cli import hmrm, refused

from hmrm_lab.errors import ConfigError, InputError
from hmrm_lab.runtime.processes import is_alive
from hmrm_lab.studies.notebooks.faults import Fault, describe, told_by
from hmrm_lab.studies.notebooks.notebook import (
    Notebook,
    all_notebooks,
    find_notebooks,
    parameters_of,
    read_parameters,
)

pytest.importorskip("papermill", reason="the extra 'jupyter' is not installed")
pytestmark = pytest.mark.filterwarnings("default")

notebooks = partial(hmrm, "notebooks")
KERNEL = {"name": "python3", "display_name": "Python 3", "language": "python"}
FAULTS = tomllib.loads(Path(__file__).with_name("faults.toml").read_text(encoding="utf-8"))["fault"]
HARMLESS = (
    "import multiprocessing as m, time\nchild = m.Process(target=time.sleep, args=(9,))\n"
    "child.start(); child.terminate(); child.join()",
    "import sys\nprint('said on purpose', file=sys.stderr)",
)


WIDGET = "import ipywidgets\nslider = ipywidgets.IntSlider()\nslider"


def make_notebook(
    path: Path, *cells: str, parameters: str = 'profile = "smoke"', tags: tuple[str, ...] = ()
) -> Path:
    """A notebook with a heading, a cell of parameters, and these; the tags are of the last one."""
    made = [
        v4.new_markdown_cell("# Made up\n\nYou will see a thing\nand another. Not this."),
        v4.new_code_cell(parameters, metadata={"tags": ["parameters"]}),
        *(v4.new_code_cell(source) for source in cells),
    ]
    if tags:
        made[-1].metadata["tags"] = list(tags)
    nbformat.write(v4.new_notebook(cells=made, metadata={"kernelspec": KERNEL}), path)
    return path


def test_every_fault_is_told_and_nothing_else(tmp_path: Path) -> None:
    books = (
        make_notebook(
            tmp_path / "faulty.ipynb", *(one["source"] for one in FAULTS), "print('not reached')"
        ),
        make_notebook(tmp_path / "killed.ipynb", "import os\nos.kill(os.getpid(), 9)", "0"),
        make_notebook(tmp_path / "loud.ipynb", *HARMLESS, tags=("expects-stderr",)),
    )
    out = tmp_path / "out"
    done = notebooks("run", *books, "--out", out, "--json", cwd=tmp_path)
    assert done.returncode == 1
    complaint = done.stderr.splitlines()[-1]
    assert "hmrm: faulty, cell [10] `1 / 0`: ZeroDivisionError: division by zero" in complaint
    assert "; killed, cell [2] `import os`: the kernel died: SIGKILL" in complaint
    faulty, killed, loud = json.loads(done.stdout)["notebooks"]
    told = sorted(faulty["faults"], key=lambda fault: fault["cell"])
    for fault, meant in zip(told, FAULTS, strict=True):
        assert fault["kind"] == meant["kind"] and meant["reason"] in fault["reason"], (meant, fault)
    assert [fault["kind"] for fault in killed["faults"]] == ["kernel"]
    assert loud["ok"], loud
    names = {f"{name}.ipynb" for name in ("faulty.failed", "killed.failed", "loud")}
    assert {file.name for file in out.iterdir()} == names


def test_a_kernel_that_does_not_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make_notebook(tmp_path / "made.ipynb")
    (tmp_path / "ipykernel").mkdir()
    (tmp_path / "ipykernel" / "__init__.py").write_text("raise ImportError('broken')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    done = notebooks("run", path, "--out", "out", cwd=tmp_path)
    assert done.returncode == 1
    complaint = done.stderr.splitlines()[-1]
    assert complaint.startswith("hmrm: made, there is no kernel: ")
    assert complaint.endswith(": ImportError: broken")
    path.write_text(path.read_text().replace('"python3"', '"nosuch"'))
    complaint = notebooks("run", path, "--out", "out", cwd=tmp_path).stderr
    assert "there is no kernel: No such kernel named nosuch" in complaint


def test_a_mistyped_parameter_is_refused_before_anything_is_executed(tmp_path: Path) -> None:
    path = make_notebook(tmp_path / "made.ipynb", parameters='profile = "smoke"\nseed = 0')
    for words, message in (
        (["profil", "smoke"], "unknown parameter of made 'profil'; did you mean 'profile'?"),
        (["seed", "one"], "'one' is no value for the parameter 'seed' of made; it is a whole"),
        (["seed"], "'-p seed' has no value"),
    ):
        assert message in refused(tmp_path, "notebooks", "run", path, "-p", *words)


def test_the_gravest_fault_is_told_and_the_telling_line_of_what_is_printed() -> None:
    faults = [Fault("stderr", "hm", 1, "b"), Fault("thread", "ValueError", 3, "b")]
    sentence = "05_loso, cell [3] `b`: in a thread: ValueError (and faults in 1 other cell)"
    assert describe("05_loso", faults) == sentence
    for printed, told in (
        ("\x1b[31mTraceback:\n  a\nhmrm_lab.errors.InputError: no\n", "InputError: no"),
        ("/a/b.py:3: RuntimeWarning: empty slice\n  x.mean()\n", "RuntimeWarning: empty slice"),
        ("first\nlast\n\n", "last"),
        ("", "nothing was said"),
    ):
        assert told_by(printed).endswith(told)


def test_a_run_leaves_a_copy_without_the_state_of_widgets(tmp_path: Path) -> None:
    parameters = 'profile = "smoke"\nheight = 1.0'
    path = make_notebook(tmp_path / "07_{made}.ipynb", WIDGET, parameters=parameters)
    out = tmp_path / "out"
    out.mkdir()
    (out / "07_{made}.failed.ipynb").write_text("of an earlier run")
    words = ["run", path, "-p", "height", "-2", "--profile=demo"]
    done = notebooks(*words, "--out", out, "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (told,) = json.loads(done.stdout)["notebooks"]
    assert (told["ok"], told["faults"]) == (True, [])
    assert [file.name for file in out.iterdir()] == ["07_{made}.ipynb"]
    copy = nbformat.read(told["notebook"], as_version=4)
    assert "widgets" not in copy.metadata
    assert str(tmp_path) not in json.dumps(copy)
    assert parameters_of(Notebook(Path(told["notebook"]))) == {"profile": "demo", "height": -2}
    assert "IntSlider: interactive" in copy.cells[-1].outputs[0].data["text/plain"]


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
        wait_for(lambda pid=pid: not is_alive(pid))
    assert not (tmp_path / "out").exists()


def test_a_check_compares_marked_outputs_with_the_stored_ones(tmp_path: Path) -> None:
    made = 'Path("made here").touch()'
    source = f"from pathlib import Path\n{made}\nprint(1)\n2"
    stored = [v4.new_output("stream", text="1\n"), v4.new_output("execute_result")]
    paths = [
        make_notebook(tmp_path / f"{name}.ipynb", source, tags=("nbval-check-output",))
        for name in ("same", "other")
    ]
    for path, result in zip(paths, ("2", "3"), strict=True):
        book = nbformat.read(path, as_version=4)
        stored[1].data = {"text/plain": result}
        book.cells[-1].outputs = stored
        nbformat.write(book, path)
    done = notebooks("check", *paths, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (1, "hmrm: not as stored: other\n")
    assert done.stdout.startswith("ok      same\nFAILED  other\nother, cell [2]: text/plain is not")
    assert "\n-3\n+2\n" in done.stdout
    assert sorted(tmp_path.iterdir()) == sorted(paths)
    sentence = refused(tmp_path, "notebooks", "run", *paths, "--out", tmp_path)
    assert "would replace the notebook" in sentence


def test_notebooks_are_found_by_number_and_name_each_once(tmp_path: Path) -> None:
    for name in ("0", "00_quickstart", "00_quickstart.ipynb"):
        assert [found.name for found in find_notebooks([name])] == ["00_quickstart"]
    assert find_notebooks([]) == all_notebooks()
    path = str(make_notebook(tmp_path / "mine.ipynb"))
    found = [notebook.name for notebook in find_notebooks([path, "02", "2", path])]
    assert found == ["mine", "02_flow"]
    for name, message in (
        ("00_quickstar", "unknown notebook '00_quickstar'; did you mean '00_quick"),
        (str(tmp_path / "no.ipynb"), r"no\.ipynb: there is no such notebook"),
    ):
        with pytest.raises(InputError, match=message):
            find_notebooks([name])
    (tmp_path / "bad.ipynb").write_text("{}")
    make_notebook(tmp_path / "odd.ipynb", parameters="%magic")
    for name, message in (("bad", "this is no notebook"), ("odd", "the cell of parameters cannot")):
        with pytest.raises(InputError, match=rf"{name}\.ipynb: {message}"):
            parameters_of(Notebook(tmp_path / f"{name}.ipynb"))


def test_values_are_read_as_the_defaults_are_written(tmp_path: Path) -> None:
    parameters = 'name = "a"  # text\nrate = 0.5\ncount = -1\nwide = False'
    notebook = Notebook(make_notebook(tmp_path / "made.ipynb", parameters=parameters))
    assert parameters_of(notebook) == {"name": "a", "rate": 0.5, "count": -1, "wide": False}
    given = {"name": "1", "rate": "2", "count": "-3", "wide": "true"}
    read = {"name": "1", "rate": 2, "count": -3, "wide": True}
    assert read_parameters(notebook, given) == read
    for name, text in (("rate", "fast"), ("count", "0.5"), ("count", "True"), ("wide", "1")):
        with pytest.raises(ConfigError, match=f"'{text}' is no value for the parameter '{name}'"):
            read_parameters(notebook, {name: text})
