"""How long does leave-one-subject-out take on the published flow maps? Default preset, seed 0.

Two processes against one, and against plain torch: one process, folds in turn, the reference scan
or the loop scan, memory as torch comes. Every side is a fresh process; its imports and the reading
of the maps are not counted, the start of its workers is. The machine code is compiled before, as it
is once on a machine. HMRM_REALDATA names the folder that holds megc2019-flowmaps. `--epochs` and
`--subjects` make it shorter; no bound is claimed then.
"""

import os

os.environ["OMP_NUM_THREADS"] = "1"

import json
import subprocess
import sys
import tempfile
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from pathlib import Path

from harness import Level, Ratio, Result, Skipped, alternate, at_least, at_most, main, rounds_of
from loop_scan import settle_scan

from hmrm_lab.config import load_config
from hmrm_lab.preparation import load_flowset
from hmrm_lab.records import FlowSet
from hmrm_lab.runtime import processes
from hmrm_lab.studies.experiment import run_experiment

MAPS, NAME = "megc2019-flowmaps", "LOSO on flow maps"
JOBS = {"two": 2, "one": 1, "reference": 1, "loop": 1}
PLAIN = ("reference", "loop")  # sides that are torch as it comes
TWO_CORES, TORCH, MOST_GIB = 1.7, 8.0, 2.0


def measure(options: Namespace) -> Iterator[Result]:
    if options.side:
        serve_once(options)
        return
    root = Path(os.environ.get("HMRM_REALDATA", "")) / MAPS
    if "HMRM_REALDATA" not in os.environ or not root.is_dir():
        yield Skipped(NAME, f"no published maps; name the folder of {MAPS} in HMRM_REALDATA")
        return
    if (os.cpu_count() or 1) < 2:
        yield Skipped(NAME, "this machine has one core")
        return
    reduced = options.quick or options.epochs or options.subjects
    peaks: list[float] = []

    def side(name: str) -> float:
        seconds, peak_mb = _run(name, options)
        if name == "two":
            peaks.append(peak_mb / 2**10)
        return seconds

    _run("one", Namespace(quick=True, epochs=None, subjects=None))  # compiles
    sides = {name: (lambda name=name: side(name)) for name in JOBS}
    taken = alternate(sides, rounds_of(options, 1), warm=0)
    what = "all folds of the default preset, one seed" + (", shortened" if reduced else "")
    for slow, words, claimed in (
        ("one", "one process", TWO_CORES),
        ("reference", "reference scan", TORCH),
        ("loop", "loop scan", None),
    ):
        bound = at_least(claimed) if claimed and not reduced else None
        names = (f"{NAME}: two to {words}", what, words, "two processes")
        yield Ratio(*names, taken[slow], taken["two"], bound=bound)
    yield Level(f"{NAME}: peak memory", "of one worker", "GiB", peaks, bound=at_most(MOST_GIB))


def serve_once(options: Namespace) -> None:
    """Run one side in this process and print its seconds and its peak memory."""
    changes = ["evaluation.seeds=[0]"]
    epochs = options.epochs or (1 if options.quick else None)
    changes += [f"training.epochs={epochs}"] if epochs else []
    if options.side in PLAIN:
        changes.append(f"model.scan={settle_scan(options.side)}")
        processes.keep_memory = lambda: None  # what `settle_process` would call
    config = load_config("default", system="hmrm", data="flowmaps", overrides=changes)
    flowset = _first(
        load_flowset(config, Path(os.environ["HMRM_REALDATA"]) / MAPS),
        options.subjects or (3 if options.quick else None),
    )
    with tempfile.TemporaryDirectory() as out:
        started = time.perf_counter()
        run = run_experiment(
            config, out=Path(out), jobs=JOBS[options.side], flowset=flowset, final_model=False
        )
        seconds = time.perf_counter() - started
        peak_mb = max(unit["peak_mb"] for unit in run.records())
    print(json.dumps([seconds, peak_mb]))
    sys.exit()


def _first(flowset: FlowSet, subjects: int | None) -> FlowSet:
    """The clips of the first so many subjects."""
    persons = list(dict.fromkeys(flowset.subjects))[:subjects]
    return flowset.take([row for row, one in enumerate(flowset.subjects) if one in persons])


def _run(name: str, options: Namespace) -> tuple[float, float]:
    command = [sys.executable, __file__, "--side", name]
    command += ["--quick"] if options.quick else []
    command += ["--epochs", str(options.epochs)] if options.epochs else []
    command += ["--subjects", str(options.subjects)] if options.subjects else []
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    seconds, peak_mb = json.loads(done.stdout)
    return seconds, peak_mb


def _arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--side", choices=JOBS, help="only run this side")
    parser.add_argument("--epochs", type=int, help="fewer epochs than the preset's")
    parser.add_argument("--subjects", type=int, help="the first so many subjects only")


if __name__ == "__main__":
    main(measure, _arguments)
