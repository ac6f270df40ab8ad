"""Leave-one-subject-out and subject-disjoint inner splits, keyed by (data set, subject)."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from hmrm_lab.errors import InputError
from hmrm_lab.records import FlowSet, Ints, deal_persons


@dataclass(frozen=True)
class Fold:
    """Positions of the training and the held-out clips; `name` is the held-out person."""

    name: str
    train: Ints
    test: Ints


def leave_one_subject_out(flowset: FlowSet) -> list[Fold]:
    """One fold per person, in the order of their names."""
    persons = np.array(flowset.persons)
    names = sorted(set(persons))
    if len(names) < 2:
        raise InputError(
            f"all {len(flowset)} clips are of one subject ({', '.join(names)})",
            mend="leave-one-subject-out needs at least two subjects",
        )
    return [
        Fold(name, np.flatnonzero(persons != name), np.flatnonzero(persons == name))
        for name in names
    ]


def inner_subject_folds(flowset: FlowSet, folds: int, seed: int) -> Iterator[Fold]:
    """Subject-disjoint folds of training clips, for choosing epochs and hyper-parameters."""
    for number, held_out in enumerate(deal_persons(flowset.persons, folds, seed)):
        yield Fold(f"inner{number}", np.flatnonzero(~held_out), np.flatnonzero(held_out))
