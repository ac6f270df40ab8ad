"""The way from frames to maps that a gradient can go."""

import cv2
import numpy as np
import pytest
import torch
from conftest import make_flowset, make_framed_flowset

import hmrm_lab.flow.motion_maps as motion
from hmrm_lab.config.sections import FlowConfig
from hmrm_lab.errors import ConfigError
from hmrm_lab.flow.motion_maps import (
    MotionFromFrames,
    learnt_network,
    motion_map,
    motion_maps,
    normalise_live,
    normalise_maps,
    root,
    select_channels,
)
from hmrm_lab.records import PX
from hmrm_lab.registry import flows

GRU = FlowConfig(name="gru_attention")


def random_flow(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(3, 2, height, width)).astype(np.float32)


@pytest.mark.parametrize("size", [(28, 28), (112, 112), (100, 130), (57, 56)])
def test_the_twin_agrees_with_the_numpy_maps(size: tuple[int, int]) -> None:
    flow = random_flow(*size)
    twin = motion_maps(torch.from_numpy(flow), 28, torch.ones(3, 2)).numpy()
    assert twin == pytest.approx(motion_map(flow, 28), abs=2e-5)


def test_a_pixel_has_its_size_in_the_crop() -> None:
    """A stretch by 1 % is one by 1 %, however the crop was reduced; u and v are in its pixels."""
    y, x = torch.meshgrid(torch.arange(56.0), torch.arange(56.0), indexing="ij")
    across, down = 3.0, 2.0
    u, v = 0.01 * x + 0.02 * y * down / across, torch.zeros_like(x)
    maps = motion_maps(torch.stack([u, v])[None], 28, torch.tensor([[across, down]]))[0]
    assert maps[2].numpy() == pytest.approx(np.sqrt(0.01**2 + 0.5 * 0.02**2), abs=1e-5)
    assert maps[0, 0, 0].item() == pytest.approx(u[:2, :2].mean().item() * across, abs=1e-5)


@pytest.mark.parametrize("method", ["none", "median_rms"])
def test_live_normalisation_agrees(method: str) -> None:
    maps = 5 + 3 * make_flowset().maps
    live = normalise_live(torch.from_numpy(maps), method).numpy()
    assert live == pytest.approx(normalise_maps(maps, method, PX), abs=1e-4)


def test_no_motion_has_finite_gradients() -> None:
    flow = torch.zeros(2, 2, 56, 56, requires_grad=True)
    maps = normalise_live(motion_maps(flow, 28, torch.ones(2, 2)), "median_rms")
    assert (maps == 0).all()
    select_channels(maps, ("u", "v", "strain", "magnitude")).sum().backward()
    assert flow.grad.isfinite().all()


def test_the_root_and_its_slope() -> None:
    values = torch.tensor([0.0, 1e-20, 0.25], dtype=torch.float64, requires_grad=True)
    root(values).sum().backward()
    assert root(values).tolist() == pytest.approx([0, 1e-10, 0.5], rel=1e-9, abs=0)
    assert values.grad.tolist() == pytest.approx([0, 5e9, 1])


def test_it_is_the_estimator_and_its_maps() -> None:
    frames = make_framed_flowset(side=64).frames
    expected = motion_map(flows["gru_attention"].build()(*frames.images.swapaxes(0, 1)), 28)
    expected[:, :2] *= 2  # a pixel of these frames is two of the crop
    with torch.no_grad():
        found = MotionFromFrames(learnt_network(GRU), 28)(
            torch.from_numpy(frames.images), torch.from_numpy(frames.pixel)
        )
    assert found.numpy() == pytest.approx(expected, abs=1e-4)


def test_gradients_do_not_depend_on_how_many_pairs_are_in_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    frames = make_framed_flowset().frames  # twelve pairs
    gradients = []
    for at_once in (5, 12):
        monkeypatch.setattr(motion, "PAIRS_AT_ONCE", at_once)
        module = MotionFromFrames(learnt_network(GRU), 28)
        module(
            torch.from_numpy(frames.images), torch.from_numpy(frames.pixel)
        ).square().sum().backward()
        gradients.append(torch.cat([p.grad.flatten() for p in module.parameters()]))
    scale = gradients[1].abs().max().item()
    assert gradients[0].numpy() == pytest.approx(gradients[1].numpy(), abs=1e-4 * scale)


def test_memory_for_the_gradient_is_kept_for_a_few_pairs_only() -> None:
    """With many pairs, what is kept between forward and backward is the frames themselves."""
    frames = make_framed_flowset().frames
    module = MotionFromFrames(learnt_network(GRU), 28)
    kept = []

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        kept.append(tensor.numel())
        return tensor

    images, pixel = torch.from_numpy(frames.images), torch.from_numpy(frames.pixel)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        module(images, pixel)
    assert sum(kept) < 10 * images.numel()
    kept.clear()
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        module(images[:3], pixel[:3])
    assert sum(kept) > 10 * images.numel()


@pytest.mark.parametrize("name", [name for name in flows if name != "gru_attention"])
def test_a_flow_without_weights_cannot_learn(name: str) -> None:
    with pytest.raises(ConfigError, match=f"'{name}' has nothing that could be fine-tuned"):
        learnt_network(FlowConfig(name=name))


def test_each_copy_is_its_own() -> None:
    first, second = learnt_network(GRU), learnt_network(GRU)
    with torch.no_grad():
        for parameter in first.parameters():
            parameter.add_(1.0)
    assert all(
        not torch.equal(ours, theirs)
        for ours, theirs in zip(first.parameters(), second.parameters(), strict=True)
    )


def test_reduction_is_that_of_opencv() -> None:
    picture = np.random.default_rng(1).random((90, 75), np.float32)
    flow = torch.from_numpy(np.stack([picture, picture]))[None]
    reduced = motion_maps(flow, 28, torch.ones(1, 2))[0, 0].numpy()
    expected = cv2.resize(picture, (28, 28), interpolation=cv2.INTER_AREA)
    assert reduced == pytest.approx(expected, abs=1e-5)
