"""What do the tokens that are not kept save? A stage of AMMSM: forward and backward, one thread."""

import os

os.environ["OMP_NUM_THREADS"] = "1"

from argparse import Namespace
from collections.abc import Iterator

import torch
from harness import Ratio, Side, alternate, at_most, main, rounds_of, timed

from hmrm_lab.models.ammsm.sparse_activation import select_moving
from hmrm_lab.models.ammsm.temporal_stream import Stage
from hmrm_lab.runtime.processes import settle_process

STAGES = ((14, 32), (14, 64), (7, 64))  # tokens along a side, and width
SMALLEST = ((4, 8),)
RATIOS = (0.25, 0.5)
LONG = 128  # tokens from which a bound is claimed
BOUND = {0.5: 0.65}
BATCH, DEPTH = 64, 2
TURN_S = 0.2


def measure(options: Namespace) -> Iterator[Ratio]:
    torch.set_num_threads(1)
    settle_process()
    turn_s = 0.0 if options.quick else TURN_S
    for side, width in SMALLEST if options.quick else STAGES:
        tokens = side**2
        sides = stage_sides(side, width, turn_s)
        taken = alternate(sides, rounds_of(options, 7))
        for ratio in RATIOS:
            bound = BOUND.get(ratio) if tokens >= LONG else None
            yield Ratio(
                f"stage of {tokens} tokens, width {width}: {ratio:g} kept to all",
                f"{DEPTH} SSSD blocks, forward and backward, batch {BATCH}, selection included",
                *(f"{ratio:g} kept", "all", taken[f"{ratio:g} kept"], taken["all"]),
                bound=at_most(bound) if bound else None,
            )


def stage_sides(side: int, width: int, turn_s: float) -> dict[str, Side]:
    """The same stage with some of its tokens, and with all."""
    stage = Stage(
        width,
        side,
        DEPTH,
        attentive=False,
        expand=2,
        head=min(32, width),
        state=16,
        ffn_ratio=2.0,
        dropout=0.0,
        backend="auto",
    )
    tokens = torch.randn(BATCH, side**2, width, requires_grad=True)
    motion, handed_in = torch.rand(BATCH, side**2), torch.randn(BATCH, side**2, width)
    names = {f"{ratio:g} kept": ratio for ratio in RATIOS} | {"all": 1.0}
    return {
        name: timed(
            lambda ratio=ratio: stage(tokens, select_moving(motion, ratio)).backward(handed_in),
            for_s=turn_s,
        )
        for name, ratio in names.items()
    }


if __name__ == "__main__":
    main(measure)
