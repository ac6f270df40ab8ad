"""GRU-AOFE as a whole: sizes, batches, volumes, and an estimation step by step."""

import numpy as np
import pytest
import torch

from hmrm_lab.errors import InputError
from hmrm_lab.flow.gru_attention import FrozenFlow, flow_steps, update_names
from hmrm_lab.flow.gru_attention.gru_flow import GRUFlow


def built(**settings: object) -> GRUFlow:
    torch.manual_seed(0)
    return GRUFlow(**settings).eval()


def frames(batch: int, height: int, width: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(batch, 3, height, width, generator=torch.Generator().manual_seed(seed))


@torch.no_grad()
def test_any_size_and_a_blank_frame() -> None:
    network = built()
    for size in ((16, 16), (17, 31), (40, 56), (109, 256)):
        flow = network(frames(1, *size), frames(1, *size, seed=1))
        assert flow.shape == (1, 2, *size) and torch.isfinite(flow).all()
    blank = torch.full((1, 3, 48, 48), 0.5)
    assert torch.isfinite(network(blank, blank)).all()
    with pytest.raises(InputError, match="iterations"):
        built(iterations=(0, 0))


@torch.no_grad()
def test_a_batch_is_its_pairs_and_volumes_agree() -> None:
    onset, apex = frames(3, 48, 40), frames(3, 48, 40, seed=1)
    found = [built(volume=volume)(onset, apex) for volume in ("all_pairs", "local", "auto")]
    alone = torch.cat([built()(onset[k : k + 1], apex[k : k + 1]) for k in range(3)])
    assert torch.allclose(found[0], alone, atol=1e-4)
    assert torch.allclose(found[0], found[1], atol=1e-4)
    assert torch.equal(found[0], found[2])


@pytest.mark.parametrize("attention", ["steps", "space"])
def test_every_update_is_shown_and_every_parameter_learns(attention: str) -> None:
    network = built(attention=attention, iterations=(3, 2))
    onset, apex = frames(2, 64, 72), frames(2, 64, 72, seed=1)
    with torch.no_grad():
        unrolled = network.unroll(onset, apex)
        flow = network(onset, apex)
    assert [f.shape for f in unrolled.flows] == [(2, 2, 64, 72)] * 5
    assert torch.equal(unrolled.flows[-1], flow)
    # over steps: the state passed up and two of its own; over space: 7 x 7 regions
    assert unrolled.attention.shape == (2, {"steps": 3, "space": 49}[attention], 16, 18)
    assert torch.allclose(unrolled.attention.sum(1), torch.tensor(1.0), atol=1e-5)
    optimizer = torch.optim.SGD(network.parameters(), lr=1e-2)
    for _ in range(2):  # what ends in weights of zero learns from the second step on
        optimizer.zero_grad()
        sum(flow.square().mean() for flow in network.unroll(onset, apex).flows).backward()
        optimizer.step()
    silent = [name for name, p in network.named_parameters() if not p.grad.abs().sum() > 0]
    assert not silent


def test_steps_have_names_and_the_last_is_the_result() -> None:
    onset, apex = np.random.default_rng(0).integers(0, 256, (2, 48, 56, 3)).astype(np.uint8)
    for attention, iterations in (("steps", (1, 3)), ("space", (2, 2))):
        method = FrozenFlow(built(attention=attention, iterations=iterations), 1, "cpu")
        steps = flow_steps(method, onset, apex)
        result = method(onset[None], apex[None])[0]
        np.testing.assert_allclose(steps.flows_px[-1], result, atol=1e-5)
        np.testing.assert_allclose(steps.attention.sum(0), 1, atol=1e-5)
        assert steps.names == update_names(method)
        if attention == "space":
            assert (steps.attended, len(steps.attention)) == ((), 49)
        else:
            names = ("1/8, update 1", "1/4, update 1", "1/4, update 2", "1/4, update 3")
            assert steps.names == names
            assert len(steps.attended) == len(steps.attention) == 4
            assert steps.attended[0] == "state passed up"
    with pytest.raises(InputError, match="differ in size"):
        flow_steps(method, onset, apex[:, :40])
