"""Nearest neighbours of maps that are made so that the answer is known."""

import numpy as np
import pytest
from conftest import make_flowset

from hmrm_lab.datasets.classes import MEGC3
from hmrm_lab.errors import InputError
from hmrm_lab.evaluation.features import nearest_neighbours
from hmrm_lab.records import ClipKey, FlowSet


def made(patterns: list[int], labels: list[int], persons: list[str]) -> FlowSet:
    """Maps that are equal, but for a little noise, where the pattern is."""
    rng = np.random.default_rng(0)
    shapes = rng.normal(size=(max(patterns) + 1, 3, 8, 8))
    maps = shapes[patterns] + rng.normal(0, 0.01, (len(patterns), 3, 8, 8))
    keys = tuple(ClipKey("toy", person, str(n)) for n, person in enumerate(persons))
    return FlowSet(maps.astype(np.float32), np.array(labels, np.int64), keys, MEGC3.classes)


def test_maps_that_show_the_person_help_only_if_the_person_is_known() -> None:
    """Each person has a pattern and a class of its own: a stranger's class is always another."""
    found = nearest_neighbours(made([0, 0, 1, 1, 2, 2], [0, 0, 1, 1, 2, 2], list("aabbcc")))
    assert (found.same_person, found.by_chance) == (1.0, pytest.approx(1 / 5))
    assert (found.uf1_clips, found.uf1_subjects) == (1.0, 0.0)


def test_maps_that_show_the_class_help_for_strangers_too() -> None:
    found = nearest_neighbours(made([0, 1, 2] * 3, [0, 1, 2] * 3, list("aaabbbccc")))
    assert found.same_person == 0.0
    assert found.by_chance == pytest.approx(2 / 8)
    assert (found.uf1_clips, found.uf1_subjects) == (1.0, 1.0)


def test_intensity_is_no_hint_of_the_person() -> None:
    flowset = made([0, 1, 2] * 3, [0, 1, 2] * 3, list("aaabbbccc"))
    scale = np.repeat([1, 10, 100], 3).astype(np.float32)[:, None, None, None]
    louder = FlowSet(flowset.maps * scale, flowset.labels, flowset.keys, MEGC3.classes)
    assert nearest_neighbours(louder).same_person == 0.0


def test_one_subject_is_refused() -> None:
    with pytest.raises(InputError, match="at least two subjects"):
        nearest_neighbours(make_flowset(subjects=1))
