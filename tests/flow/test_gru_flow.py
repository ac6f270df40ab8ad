import pytest
import torch

from hmrm_lab.errors import InputError
from hmrm_lab.flow.gru_attention.gru_flow import GRUFlow


@pytest.fixture(scope="module")
def network() -> GRUFlow:
    torch.manual_seed(0)
    return GRUFlow().eval()


def frames(batch: int, height: int, width: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(batch, 3, height, width, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("size", [(16, 16), (17, 31), (40, 56), (109, 256)])
def test_any_size(network: GRUFlow, size: tuple[int, int]) -> None:
    with torch.no_grad():
        flow = network(frames(1, *size), frames(1, *size, seed=1))
    assert flow.shape == (1, 2, *size)
    assert torch.isfinite(flow).all()


def test_a_batch_is_its_pairs(network: GRUFlow) -> None:
    onset, apex = frames(3, 48, 40), frames(3, 48, 40, seed=1)
    with torch.no_grad():
        together = network(onset, apex)
        alone = torch.cat([network(onset[k : k + 1], apex[k : k + 1]) for k in range(3)])
    assert torch.allclose(together, alone, atol=1e-4)


def test_volumes_agree(network: GRUFlow) -> None:
    onset, apex = frames(1, 64, 48), frames(1, 64, 48, seed=1)
    found = []
    for volume in ("all_pairs", "local", "auto"):
        other = GRUFlow(volume=volume)
        other.load_state_dict(network.state_dict())
        with torch.no_grad():
            found.append(other(onset, apex))
    assert torch.allclose(found[0], found[1], atol=1e-4)
    assert torch.equal(found[0], found[2])


@pytest.mark.parametrize("attention", ["steps", "space"])
def test_unrolling_shows_every_update(attention: str) -> None:
    torch.manual_seed(0)
    network = GRUFlow(attention=attention)
    onset, apex = frames(2, 64, 72), frames(2, 64, 72, seed=1)
    with torch.no_grad():
        unrolled = network.unroll(onset, apex, iterations=(3, 2))
        flow = network(onset, apex, iterations=(3, 2))
    assert [f.shape for f in unrolled.flows] == [(2, 2, 64, 72)] * 5
    assert torch.equal(unrolled.flows[-1], flow)
    # over steps: the state passed up and two of its own; over space: 7 x 7 regions
    assert unrolled.attention.shape == (2, {"steps": 3, "space": 49}[attention], 16, 18)
    assert torch.allclose(unrolled.attention.sum(1), torch.tensor(1.0), atol=1e-5)


@pytest.mark.parametrize("attention", ["steps", "space"])
def test_every_parameter_learns(attention: str) -> None:
    torch.manual_seed(0)
    network = GRUFlow(attention=attention)
    onset, apex = frames(1, 64, 64), frames(1, 64, 64, seed=1)
    optimizer = torch.optim.SGD(network.parameters(), lr=1e-2)
    for _ in range(2):  # what ends in weights of zero learns from the second step on
        optimizer.zero_grad()
        sum(flow.square().mean() for flow in network.unroll(onset, apex).flows).backward()
        optimizer.step()
    silent = [name for name, p in network.named_parameters() if not p.grad.abs().sum() > 0]
    assert not silent


def test_no_update_is_refused(network: GRUFlow) -> None:
    with pytest.raises(InputError, match="iterations"):
        network(frames(1, 32, 32), frames(1, 32, 32), iterations=(0, 0))


def test_a_blank_frame_gives_finite_flow(network: GRUFlow) -> None:
    blank = torch.full((1, 3, 48, 48), 0.5)
    with torch.no_grad():
        assert torch.isfinite(network(blank, blank)).all()
