"""Train and test one fold under one seed, in whatever process; a failure is a result as well.

An epoch rule says which epoch's model predicts the held-out subjects:

`last`            the model after the last epoch; nothing is chosen.
`inner_subjects`  the epoch that does best on held-back *training* subjects; then all training clips
                  are fitted up to that epoch, on the same schedule of the learning rate.
`oracle_test`     the epoch that does best on the test subject itself, as much of the literature
                  does. It peeks: its numbers cannot be reached on a subject never seen.
`none`            reported of an estimator without epochs, which every rule fits alike.

A fold without a result has `diverged` (the same numbers would come again), had not enough `memory`,
or has `crashed`. The last two are tried once more, alone, in a fresh process, with nothing made
smaller: another batch would be another result.
"""

import errno
import hashlib
import math
import os
import sys
import time
import traceback
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from hmrm_lab.config import ExperimentConfig
from hmrm_lab.errors import DiskFullError, DivergedError, InputError
from hmrm_lab.evaluation.cost import time_inference
from hmrm_lab.evaluation.metrics import confusion, uf1
from hmrm_lab.evaluation.protocols import Fold, inner_subject_folds
from hmrm_lab.evaluation.significance import permuted
from hmrm_lab.records import CODED, Floats, FlowSet, Ints, digest_of_keys, probability_columns
from hmrm_lab.runtime.processes import settle_process
from hmrm_lab.runtime.store import RunFolder, refuse_full_disk
from hmrm_lab.training.checkpoint import RunningFold
from hmrm_lab.training.stacked import FoldToFit, fit_stack
from hmrm_lab.training.system_inputs import has_epochs
from hmrm_lab.training.trainer import Classifier, Fitted, fit

INNER_FOLDS = 4  # the first of four: a quarter of the training subjects is held back
DIVERGED, MEMORY, CRASHED = "diverged", "memory", "crashed"
MEMORY_WORDS = ("out of memory", "can't allocate memory", "cannot allocate memory")
LONGEST_REASON = 300


class FoldRun(NamedTuple):
    fold: Fold
    seed: int


@dataclass(frozen=True)
class Failure:
    kind: str
    reason: str
    attempts: int = 1
    traceback: str | None = None  # of unexpected exceptions


Work = Callable[[Any, str], dict[str, Any]]  # from a fold, or a stack of some, and its device
Outcome = dict[str, Any] | Failure
Outcomes = Generator[tuple[Any, Outcome], None, None]  # closing it ends the folds in work
Executor = Callable[..., Outcomes]
"""`execute(work, folds, alone=False)`; `alone` is for a second attempt, in a new process."""


class Answer(NamedTuple):
    fitted: Fitted
    epoch: int
    probabilities: Floats  # (n, K + U): classes, then learnt action units
    epoch_predictions: Ints | None = None  # classes after every epoch (epochs, n), if it peeks


@dataclass(frozen=True)
class Task:
    config: ExperimentConfig
    train: FlowSet
    load_test_set: Callable[[], FlowSet]  # only `oracle_test` does before training has ended
    seed: int
    run_seed: int | None = None  # common to all folds (default: `seed`)
    device: str = "cpu"
    files: RunningFold | None = None  # of its progress and its checkpoint
    trained: Fitted | None = None  # in a stack, by the rule `last`

    def fit(self, train: FlowSet, *, stage: str = "", **options: Any) -> Fitted:
        """Train on these clips; a training that another one follows has the name of its stage."""
        if self.trained:
            return self.trained
        checkpoint = self.files.checkpoint(stage) if self.files else None
        options |= {"run_seed": self.run_seed, "device": self.device, "checkpoint": checkpoint}
        return fit(self.config, train, seed=self.seed, **options)


def last(task: Task) -> Answer:
    fitted = task.fit(task.train)
    return Answer(fitted, len(fitted.losses), fitted.probabilities(task.load_test_set()))


def inner_subjects(task: Task) -> Answer:
    if not has_epochs(task.config):
        return last(task)
    inner = next(inner_subject_folds(task.train, INNER_FOLDS, task.seed))
    held_back, k = task.train.take(inner.test), len(task.train.classes)

    def score(classify: Classifier) -> float:
        guesses = classify(held_back)[:, :k].argmax(1).astype(np.int64)
        return float(uf1(confusion(held_back.labels, guesses, k)))

    tried = task.fit(task.train.take(inner.train), stage="inner", probe=score)
    best = int(np.argmax(tried.probes)) + 1
    fitted = task.fit(task.train, epochs=best)
    return Answer(fitted, best, fitted.probabilities(task.load_test_set()))


def oracle_test(task: Task) -> Answer:
    if not has_epochs(task.config):
        return last(task)
    test = task.load_test_set()
    fitted = task.fit(task.train, probe=lambda classify: classify(test).tolist())
    seen = np.array(fitted.probes, dtype=np.float32)  # (epochs, n, K + U)
    guesses = seen[..., : len(test.classes)].argmax(-1)
    best = int((guesses == test.labels).sum(-1).argmax())
    return Answer(fitted, best + 1, seen[best], epoch_predictions=guesses)


RULES: dict[str, Callable[[Task], Answer]] = {
    rule.__name__: rule for rule in (last, inner_subjects, oracle_test)
}
PEEKING = frozenset({"oracle_test"})
NO_RULE = "none"


def rule_of(config: ExperimentConfig) -> str:
    """Name the rule that chose the epoch; `none` for an estimator without epochs."""
    return config.evaluation.epoch_rule if has_epochs(config) else NO_RULE


def run_fold(
    config: ExperimentConfig,
    flowset: FlowSet,
    unit: FoldRun,
    device: str = "cpu",
    *,
    run: RunFolder | None = None,
    trained: Fitted | None = None,
) -> dict[str, Any]:
    """Train on the training clips of a fold, then predict its test clips: its record."""
    settle_process(device)
    started = time.perf_counter()
    name, seed = unit.fold.name, unit.seed
    train = control_labels(config, flowset.take(unit.fold.train), seed)
    files = RunningFold(run, name, seed) if run and run.path.is_dir() else None
    load = partial(flowset.take, unit.fold.test)
    task = Task(config, train, load, fold_seed(name, seed), seed, device, files, trained)
    answer = RULES[config.evaluation.epoch_rule](task)
    record: dict[str, Any] = {"seconds": round(time.perf_counter() - started, 3)}
    test = flowset.take(unit.fold.test)
    record["peak_mb"] = _peak_mb()
    if 0 in unit.fold.test:  # one fold is enough: it takes HMRM as long as an epoch
        record["inference_ms"] = round(time_inference(answer.fitted.classify, test), 4)
    if answer.epoch_predictions is not None:
        record["epoch_predictions"] = answer.epoch_predictions.tolist()
    k, units = len(test.classes), answer.fitted.action_units
    names = [f"AU{unit}" for unit in units]
    columns = [*probability_columns(test.classes), *names]
    codings = [[int(c) if c >= 0 else None for c in row] for row in test.coding_of(units)]
    rows = [
        {
            **key._asdict(),
            "fold": name,
            "seed": seed,
            "epoch": answer.epoch,
            "truth": int(truth),
            "prediction": int(p[:k].argmax()),
            **{column: round(float(value), 6) for column, value in zip(columns, p, strict=True)},
            **{f"{name}{CODED}": value for name, value in zip(names, coding, strict=True)},
        }
        for key, truth, p, coding in zip(
            test.keys, test.labels, answer.probabilities, codings, strict=True
        )
    ]
    return {
        "fold": name,
        "seed": seed,
        "predictions": rows,
        "losses": [round(loss, 6) for loss in answer.fitted.losses],
        # The subjects and clips that took part in the training, for the audit.
        "training_persons": sorted(set(train.subjects)),
        "training_clips": len(train),
        "training_digest": digest_of_keys(train.keys),
        "motionmix_partners": list(answer.fitted.partners),
        "normalisation": config.input.normalise,
        "normalisation_persons": sorted(answer.fitted.statistics),
        **record,
        "process": os.getpid(),
        "device": device,
    }


def run_stack(
    config: ExperimentConfig,
    flowset: FlowSet,
    stack: Sequence[FoldRun],
    device: str = "cpu",
    *,
    run: RunFolder,
) -> dict[str, Any]:
    """Compute folds as `run_fold` does, trained as one model: their `outcomes`, in this order."""
    settle_process(device)
    started, folds = time.perf_counter(), []
    files = [RunningFold(run, unit.fold.name, unit.seed).checkpoint("stack") for unit in stack]
    outcomes: list[Outcome] = []
    for fold, name, seed in ((unit.fold, unit.fold.name, unit.seed) for unit in stack):
        train = control_labels(config, flowset.take(fold.train), seed)
        folds.append(FoldToFit(train, fold_seed(name, seed), seed))

    def tell(done: int, epochs: int, losses: Sequence[float]) -> None:
        for file, loss in zip(files, losses, strict=True):
            if math.isfinite(loss):
                file.tell(done, epochs, loss)

    checkpoint = replace(files[0], tell=tell)
    trained = fit_stack(config, folds, device=device, checkpoint=checkpoint)
    share_s = round((time.perf_counter() - started) / len(stack), 3)
    for unit, fitted in zip(stack, trained, strict=True):
        if isinstance(fitted, DivergedError):
            outcomes.append(failure_of(fitted))
            continue
        record = run_fold(config, flowset, unit, device, trained=fitted)
        outcomes.append(record | {"seconds": share_s, "stacked": len(stack)})
    return {"outcomes": outcomes}


def history_of(units: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """The training loss per epoch in records of folds: columns fold, seed, epoch, loss."""
    rows = [
        (unit["fold"], unit["seed"], epoch, loss)
        for unit in units
        for epoch, loss in enumerate(unit["losses"], start=1)
    ]
    return pd.DataFrame(rows, columns=["fold", "seed", "epoch", "loss"])


def fold_seed(fold: str, seed: int) -> int:
    """Derive a seed for a fold, the same in whatever order folds are computed."""
    return int.from_bytes(hashlib.sha256(f"{fold}\0{seed}".encode()).digest()[:4])


def control_labels(config: ExperimentConfig, train: FlowSet, seed: int) -> FlowSet:
    """Permute labels and action units where the run is a control, so that nothing can be learnt."""
    rng, rows = np.random.default_rng([seed, len(train)]), np.arange(len(train))
    if config.evaluation.control == "none":
        return train
    if config.evaluation.control == "shuffled_labels":
        rows = rng.permutation(rows)
    else:
        subjects = np.unique(train.subjects, return_inverse=True)[1]
        rows = permuted(rows, subjects, 1, rng)[0]
    units = None if train.action_units is None else train.action_units[rows]
    return replace(train, labels=train.labels[rows], action_units=units)


def _peak_mb() -> float | None:
    if sys.platform == "win32":
        return None
    import resource

    scale = 2**20 if sys.platform == "darwin" else 2**10
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / scale, 1)


def attempt(work: Work, unit: FoldRun, device: str) -> Outcome:
    try:
        return work(unit, device)
    except (InputError, DiskFullError):  # which every other fold would raise as well
        raise
    except Exception as error:  # noqa: BLE001  the other folds go on
        name = getattr(error, "filename", None)
        refuse_full_disk(error, Path(str(name)).parent if name else Path.cwd())
        return failure_of(error)


def failure_of(error: Exception) -> Failure:
    if isinstance(error, DivergedError):
        return Failure(DIVERGED, str(error))
    message = " ".join(str(error).split()) or "no message"
    reason = f"{type(error).__name__}: {message}"[:LONGEST_REASON]
    if isinstance(error, RuntimeError):
        full = any(sign in message.lower() for sign in MEMORY_WORDS)
    else:
        full = getattr(error, "errno", None) == errno.ENOMEM or isinstance(error, MemoryError)
    if full:
        return Failure(MEMORY, reason)
    return Failure(CRASHED, reason, traceback="".join(traceback.format_exception(error)))
