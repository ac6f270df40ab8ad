"""The form of an audit's findings, and whether a run's records agree with themselves and the data.

What finds problems is a pure function of records, so that it can be tested with a fault put in.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from hmrm_lab.config import ExperimentConfig
from hmrm_lab.records import FlowSet, classes_of, probability_columns

OK = "OK"  # checked, and nothing found
LEAK = "LEAK"  # something of a test subject reached the training, or the choice of its epoch
FAULT = "FAULT"  # no leak, but the records contradict each other, the settings or the data
UNKNOWN = "not checkable"  # not known, or not at hand
NAMED = 3  # in one sentence
ROUNDING = 1e-4  # of probabilities that were written with six digits

Fields = Mapping[str, Any]
Key = tuple[str, str, str]  # data set, subject, clip
Found = tuple[Iterable[str], str]  # the problems, and what is said if there is none


@dataclass(frozen=True)
class Check:
    name: str
    state: str
    why: str


@dataclass(frozen=True)
class Records:
    """The files of a run, and the data if they are at hand."""

    config: ExperimentConfig
    units: Sequence[Fields]  # the records of its folds
    data: Mapping[str, Any]  # its `data.json`
    folder: str  # its name
    flowset: FlowSet | None = None

    @property
    def clips(self) -> FlowSet:
        assert self.flowset is not None
        return self.flowset

    @property
    def folds(self) -> set[str]:
        return {str(unit["fold"]) for unit in self.units}

    @property
    def rows(self) -> Iterator[tuple[Fields, Fields]]:
        return ((unit, row) for unit in self.units for row in unit["predictions"])

    def held_out(self, unit: Fields) -> set[str]:
        """The subjects of a fold: its own name, unless `data.json` names others."""
        return set(self.data.get("subjects_by_fold", {}).get(unit["fold"], [unit["fold"]]))


class Rule(NamedTuple):
    """A check: its name, what a problem means, what finds problems, and whether it needs data."""

    name: str
    state: str
    find: Callable[[Records], Found | Check]
    data: bool = False


def verdict(name: str, state: str, wrong: Iterable[str], fine: str) -> Check:
    """Make a check of this state with the first few problems, or OK if there is none."""
    found = list(dict.fromkeys(wrong))
    more = f"; and {len(found) - NAMED} more" if len(found) > NAMED else ""
    return Check(name, state, "; ".join(found[:NAMED]) + more) if found else Check(name, OK, fine)


def no_data(name: str) -> Check:
    return Check(name, UNKNOWN, "the data are not at hand; name their folder with --root")


def listed(values: Sequence[object]) -> str:
    more = f" and {len(values) - NAMED} more" if len(values) > NAMED + 1 else ""
    shown = values[:NAMED] if more else values
    return ", ".join(map(str, shown)) + more


def find_incomplete(records: Records) -> Found:
    answers = Counter((unit["seed"], _key(row)) for unit, row in records.rows)
    wrong = [
        f"{'/'.join(key)} is predicted {count} times under seed {seed}"
        for (seed, key), count in answers.items()
        if count > 1
    ]
    held_out = records.data["held_out"]
    there = {(unit["fold"], unit["seed"]) for unit in records.units}
    asked = {(fold, seed) for fold in held_out for seed in records.config.evaluation.seeds}
    if missing := len(asked - there):
        wrong.append(f"{missing} of {len(asked)} folds are missing")
    for unit in records.units:
        count, due = len(unit["predictions"]), held_out.get(unit["fold"], "no")
        if count != due:
            wrong.append(f"{unit['fold']} has {count} predictions for {due} clips held out")
    if records.flowset is not None:
        tested = set().union(*map(records.held_out, records.units))
        pairs = zip(records.flowset.keys, records.flowset.subjects, strict=True)
        known = {tuple(key): subject in tested for key, subject in pairs}
        predicted = {key for _, key in answers}
        wrong += [f"{'/'.join(key)} is not in the data" for key in sorted(predicted - known.keys())]
        missed = sorted(key for key in known.keys() - predicted if known[key])
        wrong += [f"{'/'.join(key)} is not predicted" for key in missed]
    return wrong, f"{answers.total()} predictions, one for each clip and seed"


def find_other_labels(records: Records) -> Found:
    labels = dict(zip(map(tuple, records.clips.keys), records.clips.labels, strict=True))
    wrong = [
        f"{'/'.join(_key(row))} is scored as {row['truth']} and labelled {labels[_key(row)]}"
        for _, row in records.rows
        if _key(row) in labels and int(labels[_key(row)]) != row["truth"]
    ]
    return wrong, "every clip is scored against its label in the data"


def find_other_seeds(records: Records) -> Found:
    asked, found = set(records.config.evaluation.seeds), {unit["seed"] for unit in records.units}
    wrong = [f"seed {seed} is not in the settings" for seed in sorted(found - asked)]
    wrong += [f"seed {seed} has no fold" for seed in sorted(asked - found)]
    wrong += [
        f"a row of {unit['fold']} has seed {row['seed']} in a file of seed {unit['seed']}"
        for unit, row in records.rows
        if row["seed"] != unit["seed"]
    ]
    return wrong, listed(sorted(asked))


def find_improbable(records: Records) -> Found:
    wrong = []
    for _, row in records.rows:
        scores = [row[name] for name in probability_columns(classes_of(row))]
        clip = "/".join(_key(row))
        if not all(-ROUNDING <= score <= 1 + ROUNDING for score in scores):
            wrong.append(f"{clip} has a probability outside 0 to 1")
        elif abs(sum(scores) - 1) > ROUNDING:
            wrong.append(f"the probabilities of {clip} add up to {sum(scores):.4f}")
        elif scores[row["prediction"]] < max(scores) - ROUNDING:
            wrong.append(f"the prediction of {clip} is not its most probable class")
    return wrong, "each row adds up to one"


def find_other_settings(records: Records) -> Found:
    digest = records.config.digest()[:8]
    wrong = f"the settings have the digest {digest}, and the folder is named {records.folder}"
    fits = records.folder.endswith(f"-{digest}")
    return [] if fits else [wrong], f"the folder is named by its settings ({digest})"


def find_other_data(records: Records) -> Found:
    now, then = records.clips.fingerprint(), records.data["fingerprint"]
    wrong = f"fingerprint {now[:8]}, and the run rests on {then[:8]}"
    return [] if now == then else [wrong], f"the data of the run ({then[:8]})"


def _key(row: Fields) -> Key:
    return row["dataset"], row["subject"], row["clip"]


CONSISTENCY = (
    Rule("missing and doubled clips", FAULT, find_incomplete),
    Rule("labels", FAULT, find_other_labels, data=True),
    Rule("seeds", FAULT, find_other_seeds),
    Rule("probabilities", FAULT, find_improbable),
    Rule("settings", FAULT, find_other_settings),
    Rule("data", FAULT, find_other_data, data=True),
)
