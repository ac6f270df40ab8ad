"""How much faster are folds on all cores than on one? The smoke-sized set, longer training."""

import os

os.environ["OMP_NUM_THREADS"] = "1"

import tempfile
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path

from harness import Ratio, Result, Skipped, alternate, main, rounds_of, timed

from hmrm_lab.config import load_config
from hmrm_lab.preparation import load_flowset
from hmrm_lab.studies.experiment import run_experiment

OVERRIDES = ["data.subjects=12", "data.clips=72", "flow.name=dis", "training.epochs=12"]
SMALLEST = ["data.subjects=3", "data.clips=9", "flow.name=dis", "training.epochs=1"]


def measure(options: Namespace) -> Iterator[Result]:
    config = load_config("demo", overrides=SMALLEST if options.quick else OVERRIDES)
    flowset = load_flowset(config)
    cores = os.cpu_count() or 1
    if cores == 1:
        yield Skipped("folds", "this machine has one core")
        return

    def run(jobs: int) -> None:
        with tempfile.TemporaryDirectory() as out:
            run_experiment(config, out=Path(out), jobs=jobs, flowset=flowset, final_model=False)

    sides = {"one core": timed(lambda: run(1)), f"{cores} cores": timed(lambda: run(cores))}
    taken = alternate(sides, rounds_of(options, 3))
    what = "leave-one-subject-out on synthetic clips, workers already started"
    yield Ratio(f"folds: {cores} cores to one", what, *taken, *taken.values())


if __name__ == "__main__":
    main(measure)
