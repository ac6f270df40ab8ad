"""The leak audit: whether the test subjects of a run stayed unseen, by its records and its maps.

Clips of different subjects that are the same recording are found by the motion maps themselves.
"""

import re
from collections import defaultdict
from collections.abc import Mapping
from typing import Any, NamedTuple

import cv2
import numpy as np

from hmrm_lab.config import ExperimentConfig
from hmrm_lab.evaluation.consistency import (
    CONSISTENCY,
    FAULT,
    LEAK,
    UNKNOWN,
    Check,
    Found,
    Records,
    Rule,
    listed,
    no_data,
    verdict,
)
from hmrm_lab.evaluation.fold import NO_RULE, PEEKING, rule_of
from hmrm_lab.evaluation.protocols import Protocol
from hmrm_lab.flow.motion_maps import STILL, normalise_maps
from hmrm_lab.records import ClipKey, FlowSet, digest_of_keys, names_of_subject
from hmrm_lab.runtime.store import UNKNOWN as UNSTATED
from hmrm_lab.training.pretrained import subject_names

HASHED = (9, 8)  # columns and rows of the reduced map behind the perceptual hash
BITS = 2 * 8 * 8  # of u and of v
NEAR_BITS = 16  # on the 309 published maps, the nearest two of different subjects differ in 28
NEAR_CORRELATION = 0.95  # there the most alike two of different subjects reach 0.88


def audit_records(records: Records) -> list[Check]:
    """Run every check that needs the records alone, in a fixed order."""
    checks = []
    for name, state, find, needs_data in CHECKS:
        lacking = needs_data and records.flowset is None
        found: Found | Check = no_data(name) if lacking else find(records)
        checks.append(found if isinstance(found, Check) else verdict(name, state, *found))
    return checks


def find_predicted_elsewhere(records: Records) -> Found:
    known = names_of_subject(records.config.evaluation.same_person)
    wrong = []
    for unit, row in records.rows:
        subject = f"{row['dataset']}/{row['subject']}"
        if not any(subject in known.get(name, {name}) for name in records.held_out(unit)):
            wrong.append(f"fold {unit['fold']} predicts {subject}")
    what = "its own subjects" if "subjects_by_fold" in records.data else "one subject"
    return wrong, f"{len(records.folds)} folds, each with {what}"


def find_trained_on(records: Records) -> Found:
    wrong = [
        f"{unit['fold']} was trained on while it was held out"
        for unit in records.units
        if not records.held_out(unit).isdisjoint(unit["training_persons"])
    ]
    return wrong, "no fold was trained on a subject that it holds out"


def find_other_training(records: Records) -> Found:
    trained = Protocol.of(records.config.evaluation).trains_on(records.clips)
    rows = list(zip(records.clips.keys, records.clips.subjects, trained, strict=True))
    wrong = []
    for unit in records.units:
        held_out = records.held_out(unit)
        keys = [key for key, subject, may in rows if may and subject not in held_out]
        if (unit["training_clips"], unit["training_digest"]) != (len(keys), digest_of_keys(keys)):
            wrong.append(
                f"fold {unit['fold']} was trained on {unit['training_clips']} clips that"
                f" are not the {len(keys)} of the others"
            )
    sets = ", ".join(records.config.evaluation.train_on)
    return wrong, f"each fold was trained on all clips of all others{sets and f' of {sets}'}"


def find_like_names(records: Records) -> Found:
    spellings: dict[tuple[str, str], set[str]] = defaultdict(set)
    for subject in _subjects(records.data):
        spellings[_spelling(subject)].add(subject)
    wrong = [
        f"{' and '.join(sorted(names))} look like one subject in two folds; if they are, name them"
        " in evaluation.same_person"
        for names in spellings.values()
        if len(names) > 1
    ]
    return wrong, "no two names differ in spelling alone"


def find_partners(records: Records) -> Found:
    wrong = []
    for unit in records.units:
        held_out = records.held_out(unit)
        trained_on = set(unit["training_persons"]) - held_out
        wrong += [
            f"fold {unit['fold']} mixed in motion of {partner}, "
            + ("whom it holds out" if partner in held_out else "who is not in its training")
            for partner in unit["motionmix_partners"]
            if partner not in trained_on
        ]
    count = sum(bool(unit["motionmix_partners"]) for unit in records.units)
    mixed = f"all in the training fold ({count} folds mixed)"
    return wrong, mixed if count else "nothing was mixed"


def find_shared_scales(records: Records) -> Found:
    wrong = [
        f"fold {unit['fold']} scaled its inputs by clips of {subject}"
        for unit in records.units
        for subject in unit["normalisation_persons"]
        if subject not in set(unit["training_persons"]) - records.held_out(unit)
    ]
    if any(unit["normalisation_persons"] for unit in records.units):
        return wrong, "fitted on training subjects alone"
    return wrong, f"{records.config.input.normalise}: each map on its own scale"


def find_peeking(records: Records) -> Found:
    rule = rule_of(records.config)
    if rule == NO_RULE:
        return [], "a non-iterative estimator: there is no epoch to choose"
    if rule in PEEKING:
        return [f"{rule} chooses the epoch on the test subject: a leak by design"], ""
    wrong = [
        f"fold {unit['fold']} kept predictions of its test clips during training"
        for unit in records.units
        if unit.get("epoch_predictions")
    ]
    return wrong, f"{rule}: no test clip is predicted before the end"


def find_other_epochs(records: Records) -> Found | Check:
    name, rule, limit = "epochs", rule_of(records.config), records.config.training.epochs
    if rule == NO_RULE:
        wrong = [
            f"fold {unit['fold']} predicts from epoch {row['epoch']} of a system that has none"
            for unit, row in records.rows
            if row["epoch"]
        ]
        return verdict(name, FAULT, wrong, "a non-iterative estimator: there are none")
    wrong = []
    ends = sorted({row["epoch"] for _, row in records.rows})
    for unit in records.units:
        epochs = sorted({row["epoch"] for row in unit["predictions"]})
        fold, trained = unit["fold"], len(unit["losses"])
        if len(epochs) > 1:
            wrong.append(f"fold {fold} predicts from epochs {listed(epochs)} at once")
        elif rule == "last" and epochs != [trained]:
            wrong.append(
                f"fold {fold} predicts from epoch {epochs[0]} of {trained}, and the rule is last"
            )
        elif epochs[-1] > limit:
            wrong.append(f"fold {fold} predicts from epoch {epochs[-1]} of {limit}")
    if rule == "last" and len(ends) > 1 and not wrong:
        wrong.append(f"folds end after {listed(ends)} epochs, and the rule is last")
    return wrong, f"as the rule {rule} allows ({listed(ends)})"


def judge_weights(config: ExperimentConfig, data: Mapping[str, Any]) -> Check:
    """Judge by `data.json` whether weights that the training started from saw a test subject."""
    name, known = "starting weights", names_of_subject(config.evaluation.same_person)
    wrong, unstated = [], []
    for one in data["weights"]:
        seen = set(map(_spelling, one["subjects"]))
        if UNSTATED in one["subjects"]:
            unstated.append(f"the file of {one['setting']} does not say whom it has seen")
        for subject in _subjects(data):
            names = subject_names(config, known.get(subject, {subject}))
            if not seen.isdisjoint(map(_spelling, names)):
                wrong.append(f"{one['setting']} ({one['file']}) has been trained on {subject}")
    if unstated and not wrong:
        return Check(name, UNKNOWN, "; ".join(unstated))
    fine = [f"{one['setting']}: no test subject" for one in data["weights"]]
    return verdict(name, LEAK, [*wrong, *unstated], ", ".join(fine) or "none: drawn at random")


CHECKS = (
    Rule("held-out subjects", LEAK, find_predicted_elsewhere),
    Rule("subjects in training", LEAK, find_trained_on),
    Rule("clips in training", LEAK, find_other_training, data=True),
    Rule("subject names", LEAK, find_like_names),
    Rule("starting weights", LEAK, lambda of: judge_weights(of.config, of.data)),
    Rule("augmentation partners", LEAK, find_partners),
    Rule("normalisation", LEAK, find_shared_scales),
    Rule("epoch rule", LEAK, find_peeking),
    Rule("epochs", LEAK, find_other_epochs),
    *CONSISTENCY,
)


def _subjects(data: Mapping[str, Any]) -> list[str]:
    by_fold = data.get("subjects_by_fold", {})
    return [one for subjects in by_fold.values() for one in subjects] or [*data["held_out"]]


def _spelling(subject: str) -> tuple[str, str]:
    """A name without case, punctuation, and zeros before a number."""
    dataset, _, name = subject.casefold().partition("/")
    words = re.findall(r"[^\W\d_]+|\d+", name)
    return dataset, " ".join(word.lstrip("0") or "0" for word in words) or name


class Twins(NamedTuple):
    """Two clips of different subjects, and how many bits of their hashes differ."""

    first: ClipKey
    second: ClipKey
    bits: int | None  # None where the maps are equal in every byte


def find_twins(flowset: FlowSet) -> list[Twins]:
    """Find pairs of clips of different subjects whose moving maps are equal or nearly so.

    Both perceptual hash and correlation of u and v must be near: a copy is found that was
    compressed again, scaled or brightened, and two faces that smile alike are not.
    """
    raw = flowset.maps.reshape(len(flowset), -1)
    contents = np.unique(raw, axis=0, return_inverse=True)[1]
    moving = np.ptp(flowset.maps[:, :2].reshape(len(flowset), -1), axis=1) > STILL
    maps = normalise_maps(flowset.maps, "median_rms", flowset.unit, flowset.inside)[:, :2]
    planes = maps.reshape(-1, *maps.shape[2:])
    small = np.stack([cv2.resize(one, HASHED, interpolation=cv2.INTER_AREA) for one in planes])
    # a perceptual hash: whether each cell is larger than its left neighbour
    hashes = (small[..., 1:] > small[..., :-1]).reshape(len(maps), BITS)
    subjects = np.array(flowset.subjects)
    flat = maps.reshape(len(maps), -1)
    flat = flat - flat.mean(1, keepdims=True)
    norms = np.linalg.norm(flat, axis=1, keepdims=True)
    flat = (flat / np.where(norms > STILL, norms, 1.0)).astype(np.float32)
    found = []
    for row in range(len(flowset)):
        bits, equal = (hashes != hashes[row]).sum(1), contents == contents[row]
        alike = equal | (bits <= NEAR_BITS) & (flat @ flat[row] >= NEAR_CORRELATION)
        alike &= (subjects != subjects[row]) & moving & moving[row]
        for other in np.flatnonzero(alike[row + 1 :]) + row + 1:
            first, second = flowset.keys[row], flowset.keys[other]
            found.append(Twins(first, second, None if equal[other] else int(bits[other])))
    return found
