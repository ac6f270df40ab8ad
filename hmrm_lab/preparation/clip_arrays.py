"""What is computed of one clip in the canonical crop, and kept: motion, gray frames, pictures."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from hmrm_lab.config.sections import PICTURE_SIDE_PX, DataConfig, FacesConfig, FlowConfig
from hmrm_lab.datasets.synthetic import DRAWING
from hmrm_lab.errors import InputError
from hmrm_lab.faces.align import FramesWithin
from hmrm_lab.faces.landmarks import reduce_masks, region_masks
from hmrm_lab.flow.estimator import LearntFlow, estimator
from hmrm_lab.flow.motion_maps import dual_phase, head_motion, motion_map, still_outside
from hmrm_lab.preparation.cache import (
    IdentifiedFrames,
    Progress,
    digest_of,
    file_for,
    frame_identities,
    make_missing,
    no_progress,
    read_arrays,
    write_arrays,
)
from hmrm_lab.preparation.crops import aligned_frames, crop_identity, face_provider
from hmrm_lab.preparation.dynamic_image import (
    GRAY_FORMAT,
    GRAY_SIDE_PX,
    LENGTH,
    PICTURE_FORMAT,
    clip_pictures,
    resample,
)
from hmrm_lab.records import CHANNELS, PICTURES, Clip, Floats, LandmarkedFrames
from hmrm_lab.runtime.store import cache_folder

MAP_SIDE_PX = 28  # as published flow maps have it
MAP_FORMAT = 3  # raise it when the same frames and settings give other maps
PHASE_FORMAT = 2  # raise it when the same frames give other dual-phase maps
Outcome = NDArray[Any] | InputError
"""The array of a clip, or the error of a frame that cannot be read."""


class Motion(NamedTuple):
    """Motion of one clip, as a flow set holds it.

    Shapes
    ------
    maps : (3, 28, 28) float32, order (u, v, strain)
    masks : (2, 28, 28) bool, eyes and mouth; None for frames without landmarks
    inside : (28, 28) bool, cells of the crop within the recording
    outside_energy : the share of the motion energy outside the recording
    """

    maps: Floats
    masks: NDArray[np.bool_] | None
    inside: NDArray[np.bool_]
    outside_energy: float


def clip_motion(clip: Clip, flow: FlowConfig) -> Motion:
    """Motion map and region masks of one clip; there is no motion outside its recording."""
    cv2.setNumThreads(1)
    onset, apex = clip.frames[clip.onset], clip.frames[clip.known_apex]
    flow_px = estimator(flow.name, **flow.options)(onset[None], apex[None])
    inside = _inside_of(clip)
    masks = None
    if isinstance(clip.frames, LandmarkedFrames):
        masks = region_masks(clip.frames.landmarks(clip.onset), *onset.shape[:2])
        masks = reduce_masks(masks, MAP_SIDE_PX)
    return Motion(
        motion_map(flow_px, MAP_SIDE_PX, inside)[0],
        masks,
        reduce_masks(inside[None], MAP_SIDE_PX)[0],
        _outside_energy(flow_px[0], inside),
    )


def _inside_of(clip: Clip) -> NDArray[np.bool_]:
    """The pixels of a clip's frames within its recording: (H, W)."""
    if isinstance(clip.frames, FramesWithin):
        return clip.frames.inside()
    return np.ones(clip.frames[clip.onset].shape[:2], dtype=bool)


def _outside_energy(flow_px: Floats, inside: NDArray[np.bool_]) -> float:
    """The share of a flow's energy, less that of the head's motion, that lies outside."""
    if inside.all():
        return 0.0
    energy = np.square(flow_px - head_motion(flow_px, inside)).sum(0)
    return float(energy[~inside].sum() / max(float(energy.sum()), 1e-12))


def _dual_phase_maps(clip: Clip, flow: FlowConfig) -> Floats:
    """A clip's motion map (3, 28, 28) of dual-phase flow (decision 0018)."""
    marks = (clip.onset, clip.known_apex, clip.offset)
    onset, apex, offset = (clip.frames[number][None] for number in marks)
    estimate = estimator(flow.name, **flow.options)
    inside = _inside_of(clip)
    phases = (estimate(onset, apex)[0], estimate(apex, offset)[0])
    combined = dual_phase(*(still_outside(one, inside) for one in phases))
    return motion_map(combined[None], MAP_SIDE_PX, inside)[0]


def flow_identity(flow: FlowConfig) -> str:
    """Digest of the flow's options and, if it is learnt, its weights."""
    settings = json.dumps(flow.choice, sort_keys=True)
    estimate = estimator(flow.name, **flow.options)
    if not isinstance(estimate, LearntFlow):
        return settings
    state = estimate.network.state_dict()
    return settings + digest_of(*(value.cpu().numpy().tobytes().hex() for value in state.values()))


@dataclass(frozen=True)
class Recipe:
    """Computation of an array of this shape from a clip in the canonical crop.

    `kind` is its name in the cache; `depends_on` is what it depends on beside the frames, the marks
    and the crop; `make` is a function of a clip from onset to offset, and picklable.
    """

    kind: str
    shape: tuple[int, ...]
    depends_on: tuple[object, ...]
    make: Callable[[Clip], NDArray[Any]]


GRAY = Recipe(
    "gray", (LENGTH, GRAY_SIDE_PX, GRAY_SIDE_PX), (GRAY_FORMAT, LENGTH, GRAY_SIDE_PX), resample
)
PICTURED = Recipe(
    "pictures",
    (len(PICTURES), PICTURE_SIDE_PX, PICTURE_SIDE_PX),
    (PICTURE_FORMAT, GRAY_FORMAT, LENGTH, PICTURE_SIDE_PX),
    clip_pictures,
)


def both_phases(flow: FlowConfig) -> Recipe:
    """The recipe of dual-phase motion maps by this flow."""
    shape = (len(CHANNELS), MAP_SIDE_PX, MAP_SIDE_PX)
    depends_on = (PHASE_FORMAT, MAP_FORMAT, flow_identity(flow))
    return Recipe("phases", shape, depends_on, partial(_dual_phase_maps, flow=flow))


def load_all(
    recipe: Recipe,
    data: DataConfig,
    clips: Sequence[Clip],
    faces: FacesConfig | None,
    *,
    jobs: int = 1,
    on_progress: Progress = no_progress,
) -> list[Outcome]:
    """`make_all` of a data set. The arrays of drawn clips are cached in one file."""
    if all(isinstance(clip.frames, IdentifiedFrames) for clip in clips):
        return make_all(recipe, clips, faces, jobs=jobs, on_progress=on_progress)
    settings = data.model_dump_json(exclude={"classes"})
    known = digest_of(DRAWING, settings, *(identity(recipe, clip, faces) for clip in clips))
    file = cache_folder() / f"{data.name}-{recipe.kind}-{known[:16]}.npz"
    stored = _stored(file, recipe.kind, (len(clips), *recipe.shape))
    if stored is not None:
        return list(stored)
    made = make_all(recipe, clips, faces, jobs=jobs, on_progress=on_progress)
    arrays = [one for one in made if not isinstance(one, InputError)]
    if len(arrays) == len(made):
        write_arrays(file, {recipe.kind: np.stack(arrays)}, compress=True)
    return made


def make_all(
    recipe: Recipe,
    clips: Sequence[Clip],
    faces: FacesConfig | None,
    *,
    jobs: int = 1,
    on_progress: Progress = no_progress,
) -> list[Outcome]:
    """The array of each clip, computed by `jobs` processes, or the error.

    Arrays of clips from files are cached one by one, so that an interrupted computation resumes.
    `faces` are the settings of face detection; None for clips in the canonical crop.
    """
    files = [file_for(recipe.kind, clip, identity(recipe, clip, faces)) for clip in clips]
    stored = [_stored(file, recipe.kind, recipe.shape) for file in files]
    if faces is not None and any(one is None for one in stored):
        face_provider(faces)
    make = partial(_make, recipe, faces)
    return make_missing(stored, make, clips, files, jobs=jobs, on_progress=on_progress)


def identity(recipe: Recipe, clip: Clip, faces: FacesConfig | None) -> str:
    """A digest of everything that a result depends on: every frame, the crop, the recipe."""
    marks = (*clip.key, clip.onset, clip.apex, clip.offset)
    known = frame_identities(clip, range(clip.onset, clip.offset + 1))
    crop = crop_identity(faces) if faces else "uncropped"
    return digest_of(*recipe.depends_on, crop, marks, *known)


def _make(recipe: Recipe, faces: FacesConfig | None, clip: Clip, file: Path | None) -> Outcome:
    cv2.setNumThreads(1)
    try:
        made = recipe.make(clip if faces is None else aligned_frames(clip, faces))
    except InputError as error:
        return error
    if file is not None:
        write_arrays(file, {recipe.kind: made})
    return made


def _stored(file: Path | None, name: str, shape: tuple[int, ...]) -> NDArray[Any] | None:
    """The array in the cache; one of another shape is made anew."""
    arrays = read_arrays(file, name)
    return arrays[name] if arrays is not None and arrays[name].shape == shape else None
