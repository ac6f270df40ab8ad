import pytest
import torch
from torch.nn import functional

from hmrm_lab.models.hmrm import fused_block
from hmrm_lab.models.hmrm.grained_mamba import BidirectionalScan, GrainedMambaBlock, Residual


def test_backward_branch_is_the_forward_branch_on_the_flipped_sequence() -> None:
    """With the same weights in both directions, flipping the input flips the output."""
    torch.manual_seed(0)
    scan = BidirectionalScan(6, state=4, kernel=3)
    for weights in scan.parameters():
        first, second = weights.data
        second.copy_(first)
    x = torch.randn(2, 5, 12)
    torch.testing.assert_close(scan(x.flip(1)), scan(x).flip(1))


def test_convolution_is_torchs() -> None:
    torch.manual_seed(0)
    scan = BidirectionalScan(5, state=2, kernel=4)
    x = torch.randn(2, 3, 9, 5)  # both directions, (2, B, L, D)
    for given, found, weight, bias in zip(
        x, scan._convolve(x), scan.conv_weight, scan.conv_bias, strict=True
    ):
        padded = functional.pad(given.mT, (3, 0))
        expected = functional.conv1d(padded, weight.T[:, None], bias, groups=5).mT
        torch.testing.assert_close(found, expected)


def test_steps_start_in_mambas_range() -> None:
    steps = functional.softplus(BidirectionalScan(512, state=2, kernel=2).dt_bias)
    assert 0.99e-3 <= steps.min() < steps.max() <= 1.01e-1


@pytest.mark.parametrize(
    ("batch", "length", "width", "state", "kernel"),
    [(1, 1, 1, 1, 1), (3, 4, 17, 5, 2), (2, 16, 64, 16, 3), (2, 49, 33, 16, 5), (5, 2, 48, 3, 7)],
)
def test_one_operator_is_the_steps_with_every_gradient(
    batch: int, length: int, width: int, state: int, kernel: int
) -> None:
    torch.manual_seed(length)
    fused = BidirectionalScan(width, state=state, kernel=kernel, scan="fused")
    steps = BidirectionalScan(width, state=state, kernel=kernel, scan="reference").double()
    steps.load_state_dict(fused.state_dict())
    xz = torch.randn(batch, length, 2 * width)
    weights = torch.randn(batch, length, width)
    results = []
    for scan in (fused, steps):
        tokens = xz.to(scan.skip.dtype).requires_grad_()
        y = scan(tokens)
        loss = (y * weights).sum()
        results.append([y.detach(), *torch.autograd.grad(loss, [tokens, *scan.parameters()])])
    for ours, exact in zip(*results, strict=True):
        assert (ours - exact).abs().max() <= 1e-5 * exact.abs().max() + 1e-12


def block_arguments(xz: torch.Tensor) -> dict[str, torch.Tensor]:
    scan = BidirectionalScan(6, state=4, kernel=3)
    names = ("conv_weight", "conv_bias", "select", "dt_weight", "dt_bias")
    weights = {name: getattr(scan, name).detach() for name in names}
    return {"xz": xz, **weights, "A": -scan.log_decay.exp().mT.detach(), "skip": scan.skip.detach()}


def test_the_operator_refuses_shapes_that_do_not_fit() -> None:
    """The machine code would read whatever lies behind."""
    for name, other in (
        ("xz", torch.randn(2, 5, 10)),
        ("conv_weight", torch.randn(1, 3, 6)),
        ("dt_bias", torch.randn(2, 1)),
        ("A", -torch.ones(2, 8, 6)),
        ("A", -torch.ones(3, 4, 6)),
        ("skip", torch.ones(2, 5)),
    ):
        arguments = {**block_arguments(torch.randn(2, 5, 12)), name: other}
        with pytest.raises(ValueError, match="do not go"):
            fused_block.fused_bidirectional_scan(*arguments.values())
    xz = torch.randn(0, 5, 12, requires_grad=True)
    y = fused_block.fused_bidirectional_scan(*block_arguments(xz).values())
    y.sum().backward()
    assert y.shape == (0, 5, 6)
    assert xz.grad is not None and xz.grad.shape == xz.shape


def test_torch_sees_the_operator() -> None:
    """Shapes without data, autograd, and export, as `torch.library` checks them."""
    xz, scan = torch.randn(2, 5, 12, requires_grad=True), BidirectionalScan(6, state=4, kernel=3)
    arguments = [tensor.requires_grad_() for tensor in block_arguments(xz).values()]
    torch.library.opcheck(fused_block._forward, tuple(arguments))
    program = torch.export.export(GrainedMambaBlock(8, state=4, kernel=3), (torch.randn(2, 5, 8),))
    assert any("hmrm.bidirectional_scan" in str(node.target) for node in program.graph.nodes)
    compiled = torch.compile(scan, backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(compiled(xz), scan(xz))


def test_dropped_branches_keep_their_mean() -> None:
    torch.manual_seed(0)
    residual = Residual(3, layer_scale=1.0, drop_path=0.4)
    tokens, branch = torch.zeros(20_000, 1, 3), torch.ones(20_000, 1, 3)
    out = residual(tokens, branch).detach()[:, 0, 0]
    assert out.unique().tolist() == pytest.approx([0, 1 / 0.6])
    assert out.mean() == pytest.approx(1, abs=0.02)
    assert (residual.eval()(tokens, branch) == 1).all()
