"""Arrays on disk, named by a digest of everything that they depend on."""

import hashlib
import io
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from joblib import delayed

from hmrm_lab.runtime.processes import workers
from hmrm_lab.runtime.store import cache_folder, check_cache, write_atomic_bytes

Arrays = dict[str, Any]


def digest_of(*parts: object) -> str:
    """24 hexadecimal digits for the text of these parts."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(f"{part}\0".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()[:24]


def cache_file(kind: str, name: str) -> Path:
    """The file for arrays of this kind and digest."""
    return cache_folder() / kind / name[:2] / f"{name}.npz"


def write_arrays(file: Path, arrays: Arrays, *, compress: bool = False) -> None:
    """Write arrays to a file, atomically; the same arrays give the same bytes."""
    buffer = io.BytesIO()
    save = np.savez_compressed if compress else np.savez
    save(buffer, **arrays)
    write_atomic_bytes(file, buffer.getvalue())


def read_arrays(file: Path, *names: str) -> Arrays | None:
    """The arrays of a file, or `names` of them; None if it is missing or damaged."""
    try:
        with np.load(file, allow_pickle=False) as arrays:  # noqa: TID251
            found = {name: arrays[name] for name in names or arrays.files}
    except (OSError, KeyError, ValueError, EOFError, MemoryError, zipfile.BadZipFile):
        return None
    return found if all(isinstance(array, np.ndarray) for array in found.values()) else None


T = TypeVar("T")
Progress = Callable[[int, int], None]


def no_progress(done: int, total: int) -> None:
    """Report nothing."""


def make_missing(
    stored: Sequence[T | None],
    make: Callable[..., T],
    arguments: Sequence[tuple[Any, ...]],
    *,
    jobs: int,
    on_progress: Progress = no_progress,
) -> list[T]:
    """The stored results, completed with `make(*arguments[n])` where `stored[n]` is None.

    Raises
    ------
    InputError
        If a result is missing, and the cache cannot be written.
    """
    results = list(stored)
    missing = [number for number, result in enumerate(stored) if result is None]
    if missing:
        check_cache()
    done = len(stored) - len(missing)
    pool = workers(min(jobs, len(missing)), "generator")
    made = pool(delayed(make)(*arguments[number]) for number in missing)
    for number, result in zip(missing, made, strict=True):
        results[number] = result
        done += 1
        on_progress(done, len(stored))
    return [result for result in results if result is not None]
