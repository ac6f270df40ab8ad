"""Arrays on disk, named by a digest of everything that they depend on."""

import hashlib
import io
import zipfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar, runtime_checkable

import numpy as np
from joblib import delayed

from hmrm_lab.records import Clip
from hmrm_lab.runtime.processes import workers
from hmrm_lab.runtime.store import cache_folder, check_cache, write_atomic_bytes

Arrays = dict[str, Any]
T = TypeVar("T")
Progress = Callable[[int, int], None]


@runtime_checkable
class IdentifiedFrames(Protocol):
    """Frames from files, whose content the settings do not determine."""

    def identity(self, index: int) -> str: ...


def frame_identities(clip: Clip, numbers: Iterable[int]) -> list[str]:
    """The identities of frames; empty for drawn clips, which the settings determine."""
    frames = clip.frames
    return [frames.identity(n) for n in numbers] if isinstance(frames, IdentifiedFrames) else []


def digest_of(*parts: object) -> str:
    """24 hexadecimal digits for the text of these parts."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(f"{part}\0".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()[:24]


def cache_file(kind: str, digest: str) -> Path:
    return cache_folder() / kind / digest[:2] / f"{digest}.npz"


def file_for(kind: str, clip: Clip, digest: str) -> Path | None:
    """The cache file for a clip; None for drawn clips, which are cached by data set."""
    return cache_file(kind, digest) if isinstance(clip.frames, IdentifiedFrames) else None


def write_arrays(file: Path, arrays: Arrays, *, compress: bool = False) -> None:
    """Write arrays to a file, atomically; the same arrays give the same bytes."""
    buffer = io.BytesIO()
    save = np.savez_compressed if compress else np.savez
    save(buffer, **arrays)
    write_atomic_bytes(file, buffer.getvalue())


def read_arrays(file: Path | None, *names: str) -> Arrays | None:
    """The arrays of a file, or `names` of them; None if there is none, or it is damaged."""
    if file is None:
        return None
    try:
        with np.load(file, allow_pickle=False) as arrays:  # noqa: TID251
            found = {name: arrays[name] for name in names or arrays.files}
    except (OSError, KeyError, ValueError, EOFError, MemoryError, zipfile.BadZipFile):
        return None
    return found if all(isinstance(array, np.ndarray) for array in found.values()) else None


def no_progress(done: int, total: int) -> None:
    """Report nothing."""


def make_missing(
    stored: Sequence[T | None],
    make: Callable[..., T],
    *arguments: Sequence[Any],
    jobs: int,
    on_progress: Progress = no_progress,
) -> list[T]:
    """The stored results, and `make` of the n-th of these arguments where the n-th is None.

    Raises an `InputError` if a result is missing, and the cache cannot be written.
    """
    results = list(stored)
    missing = [number for number, result in enumerate(stored) if result is None]
    if missing:
        check_cache()
    done = len(stored) - len(missing)
    pool = workers(min(jobs, len(missing)), "generator")
    made = pool(delayed(make)(*(of[number] for of in arguments)) for number in missing)
    for number, result in zip(missing, made, strict=True):
        results[number] = result
        done += 1
        on_progress(done, len(stored))
    return [result for result in results if result is not None]
