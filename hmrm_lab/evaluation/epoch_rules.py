"""Which epoch's model answers for the held-out subject. The most consequential line of a paper.

`last`            the model after the last epoch; nothing is chosen.
`inner_subjects`  the epoch that does best on held-back *training* subjects; then all training clips
                  are fitted up to that epoch, on the same schedule of the learning rate.
`oracle_test`     the epoch that does best on the test subject itself, as much of the literature
                  does. It peeks: its numbers cannot be reached on a person never seen.

A system that is fitted in one step has no epochs, so that nothing is there to choose or to peek at:
every rule gives the answers of `last`, and the run says that its rule is `none`.

A rule gets the training clips and a function that hands out the test clips. Only `oracle_test`
calls that function before training has ended.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from hmrm_lab.config import ExperimentConfig
from hmrm_lab.evaluation.fold_progress import Desk
from hmrm_lab.evaluation.metrics import confusion, uf1
from hmrm_lab.evaluation.splits import inner_subject_folds
from hmrm_lab.records import Floats, FlowSet, Ints
from hmrm_lab.training.estimators import has_epochs
from hmrm_lab.training.trainer import Classifier, EpochProbe, Fitted, fit

INNER_FOLDS = 4  # the first of four: a quarter of the training subjects is held back


@dataclass(frozen=True)
class Answer:
    """What a rule settles on: the trained system, its epoch and its probabilities (n, K).

    A rule that peeks tells what it saw: the class named for each test clip after every epoch.
    """

    fitted: Fitted
    epoch: int
    probabilities: Floats
    looks: Ints | None = None  # (epochs, n)


@dataclass(frozen=True)
class Task:
    """One fold to be learnt. `unseal` hands out the test clips; `desk` keeps what is half done."""

    config: ExperimentConfig
    train: FlowSet
    unseal: Callable[[], FlowSet]
    seed: int
    run_seed: int | None = None  # that folds have in common; else `seed`
    device: str = "cpu"
    desk: Desk | None = None

    def fit(
        self,
        train: FlowSet,
        *,
        stage: str = "",
        epochs: int | None = None,
        probe: EpochProbe | None = None,
    ) -> Fitted:
        """A training of this fold; one that another follows has the name of its stage."""
        return fit(
            self.config,
            train,
            seed=self.seed,
            run_seed=self.run_seed,
            epochs=epochs,
            device=self.device,
            probe=probe,
            checkpoint=self.desk.checkpoint(stage) if self.desk else None,
        )


def last(task: Task) -> Answer:
    fitted = task.fit(task.train)
    return Answer(fitted, len(fitted.losses), fitted.classify(task.unseal()))


def inner_subjects(task: Task) -> Answer:
    if not has_epochs(task.config):
        return last(task)
    inner = next(inner_subject_folds(task.train, INNER_FOLDS, task.seed))
    held_back = task.train.take(inner.test)

    def score(classify: Classifier) -> float:
        return _uf1(classify(held_back), held_back)

    tried = task.fit(task.train.take(inner.train), stage="inner", probe=score)
    best = int(np.argmax(tried.probes)) + 1
    fitted = task.fit(task.train, epochs=best)
    return Answer(fitted, best, fitted.classify(task.unseal()))


def oracle_test(task: Task) -> Answer:
    if not has_epochs(task.config):
        return last(task)
    test = task.unseal()

    def peek(classify: Classifier) -> list[list[float]]:
        probabilities: list[list[float]] = classify(test).tolist()
        return probabilities

    fitted = task.fit(task.train, probe=peek)
    seen = np.array(fitted.probes, dtype=np.float32)  # (epochs, n, K)
    guesses = seen.argmax(-1)
    best = int((guesses == test.labels).sum(-1).argmax())
    return Answer(fitted, best + 1, seen[best], looks=guesses)


RULES: dict[str, Callable[[Task], Answer]] = {
    "last": last,
    "inner_subjects": inner_subjects,
    "oracle_test": oracle_test,
}
PEEKING = frozenset({"oracle_test"})
NO_RULE = "none"  # of a system without epochs


def rule_of(config: ExperimentConfig) -> str:
    """The rule that has decided which epoch answers; `none` where there are no epochs."""
    return config.evaluation.epoch_rule if has_epochs(config) else NO_RULE


def _uf1(probabilities: Floats, flowset: FlowSet) -> float:
    guesses = probabilities.argmax(1).astype(np.int64)
    return float(uf1(confusion(flowset.labels, guesses, len(flowset.classes))))
