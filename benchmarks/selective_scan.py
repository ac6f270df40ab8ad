"""How much faster is the fused scan than the others? Forward and backward, one thread.

And how far is it from the arithmetic that no scan can do without? Each side is a process of its
own, since how memory is kept is settled once in a process: plain sides are torch as it comes, the
fused scan runs as in a fold. "memory kept" gives the other side our memory settings as well.
"""

import os

os.environ["OMP_NUM_THREADS"] = "1"

from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from contextlib import ExitStack

import torch
from children import Child, serve
from harness import Ratio, Side, alternate, at_least, at_most, main, rounds_of, timed
from loop_scan import settle_scan
from microkernel import microkernel
from torch import Tensor

from hmrm_lab.models.scan import selective_scan
from hmrm_lab.runtime.processes import settle_process

SHAPES = [(64, 128, 16, 16), (64, 384, 16, 16), (256, 384, 4, 16), (64, 384, 49, 16)]
SMALLEST = [(2, 8, 3, 4)]
SIDES = (
    *("plain:reference", "plain:loop", "kept:reference", "kept:loop", "kept:fused"),
    "kept:arithmetic",
)
BOUNDS = {  # of the fused scan, by the side it is compared with
    "reference": {(64, 384, 16, 16): 20, (256, 384, 4, 16): 20, (64, 384, 49, 16): 150},
    "loop": dict.fromkeys(SHAPES[1:], 5),
}
TURN_S = 0.2
SHARE = 0.6  # of the speed of the bare arithmetic


def measure(options: Namespace) -> Iterator[Ratio]:
    if options.side:
        kept, name, shape = options.side.split(":")
        serve(work(name, parse(shape), settled=kept == "kept"))
        return
    for shape in SMALLEST if options.quick else SHAPES:
        taken = _take_turns(shape, options)
        words = "x".join(map(str, shape))
        for slow in ("reference", "loop"):
            claimed = BOUNDS[slow].get(shape)
            for kept in ("plain", "kept"):
                yield Ratio(
                    f"scan {words}: fused to {slow}{', memory kept' if kept == 'kept' else ''}",
                    "selective scan, forward and backward, shape B x D x L x N",
                    *(slow, "fused", taken[f"{kept}:{slow}"], taken["kept:fused"]),
                    bound=at_least(claimed) if claimed and kept == "plain" else None,
                )
        yield Ratio(
            f"scan {words}: bare arithmetic to fused",
            "as many exponentials and multiply-adds on rows that stay in the first cache",
            *("fused", "arithmetic", taken["kept:fused"], taken["kept:arithmetic"]),
            bound=at_most(1 / SHARE) if claimed else None,
        )


def work(name: str, shape: tuple[int, ...], *, settled: bool) -> Side:
    """Forward and backward of one scan, or its bare arithmetic."""
    torch.set_num_threads(1)
    if settled:
        settle_process()
    if name == "arithmetic":
        return timed(microkernel(*shape), for_s=TURN_S)
    (arguments, handed_in), taken = draw(*shape), settle_scan(name)
    return timed(
        lambda: torch.autograd.grad(
            selective_scan(*arguments, backend=taken), arguments, handed_in
        ),
        for_s=TURN_S,
    )


def draw(batch: int, width: int, length: int, state: int) -> tuple[list[Tensor], Tensor]:
    """Arguments of a scan, and the gradient of a loss with respect to its result."""
    tensors = (
        torch.randn(batch, length, width),
        torch.rand(batch, length, width) * 0.1,
        -torch.rand(width, state) - 0.1,
        torch.randn(batch, length, state),
        torch.randn(batch, length, state),
        torch.randn(width),
    )
    return [tensor.requires_grad_() for tensor in tensors], torch.randn(batch, length, width)


def parse(shape: str) -> tuple[int, ...]:
    return tuple(map(int, shape.split("x")))


def _take_turns(shape: tuple[int, ...], options: Namespace) -> dict[str, list[float]]:
    """Seconds of all sides, each in a process of its own."""
    with ExitStack() as stack:
        sides = {
            side: stack.enter_context(
                Child(__file__, "--side", f"{side}:{'x'.join(map(str, shape))}")
            )
            for side in SIDES
        }
        return alternate(sides, rounds_of(options, 5))


def _arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--side", help="only serve as this side")


if __name__ == "__main__":
    main(measure, _arguments)
