"""How much faster is the loop than the reference scan? Forward and backward, one thread."""

import os

os.environ["OMP_NUM_THREADS"] = "1"

import statistics
import time

import torch

from hmrm_lab.models.selective_scan.loop import scan_loop
from hmrm_lab.models.selective_scan.reference import scan_reference

SHAPES = [(64, 128, 16, 16), (64, 384, 16, 16), (256, 384, 4, 16), (64, 384, 49, 16)]
ROUNDS = 5


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


def seconds(scan, arguments: list[torch.Tensor]) -> float:
    started = time.perf_counter()
    torch.autograd.grad(scan(*arguments).sum(), arguments)
    return time.perf_counter() - started


def main() -> None:
    torch.set_num_threads(1)
    print(f"{'B, D, L, N':>20}  {'reference':>10}  {'loop':>10}  ratio")
    for shape in SHAPES:
        arguments = draw(*shape)
        times: dict[object, list[float]] = {scan_reference: [], scan_loop: []}
        for turn in range(ROUNDS + 1):
            for scan, taken in times.items():
                elapsed = seconds(scan, arguments)
                if turn:  # the first warms up
                    taken.append(elapsed)
        slow, fast = (statistics.median(taken) for taken in times.values())
        print(f"{shape!s:>20}  {1e3 * slow:7.1f} ms  {1e3 * fast:7.1f} ms  {slow / fast:5.1f}")


if __name__ == "__main__":
    main()
