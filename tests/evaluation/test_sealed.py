"""Nothing of the held-out subject reaches the training: proven by poisoning it."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from conftest import make_flowset, make_framed_flowset, quick_config, with_pictures

from hmrm_lab.evaluation.fold import RULES, Answer, Task, control_labels
from hmrm_lab.evaluation.protocols import leave_one_subject_out
from hmrm_lab.records import UNITS, FlowSet, FramePairs
from hmrm_lab.registry import systems
from hmrm_lab.training.trainer import fit

HONEST = ["last", "inner_subjects"]
NETWORKS = [name for name in systems if not systems[name].is_estimator]
FEW = ("hmrm", "ststnet")
OTHERS = [name for name in NETWORKS if name not in FEW]
TUNED = ("flow.name=gru_attention", "flow.finetune=true")


def poison(flowset: FlowSet, rows: np.ndarray) -> FlowSet:
    """Other pixels, labels and action units for these clips, nothing else."""
    rng, labels = np.random.default_rng(9), flowset.labels.copy()
    labels[rows] = (labels[rows] + 1) % 3
    changed = {"labels": labels}
    for name in ("maps", "pictures", "clips"):
        if (values := getattr(flowset, name)) is not None:
            changed[name] = values.copy()
            changed[name][rows] = rng.integers(0, 256, values[rows].shape)
    if flowset.action_units is not None:
        changed["action_units"] = flowset.action_units.copy()
        changed["action_units"][rows] ^= 1
    if flowset.frames is not None:
        images = flowset.frames.images.copy()
        images[rows] = rng.integers(0, 256, images[rows].shape)
        changed["frames"] = FramePairs(images, flowset.frames.pixel)
    return replace(flowset, **changed)


def with_units(flowset: FlowSet) -> FlowSet:
    """Each class moves an action unit of its own."""
    return replace(flowset, action_units=np.eye(3, len(UNITS), dtype=np.int8)[flowset.labels])


def answers(
    flowset: FlowSet, rule: str, system: str, *overrides: str, train: bool = False
) -> list[Answer]:
    """The answers of a fold, clean and with its test clips poisoned, or one training clip."""
    fold = leave_one_subject_out(flowset)[1]
    mixed = 0.0 if quick_config(system).input.has_pictures else 0.5  # pictures cannot be mixed
    settings = (f"augment.motionmix={mixed}", f"evaluation.epoch_rule={rule}", *overrides)
    config = quick_config(system, "training.epochs=2", *settings)
    spoilt = poison(flowset, fold.train[:1] if train else fold.test)
    if train:  # pixels alone
        spoilt = replace(spoilt, labels=flowset.labels)
    found = []
    for clips in (flowset, spoilt):
        task = Task(config, clips.take(fold.train), lambda c=clips: c.take(fold.test), seed=3)
        found.append(RULES[rule](task))
    return found


def same_weights(clean: Answer, poisoned: Answer) -> bool:
    """Whether the weights are the same to the last bit."""
    states = (one.fitted.model.state_dict().values() for one in (clean, poisoned))
    return all((ours == theirs).all() for ours, theirs in zip(*states, strict=True))


@pytest.mark.parametrize(
    ("rule", "system"),
    [
        *(("last", name) for name in NETWORKS),
        *(("inner_subjects", name) for name in FEW),
        *(pytest.param("inner_subjects", name, marks=pytest.mark.full) for name in OTHERS),
    ],
)
def test_poisoned_held_out_clips_leave_weights_and_epoch_as_they_are(
    rule: str, system: str
) -> None:
    clips = with_units(with_pictures(make_flowset(subjects=5)))
    clean, poisoned = answers(clips, rule, system, "loss.action_units=0.5")
    assert clean.probabilities.shape[1] == 6  # classes and units
    assert same_weights(clean, poisoned) and clean.epoch == poisoned.epoch
    assert (clean.probabilities != poisoned.probabilities).any()


@pytest.mark.parametrize(("rule", "system"), [("last", "ststnet"), *((r, "hmrm") for r in HONEST)])
def test_poisoned_frames_leave_a_fine_tuned_flow_as_it_is(rule: str, system: str) -> None:
    clean, poisoned = answers(make_framed_flowset(subjects=5), rule, system, *TUNED)
    assert any(name.startswith("motion.network.") for name in clean.fitted.model.state_dict())
    assert same_weights(clean, poisoned) and clean.epoch == poisoned.epoch
    assert (clean.probabilities != poisoned.probabilities).any()


def test_the_poison_is_strong_enough_to_be_noticed_if_it_leaked() -> None:
    """The same check on poisoned *training* clips fails, so it can fail."""
    assert not same_weights(*answers(make_flowset(subjects=5), "last", "hmrm", train=True))
    clean, spoilt = answers(make_framed_flowset(subjects=5), "last", "hmrm", *TUNED, train=True)
    name = "motion.network.pass_up.weight"
    weights, others = (a.fitted.model.state_dict()[name] for a in (clean, spoilt))
    assert (weights != others).any()


def test_the_refit_of_inner_subjects_follows_the_schedule_that_was_scored() -> None:
    """Bit for bit the whole training on all training clips, as it was after the chosen epoch."""
    flowset = make_flowset(subjects=5)
    cosine = ("training.schedule=cosine", "training.warmup_epochs=1", "training.epochs=5")
    config = quick_config(
        "mlp", *cosine, "training.ema=0.9", "evaluation.epoch_rule=inner_subjects"
    )
    epochs = []
    for number in range(3):
        train = flowset.take(leave_one_subject_out(flowset)[number].train)
        found = RULES["inner_subjects"](Task(config, train, lambda: flowset, seed=number))
        seen: list[np.ndarray] = []
        look = partial(lambda kept, classify: kept.append(classify(flowset)), seen)
        whole = fit(config, train, seed=number, probe=look)
        assert found.fitted.losses == whole.losses[: found.epoch]
        assert (found.probabilities == seen[found.epoch - 1]).all()
        epochs.append(found.epoch)
    assert min(epochs) < 5, "no training ended early, so that nothing was shown"


def test_shuffling_keeps_the_classes_and_moves_the_labels() -> None:
    flowset = with_units(make_flowset(subjects=6))
    persons = np.array(flowset.subjects)
    for control, kept in (("shuffled_labels", False), ("shuffled_within_subjects", True)):
        config = quick_config("hmrm", f"evaluation.control={control}")
        shuffled = control_labels(config, flowset, 0)
        assert sorted(shuffled.labels) == sorted(flowset.labels)
        assert (shuffled.labels != flowset.labels).mean() > 0.3
        assert (shuffled.maps == flowset.maps).all()
        assert (shuffled.action_units.argmax(1) == shuffled.labels).all()
        counts = [
            [sorted(one.labels[persons == person]) for person in sorted(set(persons))]
            for one in (shuffled, flowset)
        ]
        assert (counts[0] == counts[1]) == kept
    assert control_labels(quick_config(), flowset, 0) is flowset
