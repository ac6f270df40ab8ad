"""Looking into a model: what is read out is what it did, and it does the same as before."""

import pytest
import torch

from hmrm_lab.errors import InputError
from hmrm_lab.models.hmrm import HMRM
from hmrm_lab.models.hmrm.inspection import look_inside, mixing_matrices, steps_by_region
from hmrm_lab.models.networks.shallow import STSTNet
from hmrm_lab.models.scan import selective_scan

FINE = "fine_encoder.mamba.blocks.0.scan"
BATCH = 2


def make_model(tokens: str = "windows", **settings: object) -> HMRM:
    torch.manual_seed(0)
    return HMRM(3, 28, 3, **{"width": 16, "depth": 1, "state": 4, "tokens": tokens, **settings})


def maps() -> torch.Tensor:
    return torch.randn(BATCH, 3, 28, 28, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(("tokens", "rows", "length"), [("windows", 1, 16), ("pixels", 16, 49)])
def test_it_reads_attention_and_every_scan(tokens: str, rows: int, length: int) -> None:
    inside = look_inside(make_model(tokens), maps())
    assert inside.attention.shape == (BATCH, 4, 20, 20)
    torch.testing.assert_close(inside.attention.sum(-1), torch.ones(BATCH, 4, 20))
    assert list(inside.scans) == ["coarse_encoder.mamba.blocks.0.scan", FINE]
    assert inside.scans[FINE].dt.shape == (2, BATCH * rows, length, 32)
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


def test_what_is_read_out_gives_the_output_of_the_scan() -> None:
    model, answers = make_model().eval(), {}
    scan = model.fine_encoder.mamba.blocks[0].scan
    hook = scan.register_forward_hook(lambda _, given, out: answers.update(xz=given[0], out=out))
    inputs = look_inside(model, maps()).scans[FINE]
    hook.remove()
    forward, backward = selective_scan(*inputs)
    gate = torch.nn.functional.silu(answers["xz"].chunk(2, dim=-1)[1])
    torch.testing.assert_close((forward + backward.flip(-2)) * gate, answers["out"])


def test_the_matrices_are_those_of_the_scans() -> None:
    inputs = look_inside(make_model(), maps()).scans[FINE]
    forward, backward = selective_scan(*inputs)
    matrices = mixing_matrices(inputs, row=1)
    assert matrices.shape == (2, 32, 16, 16)
    tokens = (inputs.x[0, 1], inputs.x[1, 1].flip(0))
    for matrix, x, y in zip(matrices, tokens, (forward[1], backward[1].flip(0)), strict=True):
        mixed = torch.einsum("dtk,kd->td", matrix, x)
        torch.testing.assert_close(mixed, y, rtol=1e-4, atol=1e-5)
    assert not matrices[0].triu(1).any()
    assert not matrices[1].tril(-1).any()


@pytest.mark.parametrize("tokens", ["windows", "pixels"])
def test_steps_are_by_region_in_token_order(tokens: str) -> None:
    inputs = look_inside(make_model(tokens), maps()).scans[FINE]
    steps = steps_by_region(inputs, 16)
    assert steps.shape == (2, 16)
    pixels = tokens == "pixels"
    fifth = inputs.dt[1][[5, 16 + 5]] if pixels else inputs.dt[1].flip(1)[:, 5]
    torch.testing.assert_close(steps[1, 5], fifth.mean())


def test_what_has_no_attention_or_no_scan() -> None:
    inside = look_inside(make_model(fusion="none"), maps())
    assert inside.attention is None
    with pytest.raises(InputError, match="no fusion attention; take one with"):
        _ = inside.known_attention
    assert look_inside(make_model(), maps()).known_attention.shape == (BATCH, 4, 20, 20)
    with pytest.raises(InputError, match="no scan and no attention"):
        look_inside(STSTNet(3, 28, 3), maps())
