"""Inputs that need more frames than onset and apex: gray clips, pictures, dual-phase flow."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from hmrm_lab.config import ExperimentConfig
from hmrm_lab.config.sections import PICTURE_SIDE_PX, DataConfig, FacesConfig, FlowConfig
from hmrm_lab.datasets.synthetic import DRAWING
from hmrm_lab.errors import InputError
from hmrm_lab.preparation.cache import (
    Progress,
    digest_of,
    make_missing,
    no_progress,
    read_arrays,
    write_arrays,
)
from hmrm_lab.preparation.clip_motion import FORMAT as MAP_FORMAT
from hmrm_lab.preparation.clip_motion import (
    MAP_SIDE_PX,
    IdentifiedFrames,
    dual_phase_maps,
    file_for,
    flow_identity,
    frame_identities,
)
from hmrm_lab.preparation.crops import aligned_frames, crop_identity, require_provider
from hmrm_lab.preparation.dynamic_image import (
    GRAY_FORMAT,
    GRAY_SIDE_PX,
    LENGTH,
    PICTURE_FORMAT,
    clip_pictures,
    resample,
)
from hmrm_lab.records import CHANNELS, PICTURES, Clip, ClipKey, FlowSet
from hmrm_lab.registry import systems
from hmrm_lab.runtime.store import cache_folder

FORMAT = 2  # raise it when the same frames give other dual-phase maps
Outcome = NDArray[Any] | InputError
"""The array of a clip, or the error of a frame that cannot be read."""
Lost = dict[ClipKey, InputError]
"""Clips that are left out, and why."""


@dataclass(frozen=True)
class Recipe:
    """Computation of an array from a clip in the canonical crop.

    Parameters
    ----------
    kind
        Name of the array in the cache.
    shape
        A file with an array of another shape is made anew.
    depends_on
        What the result depends on, beside the frames, the marks and the canonical crop.
    make
        Function of a clip from onset to offset; it must be picklable.
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
    known = digest_of(
        DRAWING,
        data.model_dump_json(exclude={"classes"}),
        *(identity(recipe, clip, faces) for clip in clips),
    )
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

    Parameters
    ----------
    faces
        Settings of face detection; None for clips in the canonical crop.

    Raises
    ------
    InputError
        If the provider of faces cannot be built.
    """
    files = [file_for(recipe.kind, clip, identity(recipe, clip, faces)) for clip in clips]
    stored = [_stored(file, recipe.kind, recipe.shape) for file in files]
    if faces is not None and any(one is None for one in stored):
        require_provider(faces)
    arguments = [(recipe, clip, faces, file) for clip, file in zip(clips, files, strict=True)]
    return make_missing(stored, _make, arguments, jobs=jobs, on_progress=on_progress)


def identity(recipe: Recipe, clip: Clip, faces: FacesConfig | None) -> str:
    """A digest of everything that a result depends on: every frame, the crop, the recipe."""
    marks = (*clip.key, clip.onset, clip.apex, clip.offset)
    known = frame_identities(clip, range(clip.onset, clip.offset + 1))
    crop = crop_identity(faces) if faces else "uncropped"
    return digest_of(*recipe.depends_on, crop, marks, *known)


def _make(recipe: Recipe, clip: Clip, faces: FacesConfig | None, file: Path | None) -> Outcome:
    cv2.setNumThreads(1)
    try:
        made = recipe.make(clip if faces is None else aligned_frames(clip, faces))
    except InputError as error:
        return error
    if file is not None:
        write_arrays(file, {recipe.kind: made})
    return made


def _stored(file: Path | None, name: str, shape: tuple[int, ...]) -> NDArray[Any] | None:
    arrays = read_arrays(file, name) if file is not None else None
    return arrays[name] if arrays is not None and arrays[name].shape == shape else None


def wants_gray(config: ExperimentConfig) -> bool:
    """Whether the system of the settings takes gray clips."""
    return systems[config.model.name].takes == "clip"


def frames_for(config: ExperimentConfig) -> str:
    """The inputs of these settings that need more frames than onset and apex; may be empty."""
    needs = ["clips"] if wants_gray(config) else []
    needs += [name for name in config.input.channels if name in PICTURES]
    needs += ["flow from apex to offset"] if config.flow.phases == "both" else []
    return ", ".join(needs)


def require_frames_for(config: ExperimentConfig, flowset: FlowSet) -> None:
    """Raise an `InputError` if the flow set lacks gray clips or pictures of these settings."""
    lacks_gray = wants_gray(config) and flowset.clips is None
    lacks_pictures = config.input.has_pictures and flowset.pictures is None
    if lacks_gray or lacks_pictures:
        raise no_frames(config)


def no_frames(config: ExperimentConfig) -> InputError:
    """The error for settings that need frames, on data that consist of maps."""
    usable = [name for name in systems if systems[name].takes == "flow maps"]
    hint = f"take one of the systems for flow maps ({', '.join(usable)}), or data with frames"
    if config.model.name in usable:  # then it is a setting that needs them
        asked = ["input.channels"] if config.input.has_pictures else []
        asked += ["flow.phases"] if config.flow.phases == "both" else []
        hint = f"leave {' and '.join(asked)} out, or take data with frames"
    return InputError(
        f"data set '{config.data.name}' has no frames, and system '{config.model.name}' takes"
        f" {frames_for(config)}",
        hint=hint,
    )


def with_whole_clips(
    config: ExperimentConfig,
    flowset: FlowSet,
    clips: Sequence[Clip],
    faces: FacesConfig | None,
    *,
    jobs: int = 1,
    on_progress: Progress = no_progress,
) -> tuple[FlowSet, Lost]:
    """The flow set with the inputs that need all frames; clips with unreadable ones are left out.

    Parameters
    ----------
    clips
        The clips of the flow set with all their frames and a known apex.
    faces
        Settings of face detection; None for clips in the canonical crop.

    Raises
    ------
    InputError
        If not one clip is usable.
    """
    recipes: dict[str, Recipe] = {}  # by field of the flow set
    if config.flow.phases == "both":
        recipes["maps"] = _dual_phase(config.flow)
    if wants_gray(config):
        recipes["clips"] = GRAY
    if config.input.has_pictures:
        recipes["pictures"] = PICTURED
    made = {
        name: load_all(recipe, config.data, clips, faces, jobs=jobs, on_progress=on_progress)
        for name, recipe in recipes.items()
    }
    lost: Lost = {}
    for outcomes in made.values():
        for key, outcome in zip(flowset.keys, outcomes, strict=True):
            if isinstance(outcome, InputError):
                lost.setdefault(key, outcome)
    if len(lost) == len(flowset):
        first = next(iter(lost.values()))
        if len(lost) == 1:
            raise first
        problem = f"not one of {len(lost)} clips is usable for {frames_for(config)}"
        raise InputError(f"{problem}; the first: {first}", hint="see `hmrm data check`")
    kept = [row for row, key in enumerate(flowset.keys) if key not in lost]
    arrays: dict[str, Any] = {}
    for name, outcomes in made.items():
        arrays[name] = np.stack([outcomes[row] for row in kept])  # type: ignore[misc]
    return replace(flowset.take(kept) if lost else flowset, **arrays), lost


def _dual_phase(flow: FlowConfig) -> Recipe:
    return Recipe(
        "phases",
        (len(CHANNELS), MAP_SIDE_PX, MAP_SIDE_PX),
        (FORMAT, MAP_FORMAT, flow_identity(flow)),
        partial(dual_phase_maps, flow=flow),
    )
