"""How much faster are the scans than the reference? Forward and backward, one thread.

And how far is the fastest from the arithmetic that no scan can do without?
"""

import os

os.environ["OMP_NUM_THREADS"] = "1"

from argparse import Namespace
from collections.abc import Callable, Iterator

import torch
from harness import Ratio, alternate, at_least, at_most, main, rounds_of, timed
from microkernel import microkernel

from hmrm_lab.models.selective_scan import Backend, selective_scan

SHAPES = [(64, 128, 16, 16), (64, 384, 16, 16), (256, 384, 4, 16), (64, 384, 49, 16)]
SMALLEST = [(2, 8, 3, 4)]
BACKENDS: tuple[Backend, ...] = ("reference", "loop", "fused")
BOUNDS = {  # of the fused scan, by the side it is compared with
    "reference": {(64, 384, 16, 16): 20, (256, 384, 4, 16): 20, (64, 384, 49, 16): 150},
    "loop": dict.fromkeys(SHAPES[1:], 5),
}
SHARE = 0.6  # of the speed of the bare arithmetic


def measure(options: Namespace) -> Iterator[Ratio]:
    torch.set_num_threads(1)
    for shape in SMALLEST if options.quick else SHAPES:
        arguments = draw(*shape)
        sides = {name: timed(_work(name, arguments)) for name in BACKENDS}
        sides["arithmetic"] = timed(microkernel(*shape))
        taken = alternate(sides, rounds_of(options, 5))
        for slow, fast in (("reference", "loop"), ("reference", "fused"), ("loop", "fused")):
            claimed = BOUNDS[slow].get(shape) if fast == "fused" else None
            yield Ratio(
                f"scan {'x'.join(map(str, shape))}: {fast} to {slow}",
                "selective scan, forward and backward, shape B x D x L x N",
                *(slow, fast, taken[slow], taken[fast]),
                bound=at_least(claimed) if claimed else None,
            )
        yield Ratio(
            f"scan {'x'.join(map(str, shape))}: bare arithmetic to fused",
            "as many exponentials and multiply-adds on rows that stay in the first cache",
            *("fused", "arithmetic", taken["fused"], taken["arithmetic"]),
            bound=at_most(1 / SHARE) if claimed else None,
        )


def draw(batch: int, width: int, length: int, state: int) -> list[torch.Tensor]:
    tensors = (
        torch.randn(batch, length, width),
        torch.rand(batch, length, width) * 0.1,
        -torch.rand(width, state) - 0.1,
        torch.randn(batch, length, state),
        torch.randn(batch, length, state),
        torch.randn(width),
    )
    return [tensor.requires_grad_() for tensor in tensors]


def _work(backend: Backend, arguments: list[torch.Tensor]) -> Callable[[], object]:
    return lambda: torch.autograd.grad(selective_scan(*arguments, backend=backend).sum(), arguments)


if __name__ == "__main__":
    main(measure)
