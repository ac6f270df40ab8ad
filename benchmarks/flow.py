"""How much faster is GRU-AOFE than OpenCV's default TV-L1? 224x224 faces in turn, one thread.

TV-L1 stops early where it has converged, so that its time depends on the pair: clean pairs are its
best case. Ratios are given for clean and for noisy pairs apart. A round is one pair.
"""

import os

os.environ["OMP_NUM_THREADS"] = "1"

from argparse import Namespace
from collections.abc import Iterator

import cv2
import torch
from harness import Ratio, Side, alternate, main, rounds_of, timed

from hmrm_lab.flow.endpoint_error import Trial, facial_trials
from hmrm_lab.flow.estimator import FlowEstimator
from hmrm_lab.registry import flows

NOISES = (0.0, 1.0, 2.0)  # standard deviation in levels of 255
SLOW, FAST = "TV-L1", "GRU-AOFE"


def measure(options: Namespace) -> Iterator[Ratio]:
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    trials = list(facial_trials(rounds_of(options, 2), NOISES))
    estimates = {SLOW: flows["tvl1"].build(), FAST: flows["gru_attention"].build()}
    alternate(_sides(estimates, trials[0]), 0, warm=1 if options.quick else 3)
    everything: dict[str, list[float]] = {SLOW: [], FAST: []}
    for noise in NOISES:
        taken: dict[str, list[float]] = {SLOW: [], FAST: []}
        for trial in trials:
            if trial.noise == noise:
                for name, (seconds,) in alternate(_sides(estimates, trial), 1, warm=0).items():
                    taken[name].append(seconds)
                    everything[name].append(seconds)
        yield _ratio(f"noise {noise:g}", taken)
    yield _ratio("all", everything)


def _ratio(which: str, taken: dict[str, list[float]]) -> Ratio:
    what = "flow between two frames of 224x224; noise in levels of 255"
    return Ratio(f"flow, {which}: {FAST} to {SLOW}", what, SLOW, FAST, taken[SLOW], taken[FAST])


def _sides(estimates: dict[str, FlowEstimator], trial: Trial) -> dict[str, Side]:
    def side(estimate: FlowEstimator) -> Side:
        return timed(lambda: estimate(trial.onset[None], trial.apex[None]))

    return {name: side(estimate) for name, estimate in estimates.items()}


if __name__ == "__main__":
    main(measure)
