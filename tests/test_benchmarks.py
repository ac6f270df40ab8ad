"""The harness of the benchmarks, and one of them for real. How fast it is decides nothing here."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from hmrm_lab.cli import notebooks

BENCHMARKS = notebooks.BENCHMARKS
HMRM = str(Path(sys.executable).with_name("hmrm"))


@pytest.fixture(autouse=True)
def on_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))


def test_sides_take_turns_and_the_order_turns_too() -> None:
    from harness import alternate

    calls: list[str] = []

    def side(name: str, seconds: float) -> object:
        return lambda: calls.append(name) or seconds

    taken = alternate({"a": side("a", 2.0), "b": side("b", 1.0)}, rounds=2, warm=1)
    assert calls == ["a", "b", "b", "a", "a", "b"]
    assert taken == {"a": [2.0, 2.0], "b": [1.0, 1.0]}


def test_a_ratio_is_that_of_the_medians_and_a_bound_holds_or_not() -> None:
    from harness import Level, Ratio, at_least, at_most

    ratio = Ratio("r", "what", "slow", "fast", [9.0, 4.0, 8.0], [2.0, 1.0, 4.0], at_least(4))
    found = ratio.as_dict()
    assert (found["value"], found["low"], found["high"], found["met"]) == (4.0, 2.0, 4.5, True)
    assert not at_least(4.1).is_met(4.0)
    assert not Level("l", "what", "s", [0.6], at_most(0.5)).as_dict()["met"]


def test_a_benchmark_that_breaks_leaves_the_others_alone(tmp_path: Path) -> None:
    good = "from harness import *\nmain(lambda options: [Level('one', 'what', 's', [1.0])])\n"
    scripts = [tmp_path / "broken.py", tmp_path / "good.py"]
    scripts[0].write_text("raise ZeroDivisionError\n")
    scripts[1].write_text(f"import sys\nsys.path.insert(0, {str(BENCHMARKS)!r})\n{good}")
    program = (
        "import importlib.util, json, sys\nfrom pathlib import Path\n"
        "sys.path.insert(0, sys.argv[1])\n"
        "spec = importlib.util.spec_from_file_location('bench', sys.argv[1] + '/__main__.py')\n"
        "bench = importlib.util.module_from_spec(spec)\nspec.loader.exec_module(bench)\n"
        "document = bench.run([Path(p) for p in sys.argv[2:]], [], quick=True)\n"
        "print(json.dumps([document, bench.exit_status(document, strict=False)]))\n"
    )
    command = [sys.executable, "-c", program, str(BENCHMARKS), *map(str, scripts)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    document, status = json.loads(done.stdout)
    assert [result["kind"] for result in document["results"]] == ["failed", "level"]
    assert status == 1


@pytest.mark.parametrize("name", ["tokens", pytest.param("selective_scan", marks=pytest.mark.full)])
def test_the_command_measures_and_writes_json(name: str, tmp_path: Path) -> None:
    out = tmp_path / "bench.json"
    command = [HMRM, "bench", name, "--quick", "--json", "--out", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    document = json.loads(done.stdout)
    assert json.loads(out.read_text()) == document
    assert document["machine"]["cores"] >= 1
    assert {result["kind"] for result in document["results"]} == {"ratio"}
    for result in document["results"]:
        slow, fast = (side["median_s"] for side in result["sides"])
        assert result["value"] == pytest.approx(slow / fast)


def test_an_unknown_benchmark_is_one_sentence() -> None:
    done = subprocess.run(
        [HMRM, "bench", "selective_scam"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stderr.startswith("hmrm: unknown benchmark 'selective_scam'; did you mean")


@pytest.mark.full
def test_every_redraw_has_a_bound(capfd: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("ipywidgets", reason="the extra 'jupyter' is not installed")
    subprocess.run([HMRM, "bench", "widgets", "--quick", "--json"], check=True)
    results = json.loads(capfd.readouterr().out)["results"]
    import hmrm_widgets
    from hmrm_widgets.viewer import Viewer

    shown = {name: of for name, of in vars(hmrm_widgets).items() if isinstance(of, type)}
    viewers = {name for name, widget in shown.items() if issubclass(widget, Viewer)}
    assert {result["name"].partition(",")[0] for result in results} == viewers
    assert {(result["kind"], result["unit"]) for result in results} == {("level", "ms")}
    bounds = {result["bound"] for result in results}
    assert bounds == {30, 100, 250}  # what is remembered, what is drawn, what a search brings
