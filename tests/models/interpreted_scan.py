"""The Triton kernels in Triton's interpreter on the CPU, against float64: `interpreted_scan.py N`.

A process of its own, because Triton decides at its import whether it interprets. The CPU stands for
a card: what is registered for CUDA devices is registered for it.
"""

import os

os.environ["TRITON_INTERPRET"] = "1"

import sys
from functools import partial

import torch
from models.scan_cases import check_agreement, check_groups, draw, normal, random_case
from torch import Tensor

from hmrm_lab.models import scan as scans
from hmrm_lab.models.scan import bidirectional_scan, fused, triton_scan

scans.DEVICES |= {"fused": "none", "cuda": "cpu"}
scans._compiles = lambda _: True
for operator in (fused.fused_scan, fused.gated_scan):
    operator.register_kernel("cpu")(fused._on_cuda)
for operator in (fused._differentiate, fused._differentiate_gated):
    operator.register_kernel("cpu")(fused._back_on_cuda)


def gated_case(number: int) -> list[Tensor]:
    """Arguments of both directions, dt of any sign, with its bias and the gate."""
    (x, _, A, *_), _ = random_case(number, longest=3)
    (*_, batch, length, width), state = x.shape, A.shape[-1]
    tensors = draw((2, batch), length, width, state, (2, 1))
    tensors[1] = 4 * normal(2, batch, length, width)
    return [*tensors, normal(2, width), normal(batch, length, width)]


def gated(*tensors: Tensor, backend: str) -> Tensor:
    scan, bias, gate = tensors[:6], *tensors[6:]
    return bidirectional_scan(scan, bias, gate, backend=backend)


def stacked(*tensors: Tensor) -> Tensor:
    """Twice the same fold, of which the second is returned: its groups are the last ones."""
    return torch.vmap(partial(gated, backend="cuda"))(*(torch.stack([t, t]) for t in tensors))[1]


for number in range(int(sys.argv[1])):
    triton_scan.LARGEST_STATES = 1 if number % 2 else 2**30  # states in chunks, or all
    check_groups(fused.fused_scan, *random_case(number, longest=7))
    alone = partial(gated, backend="cuda")
    reference = partial(gated, backend="reference")
    check_agreement(stacked if number % 3 == 0 else alone, reference, gated_case(number))
    print(number, flush=True)
