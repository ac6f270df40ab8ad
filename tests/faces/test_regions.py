import cv2
import numpy as np
import pytest

from hmrm_lab.faces.landmarks import _hull, reduce_masks, region_masks


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


@pytest.mark.parametrize("place", [(40, 40), (2, 3), (75, 78), (-30, 40), (40, 130)])
def test_a_margin_is_grown_as_on_the_whole_frame(place: tuple[int, int]) -> None:
    points = np.float32([(0, 0), (12, -3), (9, 14), (-6, 8)]) + place
    whole = np.zeros((80, 80), np.uint8)
    cv2.fillConvexPoly(whole, cv2.convexHull(points.astype(np.int32)), 1)
    whole = cv2.dilate(whole, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (11, 11)))
    assert (_hull(points, 80, 80, margin=5) == whole.astype(bool)).all()
