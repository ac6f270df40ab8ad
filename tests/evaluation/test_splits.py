import numpy as np
import pytest
from conftest import make_flowset

from hmrm_lab.datasets.classes import MEGC3
from hmrm_lab.errors import InputError
from hmrm_lab.evaluation.protocols import inner_subject_folds, leave_one_subject_out
from hmrm_lab.records import ClipKey, FlowSet


def test_every_clip_is_held_out_once_and_never_with_its_subject_in_training() -> None:
    flowset = make_flowset(subjects=5, per_subject=4)
    folds = leave_one_subject_out(flowset)
    assert sorted(np.concatenate([fold.test for fold in folds])) == list(range(20))
    persons = np.array(flowset.subjects)
    for fold in folds:
        assert set(persons[fold.test]) == {fold.name}
        assert fold.name not in persons[fold.train]
        assert len(fold.train) + len(fold.test) == 20


def test_the_same_id_in_two_data_sets_is_two_persons() -> None:
    keys = tuple(ClipKey(d, "s01", f"{i}") for d in ("smic", "casme2") for i in range(2))
    flowset = FlowSet(
        np.zeros((4, 3, 28, 28), np.float32), np.zeros(4, np.int64), keys, MEGC3.classes
    )
    assert [fold.name for fold in leave_one_subject_out(flowset)] == ["casme2/s01", "smic/s01"]


def test_one_subject_with_all_clips_is_refused() -> None:
    with pytest.raises(InputError, match="at least two subjects"):
        leave_one_subject_out(make_flowset(subjects=1))


def test_inner_folds_are_disjoint_by_subject_complete_even_and_of_the_seed() -> None:
    flowset = make_flowset(subjects=11, per_subject=3)
    subjects = np.array(flowset.subjects)
    first = set()
    for seed in range(6):
        held_out: list[int] = []
        folds = list(inner_subject_folds(flowset, 4, seed))
        first.add(tuple(folds[0].test))
        for fold in folds:
            assert not set(subjects[fold.train]) & set(subjects[fold.test])
            assert 6 <= len(fold.test) <= 9
            held_out += fold.test.tolist()
        assert sorted(held_out) == list(range(33))
    assert len(first) >= 5
    with pytest.raises(InputError, match="fewer folds"):
        list(inner_subject_folds(make_flowset(subjects=3), 4, 0))
