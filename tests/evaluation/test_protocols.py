"""Protocols: whom each holds out and trains on, in folds, runs, audits and malformed files."""

import tomllib
from pathlib import Path

import numpy as np
import pytest
from conftest import make_flowset, quick_config, refusal
from reporting.made_runs import two_sets
from sklearn.model_selection import GroupKFold, LeaveOneGroupOut

import hmrm_lab as lab
from hmrm_lab.errors import ConfigError, InputError
from hmrm_lab.evaluation.consistency import LEAK, Records
from hmrm_lab.evaluation.leakage import audit_records
from hmrm_lab.records import FlowSet
from hmrm_lab.runtime.store import read_subjects
from hmrm_lab.studies.audit import read_data, read_units
from hmrm_lab.studies.experiment import run_experiment

SPLITS = Path(__file__).with_name("split_files.toml")
TOY = ("toy/s01", "toy/s02", "toy/s03")


def divided(protocol: lab.Protocol, maps: FlowSet) -> dict[str, tuple[set[str], set[str]]]:
    """By fold, the subjects in training and those that are tested."""
    names = np.array([key.subject_key for key in maps.keys])
    return {one.name: (set(names[one.train]), set(names[one.test])) for one in protocol.folds(maps)}


def test_folds_are_those_of_scikit_learn_and_loso_is_named_by_subject() -> None:
    maps = two_sets()  # whose subjects bear the same names
    assert [fold.name for fold in lab.Protocol().folds(maps)] == ["other/s01", "other/s02", *TOY]
    for name, splitter in (("kfold:4", GroupKFold(4)), ("loso", LeaveOneGroupOut())):
        expected = splitter.split(maps.maps, groups=np.array(maps.subjects))
        for fold, (train, test) in zip(lab.Protocol(name).folds(maps), expected, strict=True):
            assert np.array_equal(fold.train, train) and np.array_equal(fold.test, test)


def test_data_sets_are_held_out_and_trained_on() -> None:
    maps, both, toy = two_sets(), {"other/s01", "other/s02"}, set(TOY)
    each = {"holdout/other": (toy, both), "holdout/toy": (both, toy)}
    assert divided(lab.Protocol("holdout:each"), maps) == each
    assert divided(lab.Protocol("holdout:toy"), maps) == {"holdout/toy": (both, toy)}
    alone = divided(lab.Protocol(train_on="toy"), maps)
    assert alone == {one: (toy - {one}, {one}) for one in TOY} | {"others/other": (toy, both)}
    of_toy = divided(lab.Protocol("kfold:3", ("toy",)), maps).values()
    assert all(train <= toy for train, _ in of_toy)
    same = maps.with_same_person([["toy/s01", "other/s02"]])
    parts = divided(lab.Protocol("holdout:each"), same)
    assert list(parts.values()) == [(toy - {"toy/s01"}, both), ({"other/s01"}, toy)]
    for name, train_on, problem in (
        *(("kfold", (), "unknown protocol 'kfold'"), ("kfold:9", (), "cannot be divided into 9")),
        *(("holdout:toi", (), "did you mean 'toy'"), ("loso", ("tay",), "data set 'tay'; did you")),
        ("holdout:each", ("toy",), "without toy there is no data set to train on"),
    ):
        with pytest.raises(InputError, match=problem):
            lab.Protocol(name, train_on).folds(maps)
    with pytest.raises(InputError, match="without toy there is no data set"):
        lab.Protocol("holdout:each").folds(make_flowset())


def test_a_split_file_is_read_or_refused_in_one_sentence(tmp_path: Path) -> None:
    file = tmp_path / "folds.csv"
    with pytest.raises(ConfigError, match="no such split file"):
        lab.Protocol(str(file)).check()
    file.write_text("Subject; Fold\ns03;b\ntoy/s01;a\ntoy/s02;a\nother/s01;b\nother/s02;b\nx;a\n")
    tested = {"split/a": set(TOY[:2]), "split/b": {TOY[2], "other/s01", "other/s02"}}
    found = divided(lab.Protocol(str(file)), two_sets())
    assert {name: of[1] for name, of in found.items()} == tested
    for content, words in tomllib.loads(SPLITS.read_text(encoding="utf-8")).items():
        file.write_bytes(content.encode("latin-1"))
        sentence = refusal(lab.Protocol(str(file)).folds, two_sets())
        assert words in sentence and sentence.startswith(str(file)) and ";" in sentence


def test_what_is_not_trained_on_changes_nothing_and_is_audited(tmp_path: Path) -> None:
    """Trained on one data set, its subjects are answered as in a run on that one alone."""
    maps = two_sets()
    own = maps.take(np.flatnonzero([key.dataset == "toy" for key in maps.keys]))
    limited, plain = quick_config("mlp", "evaluation.train_on=toy"), quick_config("mlp")
    run = run_experiment(limited, out=tmp_path, flowset=maps)
    alone = run_experiment(plain, out=tmp_path, flowset=own, final_model=False)
    result, reference = lab.Result(run), lab.Result(alone)
    same = result.predictions.query("dataset == 'toy'").reset_index(drop=True)
    assert same.equals(reference.predictions)
    assert set(read_subjects(run.path / "model.safetensors")) == set(TOY)
    assert result.table["Protocol"].unique().tolist() == ["loso trained on toy"]
    assert "protocol loso trained on toy" in result.caption
    for settings, leaks in ((limited, []), (plain, ["clips in training"])):
        data, units = read_data(run), read_units(run)
        checks = audit_records(Records(settings, units, data, run.path.name, maps))
        assert [check.name for check in checks if check.state == LEAK] == leaks
