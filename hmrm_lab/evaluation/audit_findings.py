"""What an audit of a run reads, and the form of what it finds.

`OK`             looked at, and nothing found.
`LEAK`           something of a test subject reached the training, or the choice of its epoch.
`FAULT`          no leak, but the records contradict themselves, the settings or the data.
`not checkable`  what would be needed was not recorded, or is not at hand.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hmrm_lab.config import ExperimentConfig
from hmrm_lab.records import FlowSet

OK, LEAK, FAULT, UNKNOWN = "OK", "LEAK", "FAULT", "not checkable"
NAMED = 3  # in one sentence

Unit = Mapping[str, Any]


@dataclass(frozen=True)
class Check:
    """One line of the audit."""

    name: str
    state: str
    why: str


@dataclass(frozen=True)
class Records:
    """What a run has left, and the data if they are at hand.

    `units` are the files of its folds, `data` is its `data.json`, `folder` the name of its folder.
    """

    config: ExperimentConfig
    units: Sequence[Unit]
    data: Mapping[str, Any]
    folder: str
    flowset: FlowSet | None = None


def verdict(name: str, state: str, wrong: Iterable[str], fine: str) -> Check:
    """`state` with the first of what is wrong, or OK."""
    found = list(dict.fromkeys(wrong))
    more = f"; and {len(found) - NAMED} more" if len(found) > NAMED else ""
    return Check(name, state, "; ".join(found[:NAMED]) + more) if found else Check(name, OK, fine)


def unrecorded(name: str, lacking: int, records: Records) -> Check:
    """For runs of versions that did not yet record what is needed."""
    why = f"{lacking} of {len(records.units)} units do not record it; run them anew"
    return Check(name, UNKNOWN, why)


def no_data(name: str) -> Check:
    return Check(name, UNKNOWN, "the data are not at hand; name their folder with --root")


def without(records: Records, field: str) -> int:
    """How many units lack this field."""
    return sum(field not in unit for unit in records.units)


def folds_of(records: Records) -> set[str]:
    return {str(unit["fold"]) for unit in records.units}


def person_of(row: Mapping[str, Any]) -> str:
    return f"{row['dataset']}/{row['subject']}"


def key_of(row: Mapping[str, Any]) -> tuple[str, str, str]:
    return row["dataset"], row["subject"], row["clip"]


def listed(values: Sequence[object]) -> str:
    """The first few of these, and how many more."""
    more = f" and {len(values) - NAMED} more" if len(values) > NAMED + 1 else ""
    shown = values[:NAMED] if more else values
    return ", ".join(map(str, shown)) + more
