"""Linear layers and dropout of this project to torch's own: forward and backward, one thread."""

import os

os.environ["OMP_NUM_THREADS"] = "1"

from argparse import Namespace
from collections.abc import Iterator

import torch
from harness import Ratio, Side, alternate, main, rounds_of, timed
from torch import nn

from hmrm_lab.models.layers import Dropout, Linear

ROWS, WIDTHS = 2560, ((192, 768), (384, 192))  # 128 maps of 20 tokens; in and out of a block
SMALL = 8
TURN_S = 0.2


def measure(options: Namespace) -> Iterator[Ratio]:
    torch.set_num_threads(1)
    rows, turn_s = (SMALL, 0.0) if options.quick else (ROWS, TURN_S)
    rounds = rounds_of(options, 7)
    for wide_in, wide_out in WIDTHS:
        kinds = {"torch's": nn.Linear(wide_in, wide_out), "ours": Linear(wide_in, wide_out)}
        yield _ratio(f"linear {wide_in} to {wide_out}", kinds, (rows, wide_in), turn_s, rounds)
    kinds = {"torch's": nn.Dropout(0.4), "ours": Dropout(0.4)}
    yield _ratio("dropout", kinds, (rows, WIDTHS[0][0]), turn_s, rounds)


def _ratio(
    name: str, kinds: dict[str, nn.Module], shape: tuple[int, int], turn_s: float, rounds: int
) -> Ratio:
    sides = {kind: _side(layer, shape, turn_s) for kind, layer in kinds.items()}
    taken = alternate(sides, rounds)
    words = f"forward and backward, {shape[0]} rows"
    return Ratio(f"{name}: ours to torch's", words, *kinds, *taken.values())


def _side(layer: nn.Module, shape: tuple[int, int], turn_s: float) -> Side:
    x = torch.randn(shape, requires_grad=True)
    handed_in = torch.randn(layer(x).shape)

    def work() -> None:
        layer(x).backward(handed_in)

    return timed(work, for_s=turn_s)


if __name__ == "__main__":
    main(measure)
