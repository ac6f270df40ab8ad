"""One clip's motion: flow from onset to apex, strain, region masks."""

import json
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple, Protocol, runtime_checkable

import cv2
import numpy as np
from numpy.typing import NDArray

from hmrm_lab.config.sections import FlowConfig
from hmrm_lab.faces.align import FramesWithin
from hmrm_lab.faces.landmarks import reduce_masks, region_masks
from hmrm_lab.flow.estimator import FlowEstimator, LearntFlow
from hmrm_lab.flow.motion_maps import dual_phase, head_motion, motion_map, still_outside
from hmrm_lab.preparation.cache import cache_file, digest_of
from hmrm_lab.records import Clip, Floats, LandmarkedFrames
from hmrm_lab.registry import flows

MAP_SIDE_PX = 28  # as published flow maps have it
FORMAT = 3  # raise it when the same frames and settings give other maps


class Motion(NamedTuple):
    """Motion of one clip, as a flow set holds it.

    Shapes
    ------
    maps : (3, 28, 28) float32, order (u, v, strain)
    masks : (2, 28, 28) bool, eyes and mouth; None for frames without landmarks
    inside : (28, 28) bool, cells of the crop within the recording

    Parameters
    ----------
    outside_energy
        The share of the motion energy outside the recording.
    """

    maps: Floats
    masks: NDArray[np.bool_] | None
    inside: NDArray[np.bool_]
    outside_energy: float


@runtime_checkable
class IdentifiedFrames(Protocol):
    """Frames from files, whose content the settings do not determine."""

    def identity(self, index: int) -> str: ...


def frame_identities(clip: Clip, numbers: Iterable[int]) -> list[str]:
    """The identities of frames; empty for drawn clips, which the settings determine."""
    frames = clip.frames
    return [frames.identity(n) for n in numbers] if isinstance(frames, IdentifiedFrames) else []


def file_for(kind: str, clip: Clip, digest: str) -> Path | None:
    """The cache file for a clip; None for drawn clips, which are cached by data set."""
    return cache_file(kind, digest) if isinstance(clip.frames, IdentifiedFrames) else None


def clip_motion(clip: Clip, flow: FlowConfig) -> Motion:
    """Motion map and region masks of one clip; there is no motion outside its recording."""
    cv2.setNumThreads(1)
    onset, apex = clip.frames[clip.onset], clip.frames[clip.known_apex]
    flow_px = _estimator(_settings(flow))(onset[None], apex[None])
    inside = inside_of(clip)
    masks = None
    if isinstance(clip.frames, LandmarkedFrames):
        masks = region_masks(clip.frames.landmarks(clip.onset), *onset.shape[:2])
        masks = reduce_masks(masks, MAP_SIDE_PX)
    return Motion(
        motion_map(flow_px, MAP_SIDE_PX, inside)[0],
        masks,
        reduce_masks(inside[None], MAP_SIDE_PX)[0],
        outside_energy(flow_px[0], inside),
    )


def inside_of(clip: Clip) -> NDArray[np.bool_]:
    """The pixels of a clip's frames within its recording: (H, W)."""
    if isinstance(clip.frames, FramesWithin):
        return clip.frames.inside()
    return np.ones(clip.frames[clip.onset].shape[:2], dtype=bool)


def outside_energy(flow_px: Floats, inside: NDArray[np.bool_]) -> float:
    """The share of a flow's energy, less that of the head's motion, that lies outside."""
    if inside.all():
        return 0.0
    energy = np.square(flow_px - head_motion(flow_px, inside)).sum(0)
    return float(energy[~inside].sum() / max(float(energy.sum()), 1e-12))


def dual_phase_maps(clip: Clip, flow: FlowConfig) -> Floats:
    """A clip's motion map (3, 28, 28) of dual-phase flow (decision 0018)."""
    cv2.setNumThreads(1)
    onset, apex, offset = (
        clip.frames[number][None] for number in (clip.onset, clip.known_apex, clip.offset)
    )
    estimator = _estimator(_settings(flow))
    inside = inside_of(clip)
    phases = (estimator(onset, apex)[0], estimator(apex, offset)[0])
    combined = dual_phase(*(still_outside(one, inside) for one in phases))
    return motion_map(combined[None], MAP_SIDE_PX, inside)[0]


def flow_identity(flow: FlowConfig) -> str:
    """Digest of the flow's options and, if it is learnt, its weights."""
    settings = _settings(flow)
    estimator = _estimator(settings)
    if not isinstance(estimator, LearntFlow):
        return settings
    state = estimator.network.state_dict()
    return settings + digest_of(*(value.cpu().numpy().tobytes().hex() for value in state.values()))


def _settings(flow: FlowConfig) -> str:
    return json.dumps(flow.choice, sort_keys=True)


@lru_cache(maxsize=4)
def _estimator(settings: str) -> FlowEstimator:
    """Built once per process: reading weights takes as long as using them."""
    options = json.loads(settings)
    estimator: FlowEstimator = flows[options.pop("name")].build(**options)
    return estimator
