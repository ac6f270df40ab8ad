import numpy as np
import pytest

from hmrm_lab.faces.regions import reduce_masks, region_masks


def test_landmark_masks_cover_their_landmarks() -> None:
    rng = np.random.default_rng(0)
    landmarks = rng.uniform(20, 200, (68, 2)).astype(np.float32)
    landmarks[17:27, 1], landmarks[36:48, 1] = 60, rng.uniform(70, 90, 12)
    landmarks[48:68] = rng.uniform(150, 180, (20, 2))
    eyes, mouth = region_masks(landmarks, 224, 224)
    for x, y in np.round(landmarks[48:68]).astype(int):
        assert mouth[y, x]
    for x, y in np.round(landmarks[36:48]).astype(int):
        assert eyes[y, x]
    small = reduce_masks(np.stack([eyes, mouth]), 28)
    assert small.shape == (2, 28, 28)
    assert small.mean() == pytest.approx(np.stack([eyes, mouth]).mean(), rel=0.2)
