"""Random arguments of a scan, and what every backend owes to the reference in float64."""

from collections.abc import Callable
from functools import partial
from random import Random

import torch
from torch import Tensor

from hmrm_lab.models.scan import scan_groups, selective_scan

Scan = Callable[..., Tensor]


def normal(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64)


def positive(*shape: int) -> Tensor:
    return torch.nn.functional.softplus(normal(*shape))


def draw(
    lead: tuple[int, ...], length: int, width: int, state: int, shared: tuple[int, ...] = ()
) -> list[Tensor]:
    return [
        normal(*lead, length, width),
        positive(*lead, length, width),
        -torch.rand(*shared, width, state, dtype=torch.float64) - 0.1,
        normal(*lead, length, state),
        normal(*lead, length, state),
        normal(*shared, width),
    ]


def random_case(number: int, longest: int = 49) -> tuple[list[Tensor], bool]:
    """Arguments in float64 and direction; every tenth has one token, and odd widths are usual."""
    random = Random(number)
    directions = random.choice([1, 2])
    lead = (directions, random.randint(1, 4))
    length = 1 if number % 10 == 0 else min(random.choice([2, 3, 7, 16, 20, 49]), longest)
    width, state = random.choice([1, 3, 17, 64, 130]), random.choice([1, 2, 5, 16])
    torch.manual_seed(number)
    shared = random.choice([(), (directions, 1), lead])
    arguments = draw(lead, length, width, state, shared)
    if number % 3 == 0:  # the same numbers, laid out otherwise
        arguments = [a.mT.contiguous().mT if a.ndim > 1 else a for a in arguments]
    return arguments, random.choice([False, True])


def check_scan(
    scan: Scan, arguments: list[Tensor], reverse: bool, device: str = "cpu"
) -> list[Tensor]:
    reference = partial(selective_scan, reverse=reverse, backend="reference")
    return check_agreement(scan, reference, arguments, device)


def check_groups(scan: Scan, arguments: list[Tensor], reverse: bool) -> None:
    check_scan(lambda *tensors: scan_groups(scan, tensors, (reverse,)), arguments, reverse)


def check_agreement(
    scan: Scan, reference: Scan, arguments: list[Tensor], device: str = "cpu"
) -> list[Tensor]:
    """Values and gradients in float32, which must be those of the reference in float64."""
    single = [a.float().to(device).requires_grad_() for a in arguments]
    exact = [a.detach().double().requires_grad_() for a in single]
    y, truth = scan(*single), reference(*exact)
    weights = torch.randn(y.shape, generator=torch.Generator().manual_seed(0)).to(device)
    assert (y - truth).abs().max() <= 1e-6 * truth.abs().max()
    gradients = torch.autograd.grad((y * weights).sum(), single, materialize_grads=True)
    true = torch.autograd.grad((truth * weights).sum(), exact, materialize_grads=True)
    for ours, theirs in zip(gradients, true, strict=True):
        assert (ours - theirs).abs().max() <= 1e-5 * theirs.abs().max() + 1e-12
    return [y.detach(), *gradients]
