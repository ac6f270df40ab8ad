"""The audit of run folders: one that was trained, one that peeks, and folders that were changed."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import make_flowset, quick_config
from reporting.made_runs import make_run, two_sets
from test_cli import hmrm, refused

from hmrm_lab.errors import ConfigError, InputError
from hmrm_lab.evaluation.consistency import FAULT, LEAK, OK, UNKNOWN, Records
from hmrm_lab.evaluation.leakage import audit_records, judge_weights
from hmrm_lab.evaluation.summary import collect_predictions
from hmrm_lab.flow.gru_attention import load_weights, save_weights
from hmrm_lab.records import Predictions
from hmrm_lab.reporting.tables import note
from hmrm_lab.runtime.store import PROCEDURAL, RunFolder
from hmrm_lab.runtime.store import UNKNOWN as UNSTATED
from hmrm_lab.studies import audit
from hmrm_lab.studies.audit import audit_run, judge_control
from hmrm_lab.studies.experiment import run_experiment

QUICK = ("training.epochs=2", "data.subjects=3", "data.clips=9")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run, its control, and a run that peeks; never changed by a test."""
    out = tmp_path_factory.mktemp("trained")
    for change in ("last", "oracle_test"):
        config = quick_config("hmrm", *QUICK, f"evaluation.epoch_rule={change}")
        run_experiment(config, out=out, final_model=False)
    control = quick_config("hmrm", *QUICK, "evaluation.control=shuffled_labels")
    run_experiment(control, out=out, final_model=False)
    return out


def folder(out: Path, *overrides: str) -> RunFolder:
    return RunFolder.of(quick_config("hmrm", *QUICK, *overrides), out)


def test_an_honest_run_passes_and_one_that_peeks_is_a_leak_by_design(trained: Path) -> None:
    checks = audit_run(folder(trained))
    assert [(check.name, check.why) for check in checks if check.state != OK] == []
    told = {check.name: check.why for check in checks}
    assert len(told) > 15
    assert told["shuffled-label control"].startswith("at chance")
    checks = audit_run(folder(trained, "evaluation.epoch_rule=oracle_test"))
    assert [check.name for check in checks if check.state == LEAK] == ["epoch rule"]
    states = {check.name: check.state for check in checks}
    assert states["shuffled-label control"] == UNKNOWN, "a peeking run has a control of its own"


def test_flow_weights_that_saw_a_test_subject_are_told(tmp_path: Path) -> None:
    weights = tmp_path / "flow.safetensors"
    found = {}
    flow = ("flow.name=gru_attention", f"flow.weights={weights}")
    for number, subjects in enumerate((["synthetic/s02"], [UNSTATED], [PROCEDURAL])):
        save_weights(weights, load_weights(), subjects=subjects)
        out = tmp_path / str(number)
        run = run_experiment(quick_config("mlp", *QUICK, *flow), out=out, final_model=False)
        weights.unlink()
        data = run.data()["weights"]
        assert [(one["setting"], one["subjects"]) for one in data] == [("flow.weights", subjects)]
        assert len(data[0]["sha256"]) == 64
        found[subjects[0]] = judge_weights(run.config(), run.data()).state, note(run.metrics())
    assert found.pop("synthetic/s02") == (LEAK, "WEIGHTS LEAK")
    assert found == {UNSTATED: (UNKNOWN, "WEIGHTS UNKNOWN"), PROCEDURAL: (OK, "")}


def test_one_person_in_two_data_sets_is_one_fold_and_one_draw(tmp_path: Path) -> None:
    flowset = two_sets()
    pair = 'evaluation.same_person=[["toy/s01", "other/s01"]]'
    config = quick_config("mlp", "training.epochs=1", pair)
    run = run_experiment(config, out=tmp_path, flowset=flowset, final_model=False)
    assert run.config() == config
    metrics = run.metrics()
    assert (metrics["complete"], metrics["units_expected"]) == (True, 4)
    assert metrics["all"]["subjects"] == len(set(collect_predictions(run).subjects)) == 4
    assert metrics["datasets"]["toy"]["subjects"] == 3, "alone he is himself"
    known = flowset.with_same_person(config.evaluation.same_person)
    records = Records(config, audit.read_units(run), audit.read_data(run), run.path.name, known)
    assert [check for check in audit_records(records) if check.state != OK] == []
    wrong = replace(records, config=quick_config("mlp", "training.epochs=1"))
    assert {"held-out subjects"} <= {c.name for c in audit_records(wrong) if c.state == LEAK}
    typo = quick_config("mlp", 'evaluation.same_person=[["toy/s01", "other/s1"], ["a/b", "c/d"]]')
    with pytest.raises(ConfigError, match=r"unknown subject in evaluation\.same_person 'other/s1'"):
        run_experiment(typo, out=tmp_path, flowset=flowset)
    for text in ('["toy/s01"]', '[["toy", "other/s01"]]'):
        with pytest.raises(ConfigError, match="same_person"):
            quick_config("mlp", f"evaluation.same_person={text}")
    bare = quick_config("mlp", "evaluation.same_person=[]")
    assert bare.digest() == quick_config("mlp").digest() != config.digest()


def copied(trained: Path, to: Path) -> RunFolder:
    shutil.copytree(folder(trained).path, folder(to).path)
    return folder(to)


def change_unit(run: RunFolder, change: Callable[[dict[str, Any]], object]) -> None:
    file = sorted(run.folds.glob("*.json"))[0]
    unit = json.loads(file.read_text(encoding="utf-8"))
    change(unit)
    file.write_text(json.dumps(unit), encoding="utf-8")


def test_changed_records_are_found(trained: Path, tmp_path: Path) -> None:
    def relabel(unit: dict[str, Any]) -> None:
        for row in unit["predictions"]:
            row["truth"] = (row["truth"] + 1) % 3

    run = copied(trained, tmp_path / "labels")
    change_unit(run, relabel)
    states = {check.name: check.state for check in audit_run(run)}
    assert states["figures"] == states["labels"] == FAULT


WRONG_FOLDS: tuple[tuple[Callable[[dict[str, Any]], object], str], ...] = (
    (lambda unit: unit["predictions"].clear(), "predictions"),
    (lambda unit: unit.update(seed="0"), "seed"),
    (lambda unit: unit["predictions"][0].update(truth=7), "predictions.0.truth"),
    (lambda unit: unit["predictions"][0].pop("p_negative"), "predictions.0.p_negative"),
    (lambda unit: unit["motionmix_partners"].append([]), "motionmix_partners"),
    (lambda unit: unit.pop("training_clips"), "training_clips"),
)
DATA = {"fingerprint": "a", "unit": "px", "folds": 3, "classes": {"a": 1, "b": 1}, "held_out": {}}
WRONG_FILES = (
    ("data.json", "[", "not readable as JSON"),
    ("data.json", "[]", "not the record of a run's data"),
    ("data.json", json.dumps(DATA | {"classes": {"b": 1, "a": 1}}), "'classes'"),
    ("data.json", json.dumps(DATA | {"held_out": {"toy/s1": []}}), "'held_out.toy/s1'"),
    ("data.json", json.dumps(DATA | {"weights": [{"setting": "x"}]}), "'weights.0.file'"),
    ("metrics.json", "3", "not the figures of a run"),
    ("failed/x.json", "3", "not the note of a failure"),
)


def test_damaged_files_are_refused_in_a_sentence(trained: Path, tmp_path: Path) -> None:
    for number, (change, name) in enumerate(WRONG_FOLDS):
        run = copied(trained, tmp_path / f"fold{number}")
        change_unit(run, change)
        why = rf"seed0\.json: not the record of a fold: .*'{name}.*; delete the file"
        with pytest.raises(InputError, match=why):
            audit_run(run)
    for number, (name, content, words) in enumerate(WRONG_FILES):
        run = copied(trained, tmp_path / f"file{number}")
        file = run.path / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(content, encoding="utf-8")
        with pytest.raises(InputError, match=words) as caught:
            audit_run(run)
        assert caught.value.where == file
        assert "delete the" in caught.value.hint


def test_a_control_above_chance_is_a_leak(tmp_path: Path) -> None:
    flowset = make_flowset(subjects=9)
    right, chance = (
        collect_predictions(make_run(tmp_path, flowset, system=name, right=share))
        for name, share in (("hmrm", 0.9), ("ststnet", 0.34))
    )
    assert judge_control(right).state == judge_control(right, within="subject").state == LEAK
    assert judge_control(chance).state == OK
    # subjects of one class each, whom a system tells apart: within a subject there is nothing
    subjects = np.unique(flowset.subjects, return_inverse=True)[1]
    one_class = flowset.with_labels(subjects.astype(np.int64) % 3)
    knowing = collect_predictions(make_run(tmp_path / "one", one_class, right=0.9))
    assert judge_control(knowing).state == LEAK
    assert judge_control(knowing, within="subject").state == OK
    rng, table = np.random.default_rng(0), right.table
    for _ in range(30):
        guesses = table.assign(prediction=rng.integers(0, 3, len(table)))
        assert judge_control(Predictions(guesses)).state == OK


def test_the_audit_reads_every_control_beside_the_run(trained: Path, tmp_path: Path) -> None:
    run = copied(trained, tmp_path)
    within = "evaluation.control=shuffled_within_subjects"
    run_experiment(quick_config("hmrm", *QUICK, within), out=tmp_path, final_model=False)
    (check,) = [check for check in audit_run(run) if check.name == "shuffled-label control"]
    assert check.state == OK
    assert "(labels shuffled within each subject)" in check.why


def test_a_normalisation_over_all_clips_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    flowset, config = make_flowset(), quick_config("hmrm")
    assert audit.check_normaliser(config, flowset).state == OK
    monkeypatch.setattr(audit, "normalise_maps", lambda maps, *_: maps - maps.mean(0))
    assert audit.check_normaliser(config, flowset).state == LEAK


def test_the_command(trained: Path, tmp_path: Path) -> None:
    assert hmrm("audit", folder(trained).path, cwd=tmp_path).returncode == 0
    peeking = folder(trained, "evaluation.epoch_rule=oracle_test").path
    done = hmrm("audit", peeking, "--json", cwd=tmp_path)
    assert done.returncode == 1
    assert json.loads(done.stdout)["leaks"] == 1
    run = copied(trained, tmp_path)
    (run.path / "data.json").unlink()
    assert "data.json: the file is missing" in refused(tmp_path, "audit", run.path)
