"""Clips to motion maps: flow from onset to apex, strain, region masks; cached by content.

This is where frames end: everything above works on a `FlowSet`.
"""

import hashlib
import io
import json
from collections.abc import Callable
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
from hmrm_lab.flow.strain import motion_map
from hmrm_lab.records import Clip, ClipKey, Floats, FlowSet
from hmrm_lab.registry import datasets, flows
from hmrm_lab.store import cache_folder, write_atomic_bytes

MAP_SIDE_PX = 28  # as published flow maps have it
CACHE_FORMAT = 1  # raise it when the same settings give other maps

Progress = Callable[[int, int], None]


@runtime_checkable
class LandmarkedFrames(Protocol):
    """Frames that bring landmarks: (68, 2) float32, (x, y) pixels."""

    def landmarks(self, index: int) -> Floats: ...


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
    source = _open(config, root)
    if isinstance(source, FlowSet):
        return source
    file = cache_folder() / f"{config.data.name}-{_content_key(config, source)}.npz"
    if file.is_file():
        return _read_cache(file)
    flowset = compute_flowset(source, config.flow, jobs=jobs, on_progress=on_progress)
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
    """Flow, strain and masks of every clip; `jobs` processes."""
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
    onset, apex = clip.frames[clip.onset], clip.frames[clip.apex]
    flow_px = estimate(onset[None], apex[None])
    motion = motion_map(flow_px, MAP_SIDE_PX)[0]
    if not isinstance(clip.frames, LandmarkedFrames):
        return motion, None
    masks = region_masks(clip.frames.landmarks(clip.onset), *onset.shape[:2])
    return motion, reduce_masks(masks, MAP_SIDE_PX)


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
    digest.update(json.dumps(config.flow.model_dump(mode="json"), sort_keys=True).encode())
    for clip in clips:
        digest.update(repr((*clip.key, clip.label, clip.onset, clip.apex)).encode())
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
    np.savez_compressed(buffer, **arrays)
    write_atomic_bytes(file, buffer.getvalue())


def _read_cache(file: Path) -> FlowSet:
    with np.load(file, allow_pickle=False) as arrays:
        return FlowSet(
            arrays["maps"],
            arrays["labels"],
            tuple(ClipKey(*map(str, key)) for key in arrays["keys"]),
            masks=arrays.get("masks"),
        )
