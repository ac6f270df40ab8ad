"""Clips as gray pictures of one size and one length, for systems that look at all frames.

A clip runs from onset to offset. Its frames are taken at even distances in time; between two
frames of the recording they are interpolated linearly. (The field's baselines use the temporal
interpolation model of Zhou et al. 2011, which moves along a curve fitted to the frames.)
"""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from hmrm_lab.config import DataConfig, ExperimentConfig, FacesConfig
from hmrm_lab.errors import InputError
from hmrm_lab.preparation.cache import cache_file, digest_of, read_arrays, write_arrays
from hmrm_lab.preparation.crops import aligned_frames
from hmrm_lab.preparation.motion import IdentifiedFrames
from hmrm_lab.preparation.work import Progress, make_missing, no_progress
from hmrm_lab.records import Clip, FlowSet
from hmrm_lab.registry import systems
from hmrm_lab.store import cache_folder

FORMAT = 1  # raise it when the same frames give other clips
LENGTH = 16  # frames
SIDE_PX = 112

Gray = NDArray[np.uint8]


def wants_gray(config: ExperimentConfig) -> bool:
    """Whether the system of the settings is given clips."""
    return systems[config.model.name].takes == "clip"


def require_gray(config: ExperimentConfig, flowset: FlowSet) -> Gray:
    """The gray clips that the system is given, or an `InputError`."""
    if flowset.clips is None:
        raise no_frames(config)
    return flowset.clips


def no_frames(config: ExperimentConfig) -> InputError:
    """The error for a system of clips on data that have maps alone."""
    usable = [name for name in systems if systems[name].takes == "flow maps"]
    return InputError(
        f"data set '{config.data.name}' has no frames, and system '{config.model.name}' takes"
        " clips",
        mend=f"take one of the systems for flow maps ({', '.join(usable)}), or data with frames",
    )


def load_gray(
    data: DataConfig,
    clips: Sequence[Clip],
    faces: FacesConfig | None,
    *,
    jobs: int = 1,
    on_progress: Progress = no_progress,
) -> Gray:
    """`gray_clips` of a data set. Drawn clips are kept all in one file, under its settings."""
    if all(isinstance(clip.frames, IdentifiedFrames) for clip in clips):
        return gray_clips(clips, faces, jobs=jobs, on_progress=on_progress)
    known = digest_of(data.model_dump_json(), *(gray_identity(clip, faces) for clip in clips))
    file = cache_folder() / f"{data.name}-clips-{known[:16]}.npz"
    arrays = read_arrays(file, "gray")
    if arrays is not None and arrays["gray"].shape == (len(clips), LENGTH, SIDE_PX, SIDE_PX):
        stored: Gray = arrays["gray"]
        return stored
    made = gray_clips(clips, faces, jobs=jobs, on_progress=on_progress)
    write_arrays(file, {"gray": made}, compress=True)
    return made


def gray_clips(
    clips: Sequence[Clip],
    faces: FacesConfig | None,
    *,
    jobs: int = 1,
    on_progress: Progress = no_progress,
) -> Gray:
    """All clips as (n, 16, 112, 112) uint8, made by `jobs` processes.

    Those from files are cached one by one, so that an interrupted computation goes on.

    Parameters
    ----------
    faces
        How faces are found in recordings; None for clips that are in the canonical crop already.
    """
    files = [
        cache_file("gray", gray_identity(clip, faces))
        if isinstance(clip.frames, IdentifiedFrames)
        else None
        for clip in clips
    ]
    stored = [_stored(file) for file in files]
    arguments = [(clip, faces, file) for clip, file in zip(clips, files, strict=True)]
    made = make_missing(stored, _make, arguments, jobs=jobs, on_progress=on_progress)
    return np.stack(made)


def gray_identity(clip: Clip, faces: FacesConfig | None) -> str:
    """What a gray clip depends on: every frame, the face's place, length and size."""
    marks = (*clip.key, clip.onset, clip.offset)
    numbers = range(clip.onset, clip.offset + 1)
    frames = clip.frames
    known = [frames.identity(n) for n in numbers] if isinstance(frames, IdentifiedFrames) else []
    crop = faces.model_dump_json() if faces else "as it is"
    return digest_of(FORMAT, LENGTH, SIDE_PX, crop, marks, *known)


def resample(clip: Clip, length: int = LENGTH, side_px: int = SIDE_PX) -> Gray:
    """The frames from onset to offset as (length, side, side) uint8."""
    times = np.linspace(clip.onset, clip.offset, length)
    known: dict[int, NDArray[np.float32]] = {}

    def frame(number: int) -> NDArray[np.float32]:
        if number not in known:
            gray = cv2.cvtColor(clip.frames[number], cv2.COLOR_RGB2GRAY)
            small = cv2.resize(gray, (side_px, side_px), interpolation=cv2.INTER_AREA)
            known[number] = small.astype(np.float32)
        return known[number]

    pictures = []
    for time in times:
        before = int(time)
        part = np.float32(time - before)
        picture = frame(before)
        if part > 0:
            picture = (1 - part) * picture + part * frame(before + 1)
        pictures.append(picture.round().astype(np.uint8))
    return np.stack(pictures)


def _make(clip: Clip, faces: FacesConfig | None, file: Path | None) -> Gray:
    cv2.setNumThreads(1)
    made = resample(clip if faces is None else aligned_frames(clip, faces))
    if file is not None:
        write_arrays(file, {"gray": made})
    return made


def _stored(file: Path | None) -> Gray | None:
    arrays = read_arrays(file, "gray") if file is not None else None
    if arrays is None or arrays["gray"].shape != (LENGTH, SIDE_PX, SIDE_PX):
        return None
    stored: Gray = arrays["gray"]
    return stored
