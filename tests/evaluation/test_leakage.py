"""The leak audit: every kind of leak that is put in is found, and clean runs raise nothing."""

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from conftest import make_flowset, quick_config

from hmrm_lab.config import ExperimentConfig
from hmrm_lab.datasets.classes import MEGC3
from hmrm_lab.evaluation.consistency import FAULT, LEAK, OK, UNKNOWN, Check, Records
from hmrm_lab.evaluation.leakage import audit_records, exact_twins, judge_weights, near_twins
from hmrm_lab.evaluation.protocols import leave_one_subject_out
from hmrm_lab.records import ClipKey, FlowSet, digest_of_keys, probability_columns
from hmrm_lab.studies.audit import check_copies

Fields = dict[str, Any]
DOUBLED = "missing and doubled clips"


def random_flowset(seed: int) -> FlowSet:
    """Two data sets whose people bear the same names; from 4 to 12 people of 1 to 5 clips."""
    rng = np.random.default_rng(seed)
    keys = [
        ClipKey(f"set{person % 2}", f"{person // 2 + 1:03d}", f"clip{clip}")
        for person in range(rng.integers(4, 13))
        for clip in range(rng.integers(1, 6))
    ]
    maps = rng.normal(size=(len(keys), 3, 12, 12)).astype(np.float32)
    return FlowSet(maps, rng.integers(0, 3, len(keys)), tuple(keys), MEGC3.classes)


def clean_records(seed: int, rule: str = "last") -> Records:
    """What an honest run of two seeds leaves, with answers drawn at random."""
    flowset, rng = random_flowset(seed), np.random.default_rng(seed)
    config = quick_config(
        "hmrm", "evaluation.seeds=[0, 1]", f"evaluation.epoch_rule={rule}", "training.epochs=3"
    )
    folds = leave_one_subject_out(flowset)
    units = []
    for fold in folds:
        for number in config.evaluation.seeds:
            train = flowset.take(fold.train)
            epochs = 3 if rule == "last" else int(rng.integers(1, 4))
            scores = rng.dirichlet([1, 1, 1], len(fold.test)).round(6)
            units.append(
                {
                    "fold": fold.name,
                    "seed": number,
                    "losses": [1.0] * epochs,
                    "training_persons": sorted(set(train.subjects)),
                    "training_clips": len(train),
                    "training_digest": digest_of_keys(train.keys),
                    "motionmix_partners": sorted(set(train.subjects))[:2],
                    "normalisation": "none",
                    "normalisation_persons": [],
                    "predictions": [
                        {
                            **flowset.keys[row]._asdict(),
                            "fold": fold.name,
                            "seed": number,
                            "epoch": epochs,
                            "truth": int(flowset.labels[row]),
                            "prediction": int(p.argmax()),
                            **dict(
                                zip(probability_columns(MEGC3.classes), p.tolist(), strict=True)
                            ),
                        }
                        for row, p in zip(fold.test, scores, strict=True)
                    ],
                }
            )
    data = {
        "fingerprint": flowset.fingerprint(),
        "held_out": {fold.name: len(fold.test) for fold in folds},
    }
    return Records(config, units, data, f"run-{config.digest()[:8]}", flowset)


def states(records: Records) -> dict[str, str]:
    checks = [*audit_records(records), *check_copies(records.flowset)]
    return {check.name: check.state for check in checks if check.state != OK}


def test_clean_splits_raise_nothing() -> None:
    for seed in range(16):
        assert states(clean_records(seed, ["last", "inner_subjects"][seed % 2])) == {}


def longest(units: list[Fields]) -> Fields:
    return max(units, key=lambda unit: len(unit["predictions"]))


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


def of_first_row(change: Callable[[Fields], Fields]) -> Callable[[list[Fields]], None]:
    return lambda units: units[0]["predictions"][0].update(change(units[0]["predictions"][0]))


SCORES = probability_columns(MEGC3.classes)
IN_UNITS: list[tuple[Callable[[list[Fields]], Any], str, str]] = [
    (lambda u: u[0]["predictions"].append(u[2]["predictions"].pop()), "held-out subjects", LEAK),
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
    (of_first_row(lambda row: {"truth": (row["truth"] + 1) % 3}), "labels", FAULT),
    (other_seed, "seeds", FAULT),
    (of_first_row(lambda row: {"p_negative": row["p_negative"] + 0.5}), "probabilities", FAULT),
    (
        of_first_row(lambda row: {"prediction": int(np.argmin([row[name] for name in SCORES]))}),
        "probabilities",
        FAULT,
    ),
]


def test_faults_put_into_the_folds_are_found() -> None:
    for number, (inject, name, state) in enumerate(IN_UNITS):
        for seed in range(3):
            records = clean_records(seed)
            units = copy.deepcopy(list(records.units))
            inject(units)
            found = states(replace(records, units=units))
            assert found[name] == state, number
            assert set(found) <= {name, DOUBLED}, number  # a clip that is moved leaves a gap


def peeking(records: Records) -> Records:
    return replace(records, config=settings("evaluation.epoch_rule=oracle_test"))


def renamed_folder(records: Records) -> Records:
    return replace(records, folder="run-00000000")


def one_person_under_two_names(records: Records) -> Records:
    held_out = {**records.data["held_out"], "set0/1": 1}
    return replace(records, data={**records.data, "held_out": held_out})


def other_data(records: Records) -> Records:
    assert records.flowset is not None
    maps = records.flowset.maps.copy()
    maps[0, 0, 0, 0] += 1
    return replace(records, flowset=replace(records.flowset, maps=maps))


def settings(*overrides: str) -> ExperimentConfig:
    return quick_config("hmrm", "evaluation.seeds=[0, 1]", "training.epochs=3", *overrides)


def test_faults_put_elsewhere_are_found() -> None:
    for change, name, state in (
        (peeking, "epoch rule", LEAK),
        (renamed_folder, "settings", FAULT),
        (one_person_under_two_names, "subject names", LEAK),
        (other_data, "data", FAULT),
    ):
        assert states(change(clean_records(1)))[name] == state


def beginning_with(records: Records, *overrides: str, **subjects: list[str]) -> Check:
    """The check of a run that began with these files, by the subjects that they have seen."""
    weights = [
        {"setting": f"{name}.weights", "file": "w.safetensors", "subjects": seen}
        for name, seen in subjects.items()
    ]
    changed = replace(
        records, config=settings(*overrides), data={**records.data, "weights": weights}
    )
    return next(check for check in audit_records(changed) if check.name == "starting weights")


def test_weights_that_have_seen_a_test_subject_are_a_leak() -> None:
    records = clean_records(1)  # of set0/001, set1/001 and so on
    same = 'evaluation.same_person=[["set0/001", "elsewhere/9"]]'
    cases: list[tuple[str, dict[str, list[str]], tuple[str, ...], str]] = [
        (OK, {}, (), "none: drawn at random"),
        (OK, {"flow": ["procedural"], "model": []}, (), "flow.weights: no test subject"),
        (OK, {"model": ["set2/001", "set0/099", "set0"]}, (), "model.weights: no test subject"),
        (LEAK, {"model": ["set0/001"]}, (), "model.weights (w.safetensors) has been trained on"),
        (LEAK, {"flow": ["a/b", "SET0/1"]}, (), "flow.weights (w.safetensors) has been trained on"),
        (UNKNOWN, {"model": ["unknown"]}, (), "the file of model.weights does not say whom"),
        (UNKNOWN, {"model": ["unknown", "a/b"], "flow": []}, (), "does not say whom it has seen"),
        (LEAK, {"model": ["unknown"], "flow": ["set0/001"]}, (), "file of model.weights does not"),
        (OK, {"model": ["elsewhere/9"]}, (), "no test subject"),
        (LEAK, {"model": ["elsewhere/9"]}, (same,), "has been trained on set0/001"),
        (LEAK, {"model": ["set0/001 of seed 2"]}, ("data.seed=2",), "trained on set0/001"),
        (OK, {"model": ["set0/001"]}, ("data.seed=2",), "drawn people of another seed"),
    ]
    for state, subjects, overrides, told in cases:
        check = beginning_with(records, *overrides, **subjects)
        assert check.state == state, (subjects, check)
        assert told in check.why or told == "drawn people of another seed"


def test_weights_that_are_not_recorded_are_not_checkable() -> None:
    records = clean_records(1)
    for override, state in (
        ("training.epochs=3", OK),
        ("training.pretrain_epochs=2", UNKNOWN),
        ("flow.weights=w.safetensors", UNKNOWN),
    ):
        config = settings("input.normalise=median_rms", "flow.name=gru_attention", override)
        assert judge_weights(config, records.data).state == state


def test_one_person_under_two_names_is_held_out_at_once() -> None:
    pair = 'evaluation.same_person=[["set0/001", "set1/001"], ["set1/001", "away/1"]]'
    records = clean_records(2)
    config = settings(pair)
    assert records.flowset is not None
    flowset = records.flowset.with_same_person(config.evaluation.same_person)
    folds = {fold.name: fold for fold in leave_one_subject_out(flowset)}
    assert "set1/001" not in folds
    held_out = {flowset.keys[row].subject_key for row in folds["set0/001"].test}
    assert held_out == {"set0/001", "set1/001"}
    assert not held_out & {flowset.keys[row].subject_key for row in folds["set0/001"].train}
    assert len(folds) == len(set(records.flowset.subjects)) - 1
    copied = flowset.maps.copy()
    first, second = (flowset.keys.index(ClipKey(f"set{n}", "001", "clip0")) for n in (0, 1))
    copied[second] = copied[first]
    states = [
        [check.state for check in check_copies(replace(of, maps=copied))]
        for of in (flowset, records.flowset)
    ]
    assert states == [[OK, OK], [LEAK, OK]], "copies of one's own are no leak"


def test_a_peeking_run_is_told_to_be_one_by_design() -> None:
    checks = {check.name: check.why for check in audit_records(peeking(clean_records(0)))}
    assert checks["epoch rule"].endswith("a leak by design")


def test_a_system_without_epochs_has_none_to_peek_at() -> None:
    records = one_step(clean_records(0))
    checks = {check.name: check for check in audit_records(records)}
    for name in ("epoch rule", "epochs"):
        assert checks[name].state == OK
        assert checks[name].why.startswith("a non-iterative estimator")
    records.units[0]["predictions"][0]["epoch"] = 2  # type: ignore[index]
    assert states(records)["epochs"] == FAULT


def one_step(records: Records) -> Records:
    """The same answers as those of a support vector machine."""
    config = quick_config("svm", "evaluation.seeds=[0, 1]")
    units = [
        {**unit, "losses": [], "predictions": [{**row, "epoch": 0} for row in unit["predictions"]]}
        for unit in records.units
    ]
    return replace(records, config=config, units=units)


def test_a_network_without_records_of_its_epochs_is_not_checkable() -> None:
    records = clean_records(0)
    units = [{**unit, "losses": []} for unit in records.units]
    found = states(replace(records, units=units))
    assert found == {"epoch rule": UNKNOWN, "epochs": UNKNOWN}
    units[0]["epoch_predictions"] = [[0]]
    assert states(replace(records, units=units))["epoch rule"] == LEAK
    assert states(peeking(replace(records, units=units)))["epoch rule"] == LEAK


def test_what_is_not_recorded_is_not_checkable() -> None:
    records = clean_records(0)
    lost = ("training_persons", "training_digest", "motionmix_partners", "normalisation_persons")
    units = [{k: v for k, v in unit.items() if k not in lost} for unit in records.units]
    found = states(replace(records, units=units))
    assert found == dict.fromkeys(
        ("subjects in training", "clips in training", "augmentation partners", "normalisation"),
        UNKNOWN,
    )


def test_without_the_data_only_the_data_are_not_checkable() -> None:
    found = states(replace(clean_records(0), flowset=None))
    names = ("clips in training", "labels", "data", "equal clips", "nearly equal clips")
    assert found == dict.fromkeys(names, UNKNOWN)


def with_a_copy(change: Callable[[np.ndarray], np.ndarray], own: bool = False) -> FlowSet:
    """The first person's first clip once more, as a clip of the last person or of the first."""
    flowset = make_flowset(subjects=5)
    maps = flowset.maps.copy()
    maps[1 if own else -1] = change(maps[0])
    return replace(flowset, maps=maps)


def test_a_copied_clip_is_found() -> None:
    copied = with_a_copy(lambda clip: clip)
    assert [twins.second.subject for twins in exact_twins(copied)] == ["s05"]
    assert near_twins(copied) == []
    assert states(replace(clean_records(0), flowset=copied))["equal clips"] == LEAK


def test_a_copy_that_was_changed_is_found() -> None:
    noise = np.random.default_rng(1).normal(0, 0.05, (3, 28, 28))
    for change in (
        lambda clip: clip * 1.3,
        lambda clip: clip + 0.2,
        lambda clip: (clip * 40).round() / 40,
        lambda clip: clip + noise,
    ):
        copied = with_a_copy(change)
        assert exact_twins(copied) == []
        assert [(t.first.subject, t.second.subject) for t in near_twins(copied)] == [("s01", "s05")]


def test_copies_of_ones_own_and_maps_without_motion_are_no_leak() -> None:
    assert exact_twins(with_a_copy(lambda clip: clip, own=True)) == []
    still = replace(make_flowset(), maps=np.zeros_like(make_flowset().maps))
    assert exact_twins(still) == near_twins(still) == []


def test_published_maps_hold_no_copies(real_data: Any) -> None:
    from hmrm_lab.datasets.flowmaps import flowmaps

    checks = check_copies(flowmaps(real_data / "megc2019-flowmaps"))
    assert [check.state for check in checks] == [OK, OK]
