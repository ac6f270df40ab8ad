"""Contracts of non-iterative estimators; a new one is tested by being registered."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import make_clip_flowset, quick_config
from evaluation.test_sealed import poison, same_weights

from hmrm_lab.config import load_config, override
from hmrm_lab.errors import ConfigError, InputError
from hmrm_lab.evaluation.fold import RULES, Answer, Task
from hmrm_lab.evaluation.protocols import Fold, leave_one_subject_out
from hmrm_lab.records import FlowSet
from hmrm_lab.registry import systems
from hmrm_lab.training.trainer import fit, load_model, save_model

ESTIMATORS = [name for name in systems if systems[name].is_estimator]
each = pytest.mark.parametrize("system", ESTIMATORS)


@pytest.fixture(scope="module")
def clips() -> FlowSet:
    return make_clip_flowset()


def answer(flowset: FlowSet, fold: Fold, system: str, rule: str = "last") -> Answer:
    config = quick_config(system, f"evaluation.epoch_rule={rule}")
    task = Task(config, flowset.take(fold.train), lambda: flowset.take(fold.test), seed=3)
    return RULES[rule](task)


@each
def test_poisoned_held_out_clips_leave_all_that_is_learnt_as_it_is(
    system: str, clips: FlowSet
) -> None:
    fold = leave_one_subject_out(clips)[1]
    clean = answer(clips, fold, system)
    poisoned = answer(poison(clips, fold.test), fold, system)
    assert same_weights(clean, poisoned)
    assert not np.allclose(clean.probabilities, poisoned.probabilities)
    spoilt = answer(poison(clips, fold.train[:1]), fold, system)
    assert not same_weights(clean, spoilt)  # so that the poison would be noticed if it leaked
    for rule in ("last", "inner_subjects", "oracle_test"):  # none has an epoch to choose
        chosen = answer(clips, fold, system, rule)
        assert (chosen.probabilities == clean.probabilities).all()
        assert (chosen.epoch, chosen.epoch_predictions) == (0, None)


@each
def test_answers_sum_to_one_and_come_back_from_seed_and_disk_and_clip_by_clip(
    system: str, clips: FlowSet, tmp_path: Path
) -> None:
    alone = clips.take(np.flatnonzero(np.array(clips.subjects) == clips.subjects[0]))
    few = [clips.take(np.flatnonzero(clips.labels < count)) for count in (1, 2)]
    for learnt in (alone, *few, clips):  # one person alone; a fold that lacks classes
        fitted = fit(quick_config(system), learnt, seed=7)
        answers = fitted.classify(clips)
        assert answers.shape == (len(clips), 3)
        assert answers.dtype == np.float32
        np.testing.assert_allclose(answers.sum(1), 1, atol=1e-5)
        assert (np.delete(answers, np.unique(learnt.labels), axis=1) < 1e-6).all()
        for rows in ([2, 3], [3]):
            some = fitted.classify(clips.take(rows))
            np.testing.assert_allclose(some, answers[rows], atol=1e-6)
        save_model(tmp_path / "m.safetensors", fitted)
        again = load_model(tmp_path / "m.safetensors", fitted.config, 28)
        assert (again.classify(clips) == answers).all()
    twin = fit(quick_config(system), clips, seed=7)
    assert (twin.classify(clips) == answers).all()


def test_a_model_of_other_shapes_is_refused(clips: FlowSet) -> None:
    model = fit(quick_config("svm"), clips, seed=0).model
    with pytest.raises(RuntimeError, match="are not"):
        model.load_state_dict({})
    with pytest.raises(RuntimeError, match="mean is"):
        model.load_state_dict(model.state_dict() | {"mean": torch.zeros(3)})


@each
def test_it_learns_what_is_plain_to_see(system: str) -> None:
    flowset = make_clip_flowset(per_subject=6)
    fold = leave_one_subject_out(flowset)[0]
    guesses = answer(flowset, fold, system).probabilities.argmax(1)
    assert (guesses == flowset.labels[fold.test]).mean() >= 0.5


def test_settings_without_a_use_are_refused(tmp_path: Path) -> None:
    for name, value in (("training.epochs", 3), ("loss.gamma", 1), ("evaluation.tta_flip", "true")):
        setting, unused = f"{name}={value}", f"no use for {name};"
        with pytest.raises(ConfigError, match=f"'svm' is a non-iterative estimator: .* {unused}"):
            quick_config("svm", setting)
        with pytest.raises(ConfigError, match=unused):
            override(quick_config("hmrm"), ["model.name=svm", "input.normalise=none", setting])
    flow = ("flow.name=gru_attention", "flow.finetune=true")
    with pytest.raises(ConfigError, match=r"no use for flow\.finetune"):
        quick_config("svm", *flow)
    assert not override(quick_config("hmrm", *flow), ["model.name=svm"]).flow.finetune
    preset = tmp_path / "own.toml"  # what it says for all systems is no mistake
    preset.write_text("[training]\nepochs = 3\n[augment]\nmotionmix = 0.3\n")
    assert load_config(str(preset), system="hmrm").training.epochs == 3
    assert load_config(str(preset), system="svm").augment.motionmix == 0
    preset.write_text("[systems.svm.training]\nepochs = 3\n")
    with pytest.raises(ConfigError, match=r"no use for training\.epochs"):
        load_config(str(preset), system="svm")


@pytest.mark.parametrize("system", [name for name in ESTIMATORS if systems[name].takes == "clip"])
def test_a_system_reads_its_input_alone_and_needs_it(system: str, clips: FlowSet) -> None:
    with pytest.raises(InputError, match=r"has no frames.*svm.*or data with frames"):
        fit(quick_config(system), replace(clips, clips=None), seed=0)
    with pytest.raises(ConfigError, match=r"takes clips, not flow maps.*input\.normalise"):
        quick_config(system, "input.normalise=none")
    other = replace(clips, maps=clips.maps + 1)
    ours, theirs = (fit(quick_config(system), some, seed=0) for some in (clips, other))
    assert (ours.classify(clips) == theirs.classify(other)).all()


def test_channels_that_a_system_cannot_do_without() -> None:
    with pytest.raises(ConfigError, match="'bi_woof' reads the channels u, v, strain, not u, v;"):
        quick_config("bi_woof", "input.channels=['u', 'v']")
    assert quick_config("svm", "input.channels=['u', 'v']").input.channels == ("u", "v")
