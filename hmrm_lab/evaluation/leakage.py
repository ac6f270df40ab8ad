"""The leak audit: what the records of a run say about whether its test subjects stayed unseen.

Every check is a pure function of records, so that it can be tested with a leak put in on purpose.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Callable

from hmrm_lab.evaluation.consistency import (
    check_completeness,
    check_digest,
    check_fingerprint,
    check_probabilities,
    check_seeds,
    check_truth,
)
from hmrm_lab.evaluation.epoch_rules import NO_RULE, PEEKING, rule_of
from hmrm_lab.evaluation.findings import (
    FAULT,
    LEAK,
    OK,
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
from hmrm_lab.records import digest_of_keys


def audit_records(records: Records) -> list[Check]:
    """Every check that needs the records alone, in a fixed order."""
    return [check(records) for check in CHECKS]


def check_held_out(records: Records) -> Check:
    """Each fold answers for the one person that it holds out."""
    wrong = [
        f"fold {unit['fold']} answers for {person_of(row)}"
        for unit in records.units
        for row in unit["predictions"]
        if person_of(row) != unit["fold"]
    ]
    fine = f"{len(folds_of(records))} folds, each with one person"
    return verdict("held-out subjects", LEAK, wrong, fine)


def check_training_subjects(records: Records) -> Check:
    """The held-out person is not among those trained on."""
    name = "subjects in training"
    if lacking := without(records, "training_persons"):
        return unrecorded(name, lacking, records)
    wrong = [
        f"{unit['fold']} was trained on while it was held out"
        for unit in records.units
        if unit["fold"] in unit["training_persons"]
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
        keys = [key for key in records.flowset.keys if key.person != unit["fold"]]
        if (unit["training_clips"], unit["training_digest"]) != (len(keys), digest_of_keys(keys)):
            wrong.append(
                f"fold {unit['fold']} was trained on {unit['training_clips']} clips that"
                f" are not the {len(keys)} of the others"
            )
    return verdict(name, LEAK, wrong, "each fold was trained on all clips of all others")


def check_subject_names(records: Records) -> Check:
    """No two people of a data set whose names differ in spelling alone: likely one person."""
    spellings: dict[tuple[str, str], set[str]] = defaultdict(set)
    for person in records.data.get("held_out", {}) or folds_of(records):
        dataset, _, subject = person.partition("/")
        spellings[dataset.casefold(), _plain_name(subject)].add(person)
    wrong = [
        f"{' and '.join(sorted(names))} look like one person in two folds"
        for names in spellings.values()
        if len(names) > 1
    ]
    return verdict("subject names", LEAK, wrong, "no two names differ in spelling alone")


def check_partners(records: Records) -> Check:
    """MotionMix took its partners from the training fold."""
    name = "augmentation partners"
    if lacking := without(records, "motionmix_partners"):
        return unrecorded(name, lacking, records)
    people = set(records.data.get("held_out", {})) or folds_of(records)
    wrong = [
        f"fold {unit['fold']} mixed in motion of {partner}"
        + (", whom it holds out" if partner == unit["fold"] else ", who is not in its training")
        for unit in records.units
        for partner in unit["motionmix_partners"]
        if partner not in set(unit.get("training_persons", people)) - {unit["fold"]}
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
        if person not in unit.get("training_persons", ()) or person == unit["fold"]
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


CHECKS: tuple[Callable[[Records], Check], ...] = (
    check_held_out,
    check_training_subjects,
    check_training_clips,
    check_subject_names,
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


def _plain_name(subject: str) -> str:
    """A name without what spellings differ in: case, signs, and zeros before a number."""
    words = re.findall(r"[^\W\d_]+|\d+", subject.casefold())
    return " ".join(word.lstrip("0") or "0" for word in words) or subject
