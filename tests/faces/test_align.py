"""Similarities, the canonical crop, landmarks that are carried along, and regions."""

import cv2
import numpy as np
import pytest
from conftest import face_of

from hmrm_lab.datasets.synthetic import synthetic
from hmrm_lab.errors import InputError
from hmrm_lab.faces.align import AlignedFrames, FaceTrack, align_clip, crop_map, warp
from hmrm_lab.faces.face import box_around, five_points
from hmrm_lab.faces.landmarks import (
    CROP_PX,
    Affine,
    _hull,
    core_regions,
    dense_landmarks,
    face_in_frame,
    fit_similarity,
    mean_face,
    part_masks,
    reduce_masks,
    region_masks,
)


def similarity(angle: float, scale: float, shift: tuple[float, float]) -> Affine:
    cosine, sine = scale * np.cos(angle), scale * np.sin(angle)
    return Affine(np.array([[cosine, -sine], [sine, cosine]]), np.array(shift))


def test_similarities_are_those_of_least_squares() -> None:
    transform = pytest.importorskip("skimage.transform", reason="the extra 'dev' is not installed")
    rng = np.random.default_rng(0)
    for angle, scale, count in ((-2.9, 0.2, 2), (-0.4, 1.0, 5), (0.0, 3.5, 12), (1.7, 1.0, 68)):
        truth = similarity(angle, scale, (31.0, -12.5))
        points = rng.uniform(0, 200, (count, 2)).astype(np.float32)
        found = fit_similarity(points, truth.points(points))
        assert np.allclose(found.matrix(), truth.matrix(), atol=1e-3)
        assert found.scale == pytest.approx(scale, rel=1e-5)
        assert np.allclose(found.inverse().points(found.points(points)), points, atol=1e-3)
        noisy = truth.points(points) + rng.normal(0, 6, points.shape)
        expected = transform.estimate_transform("similarity", points, noisy).params[:2]
        assert np.allclose(fit_similarity(points, noisy).matrix(), expected, atol=1e-4)
    mirrored = fit_similarity(mean_face(), mean_face() * (-1, 1))
    assert np.linalg.det(mirrored.linear) > 0, "no reflection"
    for bad in (np.nan, 7.0):
        with pytest.raises(InputError, match="landmarks"):
            fit_similarity(np.full((5, 2), bad), mean_face()[:5])


@pytest.mark.parametrize("stretch", [0.8, 1.0, 1.3])
def test_eyes_and_mouth_of_any_face_go_to_their_places(stretch: float) -> None:
    landmarks = similarity(0.25, 1.7, (90, 40)).points(mean_face() * (1, stretch))
    expected = five_points(mean_face())
    for points in (landmarks, five_points(landmarks)):
        there = crop_map(face_of(points)).points(five_points(landmarks))
        assert np.allclose(there[:2], expected[:2], atol=0.01)
        assert there[3:, 1].mean() == pytest.approx(expected[3:, 1].mean(), abs=0.01)


def test_the_crop_needs_no_more_than_a_face_cut_out_tightly_shows() -> None:
    """Brows to chin, and not the whole width; at the size that fills the crop."""
    left, top, right, bottom = box_around(mean_face())
    assert left < 0 and right > CROP_PX - 1, "ears are outside"
    assert 0 < top < 12 and CROP_PX - 1 < bottom < 1.06 * CROP_PX, "brows and chin are inside"
    for height, width in ((224, 224), (340, 280), (300, 100), (1088, 2040)):
        face = face_in_frame(height, width)
        corners = crop_map(face).inverse().points(np.float32([(-0.5, -0.5), (223.5, 223.5)]))
        assert (corners > -0.51).all() and (corners < np.array([width, height]) - 0.49).all()
        assert np.ptp(corners, axis=0)[1] == pytest.approx(min(height, 1.25 * width), rel=0.02)


def test_five_points_stand_for_a_whole_face() -> None:
    landmarks = similarity(-0.2, 0.8, (10, 60)).points(mean_face())
    assert np.allclose(dense_landmarks(face_of(five_points(landmarks))), landmarks, atol=0.01)
    assert np.array_equal(dense_landmarks(face_of(landmarks)), landmarks)
    five = five_points(mean_face())
    for mouth_y in (five[0, 1] + 1, 4000.0):  # where no mouth can be
        five[3:, 1] = mouth_y
        across, down = np.diag(crop_map(face_of(five)).linear)
        assert across == pytest.approx(1) and 1 / 1.6 <= down <= 1.6 + 1e-9


def test_a_turned_clip_comes_back_upright() -> None:
    """Dots painted on the landmarks of a turned face land where the landmarks are carried."""
    landmarks = similarity(0.3, 1.4, (60, 20)).points(mean_face())
    frame = np.zeros((420, 400, 3), np.uint8)
    dots = [36, 45, 30, 48, 54]
    for x, y in landmarks[dots]:
        cv2.circle(frame, (round(x * 16), round(y * 16)), 48, (255,) * 3, -1, cv2.LINE_AA, 4)
    to_crop = crop_map(face_of(landmarks))
    crop = warp(frame, to_crop)
    rows, columns = np.mgrid[:CROP_PX, :CROP_PX]
    for x, y in to_crop.points(landmarks)[dots]:
        near = (np.hypot(columns - x, rows - y) < 6) * crop[..., 0].astype(float)
        centre = (near * columns).sum() / near.sum(), (near * rows).sum() / near.sum()
        assert centre == pytest.approx((x, y), abs=0.25)


def test_a_clip_is_aligned_by_its_onset_alone() -> None:
    clip = synthetic(subjects=2, clips=2, seed=3)[0]
    faces = {n: face_of(clip.frames.landmarks(n)) for n in (clip.onset, clip.apex)}
    aligned = align_clip(clip, FaceTrack(faces))
    assert isinstance(aligned.frames, AlignedFrames)
    assert len(aligned.frames) == len(clip.frames)
    assert aligned.frames[0].shape == (CROP_PX, CROP_PX, 3)
    eyes = five_points(aligned.frames.landmarks(clip.onset))[:2]
    assert np.allclose(eyes, five_points(mean_face())[:2], atol=0.01)
    moved = aligned.frames.landmarks(clip.apex) - aligned.frames.landmarks(clip.onset)
    before = clip.frames.landmarks(clip.apex) - clip.frames.landmarks(clip.onset)
    assert np.allclose(moved, before @ aligned.frames.to_crop.linear.T, atol=1e-3), "motion stays"
    with pytest.raises(KeyError, match="not looked for"):
        aligned.frames.landmarks(clip.offset)


def test_parts_and_regions_lie_where_the_face_has_them() -> None:
    clip = synthetic(subjects=2, clips=2, seed=3)[0]
    onset = FaceTrack({clip.onset: face_of(clip.frames.landmarks(clip.onset))})
    landmarks = align_clip(clip, onset).frames.landmarks(clip.onset)
    parts = part_masks(landmarks, CROP_PX, CROP_PX)
    centres = {name: np.argwhere(mask).mean(axis=0)[::-1] for name, mask in parts.items()}
    eyes = five_points(mean_face())[:2]
    assert centres["eye_left"] == pytest.approx(eyes[0], abs=4)
    assert centres["eye_right"] == pytest.approx(eyes[1], abs=4)
    heights = [centres[name][1] for name in ("brow_left", "eye_left", "nose", "mouth")]
    assert heights == sorted(heights)
    assert centres["nose"][0] == pytest.approx(112, abs=8)
    regions = core_regions(landmarks)
    inner = [(centres["eye_left"], 0), (centres["eye_right"], 1), (centres["brow_left"], 0)]
    inner += [(centres["brow_right"], 1), (landmarks[48], 2), (landmarks[54], 3)]
    for (x, y), region in inner:
        left, top, right, bottom = regions[region]
        assert left < x < right and top < y < bottom
    assert (regions[0, 2:] == regions[3, :2]).all(), "the four meet in one point"
    masks = region_masks(landmarks, CROP_PX, CROP_PX)
    for mask, part in zip(masks, (slice(36, 48), slice(48, 68)), strict=True):
        x, y = np.round(landmarks[part]).astype(int).T
        assert mask[y, x].all()
    assert reduce_masks(masks, 28).mean() == pytest.approx(masks.mean(), rel=0.2)


def test_a_margin_is_grown_as_on_the_whole_frame() -> None:
    for place in ((40, 40), (2, 3), (75, 78), (-30, 40), (40, 130)):
        points = np.float32([(0, 0), (12, -3), (9, 14), (-6, 8)]) + place
        whole = np.zeros((80, 80), np.uint8)
        cv2.fillConvexPoly(whole, cv2.convexHull(points.astype(np.int32)), 1)
        whole = cv2.dilate(whole, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (11, 11)))
        assert (_hull(points, 80, 80, margin=5) == whole.astype(bool)).all()
