"""Flow to motion maps: strain, reduction, normalisation, dual-phase flow, and their gradients."""

import cv2
import numpy as np
import pytest
import torch
from conftest import make_flowset, make_framed_flowset

from hmrm_lab.config.sections import FlowConfig
from hmrm_lab.errors import ConfigError
from hmrm_lab.flow import motion_maps as module
from hmrm_lab.flow.motion_maps import (
    THRESHOLD,
    MotionFromFrames,
    combine,
    dual_phase,
    learnt_network,
    modulate,
    motion_map,
    motion_maps,
    normalise_live,
    normalise_maps,
    optical_strain,
    select_channels,
)
from hmrm_lab.records import PX, RELATIVE
from hmrm_lab.registry import flows

GRU = FlowConfig(name="gru_attention")


def field(seed: int, *shape: int, scale: float = 1.0) -> np.ndarray:
    shape = shape or (3, 2, 24, 24)
    return np.random.default_rng(seed).normal(0, scale, shape).astype(np.float32)


def test_strain_of_closed_forms() -> None:
    y, x = np.mgrid[:32, :32].astype(np.float32)
    zero = np.zeros_like(x)
    for u, v, expected in (
        (zero + 3, zero - 2, 0.0),  # translation
        (0.01 * x, zero, 0.01),  # stretch
        (0.02 * y, zero, 0.02 / np.sqrt(2)),  # shear
        (-0.01 * y, 0.01 * x, 0.0),  # rotation
        (0.01 * x, 0.01 * y, 0.01 * np.sqrt(2)),  # zoom
    ):
        assert optical_strain(np.stack([u, v])[None])[0] == pytest.approx(expected, abs=1e-5)


def test_a_motion_map_is_a_mean_in_numpy_and_in_torch() -> None:
    flow = field(0, 2, 2, 224, 224)
    maps = motion_map(flow, 28)
    assert maps.shape == (2, 3, 28, 28)
    assert maps[:, :2] == pytest.approx(flow.reshape(2, 2, 28, 8, 28, 8).mean((3, 5)), abs=1e-5)
    for size in ((28, 28), (112, 112), (100, 130), (57, 56), (90, 75)):
        flow = field(0, 3, 2, *size)
        twin = motion_maps(torch.from_numpy(flow), 28, torch.ones(3, 2)).numpy()
        assert twin == pytest.approx(motion_map(flow, 28), abs=2e-5)
        reduced = cv2.resize(flow[0, 0], (28, 28), interpolation=cv2.INTER_AREA)
        assert twin[0, 0] == pytest.approx(reduced, abs=1e-5)


def test_a_pixel_has_its_size_in_the_crop() -> None:
    """A stretch by 1 % is one by 1 %, however the crop was reduced; u and v are in its pixels."""
    y, x = torch.meshgrid(torch.arange(56.0), torch.arange(56.0), indexing="ij")
    across, down = 3.0, 2.0
    u, v = 0.01 * x + 0.02 * y * down / across, torch.zeros_like(x)
    maps = motion_maps(torch.stack([u, v])[None], 28, torch.tensor([[across, down]]))[0]
    assert maps[2].numpy() == pytest.approx(np.sqrt(0.01**2 + 0.5 * 0.02**2), abs=1e-5)
    assert maps[0, 0, 0].item() == pytest.approx(u[:2, :2].mean().item() * across, abs=1e-5)


def test_median_and_rms() -> None:
    maps = 5 + 3 * make_flowset().maps
    normal = normalise_maps(maps, "median_rms", PX)
    assert np.median(normal[:, :2], axis=(2, 3)) == pytest.approx(0, abs=1e-5)
    assert (normal[:, :2] ** 2).mean((1, 2, 3)) == pytest.approx(1, abs=1e-4)
    assert (normal[:, 2] ** 2).mean((1, 2)) == pytest.approx(1, abs=1e-4)
    assert normalise_maps(maps[3:4], "median_rms", PX)[0] == pytest.approx(normal[3], abs=1e-6)
    assert (normalise_maps(0 * maps, "median_rms", PX) == 0).all(), "a still face stays still"
    inside = np.arange(28) < np.full((len(maps), 28, 1), 20)
    alike = normalise_maps(np.stack([maps] * 3, axis=1), "median_rms", PX, inside)
    alone = normalise_maps(maps, "median_rms", PX, inside)
    assert alike == pytest.approx(np.stack([alone] * 3, axis=1), abs=1e-5)
    growing = normalise_maps(np.stack([maps, 3 * maps], axis=1), "median_rms", PX)
    assert growing[:, 1] == pytest.approx(3 * growing[:, 0], abs=1e-4), "time is kept"
    for method in ("none", "median_rms"):
        live = normalise_live(torch.from_numpy(maps), method).numpy()
        assert live == pytest.approx(normalise_maps(maps, method, PX), abs=1e-4)


def test_channels_without_a_common_scale_have_one_each() -> None:
    maps = make_flowset().maps
    stretched = maps * np.array([3, 0.5, 7], np.float32)[:, None, None] + np.float32(0.25)
    stretched[:, 2] -= np.float32(0.25)  # the zero of strain is known
    normal = normalise_maps(maps, "median_rms", RELATIVE)
    assert (normal**2).mean((2, 3)) == pytest.approx(1, abs=1e-4)
    assert normalise_maps(stretched, "median_rms", RELATIVE) == pytest.approx(normal, abs=1e-4)
    pixels = normalise_maps(maps, "median_rms", PX)
    ratio = pixels[:, 0].std((1, 2)) / pixels[:, 1].std((1, 2))
    assert ratio == pytest.approx(maps[:, 0].std((1, 2)) / maps[:, 1].std((1, 2)), rel=1e-3)


def test_channels_and_gradients_of_no_motion() -> None:
    maps = torch.randn(2, 3, 4, 4)
    chosen = select_channels(maps, ("magnitude", "u"))
    torch.testing.assert_close(chosen[:, 0], torch.hypot(maps[:, 0], maps[:, 1]))
    torch.testing.assert_close(chosen[:, 1], maps[:, 0])
    flow = torch.zeros(2, 2, 56, 56, requires_grad=True)
    still = normalise_live(motion_maps(flow, 28, torch.ones(2, 2)), "median_rms")
    assert (still == 0).all()
    select_channels(still, ("u", "v", "strain", "magnitude")).sum().backward()
    assert flow.grad.isfinite().all()


def test_phases_by_hand() -> None:
    rise, fall = np.zeros((2, 2, 1, 1), np.float32)
    rise[0], fall[0] = 2, -1  # shared (1.5, 0), apart (0.5, 0): 2.25 / 2.5 of the shared
    assert combine(rise, fall).ravel() == pytest.approx([1.5 * 0.9, 0])
    flow, still = field(0), np.zeros((3, 2, 24, 24), np.float32)
    assert combine(flow, -flow) == pytest.approx(flow, abs=1e-6)
    assert (combine(still, still) == 0).all()
    assert (combine(flow, flow) == 0).all(), "what goes on the same way"
    for phases in ((flow, still), (still, flow)):
        assert np.abs(combine(*phases)) == pytest.approx(np.abs(flow) / 4, abs=1e-6)
    rise, fall = np.zeros((2, 2, 1, 2), np.float32)
    rise[0], fall[0] = [[3.25, 0.75]], [[-2.75, -0.25]]  # one difference, two movements
    assert combine(rise, fall)[0, 0] / [3, 0.5] == pytest.approx([144 / 145, 0.8])


def test_mm_cof_by_hand() -> None:
    """Three pixels whose lengths, scaled to 0..1, are 0, 1/2 and 1, and some that stand still."""
    flow = np.zeros((2, 1, 3), np.float32)
    flow[0] = [[0, 2, 4]]
    gains = np.array([0, 1.5 - THRESHOLD, 2 - THRESHOLD])
    assert modulate(flow, -flow)[0, 0] == pytest.approx(gains * [0, 2, 4])
    assert (modulate(flow, flow) == 0).all(), "what goes on the same way"
    faint = np.float32([[0, 2, 40]] * 2)[:, None]
    below = modulate(faint, -faint)[0, 0, 1]
    assert below == pytest.approx(2 * 0.05 / THRESHOLD), "suppressed"
    still = np.zeros_like(flow)
    assert (modulate(still, still) == 0).all()
    assert modulate(flow, still)[0, 0, 2] == pytest.approx(2 * (1.5 - THRESHOLD)), "half of both"
    head = np.float32([1, -0.5])[:, None, None]
    assert dual_phase(flow + head, head - flow, phases="mm_cof") == pytest.approx(
        modulate(flow - [[[2]], [[0]]], [[[2]], [[0]]] - flow)
    )


def test_a_head_that_moves_on_does_not_drown_the_face() -> None:
    """Half a pixel there and back, and a head that goes a pixel in each phase."""
    movement = np.zeros((2, 24, 24), np.float32)
    movement[0, 4:8, 4:12] = 0.5
    head = np.float32([1, -0.5])[:, None, None]
    assert dual_phase(movement + head, head - movement) == pytest.approx(movement, abs=1e-6)
    assert np.abs(combine(movement + head, head - movement)).max() < 0.25


def test_the_module_is_the_estimator_and_its_maps() -> None:
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
    images, pixel = torch.from_numpy(frames.images), torch.from_numpy(frames.pixel)
    gradients = []
    for at_once in (5, 12):
        monkeypatch.setattr(module, "PAIRS_AT_ONCE", at_once)
        network = MotionFromFrames(learnt_network(GRU), 28)
        network(images, pixel).square().sum().backward()
        gradients.append(torch.cat([p.grad.flatten() for p in network.parameters()]))
    scale = gradients[1].abs().max().item()
    assert gradients[0].numpy() == pytest.approx(gradients[1].numpy(), abs=1e-4 * scale)


def test_only_learnt_flows_are_fine_tuned_and_each_copy_is_its_own() -> None:
    for name in set(flows) - {"gru_attention"}:
        with pytest.raises(ConfigError, match=f"'{name}' has nothing that could be fine-tun"):
            learnt_network(FlowConfig(name=name))
    copies = [list(learnt_network(GRU).parameters()) for _ in range(2)]
    assert not {p.data_ptr() for p in copies[0]} & {p.data_ptr() for p in copies[1]}
