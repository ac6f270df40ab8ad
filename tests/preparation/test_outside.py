"""What a recording does not show: no motion, no weight, and a line that says so."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from conftest import Pixels, face_of, quick_config

from hmrm_lab.datasets.synthetic import GUISES, synthetic
from hmrm_lab.faces.align import FaceTrack, align_clip, align_known
from hmrm_lab.flow.motion_maps import motion_map, normalise_live, normalise_maps
from hmrm_lab.preparation import compute_flowset
from hmrm_lab.preparation.clip_arrays import gray_frame
from hmrm_lab.records import PX, Clip


@dataclass(frozen=True)
class Cut(Pixels):
    """The left of every frame, with the landmarks that lie in all of it."""

    width: int

    def __getitem__(self, index: int, /) -> np.ndarray:
        return self.frames[index][:, : self.width].copy()

    def landmarks(self, index: int) -> np.ndarray:
        return self.frames.landmarks(index)


def exact(clip: Clip) -> Clip:
    """A clip in a guise, aligned by its exact landmarks."""
    scene = clip.frames.to_scene()
    points = clip.frames.drawn.landmarks(clip.onset) @ scene[:, :2].T + scene[:, 2]
    return align_clip(clip, FaceTrack({clip.onset: face_of(points)}))


def test_maps_have_the_median_outside_and_the_truth_inside() -> None:
    rng = np.random.default_rng(0)
    flow = rng.normal(0, 1, (1, 2, 224, 224)).astype(np.float32)
    flow += np.float32([3, -2])[:, None, None]
    inside = np.ones((224, 224), bool)
    inside[:, 100:] = False
    dirty = np.where(inside, flow, 50 * rng.normal(size=flow.shape)).astype(np.float32)
    maps = motion_map(dirty, 28, inside)[0]
    clean = motion_map(flow, 28)[0]
    assert maps[:2, :, :12] == pytest.approx(clean[:2, :, :12], abs=1e-5)
    half_seen = flow[0, :, :, 96:100].reshape(2, 28, 8, 4).mean((2, 3))
    assert maps[:2, :, 12] == pytest.approx(half_seen, abs=1e-5), "what is seen of a cell counts"
    assert (maps[:2, :, 13:] == np.median(maps[:2, :, :13], axis=(1, 2))[:, None, None]).all()
    assert (maps[2, :, 13:] == 0).all()
    assert maps[2, :, :12] == pytest.approx(clean[2, :, :12], rel=1e-4)


def test_what_is_outside_has_no_weight_in_a_scale() -> None:
    """A map half of which is outside comes out as that half alone does."""
    rng = np.random.default_rng(1)
    half = rng.normal(1, 2, (3, 3, 28, 14)).astype(np.float32)
    still = np.median(half, axis=(2, 3), keepdims=True) * np.float32([1, 1, 0])[:, None, None]
    maps = np.concatenate([half, np.broadcast_to(still, half.shape)], axis=3)
    inside = np.zeros((3, 28, 28), bool)
    inside[:, :, :14] = True
    normal = normalise_maps(maps, "median_rms", PX, inside)
    assert normal[..., :14] == pytest.approx(normalise_maps(half, "median_rms", PX), abs=1e-5)
    assert (normal[..., 14:] == 0).all()
    dirty = np.concatenate([half, 99 * half], axis=3)
    for method, expected in (("median_rms", normal), ("none", np.where(inside[:, None], maps, 0))):
        live = normalise_live(torch.from_numpy(dirty), method, torch.from_numpy(inside))
        assert live.numpy() == pytest.approx(expected, abs=1e-4)


def test_a_picture_without_its_right_side() -> None:
    clip = synthetic(subjects=2, clips=2, seed=3)[0]
    whole = align_known(clip)
    cut = align_known(replace(clip, frames=Cut(clip.frames, 112)))
    inside = cut.frames.inside()
    assert whole.frames.inside().all()
    assert 0.4 < inside.mean() < 0.6
    assert inside[:, :100].all() and not inside[:, 124:].any()
    config = quick_config("hmrm")
    known, found = (compute_flowset([one], config.flow) for one in (whole, cut))
    assert known.inside is None and known.outside_energy == [0]
    assert found.inside is not None and 0 < found.outside_energy[0] < 1
    outside = ~found.inside[0]
    assert np.ptp(found.maps[0, :2][:, outside], axis=1) == pytest.approx(0)
    assert (found.maps[0, 2][outside] == 0).all()
    first, later = (gray_frame(cut, number, 224) for number in (cut.onset, cut.apex))
    assert (first == later)[~inside].all() and (first != later)[inside].any()


def test_every_guise_holds_the_crop() -> None:
    """With a face cut out tightly, too: less than 5 % of the crop lies outside (median)."""
    assert set(GUISES) == {"casme2", "smic", "samm", "phone"}
    for name, guise in GUISES.items():
        clips = synthetic(subjects=4, clips=4, guise=name)
        assert clips[0].frames[0].shape == (guise.height, guise.width, 3)
        assert clips[0].fps == guise.fps
        aligned = [exact(clip) for clip in clips]
        assert np.median([1 - one.frames.inside().mean() for one in aligned]) < 0.01, name
        drawn = align_known(synthetic(subjects=4, clips=4)[0])
        seen = gray_frame(aligned[0], aligned[0].onset, 56), gray_frame(drawn, drawn.onset, 56)
        assert np.corrcoef(*(picture.ravel() for picture in seen))[0, 1] > 0.95, name
