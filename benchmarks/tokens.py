"""How much dearer are pixel tokens than window tokens? One training step of HMRM, one thread."""

import os

os.environ["OMP_NUM_THREADS"] = "1"

from argparse import Namespace
from collections.abc import Iterator

import torch
from harness import Ratio, alternate, main, rounds_of, timed

from hmrm_lab.models.hmrm import HMRM

BATCH, WIDTH = 64, 32
SMALL_BATCH, SMALL_WIDTH = 2, 8


def measure(options: Namespace) -> Iterator[Ratio]:
    torch.set_num_threads(1)
    batch, width = (SMALL_BATCH, SMALL_WIDTH) if options.quick else (BATCH, WIDTH)
    maps = torch.randn(batch, 3, 28, 28)
    models = {
        kind: HMRM(3, 28, 3, width=width, depth=1, tokens=kind) for kind in ("pixels", "windows")
    }
    sides = {
        kind: timed(lambda model=model: model(maps).square().mean().backward())
        for kind, model in models.items()
    }
    taken = alternate(sides, rounds_of(options, 5))
    what = f"forward and backward of HMRM, width {width}, depth 1, batch {batch}"
    yield Ratio("windows to pixels", what, *taken, *taken.values())


if __name__ == "__main__":
    main(measure)
