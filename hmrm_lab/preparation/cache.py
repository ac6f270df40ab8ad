"""Arrays on disk, named by a digest of everything that they depend on."""

import hashlib
import io
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import cv2
import numpy as np
from joblib import delayed

from hmrm_lab.errors import InputError
from hmrm_lab.faces.align import AlignedFrames
from hmrm_lab.records import Clip
from hmrm_lab.runtime.processes import workers
from hmrm_lab.runtime.store import cache_folder, check_cache, write_atomic_bytes

Arrays = dict[str, Any]
Outcome = Arrays | InputError
"""The arrays of a clip by name, or the error of a frame that cannot be read."""
Progress = Callable[[int, int], None]


@runtime_checkable
class IdentifiedFrames(Protocol):
    """Frames that can be told from all others without being read: of a file, or drawn."""

    def identity(self, index: int) -> str: ...


def digest_of(*parts: object) -> str:
    """24 hexadecimal digits for the text of these parts."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(f"{part}\0".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()[:24]


def clip_file(kind: str, clip: Clip, *depends_on: object) -> Path:
    """The file of what is made of a clip, named by its frames and marks, and by these settings.

    Frames are told by what they are read or drawn from, others by their pixels.
    """
    frames, crop = clip.frames, ""
    numbers = range(clip.onset, clip.offset + 1)
    if isinstance(frames, AlignedFrames) and frames.track is None:
        crop = f" {frames.to_crop.matrix().tolist()}"
        frames = frames.frames
    if isinstance(frames, IdentifiedFrames):
        known = [f"{frames.identity(number)}{crop}" for number in numbers]
    else:
        known = [clip.frames[number].tobytes().hex() for number in numbers]
    marks = (*clip.key, clip.onset, clip.apex, clip.offset)
    digest = digest_of(*depends_on, marks, *known)
    return cache_folder() / kind / digest[:2] / f"{digest}.npz"


def write_arrays(file: Path, arrays: Arrays) -> None:
    """Write arrays to a file, atomically; the same arrays give the same bytes."""
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    write_atomic_bytes(file, buffer.getvalue())


def read_arrays(file: Path, *names: str) -> Arrays | None:
    """The arrays of a file, or `names` of them; None if there is none, or it is damaged."""
    try:
        with np.load(file, allow_pickle=False) as arrays:  # noqa: TID251
            found = {name: arrays[name] for name in names or arrays.files}
    except (OSError, KeyError, ValueError, EOFError, MemoryError, zipfile.BadZipFile):
        return None
    return found if all(isinstance(array, np.ndarray) for array in found.values()) else None


def no_progress(done: int, total: int) -> None:
    """Report nothing."""


def make_all(
    make: Callable[[Clip], Arrays],
    clips: Sequence[Clip],
    files: Sequence[Path],
    *names: str,
    jobs: int = 1,
    on_progress: Progress = no_progress,
) -> list[Outcome]:
    """What `make` makes of each clip, or `names` of it: from its file, or by `jobs` processes.

    Every clip is written as soon as it is made, so that an interrupted computation resumes. Raises
    an `InputError` if something is missing, and the cache cannot be written.
    """
    found: list[Outcome | None] = [read_arrays(file, *names) for file in files]
    missing = [number for number, arrays in enumerate(found) if arrays is None]
    if missing:
        check_cache()
    done = len(files) - len(missing)
    pool = workers(min(jobs, len(missing)), "generator")
    made = pool(delayed(_make)(make, clips[number], files[number], names) for number in missing)
    for number, outcome in zip(missing, made, strict=True):
        found[number] = outcome
        done += 1
        on_progress(done, len(files))
    return [outcome for outcome in found if outcome is not None]


def _make(
    make: Callable[[Clip], Arrays], clip: Clip, file: Path, names: tuple[str, ...]
) -> Outcome:
    cv2.setNumThreads(1)
    try:
        arrays = make(clip)
    except InputError as error:
        return error
    write_arrays(file, arrays)
    return {name: arrays[name] for name in names or arrays}
