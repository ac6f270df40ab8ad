"""HMRM: its regions and fusion, its block as one operator, what is read out of a trained one."""

import numpy as np
import pytest
import torch

from hmrm_lab.errors import ConfigError, InputError
from hmrm_lab.models.hmrm import HMRM, fused_block
from hmrm_lab.models.hmrm.grained_mamba import BidirectionalScan, Residual
from hmrm_lab.models.hmrm.inspection import look_inside, mixing_matrices, steps_by_region
from hmrm_lab.models.hmrm.region_fusion import (
    region_boxes,
    region_mask,
    region_motion,
    region_names,
    split_regions,
)
from hmrm_lab.models.networks.shallow import STSTNet
from hmrm_lab.models.scan import selective_scan

FINE = "fine_encoder.mamba.blocks.0.scan"


def make_model(tokens: str = "windows", **settings: object) -> HMRM:
    torch.manual_seed(0)
    return HMRM(3, 28, 3, **{"width": 16, "depth": 1, "state": 4, "tokens": tokens, **settings})


def maps() -> torch.Tensor:
    return torch.randn(2, 3, 28, 28, generator=torch.Generator().manual_seed(1))


def test_coarse_head_sees_core_regions_only_at_half_resolution() -> None:
    """A checkerboard vanishes in the coarse head, and not in the fine one."""
    model, board = make_model().eval(), torch.ones(1, 3, 28, 28)
    board[..., ::2, 1::2] = board[..., 1::2, ::2] = -1
    change = (model(board) - model(torch.zeros_like(board))).abs().amax(-1)[0]
    assert change[1] == 0
    assert change[2] > 1e-6


@pytest.mark.parametrize("tokens", ["windows", "pixels"])
def test_without_a_scan_no_token_knows_of_another(tokens: str) -> None:
    """A change in one pixel reaches one region of the fine encoder, and with a scan others."""
    for scan, reached in (("none", 1), ("auto", 16 if tokens == "windows" else 1)):
        model, other = make_model(tokens, scan=scan, fusion="none").eval(), maps()
        other[:, :, 0, 0] += 1
        fine = [model.fine_encoder(split_regions(given)[1][:, None]) for given in (maps(), other)]
        assert ((fine[0] - fine[1]).abs().amax((0, 2)) > 0).sum() == reached
    if tokens == "pixels":
        moved = maps()[:, :, [0, 1, 3, 2, *range(4, 28)]]  # two rows within the upper regions
        blind = make_model(tokens, scan="none")
        torch.nn.init.zeros_(blind.fine_encoder.place)
        both = [blind.fine_encoder(split_regions(given)[1][:, None]) for given in (maps(), moved)]
        torch.testing.assert_close(*both)


@pytest.mark.parametrize("tokens", ["windows", "pixels"])
def test_one_encoder_reads_both_grains(tokens: str) -> None:
    model = make_model(tokens, share_encoder=True, coarse_kernel=3)
    count = sum(weights.numel() for weights in model.parameters())
    apart = sum(weights.numel() for weights in make_model(tokens).parameters())
    assert count < 0.7 * apart
    if tokens == "pixels":
        given = torch.randn(2, 1, 4, 49, 3)
        torch.testing.assert_close(model.coarse_encoder(given), model.fine_encoder(given))
    with pytest.raises(ConfigError, match="kernels of 5 and of 3"):
        make_model(share_encoder=True)
    with pytest.raises(InputError, match="encoder that both grains share"):
        look_inside(model, maps())


def test_a_region_keeps_how_much_it_moves() -> None:
    """A norm would make the noise of a still region as loud as the motion of another."""
    given = 0.01 * maps()
    given[..., :7, :7] *= 100
    for equal, lowest, highest in ((False, 1.5, 1000), (True, 0.9, 1.1)):
        model = make_model(equal_regions=equal).eval()
        fused: list[torch.Tensor] = []
        model.fused_head.register_forward_pre_hook(lambda _, args, kept=fused: kept.append(args[0]))
        model(given)
        fine = model.fine_encoder(split_regions(given)[1][:, None])
        for vectors in (fine, fused[0].unflatten(1, (20, -1))[:, 4:]):
            length = torch.linalg.vector_norm(vectors, dim=-1)
            ratio = length[:, 0] / length[:, 1:].mean(1)
            assert ((ratio > lowest) & (ratio < highest)).all(), ratio


def test_core_regions_are_quarters_and_sub_regions_quarters_of_those() -> None:
    assert region_names("core") == ["top left", "top right", "bottom left", "bottom right"]
    expected = [[0, 0, 14, 14], [14, 0, 28, 14], [0, 14, 14, 28], [14, 14, 28, 28]]
    assert region_boxes("core").tolist() == expected
    assert region_names("sub")[6] == "top right, its bottom left"
    assert region_boxes("sub")[6].tolist() == [14, 7, 21, 14]


@pytest.mark.parametrize(("grain", "number"), [("core", 0), ("sub", 1)])
def test_a_mask_holds_what_the_model_gets(grain: str, number: int) -> None:
    for region in range(len(region_names(grain))):
        inside = torch.from_numpy(region_mask(grain, region)).float()[None, None]
        windows = split_regions(inside)[number][0]
        assert windows[region].sum() == windows.sum() == 49
    assert region_mask(grain, 0, 224).sum() == 64 * region_mask(grain, 0).sum()


def test_the_motion_of_a_region_and_its_direction() -> None:
    motion = np.zeros((3, 28, 28), np.float32)
    motion[1, :7, :7] = 2.0
    assert region_motion(motion, "sub", 0)[:5] == (0, 2, 2, 90, "down")
    assert region_motion(motion, "core", 0).length == pytest.approx(0.5)
    motion[1, :7, :3], motion[1, :7, 3:7] = -1.0, 0.75
    still = region_motion(motion, "sub", 0)
    assert (still.length, still.mean_length) == pytest.approx((0, 6 / 7))
    motion[:2] = -1.0
    assert region_motion(motion, "core", 3).words == "up left"


def test_what_is_no_region_is_refused() -> None:
    for shape in ((1, 3, 30, 30), (1, 3, 28, 56)):
        with pytest.raises(ValueError, match="multiple of 28"):
            split_regions(torch.zeros(shape))
    with pytest.raises(ConfigError, match="did you mean 'core'"):
        region_names("cores")
    with pytest.raises(InputError, match="no core region 4; take one of 0 to 3"):
        region_mask("core", 4)
    with pytest.raises(InputError, match="reads sequences is not shown"):
        look_inside(make_model(), maps()[:, None])


def test_backward_branch_is_the_forward_branch_on_the_flipped_sequence() -> None:
    """With the same weights in both directions, flipping the input flips the output."""
    torch.manual_seed(0)
    scan = BidirectionalScan(6, state=4, kernel=3)
    for weights in scan.parameters():
        first, second = weights.data
        second.copy_(first)
    x = torch.randn(2, 5, 12)
    torch.testing.assert_close(scan(x.flip(1)), scan(x).flip(1))


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
        gradients = torch.autograd.grad((y * weights).sum(), [tokens, *scan.parameters()])
        results.append([y.detach(), *gradients])
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
        ("A", -torch.ones(2, 8, 6)),
        ("skip", torch.ones(2, 5)),
    ):
        arguments = {**block_arguments(torch.randn(2, 5, 12)), name: other}
        with pytest.raises(ValueError, match="do not go"):
            fused_block.fused_bidirectional_scan(*arguments.values())
    xz = torch.randn(0, 5, 12, requires_grad=True)
    y = fused_block.fused_bidirectional_scan(*block_arguments(xz).values())
    y.sum().backward()
    assert y.shape == (0, 5, 6)
    assert xz.grad.shape == xz.shape


def test_torch_sees_the_operator() -> None:
    xz, scan = torch.randn(2, 5, 12, requires_grad=True), BidirectionalScan(6, state=4, kernel=3)
    arguments = [tensor.requires_grad_() for tensor in block_arguments(xz).values()]
    torch.library.opcheck(fused_block._forward, tuple(arguments))
    compiled = torch.compile(scan, backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(compiled(xz), scan(xz))


def test_dropped_branches_keep_their_mean() -> None:
    torch.manual_seed(0)
    residual, branch = Residual(3, drop_path=0.4), torch.ones(20_000, 1, 3)
    out = residual(torch.zeros_like(branch), branch)
    assert out.unique().tolist() == pytest.approx([0, 1 / 0.6])
    assert out.mean().item() == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize(("tokens", "rows", "length"), [("windows", 1, 16), ("pixels", 16, 49)])
def test_it_reads_attention_and_every_scan(tokens: str, rows: int, length: int) -> None:
    inside = look_inside(make_model(tokens), maps())
    assert inside.known_attention is inside.attention
    torch.testing.assert_close(inside.attention.sum(-1), torch.ones(2, 4, 20))
    assert list(inside.scans) == ["coarse_encoder.mamba.blocks.0.scan", FINE]
    assert inside.scans[FINE].dt.shape == (2, 2 * rows, length, 32)
    assert (inside.scans[FINE].dt > 0).all()
    assert not any(tensor.requires_grad for tensor in (inside.attention, *inside.scans[FINE]))


def test_the_model_is_left_as_it_was_after_a_fault_too() -> None:
    for training in (True, False):
        model = make_model(dropout=0.5).train(training)
        look_inside(model, maps())
        with pytest.raises(RuntimeError):
            look_inside(model, torch.zeros(1, 5, 28, 28))
        assert model.training == training
        assert not any(part._forward_pre_hooks for part in model.modules())


def test_what_is_read_out_and_its_matrices_give_the_output_of_the_scan() -> None:
    model, answers = make_model().eval(), {}
    scan = model.fine_encoder.mamba.blocks[0].scan
    hook = scan.register_forward_hook(lambda _, given, out: answers.update(xz=given[0], out=out))
    inputs = look_inside(model, maps()).scans[FINE]
    hook.remove()
    forward, backward = selective_scan(*inputs)
    gate = torch.nn.functional.silu(answers["xz"].chunk(2, dim=-1)[1])
    torch.testing.assert_close((forward + backward.flip(-2)) * gate, answers["out"])
    matrices = mixing_matrices(inputs, row=1)
    x = torch.stack([inputs.x[0, 1], inputs.x[1, 1].flip(0)])
    y = torch.stack([forward[1], backward[1].flip(0)])
    mixed = torch.einsum("sdtk,skd->std", matrices, x)
    torch.testing.assert_close(mixed, y, rtol=1e-4, atol=1e-5)
    assert not matrices[0].triu(1).any()
    assert not matrices[1].tril(-1).any()


@pytest.mark.parametrize("tokens", ["windows", "pixels"])
def test_steps_are_by_region_in_token_order(tokens: str) -> None:
    inputs = look_inside(make_model(tokens), maps()).scans[FINE]
    steps = steps_by_region(inputs, 16)
    fifth = inputs.dt[1][[5, 16 + 5]] if tokens == "pixels" else inputs.dt[1].flip(1)[:, 5]
    torch.testing.assert_close(steps[1, 5], fifth.mean())


def test_what_has_no_attention_or_no_scan() -> None:
    with pytest.raises(InputError, match="no fusion attention; take one with"):
        _ = look_inside(make_model(fusion="none"), maps()).known_attention
    with pytest.raises(InputError, match="no scan and no attention"):
        look_inside(STSTNet(3, 28, 3), maps())
