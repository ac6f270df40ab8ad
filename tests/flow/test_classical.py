import cv2
import numpy as np
import pytest

from hmrm_lab.flow.motion_maps import motion_map, optical_strain
from hmrm_lab.registry import flows


def texture(size: int = 96, seed: int = 0) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(size=(size, size, 3)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), 2.0)
    smooth = (smooth - smooth.min()) / (smooth.max() - smooth.min())
    return (255 * smooth).astype(np.uint8)


def moved(image: np.ndarray, right_px: float, down_px: float) -> np.ndarray:
    matrix = np.array([[1, 0, right_px], [0, 1, down_px]], dtype=np.float32)
    return cv2.warpAffine(
        image, matrix, image.shape[1::-1], flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT
    )


@pytest.mark.parametrize("name", list(flows))
@pytest.mark.parametrize("shift_px", [(0.5, 0.0), (0.0, -1.0), (1.5, 1.0)])
def test_a_known_translation(name: str, shift_px: tuple[float, float]) -> None:
    onset = texture()
    flow_px = flows[name].build()(onset[None], moved(onset, *shift_px)[None])
    assert flow_px.shape == (1, 2, 96, 96)
    assert flow_px.dtype == np.float32
    inside = flow_px[0, :, 16:-16, 16:-16]
    assert np.median(inside, axis=(1, 2)) == pytest.approx(shift_px, abs=0.1)


@pytest.mark.parametrize("name", list(flows))
def test_no_motion_and_batches(name: str) -> None:
    first, second = texture(seed=1), texture(seed=2)
    estimate = flows[name].build()
    batch = estimate(np.stack([first, second]), np.stack([first, moved(second, 1.0, 0.0)]))
    assert np.abs(batch[0]).mean() < 0.05
    alone = estimate(second[None], moved(second, 1.0, 0.0)[None])
    assert batch[1] == pytest.approx(alone[0], abs=1e-5)


def grid(size: int = 32) -> tuple[np.ndarray, np.ndarray]:
    rows, columns = np.mgrid[:size, :size].astype(np.float32)
    return columns, rows


def test_strain_of_closed_forms() -> None:
    x, y = grid()
    zero = np.zeros_like(x)
    fields = {
        "translation": ([zero + 3, zero - 2], 0.0),
        "stretch": ([0.01 * x, zero], 0.01),
        "shear": ([0.02 * y, zero], 0.02 / np.sqrt(2)),
        "rotation": ([-0.01 * y, 0.01 * x], 0.0),
        "zoom": ([0.01 * x, 0.01 * y], 0.01 * np.sqrt(2)),
    }
    for name, (field, expected) in fields.items():
        strain = optical_strain(np.stack(field)[None])
        assert strain[0] == pytest.approx(expected, abs=1e-5), name


def test_a_motion_map_keeps_pixels_and_means() -> None:
    rng = np.random.default_rng(0)
    flow_px = rng.normal(size=(2, 2, 224, 224)).astype(np.float32)
    maps = motion_map(flow_px, 28)
    assert maps.shape == (2, 3, 28, 28)
    blocks = flow_px.reshape(2, 2, 28, 8, 28, 8).mean((3, 5))
    assert maps[:, :2] == pytest.approx(blocks, abs=1e-5)
