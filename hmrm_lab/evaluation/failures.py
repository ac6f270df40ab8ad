"""What a unit that does not end well leaves: its kind, one sentence, and whether to try again.

`diverged`  the loss is not finite. The same numbers would come again: never tried again.
`memory`    there was not enough. Tried once more, alone, in a fresh process.
`crashed`   the process died, or an exception that nobody expected. Tried once more likewise.

Nothing is made smaller for the second attempt: the batch is part of the recipe, and another batch
would be another result.
"""

import errno
import traceback
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from hmrm_lab.errors import DiskFullError, DivergedError, InputError
from hmrm_lab.evaluation.fold import Unit
from hmrm_lab.runtime.store import refuse_full_disk

DIVERGED, MEMORY, CRASHED = "diverged", "memory", "crashed"
MEMORY_WORDS = ("out of memory", "can't allocate memory", "cannot allocate memory")
LONGEST_REASON = 300

Work = Callable[[Unit, str], dict[str, Any]]  # a unit and its device to the unit's result


@dataclass(frozen=True)
class Failure:
    """Why a unit has no result. `traceback` is there for exceptions that nobody expected."""

    kind: str
    reason: str
    attempts: int = 1
    traceback: str | None = None

    @property
    def worth_another_try(self) -> bool:
        return self.kind != DIVERGED and self.attempts == 1

    def as_record(self) -> dict[str, Any]:
        return asdict(self)


Outcome = dict[str, Any] | Failure


def attempt(work: Work, unit: Unit, device: str) -> Outcome:
    """The result of a unit, or why there is none.

    Raises what no other unit would escape either: `InputError` and `DiskFullError`.
    """
    try:
        return work(unit, device)
    except (InputError, DiskFullError):
        raise
    except Exception as error:  # noqa: BLE001  the other units go on
        refuse_full_disk(error, _folder_of(error))
        return failure_of(error)


def failure_of(error: Exception) -> Failure:
    """The kind and the sentence of what a unit raised."""
    if isinstance(error, DivergedError):
        return Failure(DIVERGED, str(error))
    said = " ".join(str(error).split()) or "no message"
    reason = f"{type(error).__name__}: {said}"[:LONGEST_REASON]
    if _means_memory(error):
        return Failure(MEMORY, reason)
    return Failure(CRASHED, reason, traceback="".join(traceback.format_exception(error)))


def _means_memory(error: Exception) -> bool:
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    words = str(error).lower()
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and any(sign in words for sign in MEMORY_WORDS)
    )


def _folder_of(error: Exception) -> Path:
    """Where a file could not be written, as far as the error says."""
    name = getattr(error, "filename", None)
    return Path(str(name)).parent if name else Path.cwd()
