"""How much faster are folds on all cores than on one? The smoke-sized set, longer training."""

import os

os.environ["OMP_NUM_THREADS"] = "1"

import statistics
import tempfile
import time
from pathlib import Path

import hmrm_lab.datasets  # noqa: F401  registers the data sets
from hmrm_lab.config import load_config
from hmrm_lab.preparation import load_flowset
from hmrm_lab.studies.experiment import run_experiment

ROUNDS = 3
OVERRIDES = ["data.subjects=12", "data.clips=72", "flow.name=dis", "training.epochs=12"]


def main() -> None:
    config = load_config("demo", overrides=OVERRIDES)
    flowset = load_flowset(config)
    cores = os.cpu_count() or 1
    times: dict[int, list[float]] = {1: [], cores: []}
    for turn in range(ROUNDS + 1):
        for jobs, taken in times.items():
            with tempfile.TemporaryDirectory() as out:
                started = time.perf_counter()
                run_experiment(config, out=Path(out), jobs=jobs, flowset=flowset, final_model=False)
                if turn:
                    taken.append(time.perf_counter() - started)
    one, many = statistics.median(times[1]), statistics.median(times[cores])
    print(f"one core {one:.1f} s, {cores} cores {many:.1f} s, ratio {one / many:.2f}")


if __name__ == "__main__":
    main()
