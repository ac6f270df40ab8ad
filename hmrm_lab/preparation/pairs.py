"""Onset and apex of many clips at one size, for a flow that is still learning."""

import cv2
import numpy as np

from hmrm_lab.config import ExperimentConfig
from hmrm_lab.errors import InputError
from hmrm_lab.records import Clip, FlowSet, FramePairs


def reduce_frames(clips: list[Clip], side_px: int) -> FramePairs:
    """Onset and apex of every clip as squares of `side_px`, whatever their crop."""
    images, pixel = [], []
    for clip in clips:
        pair = [clip.frames[clip.onset], clip.frames[clip.known_apex]]
        height, width = pair[0].shape[:2]
        size = (side_px, side_px)
        images.append([cv2.resize(p, size, interpolation=cv2.INTER_AREA) for p in pair])
        pixel.append((width / side_px, height / side_px))
    return FramePairs(np.array(images, dtype=np.uint8), np.array(pixel, dtype=np.float32))


def require_frames(config: ExperimentConfig, flowset: FlowSet) -> FramePairs:
    """The frames that a fine-tuned flow learns from, or an `InputError`."""
    if flowset.frames is None:
        raise InputError(
            f"data set '{config.data.name}' has no frames to fine-tune a flow on",
            mend="set flow.finetune=false, or take a data set of recordings",
        )
    return flowset.frames
