"""Persons dealt to groups, so that whatever is chosen is tried on other people."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from hmrm_lab.errors import InputError


def deal_persons(persons: Sequence[str], groups: int, seed: int) -> Iterator[NDArray[np.bool_]]:
    """For each group, which of the clips are of its persons: (n,), every clip in one group.

    Persons are dealt out at random, the one with most clips first, each to the group that has
    fewest clips, so that groups are of similar size.

    Raises
    ------
    InputError
        If there are fewer persons than groups.
    """
    of_clips = np.array(persons)
    names, counts = np.unique(of_clips, return_counts=True)
    if len(names) < groups:
        raise InputError(
            f"{len(names)} subjects cannot be dealt to {groups} inner folds",
            mend="take more subjects or fewer folds",
        )
    shuffled = np.random.default_rng(seed).permutation(len(names))
    order = shuffled[np.argsort(-counts[shuffled], kind="stable")]
    sizes = np.zeros(groups, dtype=int)
    dealt: list[list[str]] = [[] for _ in range(groups)]
    for index in order:
        smallest = int(sizes.argmin())
        dealt[smallest].append(names[index])
        sizes[smallest] += counts[index]
    for group in dealt:
        yield np.isin(of_clips, group)
