"""Epoch rules: which epoch's model predicts the held-out subjects.

`last`            the model after the last epoch; nothing is chosen.
`inner_subjects`  the epoch that does best on held-back *training* subjects; then all training clips
                  are fitted up to that epoch, on the same schedule of the learning rate.
`oracle_test`     the epoch that does best on the test subject itself, as much of the literature
                  does. It peeks: its numbers cannot be reached on a subject never seen.

An estimator that is not trained in epochs leaves nothing to choose: every rule gives the
predictions of `last`, and the run reports the rule `none`.

A rule gets the training clips and a function that loads the test clips. Only `oracle_test` calls
that function before training has ended.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from hmrm_lab.config import ExperimentConfig
from hmrm_lab.evaluation.fold_progress import RunningFold
from hmrm_lab.evaluation.metrics import confusion, uf1
from hmrm_lab.evaluation.protocols import inner_subject_folds
from hmrm_lab.records import Floats, FlowSet, Ints
from hmrm_lab.training.estimators import has_epochs
from hmrm_lab.training.trainer import Classifier, EpochProbe, Fitted, fit

INNER_FOLDS = 4  # the first of four: a quarter of the training subjects is held back


@dataclass(frozen=True)
class Answer:
    """A trained system, its epoch, and its probabilities (n, K) for the test clips.

    `epoch_predictions` are the classes predicted for the test clips after every epoch, (epochs, n),
    under a rule that peeks.
    """

    fitted: Fitted
    epoch: int
    probabilities: Floats
    epoch_predictions: Ints | None = None


@dataclass(frozen=True)
class Task:
    """One fold to be trained; `files` keep its progress and its checkpoint."""

    config: ExperimentConfig
    train: FlowSet
    load_test_set: Callable[[], FlowSet]
    seed: int
    run_seed: int | None = None  # common to all folds (default: `seed`)
    device: str = "cpu"
    files: RunningFold | None = None

    def fit(
        self,
        train: FlowSet,
        *,
        stage: str = "",
        epochs: int | None = None,
        probe: EpochProbe | None = None,
    ) -> Fitted:
        """Train on these clips; a training that another one follows has the name of its stage."""
        return fit(
            self.config,
            train,
            seed=self.seed,
            run_seed=self.run_seed,
            epochs=epochs,
            device=self.device,
            probe=probe,
            checkpoint=self.files.checkpoint(stage) if self.files else None,
        )


def last(task: Task) -> Answer:
    """Predict with the model after the last epoch."""
    fitted = task.fit(task.train)
    return Answer(fitted, len(fitted.losses), fitted.classify(task.load_test_set()))


def inner_subjects(task: Task) -> Answer:
    """Predict with the epoch that does best on held-back training subjects."""
    if not has_epochs(task.config):
        return last(task)
    inner = next(inner_subject_folds(task.train, INNER_FOLDS, task.seed))
    held_back = task.train.take(inner.test)

    def score(classify: Classifier) -> float:
        guesses = classify(held_back).argmax(1).astype(np.int64)
        return float(uf1(confusion(held_back.labels, guesses, len(held_back.classes))))

    tried = task.fit(task.train.take(inner.train), stage="inner", probe=score)
    best = int(np.argmax(tried.probes)) + 1
    fitted = task.fit(task.train, epochs=best)
    return Answer(fitted, best, fitted.classify(task.load_test_set()))


def oracle_test(task: Task) -> Answer:
    """Predict with the epoch that does best on the test clips themselves."""
    if not has_epochs(task.config):
        return last(task)
    test = task.load_test_set()

    def peek(classify: Classifier) -> list[list[float]]:
        probabilities: list[list[float]] = classify(test).tolist()
        return probabilities

    fitted = task.fit(task.train, probe=peek)
    seen = np.array(fitted.probes, dtype=np.float32)  # (epochs, n, K)
    guesses = seen.argmax(-1)
    best = int((guesses == test.labels).sum(-1).argmax())
    return Answer(fitted, best + 1, seen[best], epoch_predictions=guesses)


RULES: dict[str, Callable[[Task], Answer]] = {
    "last": last,
    "inner_subjects": inner_subjects,
    "oracle_test": oracle_test,
}
PEEKING = frozenset({"oracle_test"})
NO_RULE = "none"  # of an estimator without epochs


def rule_of(config: ExperimentConfig) -> str:
    """Name the rule that chose the epoch; `none` for an estimator without epochs."""
    return config.evaluation.epoch_rule if has_epochs(config) else NO_RULE
