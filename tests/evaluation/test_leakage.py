"""The leak audit: every kind of leak that is put in is found, and clean runs raise nothing."""

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from conftest import make_flowset, quick_config

from hmrm_lab.config import ExperimentConfig
from hmrm_lab.datasets.classes import MEGC3
from hmrm_lab.evaluation.consistency import FAULT, LEAK, OK, UNKNOWN, Records
from hmrm_lab.evaluation.leakage import audit_records, find_twins, judge_weights
from hmrm_lab.evaluation.protocols import leave_one_subject_out
from hmrm_lab.records import ClipKey, FlowSet, digest_of_keys, probability_columns
from hmrm_lab.studies.audit import check_copies

Fields = dict[str, Any]
DOUBLED = "missing and doubled clips"
SCORES = probability_columns(MEGC3.classes)
PEEKING = "evaluation.epoch_rule=oracle_test"


def settings(*overrides: str, system: str = "hmrm") -> ExperimentConfig:
    epochs = () if system == "svm" else ("training.epochs=3",)
    return quick_config(system, "evaluation.seeds=[0, 1]", *epochs, *overrides)


def clean_records(seed: int, rule: str = "last") -> Records:
    """What an honest run of two seeds leaves, with answers drawn at random.

    Two data sets whose people bear the same names; from 4 to 12 people of 1 to 5 clips.
    """
    rng = np.random.default_rng(seed)
    keys = tuple(
        ClipKey(f"set{person % 2}", f"{person // 2 + 1:03d}", f"clip{clip}")
        for person in range(rng.integers(4, 13))
        for clip in range(rng.integers(1, 6))
    )
    maps = rng.normal(size=(len(keys), 3, 12, 12)).astype(np.float32)
    flowset = FlowSet(maps, rng.integers(0, 3, len(keys)), keys, MEGC3.classes)
    config, folds = settings(f"evaluation.epoch_rule={rule}"), leave_one_subject_out(flowset)
    units = []
    for fold, number in ((fold, number) for fold in folds for number in config.evaluation.seeds):
        train = flowset.take(fold.train)
        epochs = 3 if rule == "last" else int(rng.integers(1, 4))
        scores = rng.dirichlet([1, 1, 1], len(fold.test)).round(6)
        rows = [
            {
                **flowset.keys[row]._asdict(),
                **{"fold": fold.name, "seed": number, "epoch": epochs},
                **{"truth": int(flowset.labels[row]), "prediction": int(p.argmax())},
                **dict(zip(SCORES, p.tolist(), strict=True)),
            }
            for row, p in zip(fold.test, scores, strict=True)
        ]
        units.append(
            {
                "fold": fold.name,
                "seed": number,
                "losses": [1.0] * epochs,
                "training_persons": sorted(set(train.subjects)),
                "training_clips": len(train),
                "training_digest": digest_of_keys(train.keys),
                "motionmix_partners": sorted(set(train.subjects))[:2],
                "normalisation_persons": [],
                "predictions": rows,
            }
        )
    held_out = {fold.name: len(fold.test) for fold in folds}
    data = {"fingerprint": flowset.fingerprint(), "held_out": held_out}
    return Records(config, units, data, f"run-{config.digest()[:8]}", flowset)


def states(records: Records) -> dict[str, str]:
    checks = [*audit_records(records), *check_copies(records.flowset)]
    return {check.name: check.state for check in checks if check.state != OK}


def reasons(records: Records) -> dict[str, str]:
    return {check.name: check.why for check in audit_records(records)}


def test_clean_splits_raise_nothing() -> None:
    for seed in range(16):
        assert states(clean_records(seed, ["last", "inner_subjects"][seed % 2])) == {}


def longest(units: list[Fields]) -> Fields:
    return max(units, key=lambda unit: len(unit["predictions"]))


def first_row(units: list[Fields]) -> Fields:
    return units[0]["predictions"][0]


def moved_to_another_fold(units: list[Fields]) -> None:
    units[0]["predictions"].append(units[2]["predictions"].pop())


def stopped_at_the_best_epoch(units: list[Fields]) -> None:
    for row in units[2]["predictions"]:
        row["epoch"] = 2


def other_lengths_of_training(units: list[Fields]) -> None:
    units[2]["losses"] = units[2]["losses"][:2]
    stopped_at_the_best_epoch(units)


def other_seed(units: list[Fields]) -> None:
    for unit in units[1::2]:
        for fields in (unit, *unit["predictions"]):
            fields["seed"] = 7


def least_probable(units: list[Fields]) -> None:
    first_row(units)["prediction"] = int(np.argmin([first_row(units)[name] for name in SCORES]))


@pytest.mark.parametrize(
    ("inject", "name", "state"),
    [
        (
            lambda u: u[0]["predictions"].append(u[2]["predictions"].pop()),
            "held-out subjects",
            LEAK,
        ),
        (lambda u: u[0]["training_persons"].append(u[0]["fold"]), "subjects in training", LEAK),
        (lambda u: u[3].update(training_digest="0" * 16), "clips in training", LEAK),
        (lambda u: u[3].update(training_clips=0), "clips in training", LEAK),
        (lambda u: u[1]["motionmix_partners"].append(u[1]["fold"]), "augmentation partners", LEAK),
        (lambda u: u[1]["motionmix_partners"].append("other/007"), "augmentation partners", LEAK),
        (lambda u: u[0].update(normalisation_persons=[u[0]["fold"]]), "normalisation", LEAK),
        (lambda u: u[0].update(epoch_predictions=[[0]]), "epoch rule", LEAK),
        (stopped_at_the_best_epoch, "epochs", LEAK),
        (other_lengths_of_training, "epochs", LEAK),
        (lambda u: longest(u)["predictions"][0].update(epoch=1), "epochs", LEAK),
        (lambda u: u[0]["predictions"].append(u[0]["predictions"][0]), DOUBLED, FAULT),
        (lambda u: longest(u)["predictions"].pop(), DOUBLED, FAULT),
        (lambda u: u.pop(), DOUBLED, FAULT),
        (lambda u: first_row(u).update(truth=(first_row(u)["truth"] + 1) % 3), "labels", FAULT),
        (other_seed, "seeds", FAULT),
        (lambda u: first_row(u).update({SCORES[0]: 1.5}), "probabilities", FAULT),
        (least_probable, "probabilities", FAULT),
    ],
)
def test_faults_put_into_the_folds_are_found(
    inject: Callable[[list[Fields]], object], name: str, state: str
) -> None:
    for seed in range(3):
        records = clean_records(seed)
        units = copy.deepcopy(list(records.units))
        inject(units)
        found = states(replace(records, units=units))
        assert found[name] == state
        assert set(found) <= {name, DOUBLED}  # a clip that is moved leaves a gap


def test_faults_put_elsewhere_are_found() -> None:
    records = clean_records(1)
    held_out = {**records.data["held_out"], "set0/1": 1}  # who is 001 as well
    other_maps = replace(records.clips, maps=records.clips.maps + np.float32(1))
    peeking = replace(records, config=settings(PEEKING))
    for changed, name, state in (
        (peeking, "epoch rule", LEAK),
        (replace(records, folder="run-00000000"), "settings", FAULT),
        (replace(records, data={**records.data, "held_out": held_out}), "subject names", LEAK),
        (replace(records, flowset=other_maps), "data", FAULT),
    ):
        assert states(changed)[name] == state
    assert reasons(peeking)["epoch rule"].endswith("a leak by design")


SAME = 'evaluation.same_person=[["set0/001", "elsewhere/9"]]'


@pytest.mark.parametrize(
    ("state", "subjects", "overrides", "told"),
    [
        (OK, {}, (), "none: drawn at random"),
        (OK, {"flow": ["procedural"], "model": []}, (), "flow.weights: no test subject"),
        (OK, {"model": ["set2/001", "set0/099", "set0"]}, (), "model.weights: no test subject"),
        (LEAK, {"model": ["set0/001"]}, (), "model.weights (w.safetensors) has been trained on"),
        (LEAK, {"flow": ["a/b", "SET0/1"]}, (), "flow.weights (w.safetensors) has been trained on"),
        (UNKNOWN, {"model": ["unknown"]}, (), "the file of model.weights does not say whom"),
        (UNKNOWN, {"model": ["unknown", "a/b"], "flow": []}, (), "does not say whom it has seen"),
        (LEAK, {"model": ["unknown"], "flow": ["set0/001"]}, (), "file of model.weights does not"),
        (OK, {"model": ["elsewhere/9"]}, (), "no test subject"),
        (LEAK, {"model": ["elsewhere/9"]}, (SAME,), "has been trained on set0/001"),
        (LEAK, {"model": ["set0/001 of seed 2"]}, ("data.seed=2",), "trained on set0/001"),
        (OK, {"model": ["set0/001"]}, ("data.seed=2",), "no test subject"),  # of another drawing
    ],
)
def test_weights_that_have_seen_a_test_subject_are_a_leak(
    state: str, subjects: dict[str, list[str]], overrides: tuple[str, ...], told: str
) -> None:
    records = clean_records(1)  # of set0/001, set1/001 and so on
    weights = [
        {"setting": f"{name}.weights", "file": "w.safetensors", "subjects": seen}
        for name, seen in subjects.items()
    ]
    check = judge_weights(settings(*overrides), {**records.data, "weights": weights})
    assert check.state == state
    assert told in check.why
    scaled = ("input.normalise=median_rms", "flow.name=gru_attention")
    for override, expected in (
        ("training.epochs=3", OK),
        ("training.pretrain_epochs=2", UNKNOWN),
        ("flow.weights=w.safetensors", UNKNOWN),
    ):  # which the data do not record
        assert judge_weights(settings(*scaled, override), records.data).state == expected


def test_one_person_under_two_names_is_held_out_at_once() -> None:
    pair = 'evaluation.same_person=[["set0/001", "set1/001"], ["set1/001", "away/1"]]'
    apart = clean_records(2).clips
    joined = apart.with_same_person(settings(pair).evaluation.same_person)
    folds = {fold.name: fold for fold in leave_one_subject_out(joined)}
    tested, trained = (
        {joined.keys[row].subject_key for row in rows}
        for rows in (folds["set0/001"].test, folds["set0/001"].train)
    )
    assert tested == {"set0/001", "set1/001"}
    assert not tested & trained and "set1/001" not in folds
    assert len(folds) == len(set(apart.subjects)) - 1
    copied = joined.maps.copy()
    first, second = (joined.keys.index(ClipKey(f"set{n}", "001", "clip0")) for n in (0, 1))
    copied[second] = copied[first]
    for flowset, expected in ((joined, [OK, OK]), (apart, [LEAK, OK])):  # own copies are no leak
        checks = check_copies(replace(flowset, maps=copied))
        assert [check.state for check in checks] == expected


def test_a_system_without_epochs_has_none_to_peek_at() -> None:
    records = clean_records(0)
    units = [{**unit, "losses": []} for unit in records.units]
    for unit in units:
        unit["predictions"] = [{**row, "epoch": 0} for row in unit["predictions"]]
    estimator = replace(records, config=settings(system="svm"), units=units)
    for name in ("epoch rule", "epochs"):
        assert name not in states(estimator)
        assert reasons(estimator)[name].startswith("a non-iterative estimator")
    units[0]["predictions"][0]["epoch"] = 2
    assert states(estimator)["epochs"] == FAULT


def test_what_is_not_recorded_is_not_checkable() -> None:
    records = clean_records(0)
    units = [{**unit, "losses": []} for unit in records.units]
    silent = replace(records, units=units)
    assert states(silent) == {"epoch rule": UNKNOWN, "epochs": UNKNOWN}
    units[0]["epoch_predictions"] = [[0]]
    for config in (records.config, settings(PEEKING)):
        assert states(replace(silent, config=config))["epoch rule"] == LEAK
    lost = {
        "training_persons": "subjects in training",
        "training_digest": "clips in training",
        "motionmix_partners": "augmentation partners",
        "normalisation_persons": "normalisation",
    }
    units = [{k: v for k, v in unit.items() if k not in lost} for unit in records.units]
    assert states(replace(records, units=units)) == dict.fromkeys(lost.values(), UNKNOWN)
    names = ("clips in training", "labels", "data", "equal clips", "nearly equal clips")
    assert states(replace(records, flowset=None)) == dict.fromkeys(names, UNKNOWN)


def with_a_copy(change: Callable[[np.ndarray], np.ndarray], place: int = -1) -> FlowSet:
    """The first person's first clip once more, as a clip of the last person or of another."""
    flowset = make_flowset(subjects=5)
    maps = flowset.maps.copy()
    maps[place] = change(maps[0])
    return replace(flowset, maps=maps)


def test_copies_are_found_even_if_they_were_changed() -> None:
    copied = with_a_copy(lambda clip: clip)
    (twins,) = find_twins(copied)
    assert (twins.first.subject, twins.second.subject, twins.bits) == ("s01", "s05", None)
    assert states(replace(clean_records(0), flowset=copied))["equal clips"] == LEAK
    noise = np.random.default_rng(1).normal(0, 0.05, (3, 28, 28))
    for change in (
        lambda clip: clip * 1.3,
        lambda clip: clip + 0.2,
        lambda clip: (clip * 40).round() / 40,
        lambda clip: clip + noise,
    ):
        (twins,) = find_twins(with_a_copy(change))
        assert (twins.first.subject, twins.second.subject) == ("s01", "s05")
        assert twins.bits is not None
    own = with_a_copy(lambda clip: clip, place=1)
    still = replace(own, maps=np.zeros_like(own.maps))
    for harmless in (own, still):  # maps that show no motion are all alike
        assert find_twins(harmless) == []


def test_published_maps_hold_no_copies(real_data: Any) -> None:
    from hmrm_lab.datasets.flowmaps import flowmaps

    checks = check_copies(flowmaps(real_data / "megc2019-flowmaps"))
    assert [check.state for check in checks] == [OK, OK]
