"""What is made of all frames of a clip, one clip at a time, and kept under what it depends on."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from hmrm_lab.config.sections import DataConfig, FacesConfig
from hmrm_lab.datasets.synthetic import DRAWING
from hmrm_lab.errors import InputError
from hmrm_lab.preparation.cache import (
    Progress,
    cache_file,
    digest_of,
    make_missing,
    no_progress,
    read_arrays,
    write_arrays,
)
from hmrm_lab.preparation.crops import aligned_frames, crop_identity, require_provider
from hmrm_lab.preparation.motion import IdentifiedFrames
from hmrm_lab.records import Clip
from hmrm_lab.runtime.store import cache_folder

Made = NDArray[Any]
Outcome = Made | InputError
"""What was made of a clip, or why it could not be: a frame that cannot be read."""


@dataclass(frozen=True)
class Recipe:
    """How one array is made of a clip in the canonical crop.

    Parameters
    ----------
    kind
        Its name in the cache.
    shape
        Of the array; a file with another one is made anew.
    depends_on
        All that the result depends on beside the frames, the marks and the canonical crop.
    make
        Of a clip from onset to offset; a function of a module, for other processes.
    """

    kind: str
    shape: tuple[int, ...]
    depends_on: tuple[object, ...]
    make: Callable[[Clip], Made]


def load_all(
    recipe: Recipe,
    data: DataConfig,
    clips: Sequence[Clip],
    faces: FacesConfig | None,
    *,
    jobs: int = 1,
    on_progress: Progress = no_progress,
) -> list[Outcome]:
    """`make_all` of a data set. What is made of drawn clips is kept in one file, all together."""
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
    """The array of each clip, made by `jobs` processes, or why there is none.

    Arrays of clips from files are cached one by one, so that an interrupted computation goes on.

    Parameters
    ----------
    faces
        How faces are found in recordings; None for clips that are in the canonical crop already.

    Raises
    ------
    InputError
        If the provider of faces cannot be built.
    """
    files = [
        cache_file(recipe.kind, identity(recipe, clip, faces))
        if isinstance(clip.frames, IdentifiedFrames)
        else None
        for clip in clips
    ]
    stored = [_stored(file, recipe.kind, recipe.shape) for file in files]
    if faces is not None and any(one is None for one in stored):
        require_provider(faces)
    arguments = [(recipe, clip, faces, file) for clip, file in zip(clips, files, strict=True)]
    return make_missing(stored, _make, arguments, jobs=jobs, on_progress=on_progress)


def identity(recipe: Recipe, clip: Clip, faces: FacesConfig | None) -> str:
    """A digest of all that a result depends on: every frame, the crop, the recipe."""
    marks = (*clip.key, clip.onset, clip.apex, clip.offset)
    numbers = range(clip.onset, clip.offset + 1)
    frames = clip.frames
    known = [frames.identity(n) for n in numbers] if isinstance(frames, IdentifiedFrames) else []
    crop = crop_identity(faces) if faces else "as it is"
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


def _stored(file: Path | None, name: str, shape: tuple[int, ...]) -> Made | None:
    arrays = read_arrays(file, name) if file is not None else None
    if arrays is None or arrays[name].shape != shape:
        return None
    stored: Made = arrays[name]
    return stored
