"""Nothing of the held-out subject reaches the training: proven by poisoning it."""

from dataclasses import replace

import numpy as np
import pytest
from conftest import make_flowset, make_framed_flowset, quick_config, with_pictures

from hmrm_lab.datasets.classes import MEGC3
from hmrm_lab.evaluation import epoch_rules
from hmrm_lab.evaluation.epoch_rules import RULES, Answer, Task
from hmrm_lab.evaluation.fold import FoldRun, control_labels, fold_seed, run_fold
from hmrm_lab.evaluation.protocols import Fold, leave_one_subject_out
from hmrm_lab.records import FlowSet, FramePairs
from hmrm_lab.registry import systems

HONEST = ["last", "inner_subjects"]
TUNED = ("flow.name=gru_attention", "flow.finetune=true")


def poison(flowset: FlowSet, fold: Fold) -> FlowSet:
    """Other pixels and other labels for the held-out clips, nothing else."""
    maps, labels = flowset.maps.copy(), flowset.labels.copy()
    maps[fold.test] = 100 * np.random.default_rng(9).normal(size=maps[fold.test].shape)
    labels[fold.test] = (labels[fold.test] + 1) % 3
    frames = flowset.frames
    if frames is not None:
        images = frames.images.copy()
        images[fold.test] = np.random.default_rng(8).integers(0, 256, images[fold.test].shape)
        frames = FramePairs(images, frames.pixel)
    pictures = flowset.pictures
    if pictures is not None:
        pictures = pictures.copy()
        pictures[fold.test] = 100 * np.random.default_rng(7).normal(size=pictures[fold.test].shape)
    return replace(flowset, maps=maps, labels=labels, frames=frames, pictures=pictures)


def answer(flowset: FlowSet, rule: str, system: str, *overrides: str) -> tuple[Answer, Fold]:
    fold = leave_one_subject_out(flowset)[1]
    mixed = 0.0 if quick_config(system).input.has_pictures else 0.5  # pictures cannot be mixed
    settings = (f"augment.motionmix={mixed}", f"evaluation.epoch_rule={rule}", *overrides)
    config = quick_config(system, *settings)
    task = Task(config, flowset.take(fold.train), lambda: flowset.take(fold.test), seed=3)
    return RULES[rule](task), fold


@pytest.mark.parametrize("system", [name for name in systems if not systems[name].is_estimator])
@pytest.mark.parametrize("rule", ["last", pytest.param("inner_subjects", marks=pytest.mark.full)])
def test_poisoned_held_out_clips_leave_the_weights_as_they_are(rule: str, system: str) -> None:
    flowset = with_pictures(make_flowset(subjects=5))
    clean, fold = answer(flowset, rule, system)
    poisoned, _ = answer(poison(flowset, fold), rule, system)
    assert_sealed(clean, poisoned)


def test_poisoned_held_out_clips_do_not_choose_the_epoch() -> None:
    for system in ("hmrm", "ststnet"):
        flowset = make_flowset(subjects=5)
        clean, fold = answer(flowset, "inner_subjects", system)
        poisoned, _ = answer(poison(flowset, fold), "inner_subjects", system)
        assert_sealed(clean, poisoned)


@pytest.mark.parametrize(("rule", "system"), [("last", "ststnet"), *((r, "hmrm") for r in HONEST)])
def test_poisoned_frames_leave_a_fine_tuned_flow_as_it_is(rule: str, system: str) -> None:
    flowset = make_framed_flowset(subjects=5)
    clean, fold = answer(flowset, rule, system, *TUNED)
    poisoned, _ = answer(poison(flowset, fold), rule, system, *TUNED)
    assert any(name.startswith("motion.network.") for name in clean.fitted.model.state_dict())
    assert_sealed(clean, poisoned)


def test_poisoned_training_frames_are_noticed() -> None:
    flowset = make_framed_flowset(subjects=5)
    clean, fold = answer(flowset, "last", "hmrm", *TUNED)
    one = Fold("x", fold.test, fold.train[:1])
    frames = poison(flowset, one).frames  # and labels as they were
    spoilt, _ = answer(replace(flowset, frames=frames), "last", "hmrm", *TUNED)
    name = "motion.network.pass_up.weight"
    weights, others = (a.fitted.model.state_dict()[name] for a in (clean, spoilt))
    assert (weights != others).any()


def assert_sealed(clean: Answer, poisoned: Answer) -> None:
    """The same weights to the last bit, and other answers for other clips."""
    assert clean.epoch == poisoned.epoch
    pairs = zip(
        clean.fitted.model.state_dict().values(),
        poisoned.fitted.model.state_dict().values(),
        strict=True,
    )
    assert all((ours == theirs).all() for ours, theirs in pairs)
    assert (clean.probabilities != poisoned.probabilities).any()


def test_the_poison_is_strong_enough_to_be_noticed_if_it_leaked() -> None:
    """The same check on poisoned *training* clips fails, so it can fail."""
    flowset = make_flowset(subjects=5)
    fold = leave_one_subject_out(flowset)[1]
    clean, _ = answer(flowset, "last", "hmrm")
    spoilt, _ = answer(poison(flowset, Fold("x", fold.test, fold.train[:1])), "last", "hmrm")
    weights, others = (a.fitted.model.state_dict()["fused_head.weight"] for a in (clean, spoilt))
    assert (weights != others).any()


@pytest.mark.parametrize("rule", HONEST)
def test_test_clips_are_handed_out_after_the_last_training_step(
    rule: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    flowset = make_flowset(subjects=5)
    fold = leave_one_subject_out(flowset)[0]
    events: list[str] = []
    real_fit = epoch_rules.fit

    def fit(*arguments, **settings):
        fitted = real_fit(*arguments, **settings)
        events.append("trained")
        return fitted

    def unseal() -> FlowSet:
        events.append("unsealed")
        return flowset.take(fold.test)

    monkeypatch.setattr(epoch_rules, "fit", fit)
    config = quick_config("ststnet", f"evaluation.epoch_rule={rule}")
    RULES[rule](Task(config, flowset.take(fold.train), unseal, seed=0))
    assert events.count("unsealed") == 1
    assert events[-1] == "unsealed"


def test_the_refit_of_inner_subjects_follows_the_schedule_that_was_scored() -> None:
    """Bit for bit the whole training on all training clips, as it was after the chosen epoch."""
    flowset = make_flowset(subjects=5)
    cosine = ("training.schedule=cosine", "training.warmup_epochs=1", "training.epochs=5")
    stopped = 0
    for number in range(3):
        settings = (*cosine, "training.ema=0.9", "evaluation.epoch_rule=inner_subjects")
        config = quick_config("mlp", *settings)
        train = flowset.take(leave_one_subject_out(flowset)[number].train)
        found = RULES["inner_subjects"](Task(config, train, lambda: flowset, seed=number))
        answers: list[np.ndarray] = []
        whole = epoch_rules.fit(
            config,
            train,
            seed=number,
            probe=lambda classify, kept=answers: kept.append(classify(flowset)),
        )
        assert found.fitted.losses == whole.losses[: found.epoch]
        assert (found.probabilities == answers[found.epoch - 1]).all()
        stopped += found.epoch < 5
    assert stopped, "no training ended early, so that nothing was shown"


def test_the_oracle_does_peek() -> None:
    """On labels that mean nothing, looking at the test subject every epoch pays."""
    rng = np.random.default_rng(0)
    flowset = make_flowset(subjects=5, per_subject=9)
    noise = FlowSet(
        rng.normal(size=flowset.maps.shape).astype(np.float32),
        rng.permutation(flowset.labels),
        flowset.keys,
        MEGC3.classes,
    )
    hits = {}
    for rule in ("last", "oracle_test"):
        config = quick_config(
            "ststnet", f"evaluation.epoch_rule={rule}", "training.epochs=30", "training.lr=1e-2"
        )
        hits[rule] = sum(
            row["truth"] == row["prediction"]
            for fold in leave_one_subject_out(noise)
            for row in run_fold(config, noise, FoldRun(fold, 0))["predictions"]
        )
    assert hits["oracle_test"] >= hits["last"] + 5


def test_partners_of_a_unit_are_never_the_held_out_person() -> None:
    flowset = make_flowset(subjects=4)
    config = quick_config("hmrm", "augment.motionmix=1.0", "training.epochs=3")
    for fold in leave_one_subject_out(flowset):
        partners = run_fold(config, flowset, FoldRun(fold, 0))["motionmix_partners"]
        assert fold.name not in partners
        assert len(partners) == 3


def test_shuffling_keeps_the_classes_and_moves_the_labels() -> None:
    flowset = make_flowset(subjects=6)
    persons = np.array(flowset.subjects)
    kept = {}
    for control in ("shuffled_labels", "shuffled_within_subjects"):
        config = quick_config("hmrm", f"evaluation.control={control}")
        shuffled = control_labels(config, flowset, 0)
        assert sorted(shuffled.labels) == sorted(flowset.labels)
        assert (shuffled.labels != flowset.labels).mean() > 0.3
        assert (shuffled.maps == flowset.maps).all()
        kept[control] = all(
            sorted(shuffled.labels[persons == one]) == sorted(flowset.labels[persons == one])
            for one in set(persons)
        )
    assert kept == {"shuffled_labels": False, "shuffled_within_subjects": True}
    assert control_labels(quick_config(), flowset, 0) is flowset


def test_units_have_seeds_of_their_own() -> None:
    seeds = {fold_seed(f"toy/s{s}", k) for s in range(50) for k in range(10)}
    assert len(seeds) == 500
