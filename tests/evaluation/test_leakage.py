"""The leak audit: every kind of leak that is put in is found, and a clean run raises nothing."""

import copy
import tomllib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import make_flowset, quick_config

from hmrm_lab.config import ExperimentConfig
from hmrm_lab.evaluation.consistency import FAULT, LEAK, OK, UNKNOWN, Records
from hmrm_lab.evaluation.leakage import audit_records, find_twins, judge_weights
from hmrm_lab.records import FlowSet
from hmrm_lab.studies.audit import check_copies, read_data, read_units
from hmrm_lab.studies.experiment import run_experiment

Fields = dict[str, Any]
DOUBLED = "missing and doubled clips"
PEEKING = "evaluation.epoch_rule=oracle_test"


def settings(*overrides: str, system: str = "mlp") -> ExperimentConfig:
    epochs = () if system == "svm" else ("training.epochs=3", "augment.motionmix=0.5")
    return quick_config(system, "evaluation.seeds=[0, 1]", *epochs, *overrides)


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> Records:
    """What an honest run of four people and two seeds leaves; never changed by a test."""
    config, flowset = settings(), make_flowset(per_subject=3)
    out = tmp_path_factory.mktemp("clean")
    run = run_experiment(config, out=out, flowset=flowset, final_model=False)
    return Records(config, read_units(run), read_data(run), run.path.name, flowset)


def states(records: Records) -> dict[str, str]:
    checks = [*audit_records(records), *check_copies(records.flowset)]
    return {check.name: check.state for check in checks if check.state != OK}


def reasons(records: Records) -> dict[str, str]:
    return {check.name: check.why for check in audit_records(records)}


def test_a_clean_run_raises_nothing(records: Records) -> None:
    assert states(records) == {}
    assert reasons(records)["augmentation partners"] == "all in the training fold (8 folds mixed)"


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


def first_row(units: list[Fields]) -> Fields:
    return units[0]["predictions"][0]


def least_probable(units: list[Fields]) -> None:
    row = first_row(units)
    names = ("p_negative", "p_positive", "p_surprise")
    row["prediction"] = int(np.argmin([row[name] for name in names]))


@pytest.mark.parametrize(
    ("inject", "name", "state"),
    [
        (moved_to_another_fold, "held-out subjects", LEAK),
        (lambda u: u[0]["training_persons"].append(u[0]["fold"]), "subjects in training", LEAK),
        (lambda u: u[3].update(training_digest="0" * 16), "clips in training", LEAK),
        (lambda u: u[3].update(training_clips=0), "clips in training", LEAK),
        (lambda u: u[1]["motionmix_partners"].append(u[1]["fold"]), "augmentation partners", LEAK),
        (lambda u: u[1]["motionmix_partners"].append("other/007"), "augmentation partners", LEAK),
        (lambda u: u[0].update(normalisation_persons=[u[0]["fold"]]), "normalisation", LEAK),
        (lambda u: u[0].update(epoch_predictions=[[0]]), "epoch rule", LEAK),
        (stopped_at_the_best_epoch, "epochs", LEAK),
        (other_lengths_of_training, "epochs", LEAK),
        (lambda u: first_row(u).update(epoch=1), "epochs", LEAK),
        (lambda u: u[0]["predictions"].append(first_row(u)), DOUBLED, FAULT),
        (lambda u: u[0]["predictions"].pop(), DOUBLED, FAULT),
        (lambda u: u.pop(), DOUBLED, FAULT),
        (lambda u: first_row(u).update(truth=(first_row(u)["truth"] + 1) % 3), "labels", FAULT),
        (other_seed, "seeds", FAULT),
        (lambda u: first_row(u).update(p_negative=1.5), "probabilities", FAULT),
        (least_probable, "probabilities", FAULT),
    ],
)
def test_faults_put_into_the_folds_are_found(
    records: Records, inject: Callable[[list[Fields]], object], name: str, state: str
) -> None:
    units = copy.deepcopy(list(records.units))
    inject(units)
    found = states(replace(records, units=units))
    assert found[name] == state
    assert set(found) <= {name, DOUBLED}  # a clip that is moved leaves a gap


def test_faults_put_elsewhere_are_found(records: Records) -> None:
    held_out = {**records.data["held_out"], "toy/S1": 1}  # who is s01 as well
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


CASES = tomllib.loads(Path(__file__).with_name("seen_weights.toml").read_text("utf-8"))["case"]


@pytest.mark.parametrize("case", CASES)
def test_weights_that_have_seen_a_test_subject_are_a_leak(records: Records, case: Fields) -> None:
    plan = ("input.normalise=median_rms", "flow.name=gru_attention", *case.get("settings", ()))
    weights = [
        {"setting": f"{name}.weights", "file": "w.safetensors", "subjects": seen}
        for name, seen in case["seen"].items()
    ]
    check = judge_weights(settings(*plan), {**records.data, "weights": weights})
    assert check.state == case["state"]
    assert case["told"] in check.why


def test_a_system_without_epochs_has_none_to_peek_at(records: Records) -> None:
    units = copy.deepcopy(list(records.units))
    for unit in units:
        unit["losses"] = []
        for row in unit["predictions"]:
            row["epoch"] = 0
    estimator = replace(records, config=settings(system="svm"), units=units)
    for name in ("epoch rule", "epochs"):
        assert name not in states(estimator)
        assert reasons(estimator)[name].startswith("a non-iterative estimator")
    units[0]["predictions"][0]["epoch"] = 2
    assert states(estimator)["epochs"] == FAULT


def test_what_needs_absent_data_is_not_checkable(records: Records) -> None:
    names = ("clips in training", "labels", "data", "equal clips", "nearly equal clips")
    assert states(replace(records, flowset=None)) == dict.fromkeys(names, UNKNOWN)


def with_a_copy(change: Callable[[np.ndarray], np.ndarray], place: int = -1) -> FlowSet:
    """The first person's first clip once more, as a clip of the last person or of another."""
    flowset = make_flowset(subjects=5)
    maps = flowset.maps.copy()
    maps[place] = change(maps[0])
    return replace(flowset, maps=maps)


def test_copies_are_found_even_if_they_were_changed() -> None:
    noise = np.random.default_rng(1).normal(0, 0.05, (3, 28, 28))
    for change, expected in (
        (lambda clip: clip, [LEAK, OK]),
        (lambda clip: clip * 1.3, [OK, LEAK]),
        (lambda clip: clip + 0.2, [OK, LEAK]),
        (lambda clip: (clip * 40).round() / 40, [OK, LEAK]),
        (lambda clip: clip + noise, [OK, LEAK]),
    ):
        copied = with_a_copy(change)
        assert [check.state for check in check_copies(copied)] == expected
        (twins,) = find_twins(copied)
        assert (twins.first.subject, twins.second.subject) == ("s01", "s05")
    own = with_a_copy(lambda clip: clip, place=1)
    still = replace(own, maps=np.zeros_like(own.maps))  # maps that show no motion are all alike
    for harmless in (own, still):
        assert find_twins(harmless) == []


def test_published_maps_hold_no_copies(real_data: Any) -> None:
    from hmrm_lab.datasets.flowmaps import flowmaps

    checks = check_copies(flowmaps(real_data / "megc2019-flowmaps"))
    assert [check.state for check in checks] == [OK, OK]
