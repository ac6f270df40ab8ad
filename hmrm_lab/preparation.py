"""Clips to motion maps: flow from onset to apex, strain, region masks; cached by content.

This is where frames end: everything above works on a `FlowSet`.
"""

import hashlib
import io
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import cv2
import numpy as np
from joblib import Parallel, delayed
from numpy.typing import NDArray

import hmrm_lab.datasets
import hmrm_lab.flow  # noqa: F401  registers the estimators
from hmrm_lab.config import ExperimentConfig, FlowConfig
from hmrm_lab.errors import InputError
from hmrm_lab.faces.regions import reduce_masks, region_masks
from hmrm_lab.flow.motion import learnt_network
from hmrm_lab.flow.strain import motion_map
from hmrm_lab.records import Clip, ClipKey, Floats, FlowSet, FramePairs
from hmrm_lab.registry import datasets, flows
from hmrm_lab.store import cache_folder, write_atomic_bytes

MAP_SIDE_PX = 28  # as published flow maps have it
CACHE_FORMAT = 1  # raise it when the same settings give other maps

Progress = Callable[[int, int], None]


@runtime_checkable
class LandmarkedFrames(Protocol):
    """Frames that bring landmarks: (68, 2) float32, (x, y) pixels."""

    def landmarks(self, index: int) -> Floats: ...


@runtime_checkable
class IdentifiedFrames(Protocol):
    """Frames from files, which may be other ones under the same settings."""

    def identity(self, index: int) -> str: ...


def load_flowset(
    config: ExperimentConfig,
    root: Path | None = None,
    *,
    jobs: int = 1,
    on_progress: Progress | None = None,
) -> FlowSet:
    """The motion maps of the data set that the settings name, computed where needed.

    `root` is the folder of the data; the embedded synthetic set has none.
    """
    if config.flow.finetune:
        learnt_network(config.flow)  # complains of a flow that cannot learn
    source = _open(config, root)
    if isinstance(source, FlowSet):
        if config.flow.finetune:
            require_frames(config, source)
        return source
    file = cache_folder() / f"{config.data.name}-{_content_key(config, source)}.npz"
    if file.is_file():
        return _read_cache(file)
    flowset = compute_flowset(source, config.flow, jobs=jobs, on_progress=on_progress)
    if config.flow.finetune:
        flowset = replace(flowset, frames=reduce_frames(source, config.flow.finetune_side_px))
    _write_cache(file, flowset)
    return flowset


def load_clips(config: ExperimentConfig, root: Path | None = None) -> list[Clip] | None:
    """The clips behind the maps, or None where the data set has maps only."""
    source = _open(config, root)
    return None if isinstance(source, FlowSet) else source


def compute_flowset(
    clips: list[Clip],
    flow: FlowConfig,
    *,
    jobs: int = 1,
    on_progress: Progress | None = None,
) -> FlowSet:
    """Flow, strain and masks of every clip; `jobs` processes. Every clip must have its apex."""
    for clip in clips:
        _ = clip.known_apex  # said before hours of work, not after
    pool = Parallel(n_jobs=jobs, return_as="generator")
    maps, masks = [], []
    for clip_map, clip_masks in pool(delayed(clip_motion)(clip, flow) for clip in clips):
        maps.append(clip_map)
        masks.append(clip_masks)
        if on_progress:
            on_progress(len(maps), len(clips))
    known = [mask for mask in masks if mask is not None]
    return FlowSet(
        np.stack(maps),
        np.array([clip.label for clip in clips], dtype=np.int64),
        tuple(clip.key for clip in clips),
        masks=np.stack(known) if len(known) == len(masks) else None,
    )


def clip_motion(clip: Clip, flow: FlowConfig) -> tuple[Floats, NDArray[np.bool_] | None]:
    """One clip's motion map (3, 28, 28) and region masks (2, 28, 28), if it has landmarks."""
    cv2.setNumThreads(1)
    estimate = flows[flow.name].build(**flow.options)
    onset, apex = clip.frames[clip.onset], clip.frames[clip.known_apex]
    flow_px = estimate(onset[None], apex[None])
    motion = motion_map(flow_px, MAP_SIDE_PX)[0]
    if not isinstance(clip.frames, LandmarkedFrames):
        return motion, None
    masks = region_masks(clip.frames.landmarks(clip.onset), *onset.shape[:2])
    return motion, reduce_masks(masks, MAP_SIDE_PX)


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


def _open(config: ExperimentConfig, root: Path | None) -> FlowSet | list[Clip]:
    """What the data set's builder gives: ready-made maps, or clips."""
    entry = datasets[config.data.name]
    if entry.needs_root and root is None:
        raise InputError(f"data set '{entry.name}' lies in a folder", mend="name it with --root")
    if root is not None and not entry.needs_root:
        raise InputError(f"data set '{entry.name}' takes no --root", mend="leave --root out")
    where = {"root": root} if entry.needs_root else {}
    source: FlowSet | list[Clip] = entry.build(**where, **config.data.options)
    return source


def _content_key(config: ExperimentConfig, clips: list[Clip]) -> str:
    """What the maps depend on: the clips, the data set's options and the flow's."""
    digest = hashlib.sha256(f"format {CACHE_FORMAT}".encode())
    digest.update(json.dumps(config.data.model_dump(mode="json"), sort_keys=True).encode())
    digest.update(json.dumps(config.flow.choice, sort_keys=True).encode())
    if config.flow.finetune:
        digest.update(f"frames {config.flow.finetune_side_px}".encode())
    for clip in clips:
        digest.update(repr((*clip.key, clip.label, clip.onset, clip.apex)).encode())
        if isinstance(clip.frames, IdentifiedFrames):
            for index in (clip.onset, clip.known_apex):
                digest.update(clip.frames.identity(index).encode())
    return digest.hexdigest()[:16]


def _write_cache(file: Path, flowset: FlowSet) -> None:
    buffer = io.BytesIO()
    arrays: dict[str, Any] = {
        "maps": flowset.maps,
        "labels": flowset.labels,
        "keys": np.array(flowset.keys),
    }
    if flowset.masks is not None:
        arrays["masks"] = flowset.masks
    if flowset.frames is not None:
        arrays["frames"], arrays["pixel"] = flowset.frames.images, flowset.frames.pixel
    np.savez_compressed(buffer, **arrays)
    write_atomic_bytes(file, buffer.getvalue())


def _read_cache(file: Path) -> FlowSet:
    with np.load(file, allow_pickle=False) as arrays:
        return FlowSet(
            arrays["maps"],
            arrays["labels"],
            tuple(ClipKey(*map(str, key)) for key in arrays["keys"]),
            masks=arrays.get("masks"),
            frames=FramePairs(arrays["frames"], arrays["pixel"]) if "frames" in arrays else None,
        )
