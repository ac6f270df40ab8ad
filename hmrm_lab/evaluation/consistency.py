"""The form of an audit's findings, and whether a run's records agree with themselves and the data.

`OK`             checked, and nothing found.
`LEAK`           something of a test subject reached the training, or the choice of its epoch.
`FAULT`          no leak, but the records contradict each other, the settings or the data.
`not checkable`  the information is not recorded, or not at hand.

Every check is a pure function of records, so that it can be tested with a fault put in on purpose.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hmrm_lab.config import ExperimentConfig
from hmrm_lab.records import FlowSet, classes_of, probability_columns

OK, LEAK, FAULT, UNKNOWN = "OK", "LEAK", "FAULT", "not checkable"
NAMED = 3  # in one sentence
ROUNDING = 1e-4  # of probabilities that were written with six digits

Fields = Mapping[str, Any]
Key = tuple[str, str, str]  # data set, subject, clip


@dataclass(frozen=True)
class Check:
    """One line of the audit."""

    name: str
    state: str
    why: str


@dataclass(frozen=True)
class Records:
    """The files of a run, and the data if they are at hand.

    `units` are the records of its folds, `data` is its `data.json`, `folder` its folder's name.
    """

    config: ExperimentConfig
    units: Sequence[Fields]
    data: Mapping[str, Any]
    folder: str
    flowset: FlowSet | None = None


def verdict(name: str, state: str, wrong: Iterable[str], fine: str) -> Check:
    """Make a check of this state with the first few problems, or OK if there is none."""
    found = list(dict.fromkeys(wrong))
    more = f"; and {len(found) - NAMED} more" if len(found) > NAMED else ""
    return Check(name, state, "; ".join(found[:NAMED]) + more) if found else Check(name, OK, fine)


def no_data(name: str) -> Check:
    """Make the check that needs the data, where they are not at hand."""
    return Check(name, UNKNOWN, "the data are not at hand; name their folder with --root")


def listed(values: Sequence[object]) -> str:
    """Name the first few of these, and how many more there are."""
    more = f" and {len(values) - NAMED} more" if len(values) > NAMED + 1 else ""
    shown = values[:NAMED] if more else values
    return ", ".join(map(str, shown)) + more


def folds_of(records: Records) -> set[str]:
    """Name the folds that are there."""
    return {str(unit["fold"]) for unit in records.units}


def held_out_by(records: Records, unit: Fields) -> set[str]:
    """Name the subjects of a fold: its own name, unless `data.json` names others."""
    return set(records.data.get("subjects_by_fold", {}).get(unit["fold"], [unit["fold"]]))


def rows_of(records: Records) -> Iterator[tuple[Fields, Fields]]:
    """Pair each prediction with its fold."""
    return ((unit, row) for unit in records.units for row in unit["predictions"])


def check_completeness(records: Records) -> Check:
    """Check that every clip is predicted once under every seed."""
    answers = Counter((unit["seed"], _key(row)) for unit, row in rows_of(records))
    wrong = [
        f"{'/'.join(key)} is predicted {count} times under seed {seed}"
        for (seed, key), count in answers.items()
        if count > 1
    ]
    wrong += [*_wrong_folds(records), *_wrong_clips(records, {key for _, key in answers})]
    fine = f"{answers.total()} predictions, one for each clip and seed"
    return verdict("missing and doubled clips", FAULT, wrong, fine)


def _wrong_folds(records: Records) -> Iterator[str]:
    """Folds that are missing, and those with more or fewer clips than were held out."""
    held_out = records.data.get("held_out", {})
    there = {(unit["fold"], unit["seed"]) for unit in records.units}
    asked = {(fold, seed) for fold in held_out for seed in records.config.evaluation.seeds}
    if missing := len(asked - there):
        yield f"{missing} of {len(asked)} folds are missing"
    for unit in records.units:
        count, fold = len(unit["predictions"]), unit["fold"]
        if held_out and count != held_out.get(fold):
            yield f"{fold} has {count} predictions for {held_out.get(fold, 'no')} clips held out"


def _wrong_clips(records: Records, predicted: set[Key]) -> Iterator[str]:
    if records.flowset is None:
        return
    due = set().union(*(held_out_by(records, unit) for unit in records.units))
    pairs = zip(records.flowset.keys, records.flowset.subjects, strict=True)
    known = {tuple(key): subject in due for key, subject in pairs}
    yield from (f"{'/'.join(key)} is not in the data" for key in sorted(predicted - known.keys()))
    missing = sorted(key for key in known.keys() - predicted if known[key])
    yield from (f"{'/'.join(key)} is not predicted" for key in missing)


def check_truth(records: Records) -> Check:
    """Check that predictions are scored against the labels of the data."""
    name = "labels"
    if records.flowset is None:
        return no_data(name)
    labels = dict(zip(map(tuple, records.flowset.keys), records.flowset.labels, strict=True))
    wrong = [
        f"{'/'.join(_key(row))} is scored as {row['truth']} and labelled {labels[_key(row)]}"
        for _, row in rows_of(records)
        if _key(row) in labels and int(labels[_key(row)]) != row["truth"]
    ]
    return verdict(name, FAULT, wrong, "every clip is scored against its label in the data")


def check_seeds(records: Records) -> Check:
    """Check that the seeds are those of the settings, not the best of many."""
    asked, found = set(records.config.evaluation.seeds), {unit["seed"] for unit in records.units}
    wrong = [f"seed {seed} is not in the settings" for seed in sorted(found - asked)]
    wrong += [f"seed {seed} has no fold" for seed in sorted(asked - found)]
    wrong += [
        f"a row of {unit['fold']} has seed {row['seed']} in a file of seed {unit['seed']}"
        for unit, row in rows_of(records)
        if row["seed"] != unit["seed"]
    ]
    return verdict("seeds", FAULT, wrong, listed(sorted(asked)))


def check_probabilities(records: Records) -> Check:
    """Check that each row adds up to one, and predicts its most probable class."""
    wrong = []
    for _, row in rows_of(records):
        scores = [row[name] for name in probability_columns(classes_of(row))]
        clip = "/".join(_key(row))
        if not all(-ROUNDING <= score <= 1 + ROUNDING for score in scores):
            wrong.append(f"{clip} has a probability outside 0 to 1")
        elif abs(sum(scores) - 1) > ROUNDING:
            wrong.append(f"the probabilities of {clip} add up to {sum(scores):.4f}")
        elif scores[row["prediction"]] < max(scores) - ROUNDING:
            wrong.append(f"the prediction of {clip} is not its most probable class")
    return verdict("probabilities", FAULT, wrong, "each row adds up to one")


def check_digest(records: Records) -> Check:
    """Check that the folder is named by the settings in it."""
    digest = records.config.digest()[:8]
    wrong = f"the settings have the digest {digest}, and the folder is named {records.folder}"
    fits = records.folder.endswith(f"-{digest}")
    fine = f"the folder is named by its settings ({digest})"
    return verdict("settings", FAULT, [] if fits else [wrong], fine)


def check_fingerprint(records: Records) -> Check:
    """Check that the data at hand are those of the run."""
    if records.flowset is None:
        return no_data("data")
    now, then = records.flowset.fingerprint(), str(records.data.get("fingerprint"))
    wrong = [] if now == then else [f"fingerprint {now[:8]}, and the run rests on {then[:8]}"]
    return verdict("data", FAULT, wrong, f"the data of the run ({then[:8]})")


def _key(row: Fields) -> Key:
    return row["dataset"], row["subject"], row["clip"]
