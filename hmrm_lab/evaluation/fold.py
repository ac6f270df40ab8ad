"""Train and test one fold under one seed, in whatever process; a failure is a result as well.

`diverged`  the loss is not finite. The same numbers would come again: never tried again.
`memory`    there was not enough. Tried once more, alone, in a fresh process.
`crashed`   the process died, or an unexpected exception was raised. Tried once more likewise.

Nothing is made smaller for the second attempt: the batch is part of the recipe, and another batch
would be another result.
"""

import errno
import hashlib
import os
import sys
import time
import traceback
from collections.abc import Callable, Generator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hmrm_lab.config import ExperimentConfig
from hmrm_lab.errors import DiskFullError, DivergedError, InputError
from hmrm_lab.evaluation.cost import time_inference
from hmrm_lab.evaluation.epoch_rules import RULES, Answer, Task
from hmrm_lab.evaluation.fold_progress import RunningFold
from hmrm_lab.evaluation.protocols import Fold
from hmrm_lab.evaluation.significance import permuted
from hmrm_lab.records import FlowSet, digest_of_keys, probability_columns
from hmrm_lab.runtime.processes import settle_process
from hmrm_lab.runtime.store import RunFolder, refuse_full_disk

DIVERGED, MEMORY, CRASHED = "diverged", "memory", "crashed"
MEMORY_WORDS = ("out of memory", "can't allocate memory", "cannot allocate memory")
LONGEST_REASON = 300


@dataclass(frozen=True)
class FoldRun:
    """One fold under one seed."""

    fold: Fold
    seed: int


@dataclass(frozen=True)
class Failure:
    """Why a fold has no result. `traceback` is kept for unexpected exceptions."""

    kind: str
    reason: str
    attempts: int = 1
    traceback: str | None = None

    @property
    def worth_another_try(self) -> bool:
        return self.kind != DIVERGED and self.attempts == 1

    def as_record(self) -> dict[str, Any]:
        return asdict(self)


Work = Callable[[FoldRun, str], dict[str, Any]]  # from a fold and its device to its record
Outcome = dict[str, Any] | Failure
Outcomes = Generator[tuple[FoldRun, Outcome], None, None]  # of an executor, in any order


def attempt(work: Work, unit: FoldRun, device: str) -> Outcome:
    """Return the record of a fold, or why there is none.

    Raises
    ------
    InputError, DiskFullError
        Which every other fold would raise as well.
    """
    try:
        return work(unit, device)
    except (InputError, DiskFullError):
        raise
    except Exception as error:  # noqa: BLE001  the other folds go on
        name = getattr(error, "filename", None)
        refuse_full_disk(error, Path(str(name)).parent if name else Path.cwd())
        return failure_of(error)


def failure_of(error: Exception) -> Failure:
    """Describe an exception: its kind, and one sentence."""
    if isinstance(error, DivergedError):
        return Failure(DIVERGED, str(error))
    message = " ".join(str(error).split()) or "no message"
    reason = f"{type(error).__name__}: {message}"[:LONGEST_REASON]
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


def run_fold(
    config: ExperimentConfig,
    flowset: FlowSet,
    unit: FoldRun,
    device: str = "cpu",
    *,
    run: RunFolder | None = None,
) -> dict[str, Any]:
    """Train on the training clips of a fold, then predict its test clips.

    Where the folder of the run can be reached, progress is written to it, and training resumes from
    the checkpoint there.
    """
    settle_process(device)
    started = time.perf_counter()
    train = control_labels(config, flowset.take(unit.fold.train), unit.seed)
    task = Task(
        config,
        train,
        load_test_set=lambda: flowset.take(unit.fold.test),
        seed=fold_seed(unit.fold.name, unit.seed),
        run_seed=unit.seed,
        device=device,
        files=RunningFold(run, unit.fold.name, unit.seed) if run and run.path.is_dir() else None,
    )
    answer = RULES[config.evaluation.epoch_rule](task)
    seconds = time.perf_counter() - started
    test = flowset.take(unit.fold.test)
    costs = {"seconds": round(seconds, 3), "peak_mb": _peak_mb()}
    if 0 in unit.fold.test:  # one fold is enough: it takes HMRM as long as an epoch
        costs["inference_ms"] = round(time_inference(answer.fitted.classify, test), 4)
    epoch_predictions = (
        {}
        if answer.epoch_predictions is None
        else {"epoch_predictions": answer.epoch_predictions.tolist()}
    )
    return {
        "fold": unit.fold.name,
        "seed": unit.seed,
        "predictions": _rows(unit, answer, test),
        **epoch_predictions,
        "losses": [round(loss, 6) for loss in answer.fitted.losses],
        # The subjects and clips that took part in the training, for the audit.
        "training_persons": sorted(set(train.subjects)),
        "training_clips": len(train),
        "training_digest": digest_of_keys(train.keys),
        "motionmix_partners": list(answer.fitted.partners),
        "normalisation": config.input.normalise,
        "normalisation_persons": sorted(answer.fitted.statistics),
        **costs,
        "process": os.getpid(),
        "device": device,
    }


def fold_seed(fold: str, seed: int) -> int:
    """Derive a seed for a fold, the same in whatever order folds are computed."""
    return int.from_bytes(hashlib.sha256(f"{fold}\0{seed}".encode()).digest()[:4])


def control_labels(config: ExperimentConfig, train: FlowSet, seed: int) -> FlowSet:
    """Permute the training labels where the run is a control, so that nothing can be learnt.

    They are permuted among all clips, or among those of each subject, which keeps the subject's
    most frequent class.
    """
    rng = np.random.default_rng([seed, len(train)])
    if config.evaluation.control == "shuffled_labels":
        return train.with_labels(train.labels[rng.permutation(len(train))])
    if config.evaluation.control == "shuffled_within_subjects":
        subjects = np.unique(train.subjects, return_inverse=True)[1]
        return train.with_labels(permuted(train.labels, subjects, 1, rng)[0])
    return train


def _rows(unit: FoldRun, answer: Answer, test: FlowSet) -> list[dict[str, Any]]:
    columns = probability_columns(test.classes)
    return [
        {
            **key._asdict(),
            "fold": unit.fold.name,
            "seed": unit.seed,
            "epoch": answer.epoch,
            "truth": int(truth),
            "prediction": int(p.argmax()),
            **{name: round(float(value), 6) for name, value in zip(columns, p, strict=True)},
        }
        for key, truth, p in zip(test.keys, test.labels, answer.probabilities, strict=True)
    ]


def _peak_mb() -> float | None:
    """Peak memory of this process so far; None on Windows."""
    if sys.platform == "win32":
        return None
    import resource

    scale = 2**20 if sys.platform == "darwin" else 2**10
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / scale, 1)
