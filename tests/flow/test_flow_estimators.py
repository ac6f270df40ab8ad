"""Every estimator: a known translation, no motion, batches, and one sentence for bad frames."""

import cv2
import numpy as np
import pytest
import torch

from hmrm_lab.errors import InputError
from hmrm_lab.registry import flows


def texture(size: int = 96, seed: int = 0) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(size=(size, size, 3)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), 2.0)
    return (255 * (smooth - smooth.min()) / np.ptp(smooth)).astype(np.uint8)


def moved(image: np.ndarray, right_px: float, down_px: float) -> np.ndarray:
    matrix = np.array([[1, 0, right_px], [0, 1, down_px]], dtype=np.float32)
    size, way, border = image.shape[1::-1], cv2.INTER_CUBIC, cv2.BORDER_REFLECT
    return cv2.warpAffine(image, matrix, size, flags=way, borderMode=border)


@pytest.mark.parametrize("name", list(flows))
def test_known_translations_and_batches(name: str) -> None:
    estimate, onset = flows[name].build(), texture()
    shifts = [(0.0, 0.0), (0.5, 0.0), (0.0, -1.0), (1.5, 1.0)]
    apexes = np.stack([moved(onset, *shift) for shift in shifts])
    batch = estimate(np.stack([onset] * 4), apexes)
    assert (batch.shape, batch.dtype) == ((4, 2, 96, 96), np.float32)
    assert np.abs(batch[0]).mean() < 0.05
    inside = np.median(batch[..., 16:-16, 16:-16], axis=(2, 3))
    assert inside == pytest.approx(np.array(shifts), abs=0.1)
    assert batch[3] == pytest.approx(estimate(onset[None], apexes[3:])[0], abs=1e-5)


def frames(*shape: int, kind: str = "uint8") -> np.ndarray:
    return np.zeros(shape, kind)


GOOD = frames(1, 32, 32, 3)
UNFIT = [
    (frames(1, 32, 32, 1), "grey frames"),
    (frames(32, 32), "grey frames"),
    (frames(1, 32, 32, 4), "alpha channel"),
    (frames(1, 3, 32, 32), r"shape \(1, 3, 32, 32\); give \(B, H, W, 3\)"),
    (frames(32, 32, 3), r"frame\[None\]"),
    (frames(1, 32, 32, 3, kind="uint16"), "type uint16; convert them to 8 bit"),
    (frames(1, 32, 32, 3, kind="float32"), "floating-point frames; scale them"),
    (np.full((1, 32, 32, 3), np.nan), "not finite"),
    (frames(1, 32, 32, 3, kind="bool"), "type bool"),
    (frames(0, 32, 32, 3), "no frames at all"),
    (frames(1, 8, 32, 3), "32x8 pixels; give at least 16x16"),
    (torch.zeros(1, 32, 32, 3, dtype=torch.uint8), "frames as Tensor"),
    (None, "frames as NoneType"),
]


@pytest.mark.parametrize("name", list(flows))
def test_bad_frames_are_one_sentence(name: str) -> None:
    estimate = flows[name].build()
    for unfit, words in UNFIT:
        for pair in ((unfit, unfit), (GOOD, unfit), (unfit, GOOD)):
            with pytest.raises(InputError, match=words) as caught:
                estimate(*pair)
            assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match=r"onset \(32, 32\) and apex \(32, 40\) differ in size"):
        estimate(GOOD, frames(1, 32, 40, 3))
    with pytest.raises(InputError, match="1 onsets for 2 apexes"):
        estimate(GOOD, frames(2, 32, 32, 3))
