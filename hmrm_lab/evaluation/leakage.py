"""The leak audit: what the records of a run say about whether its test subjects stayed unseen.

Every check is a pure function of records, so that it can be tested with a leak put in on purpose.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from hmrm_lab.config import ExperimentConfig
from hmrm_lab.evaluation.audit_findings import (
    FAULT,
    LEAK,
    OK,
    UNKNOWN,
    Check,
    Records,
    folds_of,
    listed,
    no_data,
    person_of,
    unrecorded,
    verdict,
    without,
)
from hmrm_lab.evaluation.consistency import (
    check_completeness,
    check_digest,
    check_fingerprint,
    check_probabilities,
    check_seeds,
    check_truth,
)
from hmrm_lab.evaluation.epoch_rules import NO_RULE, PEEKING, rule_of
from hmrm_lab.records import digest_of_keys, names_of_person
from hmrm_lab.runtime.tensors import UNKNOWN as UNSTATED
from hmrm_lab.training.pretrained import subject_names


def audit_records(records: Records) -> list[Check]:
    """Every check that needs the records alone, in a fixed order."""
    return [check(records) for check in CHECKS]


def check_held_out(records: Records) -> Check:
    """Each fold answers for the subjects that it holds out."""
    wrong = [
        f"fold {unit['fold']} answers for {person_of(row)}"
        for unit in records.units
        for row in unit["predictions"]
        if person_of(row) not in _names_held_out(records, unit)
    ]
    one = records.config.evaluation.protocol == "loso"
    fine = (
        f"{len(folds_of(records))} folds, each with {'one person' if one else 'its own subjects'}"
    )
    return verdict("held-out subjects", LEAK, wrong, fine)


def check_training_subjects(records: Records) -> Check:
    """The held-out person is not among those trained on."""
    name = "subjects in training"
    if lacking := without(records, "training_persons"):
        return unrecorded(name, lacking, records)
    wrong = [
        f"{unit['fold']} was trained on while it was held out"
        for unit in records.units
        if not _held_out(records, unit).isdisjoint(unit["training_persons"])
    ]
    return verdict(name, LEAK, wrong, "no fold was trained on the person that it holds out")


def check_training_clips(records: Records) -> Check:
    """The clips trained on are those of all other people: none less, none more."""
    name = "clips in training"
    if lacking := without(records, "training_digest"):
        return unrecorded(name, lacking, records)
    if records.flowset is None:
        return no_data(name)
    wrong = []
    for unit in records.units:
        pairs = zip(records.flowset.keys, records.flowset.persons, strict=True)
        keys = [key for key, person in pairs if person not in _held_out(records, unit)]
        if (unit["training_clips"], unit["training_digest"]) != (len(keys), digest_of_keys(keys)):
            wrong.append(
                f"fold {unit['fold']} was trained on {unit['training_clips']} clips that"
                f" are not the {len(keys)} of the others"
            )
    return verdict(name, LEAK, wrong, "each fold was trained on all clips of all others")


def check_subject_names(records: Records) -> Check:
    """No two people of a data set whose names differ in spelling alone: likely one person."""
    spellings: dict[tuple[str, str], set[str]] = defaultdict(set)
    for person in _people(records):
        spellings[_spelling(person)].add(person)
    wrong = [
        f"{' and '.join(sorted(names))} look like one person in two folds; if they are, say so with"
        " evaluation.same_person"
        for names in spellings.values()
        if len(names) > 1
    ]
    return verdict("subject names", LEAK, wrong, "no two names differ in spelling alone")


def check_partners(records: Records) -> Check:
    """MotionMix took its partners from the training fold."""
    name = "augmentation partners"
    if lacking := without(records, "motionmix_partners"):
        return unrecorded(name, lacking, records)
    people = _people(records)
    wrong = [
        f"fold {unit['fold']} mixed in motion of {partner}"
        + (
            ", whom it holds out"
            if partner in _held_out(records, unit)
            else ", who is not in its training"
        )
        for unit in records.units
        for partner in unit["motionmix_partners"]
        if partner not in set(unit.get("training_persons", people)) - _held_out(records, unit)
    ]
    count = sum(bool(unit["motionmix_partners"]) for unit in records.units)
    fine = f"all in the training fold ({count} units mixed)" if count else "nothing was mixed"
    return verdict(name, LEAK, wrong, fine)


def check_normalisation(records: Records) -> Check:
    """Shared statistics of the inputs rest on training people; most systems share none."""
    name = "normalisation"
    if lacking := without(records, "normalisation_persons"):
        return unrecorded(name, lacking, records)
    wrong = [
        f"fold {unit['fold']} scaled its inputs by clips of {person}"
        for unit in records.units
        for person in unit["normalisation_persons"]
        if person not in unit.get("training_persons", ()) or person in _held_out(records, unit)
    ]
    fitted = any(unit["normalisation_persons"] for unit in records.units)
    method = records.config.input.normalise
    fine = "fitted on training people alone" if fitted else f"{method}: each map on its own scale"
    return verdict(name, LEAK, wrong, fine)


def check_epoch_rule(records: Records) -> Check:
    """No test clip had a say in which epoch answers."""
    rule = rule_of(records.config)
    if rule == NO_RULE:
        return Check("epoch rule", OK, "fitted in one step: there is no epoch to choose")
    if rule in PEEKING:
        why = f"{rule} chooses the epoch on the test subject: a leak by design"
        return Check("epoch rule", LEAK, why)
    looks = [
        f"fold {unit['fold']} kept looks at its test clips"
        for unit in records.units
        if unit.get("looks")
    ]
    if not looks and (lacking := _without_losses(records)):
        return unrecorded("epoch rule", lacking, records)
    return verdict("epoch rule", LEAK, looks, f"{rule}: no test clip is asked before the end")


def check_epochs(records: Records) -> Check:
    """The epochs behind the answers are what the rule allows."""
    rule, limit = rule_of(records.config), records.config.training.epochs
    if rule == NO_RULE:
        return _check_no_epochs(records)
    wrong = []
    ends = Counter(row["epoch"] for unit in records.units for row in unit["predictions"])
    for unit in records.units:
        epochs = sorted({row["epoch"] for row in unit["predictions"]})
        if len(epochs) > 1:
            wrong.append(f"fold {unit['fold']} answers from epochs {listed(epochs)} at once")
        elif rule == "last" and unit.get("losses") and epochs != [len(unit["losses"])]:
            wrong.append(
                f"fold {unit['fold']} answers from epoch {epochs[0]} of"
                f" {len(unit['losses'])}, and the rule is last"
            )
        elif epochs[-1] > limit:
            wrong.append(f"fold {unit['fold']} answers from epoch {epochs[-1]} of {limit}")
    if rule == "last" and len(ends) > 1 and not wrong:
        wrong.append(f"folds end after {listed(sorted(ends))} epochs, and the rule is last")
    if not wrong and (lacking := _without_losses(records)):
        return unrecorded("epochs", lacking, records)
    return verdict("epochs", LEAK, wrong, f"as the rule {rule} allows ({listed(sorted(ends))})")


def check_weights(records: Records) -> Check:
    """No weights that the training begins with have seen a test subject."""
    return judge_weights(records.config, records.data, folds_of(records))


def judge_weights(
    config: ExperimentConfig, data: Mapping[str, Any], folds: Iterable[str] = ()
) -> Check:
    """The same from what `data.json` says; `folds` are those of a run that does not say whom it
    holds out."""
    name, known = "starting weights", names_of_person(config.evaluation.same_person)
    brought = (config.model.options.get("weights"), config.flow.options.get("weights"))
    if "weights" not in data and (any(brought) or config.training.pretrain_epochs):
        return Check(name, UNKNOWN, "the run does not record whom they have seen; run it anew")
    wrong, silent = [], []
    for one in data.get("weights", []):
        seen = set(map(_spelling, one["subjects"]))
        silent += [one["setting"]] if UNSTATED in one["subjects"] else []
        wrong += [
            f"{one['setting']} ({one['file']}) has been trained on {person}"
            for person in _subjects_in(data) or folds
            if not seen.isdisjoint(
                map(_spelling, subject_names(config, known.get(person, {person})))
            )
        ]
    unstated = [f"the file of {setting} does not say whom it has seen" for setting in silent]
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


def _subjects_in(data: Mapping[str, Any]) -> list[str]:
    """Everybody whom `data.json` says to be held out in some fold."""
    by_fold = data.get("subjects_by_fold", {})
    return [one for subjects in by_fold.values() for one in subjects] or [*data.get("held_out", {})]


def _people(records: Records) -> set[str]:
    return set(_subjects_in(records.data)) or folds_of(records)


def _held_out(records: Records, unit: Mapping[str, Any]) -> set[str]:
    """The subjects of a fold: the one that it is named after, unless `data.json` names others."""
    return set(records.data.get("subjects_by_fold", {}).get(unit["fold"], [unit["fold"]]))


def _names_held_out(records: Records, unit: Mapping[str, Any]) -> set[str]:
    """All names of these subjects."""
    known = names_of_person(records.config.evaluation.same_person)
    return set().union(*(known.get(name, {name}) for name in _held_out(records, unit)))


def _check_no_epochs(records: Records) -> Check:
    wrong = [
        f"fold {unit['fold']} answers from epoch {row['epoch']} of a system that has none"
        for unit in records.units
        for row in unit["predictions"]
        if row["epoch"]
    ]
    return verdict("epochs", FAULT, wrong, "fitted in one step: there are none")


def _without_losses(records: Records) -> int:
    """How many units of a network do not say how its epochs went."""
    return sum(not unit.get("losses") for unit in records.units)


def _spelling(person: str) -> tuple[str, str]:
    """A name without what spellings differ in: case, signs, and zeros before a number."""
    dataset, _, subject = person.casefold().partition("/")
    words = re.findall(r"[^\W\d_]+|\d+", subject)
    return dataset, " ".join(word.lstrip("0") or "0" for word in words) or subject
