"""How much dearer are pixel tokens than window tokens? One training step of HMRM, one thread."""

import os

os.environ["OMP_NUM_THREADS"] = "1"

import statistics
import time

import torch

from hmrm_lab.models.hmrm import HMRM

BATCH, WIDTH, ROUNDS = 64, 32, 5


def seconds(model: HMRM, maps: torch.Tensor) -> float:
    started = time.perf_counter()
    model(maps).square().mean().backward()
    return time.perf_counter() - started


def main() -> None:
    torch.set_num_threads(1)
    maps = torch.randn(BATCH, 3, 28, 28)
    models = {
        kind: HMRM(3, 28, width=WIDTH, depth=1, tokens=kind) for kind in ("windows", "pixels")
    }
    times: dict[str, list[float]] = {kind: [] for kind in models}
    for turn in range(ROUNDS + 1):
        for kind, model in models.items():
            elapsed = seconds(model, maps)
            if turn:  # the first warms up
                times[kind].append(elapsed)
    windows, pixels = (1e3 * statistics.median(times[kind]) for kind in models)
    print(f"windows {windows:.0f} ms, pixels {pixels:.0f} ms, ratio {pixels / windows:.0f}")


if __name__ == "__main__":
    main()
