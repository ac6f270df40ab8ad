"""The leak audit: whether the test subjects of a run stayed unseen, by its records and its maps.

Clips of different subjects that are the same recording are found by the motion maps themselves.
"""

import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from hmrm_lab.config import ExperimentConfig
from hmrm_lab.evaluation.consistency import (
    FAULT,
    LEAK,
    OK,
    UNKNOWN,
    Check,
    Records,
    check_completeness,
    check_digest,
    check_fingerprint,
    check_probabilities,
    check_seeds,
    check_truth,
    folds_of,
    held_out_by,
    listed,
    no_data,
    rows_of,
    verdict,
)
from hmrm_lab.evaluation.epoch_rules import NO_RULE, PEEKING, rule_of
from hmrm_lab.flow.motion_maps import STILL, normalise_maps
from hmrm_lab.records import ClipKey, Floats, FlowSet, digest_of_keys, names_of_subject
from hmrm_lab.runtime.store import UNKNOWN as UNSTATED
from hmrm_lab.training.pretrained import subject_names

SIDE = 8  # of the reduced map behind the perceptual hash
BITS = 2 * SIDE * SIDE  # of u and of v
NEAR_BITS = 16  # on the 309 published maps, the nearest two of different subjects differ in 28
NEAR_CORRELATION = 0.95  # there the most alike two of different subjects reach 0.88


def audit_records(records: Records) -> list[Check]:
    """Run every check that needs the records alone, in a fixed order."""
    return [check(records) for check in CHECKS]


def check_held_out(records: Records) -> Check:
    """Check that each fold predicts the subjects that it holds out."""
    known = names_of_subject(records.config.evaluation.same_person)
    wrong = []
    for unit, row in rows_of(records):
        subject = f"{row['dataset']}/{row['subject']}"
        if not any(subject in known.get(name, {name}) for name in held_out_by(records, unit)):
            wrong.append(f"fold {unit['fold']} predicts {subject}")
    what = "one subject" if records.config.evaluation.protocol == "loso" else "its own subjects"
    return verdict(
        "held-out subjects", LEAK, wrong, f"{len(folds_of(records))} folds, each with {what}"
    )


def check_training_subjects(records: Records) -> Check:
    """Check that no held-out subject is among those trained on."""
    name = "subjects in training"
    if lacking := _unrecorded(name, records, "training_persons"):
        return lacking
    wrong = [
        f"{unit['fold']} was trained on while it was held out"
        for unit in records.units
        if not held_out_by(records, unit).isdisjoint(unit["training_persons"])
    ]
    return verdict(name, LEAK, wrong, "no fold was trained on a subject that it holds out")


def check_training_clips(records: Records) -> Check:
    """Check that each fold was trained on the clips of all other subjects, and on no others."""
    name = "clips in training"
    if lacking := _unrecorded(name, records, "training_digest"):
        return lacking
    if records.flowset is None:
        return no_data(name)
    pairs = list(zip(records.flowset.keys, records.flowset.subjects, strict=True))
    wrong = []
    for unit in records.units:
        held_out = held_out_by(records, unit)
        keys = [key for key, subject in pairs if subject not in held_out]
        if (unit["training_clips"], unit["training_digest"]) != (len(keys), digest_of_keys(keys)):
            wrong.append(
                f"fold {unit['fold']} was trained on {unit['training_clips']} clips that"
                f" are not the {len(keys)} of the others"
            )
    return verdict(name, LEAK, wrong, "each fold was trained on all clips of all others")


def check_subject_names(records: Records) -> Check:
    """Check that no two names of a data set differ in spelling alone: likely one subject."""
    spellings: dict[tuple[str, str], set[str]] = defaultdict(set)
    for subject in _subjects(records):
        spellings[_spelling(subject)].add(subject)
    wrong = [
        f"{' and '.join(sorted(names))} look like one subject in two folds; if they are, name them"
        " in evaluation.same_person"
        for names in spellings.values()
        if len(names) > 1
    ]
    return verdict("subject names", LEAK, wrong, "no two names differ in spelling alone")


def check_partners(records: Records) -> Check:
    """Check that MotionMix took its partners from the training fold."""
    name = "augmentation partners"
    if lacking := _unrecorded(name, records, "motionmix_partners"):
        return lacking
    everyone = _subjects(records)
    wrong = []
    for unit in records.units:
        held_out = held_out_by(records, unit)
        trained_on = set(unit.get("training_persons", everyone)) - held_out
        wrong += [
            f"fold {unit['fold']} mixed in motion of {partner}, "
            + ("whom it holds out" if partner in held_out else "who is not in its training")
            for partner in unit["motionmix_partners"]
            if partner not in trained_on
        ]
    count = sum(bool(unit["motionmix_partners"]) for unit in records.units)
    fine = f"all in the training fold ({count} folds mixed)" if count else "nothing was mixed"
    return verdict(name, LEAK, wrong, fine)


def check_normalisation(records: Records) -> Check:
    """Check that statistics shared by the inputs rest on training subjects, where there are any."""
    name = "normalisation"
    if lacking := _unrecorded(name, records, "normalisation_persons"):
        return lacking
    wrong = [
        f"fold {unit['fold']} scaled its inputs by clips of {subject}"
        for unit in records.units
        for subject in unit["normalisation_persons"]
        if subject not in set(unit.get("training_persons", ())) - held_out_by(records, unit)
    ]
    fitted = any(unit["normalisation_persons"] for unit in records.units)
    method = records.config.input.normalise
    fine = "fitted on training subjects alone" if fitted else f"{method}: each map on its own scale"
    return verdict(name, LEAK, wrong, fine)


def check_epoch_rule(records: Records) -> Check:
    """Check that no test clip was used to choose the epoch."""
    name, rule = "epoch rule", rule_of(records.config)
    if rule == NO_RULE:
        return Check(name, OK, "a non-iterative estimator: there is no epoch to choose")
    if rule in PEEKING:
        why = f"{rule} chooses the epoch on the test subject: a leak by design"
        return Check(name, LEAK, why)
    epoch_predictions = [
        f"fold {unit['fold']} kept predictions of its test clips during training"
        for unit in records.units
        if unit.get("epoch_predictions")
    ]
    if not epoch_predictions and (lacking := _unrecorded(name, records, "losses")):
        return lacking
    return verdict(
        name, LEAK, epoch_predictions, f"{rule}: no test clip is predicted before the end"
    )


def check_epochs(records: Records) -> Check:
    """Check that the epochs behind the predictions are those that the rule allows."""
    name, rule, limit = "epochs", rule_of(records.config), records.config.training.epochs
    if rule == NO_RULE:
        wrong = [
            f"fold {unit['fold']} predicts from epoch {row['epoch']} of a system that has none"
            for unit, row in rows_of(records)
            if row["epoch"]
        ]
        return verdict(name, FAULT, wrong, "a non-iterative estimator: there are none")
    wrong = []
    ends = Counter(row["epoch"] for _, row in rows_of(records))
    for unit in records.units:
        epochs = sorted({row["epoch"] for row in unit["predictions"]})
        fold, trained = unit["fold"], len(unit.get("losses", ()))
        if len(epochs) > 1:
            wrong.append(f"fold {fold} predicts from epochs {listed(epochs)} at once")
        elif rule == "last" and trained and epochs != [trained]:
            wrong.append(
                f"fold {fold} predicts from epoch {epochs[0]} of {trained}, and the rule is last"
            )
        elif epochs[-1] > limit:
            wrong.append(f"fold {fold} predicts from epoch {epochs[-1]} of {limit}")
    if rule == "last" and len(ends) > 1 and not wrong:
        wrong.append(f"folds end after {listed(sorted(ends))} epochs, and the rule is last")
    if not wrong and (lacking := _unrecorded(name, records, "losses")):
        return lacking
    return verdict(name, LEAK, wrong, f"as the rule {rule} allows ({listed(sorted(ends))})")


def check_weights(records: Records) -> Check:
    """Check that no weights that the training started from have seen a test subject."""
    return judge_weights(records.config, records.data, folds_of(records))


def judge_weights(
    config: ExperimentConfig, data: Mapping[str, Any], folds: Iterable[str] = ()
) -> Check:
    """Judge the starting weights by `data.json`; `folds` are the subjects if it names none."""
    name, known = "starting weights", names_of_subject(config.evaluation.same_person)
    brought = (config.model.options.get("weights"), config.flow.options.get("weights"))
    if "weights" not in data and (any(brought) or config.training.pretrain_epochs):
        return Check(name, UNKNOWN, "the run does not record whom they have seen; run it again")
    wrong, unstated = [], []
    for one in data.get("weights", []):
        seen = set(map(_spelling, one["subjects"]))
        if UNSTATED in one["subjects"]:
            unstated.append(f"the file of {one['setting']} does not say whom it has seen")
        for subject in _subjects_in(data) or folds:
            names = subject_names(config, known.get(subject, {subject}))
            if not seen.isdisjoint(map(_spelling, names)):
                wrong.append(f"{one['setting']} ({one['file']}) has been trained on {subject}")
    if unstated and not wrong:
        return Check(name, UNKNOWN, "; ".join(unstated))
    fine = [f"{one['setting']}: no test subject" for one in data.get("weights", [])]
    return verdict(name, LEAK, [*wrong, *unstated], ", ".join(fine) or "none: drawn at random")


CHECKS: tuple[Callable[[Records], Check], ...] = (
    check_held_out,
    check_training_subjects,
    check_training_clips,
    check_subject_names,
    check_weights,
    check_partners,
    check_normalisation,
    check_epoch_rule,
    check_epochs,
    check_completeness,
    check_truth,
    check_seeds,
    check_probabilities,
    check_digest,
    check_fingerprint,
)


def _unrecorded(name: str, records: Records, field: str) -> Check | None:
    """The check where folds do not record this field; None if all do.

    A network without a list of losses does not record how its epochs went.
    """
    empty: list[float] | None = [] if field == "losses" else None
    lacking = sum(unit.get(field) in (None, empty) for unit in records.units)
    why = f"{lacking} of {len(records.units)} folds do not record it; run them again"
    return Check(name, UNKNOWN, why) if lacking else None


def _subjects_in(data: Mapping[str, Any]) -> list[str]:
    """All subjects that `data.json` says to be held out in some fold."""
    by_fold = data.get("subjects_by_fold", {})
    return [one for subjects in by_fold.values() for one in subjects] or [*data.get("held_out", {})]


def _subjects(records: Records) -> set[str]:
    return set(_subjects_in(records.data)) or folds_of(records)


def _spelling(subject: str) -> tuple[str, str]:
    """A name without case, punctuation, and zeros before a number."""
    dataset, _, name = subject.casefold().partition("/")
    words = re.findall(r"[^\W\d_]+|\d+", name)
    return dataset, " ".join(word.lstrip("0") or "0" for word in words) or name


@dataclass(frozen=True)
class Twins:
    """Two clips of different subjects, and how many bits of their hashes differ.

    `bits` is None where the maps are equal in every byte.
    """

    first: ClipKey
    second: ClipKey
    bits: int | None


def exact_twins(flowset: FlowSet) -> list[Twins]:
    """Find pairs of clips of different subjects whose maps agree in every byte."""
    groups: dict[str, list[int]] = defaultdict(list)
    for row in np.flatnonzero(_moving(flowset.maps)):
        digest = hashlib.sha256(flowset.maps[row].tobytes()).hexdigest()
        groups[digest].append(int(row))
    subjects = flowset.subjects
    return [
        Twins(flowset.keys[first], flowset.keys[second], None)
        for rows in groups.values()
        for first, second in combinations(rows, 2)
        if subjects[first] != subjects[second]
    ]


def near_twins(flowset: FlowSet) -> list[Twins]:
    """Find pairs of clips of different subjects whose maps are alike, but not in every byte.

    Both must hold: their perceptual hashes differ in at most `NEAR_BITS` of `BITS`, and their u and
    v correlate by at least `NEAR_CORRELATION`. So a copy is found that was compressed again, scaled
    or brightened, and two faces that smile alike are not.
    """
    maps = normalise_maps(flowset.maps, "median_rms", flowset.unit, flowset.inside)[:, :2]
    hashes, moving = perceptual_hash(maps), _moving(flowset.maps)
    flat = _standardised(maps.reshape(len(maps), -1))
    return [
        Twins(flowset.keys[one], flowset.keys[other], bits)
        for one, other, bits in _alike(hashes, flowset.subjects)
        if moving[one]
        and moving[other]
        and float(flat[one] @ flat[other]) >= NEAR_CORRELATION
        and not np.array_equal(flowset.maps[one], flowset.maps[other])
    ]


def perceptual_hash(maps: Floats) -> NDArray[np.bool_]:
    """Compare each cell of the reduced map with its left neighbour: whether it is larger.

    Shapes
    ------
    maps : (n, 2, H, W)
    returns : (n, `BITS`)
    """
    small = np.stack(
        [
            [cv2.resize(plane, (SIDE + 1, SIDE), interpolation=cv2.INTER_AREA) for plane in planes]
            for planes in maps
        ]
    )
    return np.asarray((small[..., 1:] > small[..., :-1]).reshape(len(maps), -1))


def _alike(hashes: NDArray[np.bool_], subjects: Sequence[str]) -> Iterator[tuple[int, int, int]]:
    """Rows of different subjects with near hashes, and their distance in bits."""
    names = np.array(subjects)
    for row, own in enumerate(hashes):
        distances = (hashes[row + 1 :] != own).sum(1)
        near = (distances <= NEAR_BITS) & (names[row + 1 :] != names[row])
        for step in np.flatnonzero(near):
            yield row, row + 1 + int(step), int(distances[step])


def _moving(maps: Floats) -> NDArray[np.bool_]:
    """Whether a map shows motion: maps that show none are all alike, and no copies."""
    spread = np.ptp(maps[:, :2].reshape(len(maps), -1), axis=1)
    return np.asarray(spread > STILL)


def _standardised(flat: Floats) -> Floats:
    centred = flat - flat.mean(1, keepdims=True)
    norms = np.linalg.norm(centred, axis=1, keepdims=True)
    return np.asarray(centred / np.where(norms > STILL, norms, 1.0), dtype=np.float32)
