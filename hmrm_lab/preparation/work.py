"""Work on many clips: what is stored is taken, what is missing is made by several processes."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from joblib import delayed

from hmrm_lab.process import workers
from hmrm_lab.store import check_cache

T = TypeVar("T")
Progress = Callable[[int, int], None]


def no_progress(done: int, total: int) -> None:
    """Tells nobody."""


def make_missing(
    stored: Sequence[T | None],
    make: Callable[..., T],
    arguments: Sequence[tuple[Any, ...]],
    *,
    jobs: int,
    on_progress: Progress = no_progress,
) -> list[T]:
    """What is stored, and `make(*arguments[n])` where `stored[n]` is None, in the given order.

    Raises
    ------
    InputError
        If something has to be made, and the cache cannot be written.
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
