"""Leave-one-subject-out and subject-disjoint inner splits, keyed by (data set, subject)."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from hmrm_lab.errors import InputError
from hmrm_lab.records import FlowSet, Ints


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
    """Subject-disjoint folds of training clips, for choosing epochs and hyper-parameters.

    Persons are dealt out at random, the one with most clips first, each to the fold that has
    fewest clips, so that folds are of similar size.
    """
    persons = np.array(flowset.persons)
    names, counts = np.unique(persons, return_counts=True)
    if len(names) < folds:
        raise InputError(
            f"{len(names)} subjects cannot be dealt to {folds} inner folds",
            mend="take more subjects or fewer folds",
        )
    shuffled = np.random.default_rng(seed).permutation(len(names))
    order = shuffled[np.argsort(-counts[shuffled], kind="stable")]
    sizes = np.zeros(folds, dtype=int)
    groups: list[list[str]] = [[] for _ in range(folds)]
    for index in order:
        smallest = int(sizes.argmin())
        groups[smallest].append(names[index])
        sizes[smallest] += counts[index]
    for number, group in enumerate(groups):
        held_out = np.isin(persons, group)
        yield Fold(f"inner{number}", np.flatnonzero(~held_out), np.flatnonzero(held_out))
