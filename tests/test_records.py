from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from conftest import make_flowset

from hmrm_lab import load
from hmrm_lab.datasets.classes import MEGC3
from hmrm_lab.errors import InputError
from hmrm_lab.records import Predictions, names_of_subject, probability_columns


def test_an_unknown_or_absent_expression_is_refused() -> None:
    clips = load("synthetic", subjects=3, clips=12)
    with pytest.raises(InputError, match="did you mean 'surprise'"):
        clips.of("suprise")
    with pytest.raises(InputError, match="none of these clips is negative"):
        clips.of("surprise").of("negative")


def test_maps_are_laid_out_alike_whoever_computed_them() -> None:
    flowset = make_flowset()
    strided = np.moveaxis(np.moveaxis(flowset.maps, 1, -1).copy(), -1, 1)
    assert not strided.flags.c_contiguous
    again = replace(flowset, maps=strided)
    assert again.maps.flags.c_contiguous
    assert again.fingerprint() == flowset.fingerprint()


def test_a_person_is_the_fold_where_the_fold_is_a_subject() -> None:
    row = {"dataset": "a", "clip": "1", "seed": 0, "epoch": 0, "truth": 0, "prediction": 0}
    scores = dict.fromkeys(probability_columns(MEGC3.classes), 0.0)
    for fold, person in (("a/1", "a/1"), ("a/2", "a/2"), ("fold 3", "a/1"), ("b/1", "a/1")):
        rows = [{**row, "subject": "1", "fold": fold}, {**row, "subject": "2", "fold": "a/2"}]
        table = pd.DataFrame(rows).assign(**scores)
        assert Predictions(table).subjects.tolist() == [person, "a/2"]


def test_names_of_one_person_are_joined_over_groups() -> None:
    groups = [["a/1", "b/1"], ["c/1", "d/1"], ["b/1", "c/1"], ["a/2", "b/2"]]
    one = frozenset(["a/1", "b/1", "c/1", "d/1"])
    known = names_of_subject(groups)
    assert {known[name] for name in one} == {one}
    assert known["a/2"] == {"a/2", "b/2"}
    flowset = make_flowset(subjects=3).with_same_person([["toy/s03", "toy/s02"], ["x/1", "y/1"]])
    assert set(flowset.subjects) == {"toy/s01", "toy/s02"}
    assert set(flowset.take(range(12, 18)).subjects) == {"toy/s02"}, "the name goes along"
