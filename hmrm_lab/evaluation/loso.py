"""Leave-one-subject-out: one unit of work per fold and seed, each written once."""

import hashlib
import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from joblib import Parallel, delayed

from hmrm_lab.config import ExperimentConfig
from hmrm_lab.evaluation.epoch_rules import RULES, Answer, Task
from hmrm_lab.evaluation.splits import Fold, leave_one_subject_out
from hmrm_lab.process import settle_process
from hmrm_lab.records import PROBABILITIES, FlowSet
from hmrm_lab.store import RunFolder

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Unit:
    """One fold under one seed."""

    fold: Fold
    seed: int


def run_loso(
    config: ExperimentConfig,
    flowset: FlowSet,
    run: RunFolder,
    *,
    jobs: int = 1,
    device: str = "cpu",
    on_progress: Progress | None = None,
) -> None:
    """Do every unit that the run folder lacks; what is there is never computed again.

    `jobs` processes of one thread each. The numbers do not depend on it.
    """
    units = [
        Unit(fold, seed)
        for seed in config.evaluation.seeds
        for fold in leave_one_subject_out(flowset)
    ]
    missing = [unit for unit in units if not run.has_unit(unit.fold.name, unit.seed)]
    done = len(units) - len(missing)
    if on_progress:
        on_progress(done, len(units))
    for unit, result in _results(config, flowset, missing, jobs, device):
        run.write_unit(unit.fold.name, unit.seed, result)
        done += 1
        if on_progress:
            on_progress(done, len(units))


def _results(
    config: ExperimentConfig, flowset: FlowSet, units: list[Unit], jobs: int, device: str
) -> Iterator[tuple[Unit, dict[str, Any]]]:
    if jobs == 1 or len(units) < 2:
        for unit in units:
            yield unit, run_unit(config, flowset, unit, device)
        return
    pool = Parallel(n_jobs=min(jobs, len(units)), return_as="generator_unordered", batch_size=1)
    yield from pool(delayed(_numbered)(config, flowset, unit, device) for unit in units)


def _numbered(
    config: ExperimentConfig, flowset: FlowSet, unit: Unit, device: str
) -> tuple[Unit, dict[str, Any]]:
    return unit, run_unit(config, flowset, unit, device)


def run_unit(
    config: ExperimentConfig, flowset: FlowSet, unit: Unit, device: str = "cpu"
) -> dict[str, Any]:
    """Train on all subjects but one, then open the one that was sealed."""
    settle_process()
    started = time.perf_counter()
    train = flowset.take(unit.fold.train)
    if config.evaluation.control == "shuffled_labels":
        train = shuffle_labels(train, unit.seed)
    task = Task(
        config,
        train,
        unseal=lambda: flowset.take(unit.fold.test),
        seed=unit_seed(unit.fold.name, unit.seed),
        device=device,
    )
    answer = RULES[config.evaluation.epoch_rule](task)
    return _record(unit, answer, flowset.take(unit.fold.test), time.perf_counter() - started)


def unit_seed(fold: str, seed: int) -> int:
    """A seed of its own for every fold and seed, whatever the order of work."""
    return int.from_bytes(hashlib.sha256(f"{fold}\0{seed}".encode()).digest()[:4])


def shuffle_labels(train: FlowSet, seed: int) -> FlowSet:
    """The control: training labels permuted among the clips, so that there is nothing to learn."""
    order = np.random.default_rng([seed, len(train)]).permutation(len(train))
    return train.with_labels(train.labels[order])


def _record(unit: Unit, answer: Answer, test: FlowSet, seconds: float) -> dict[str, Any]:
    rows = [
        {
            "dataset": key.dataset,
            "subject": key.subject,
            "clip": key.clip,
            "fold": unit.fold.name,
            "seed": unit.seed,
            "epoch": answer.epoch,
            "truth": int(truth),
            "prediction": int(p.argmax()),
            **{name: round(float(value), 6) for name, value in zip(PROBABILITIES, p, strict=True)},
        }
        for key, truth, p in zip(test.keys, test.labels, answer.probabilities, strict=True)
    ]
    return {
        "fold": unit.fold.name,
        "seed": unit.seed,
        "predictions": rows,
        "losses": [round(loss, 6) for loss in answer.fitted.losses],
        "motionmix_partners": list(answer.fitted.partners),
        "seconds": round(seconds, 3),
        "peak_mb": _peak_mb(),
        "process": os.getpid(),
    }


def _peak_mb() -> float:
    """Peak memory of this process so far."""
    import resource

    scale = 2**20 if sys.platform == "darwin" else 2**10
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / scale, 1)
