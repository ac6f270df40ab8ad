"""How much faster is GRU-AOFE than OpenCV's default TV-L1? 224x224 faces in turn, one thread.

TV-L1 stops early where it has converged, so that its time depends on the pair: clean pairs are its
best case. Ratios are given for clean and for noisy pairs apart.
"""

import os

os.environ["OMP_NUM_THREADS"] = "1"

import platform
import statistics
import time

import cv2
import torch

import hmrm_lab.flow  # noqa: F401  registers the estimators
from hmrm_lab.flow.estimator import FlowEstimator
from hmrm_lab.flow.trials import Trial, facial_trials
from hmrm_lab.registry import flows

PAIRS = 2
NOISES = (0.0, 1.0, 2.0)  # standard deviation in levels of 255


def milliseconds(estimate: FlowEstimator, trial: Trial) -> float:
    started = time.perf_counter()
    estimate(trial.onset[None], trial.apex[None])
    return 1e3 * (time.perf_counter() - started)


def main() -> None:
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    trials = list(facial_trials(PAIRS, NOISES))
    learnt, classical = flows["gru_attention"].build(), flows["tvl1"].build()
    for _ in range(3):  # the first pairs warm up
        milliseconds(learnt, trials[0])
    print(f"{platform.processor() or platform.machine()}, one thread, medians")
    print(f"{'noise':>6}  {'TV-L1':>9}  {'GRU-AOFE':>9}  ratio")
    turns = {
        noise: [
            (milliseconds(classical, trial), milliseconds(learnt, trial))
            for trial in trials
            if trial.noise == noise
        ]
        for noise in NOISES
    }
    everything = [pair for pairs in turns.values() for pair in pairs]
    for noise, pairs in {**turns, "all": everything}.items():
        slow, fast = (statistics.median(taken) for taken in zip(*pairs, strict=True))
        print(f"{noise!s:>6}  {slow:6.1f} ms  {fast:6.1f} ms  {slow / fast:5.1f}")


if __name__ == "__main__":
    main()
