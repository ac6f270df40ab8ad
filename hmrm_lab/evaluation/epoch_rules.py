"""Which epoch's model answers for the held-out subject. The most consequential line of a paper.

`last`            the model after the last epoch; nothing is chosen.
`inner_subjects`  the number of epochs that does best on held-back *training* subjects; then all
                  training clips are fitted for that many epochs.
`oracle_test`     the epoch that does best on the test subject itself, as much of the literature
                  does. It peeks: its numbers cannot be reached on a person never seen.

A rule gets the training clips and a function that hands out the test clips. Only `oracle_test`
calls that function before training has ended.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from hmrm_lab.config import ExperimentConfig
from hmrm_lab.evaluation.metrics import confusion, uf1
from hmrm_lab.evaluation.splits import inner_subject_folds
from hmrm_lab.records import Floats, FlowSet
from hmrm_lab.training.trainer import Classifier, Fitted, fit

INNER_FOLDS = 4  # the first of four: a quarter of the training subjects is held back


@dataclass(frozen=True)
class Answer:
    """What a rule settles on: the trained system, its epoch and its probabilities (n, K)."""

    fitted: Fitted
    epoch: int
    probabilities: Floats


@dataclass(frozen=True)
class Task:
    """One fold to be learnt. `unseal` hands out the test clips."""

    config: ExperimentConfig
    train: FlowSet
    unseal: Callable[[], FlowSet]
    seed: int
    device: str = "cpu"


def last(task: Task) -> Answer:
    fitted = fit(task.config, task.train, seed=task.seed, device=task.device)
    return Answer(fitted, len(fitted.losses), fitted.classify(task.unseal()))


def inner_subjects(task: Task) -> Answer:
    inner = next(inner_subject_folds(task.train, INNER_FOLDS, task.seed))
    held_back = task.train.take(inner.test)
    scores: list[float] = []

    def score(epoch: int, classify: Classifier) -> None:
        scores.append(_uf1(classify(held_back), held_back))

    fit(
        task.config,
        task.train.take(inner.train),
        seed=task.seed,
        device=task.device,
        on_epoch=score,
    )
    best = int(np.argmax(scores)) + 1
    fitted = fit(task.config, task.train, seed=task.seed, epochs=best, device=task.device)
    return Answer(fitted, best, fitted.classify(task.unseal()))


def oracle_test(task: Task) -> Answer:
    test = task.unseal()
    best_hits, best_epoch, best = -1, 0, np.empty(0, dtype=np.float32)

    def peek(epoch: int, classify: Classifier) -> None:
        nonlocal best_hits, best_epoch, best
        probabilities = classify(test)
        hits = int((probabilities.argmax(1) == test.labels).sum())
        if hits > best_hits:
            best_hits, best_epoch, best = hits, epoch, probabilities

    fitted = fit(task.config, task.train, seed=task.seed, device=task.device, on_epoch=peek)
    return Answer(fitted, best_epoch, best)


RULES: dict[str, Callable[[Task], Answer]] = {
    "last": last,
    "inner_subjects": inner_subjects,
    "oracle_test": oracle_test,
}
PEEKING = frozenset({"oracle_test"})


def _uf1(probabilities: Floats, flowset: FlowSet) -> float:
    return float(uf1(confusion(flowset.labels, probabilities.argmax(1).astype(np.int64))))
