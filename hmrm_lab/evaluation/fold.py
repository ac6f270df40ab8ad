"""The unit of work: one fold under one seed, trained and answered, whatever process does it."""

import hashlib
import os
import sys
import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from hmrm_lab.config import ExperimentConfig
from hmrm_lab.evaluation.cost import time_inference
from hmrm_lab.evaluation.epoch_rules import RULES, Answer, Task
from hmrm_lab.evaluation.fold_progress import Desk
from hmrm_lab.evaluation.peeking import permuted
from hmrm_lab.evaluation.splits import Fold
from hmrm_lab.records import FlowSet, digest_of_keys, probability_columns
from hmrm_lab.runtime.processes import settle_process
from hmrm_lab.runtime.store import RunFolder


@dataclass(frozen=True)
class Unit:
    """One fold under one seed."""

    fold: Fold
    seed: int


def run_unit(
    config: ExperimentConfig,
    flowset: FlowSet,
    unit: Unit,
    device: str = "cpu",
    *,
    run: RunFolder | None = None,
) -> dict[str, Any]:
    """Train on all subjects but one, then open the one that was sealed.

    In the folder of the run, if it sees it, it says how far it is, and goes on from where an
    earlier process was cut off.
    """
    settle_process(device)
    started = time.perf_counter()
    train = flowset.take(unit.fold.train)
    train = control_labels(config, train, unit.seed)
    task = Task(
        config,
        train,
        unseal=lambda: flowset.take(unit.fold.test),
        seed=unit_seed(unit.fold.name, unit.seed),
        run_seed=unit.seed,
        device=device,
        desk=Desk(run, unit.fold.name, unit.seed) if run and run.path.is_dir() else None,
    )
    answer = RULES[config.evaluation.epoch_rule](task)
    seconds = time.perf_counter() - started
    test = flowset.take(unit.fold.test)
    costs = {
        "seconds": round(seconds, 3),
        "peak_mb": _peak_mb(),
    }
    if 0 in unit.fold.test:  # one fold is enough: it takes HMRM as long as an epoch
        costs["inference_ms"] = round(time_inference(answer.fitted.classify, test), 4)
    account = _account(config, train, answer)
    return (
        _record(unit, answer, test) | account | costs | {"process": os.getpid(), "device": device}
    )


def unit_seed(fold: str, seed: int) -> int:
    """A seed of its own for every fold and seed, whatever the order of work."""
    return int.from_bytes(hashlib.sha256(f"{fold}\0{seed}".encode()).digest()[:4])


def control_labels(config: ExperimentConfig, train: FlowSet, seed: int) -> FlowSet:
    """The training clips, in a control with labels permuted, so that there is nothing to learn.

    Among all clips; or among those of each subject, whose most frequent class stays what it was.
    """
    rng = np.random.default_rng([seed, len(train)])
    if config.evaluation.control == "shuffled_labels":
        return train.with_labels(train.labels[rng.permutation(len(train))])
    if config.evaluation.control == "shuffled_within_subjects":
        subjects = np.unique(train.persons, return_inverse=True)[1]
        return train.with_labels(permuted(train.labels, subjects, 1, rng)[0])
    return train


def _account(config: ExperimentConfig, train: FlowSet, answer: Answer) -> dict[str, Any]:
    """Whose clips had a part in the training: what an audit reads."""
    return {
        "training_persons": sorted(set(train.persons)),
        "training_clips": len(train),
        "training_digest": digest_of_keys(train.keys),
        "motionmix_partners": list(answer.fitted.partners),
        "normalisation": config.input.normalise,
        "normalisation_persons": sorted(answer.fitted.statistics),
    }


def _record(unit: Unit, answer: Answer, test: FlowSet) -> dict[str, Any]:
    columns = probability_columns(test.classes)
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
            **{name: round(float(value), 6) for name, value in zip(columns, p, strict=True)},
        }
        for key, truth, p in zip(test.keys, test.labels, answer.probabilities, strict=True)
    ]
    looks = {} if answer.looks is None else {"looks": answer.looks.tolist()}
    return {
        "fold": unit.fold.name,
        "seed": unit.seed,
        "predictions": rows,
        **looks,
        "losses": [round(loss, 6) for loss in answer.fitted.losses],
    }


def _peak_mb() -> float | None:
    """Peak memory of this process so far; None on Windows, which does not tell."""
    if sys.platform == "win32":
        return None
    import resource

    scale = 2**20 if sys.platform == "darwin" else 2**10
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / scale, 1)
