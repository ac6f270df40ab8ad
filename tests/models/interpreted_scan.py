"""The Triton kernels in Triton's interpreter on the CPU, against float64: `interpreted_scan.py N`.

A process of its own, because Triton decides at its import whether it interprets.
"""

import os

os.environ["TRITON_INTERPRET"] = "1"

import sys
from typing import Any

import torch
from models.scan_cases import check_groups, random_case
from torch import Tensor

from hmrm_lab.models.scan import triton_scan


class Interpreted(torch.autograd.Function):
    """What `fused.py` registers for CUDA devices, on the CPU."""

    @staticmethod
    def forward(ctx: Any, *arguments: Any) -> Tensor:
        *tensors, ctx.reverse = arguments
        ctx.save_for_backward(*tensors)
        return triton_scan.forward(*tensors, ctx.reverse)

    @staticmethod
    def backward(ctx: Any, grad_y: Tensor) -> tuple[Tensor | None, ...]:
        return (*triton_scan.backward(grad_y, *ctx.saved_tensors, ctx.reverse), None)


for number in range(int(sys.argv[1])):
    triton_scan.LARGEST_STATES = 1 if number % 2 else 2**30  # states in chunks, or all
    check_groups(Interpreted.apply, *random_case(number, longest=7))
    print(number, flush=True)
