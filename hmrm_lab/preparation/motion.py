"""One clip's motion: flow from onset to apex, strain, region masks."""

import json
from functools import lru_cache
from typing import Protocol, runtime_checkable

import cv2
import numpy as np
from numpy.typing import NDArray

import hmrm_lab.flow  # noqa: F401  registers the estimators
from hmrm_lab.faces.regions import reduce_masks, region_masks
from hmrm_lab.faces.track import LandmarkedFrames
from hmrm_lab.flow.dual_phase import dual_phase
from hmrm_lab.flow.estimator import FlowEstimator, LearntFlow
from hmrm_lab.flow.strain import motion_map
from hmrm_lab.preparation.cache import digest_of
from hmrm_lab.records import Clip, Floats
from hmrm_lab.registry import flows
from hmrm_lab.sections import FlowConfig

MAP_SIDE_PX = 28  # as published flow maps have it
FORMAT = 2  # raise it when the same frames and settings give other maps

Motion = tuple[Floats, NDArray[np.bool_] | None]


@runtime_checkable
class IdentifiedFrames(Protocol):
    """Frames from files, which may be other ones under the same settings."""

    def identity(self, index: int) -> str: ...


def clip_motion(clip: Clip, flow: FlowConfig) -> Motion:
    """One clip's motion map (3, 28, 28) and region masks (2, 28, 28), if it has landmarks."""
    cv2.setNumThreads(1)
    onset, apex = clip.frames[clip.onset], clip.frames[clip.known_apex]
    flow_px = _estimator(_settings(flow))(onset[None], apex[None])
    motion = motion_map(flow_px, MAP_SIDE_PX)[0]
    if not isinstance(clip.frames, LandmarkedFrames):
        return motion, None
    masks = region_masks(clip.frames.landmarks(clip.onset), *onset.shape[:2])
    return motion, reduce_masks(masks, MAP_SIDE_PX)


def dual_phase_maps(clip: Clip, flow: FlowConfig) -> Floats:
    """A clip's motion map (3, 28, 28) of both phases, to the apex and back (decision 0018)."""
    cv2.setNumThreads(1)
    onset, apex, offset = (
        clip.frames[number][None] for number in (clip.onset, clip.known_apex, clip.offset)
    )
    estimator = _estimator(_settings(flow))
    combined = dual_phase(estimator(onset, apex)[0], estimator(apex, offset)[0])
    return motion_map(combined[None], MAP_SIDE_PX)[0]


def flow_identity(flow: FlowConfig) -> str:
    """What a flow's results depend on: its options and, if it is learnt, its very weights."""
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
    """Built once in a process: reading weights takes as long as using them."""
    options = json.loads(settings)
    estimator: FlowEstimator = flows[options.pop("name")].build(**options)
    return estimator
