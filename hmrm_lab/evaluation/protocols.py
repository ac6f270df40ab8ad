"""Evaluation protocols: how subjects are held out, by name.

`loso`            each subject once (the default)
`kfold:K`         K groups of subjects, those of scikit-learn's `GroupKFold`
`holdout:NAME`    all subjects of one data set; the others are trained on
`FILE.csv`        the folds of a table with a column `fold` beside `subject` or `clip`
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.model_selection import GroupKFold

from hmrm_lab.errors import ConfigError, InputError, unknown_name
from hmrm_lab.records import FlowSet, Ints, group_kfold

LOSO = "loso"
KINDS = (LOSO, "kfold:5", "holdout:samm", "folds.csv")


@dataclass(frozen=True)
class Fold:
    """Positions of the training and the held-out clips; `name` is the held-out subject, if one."""

    name: str
    train: Ints
    test: Ints


def leave_one_subject_out(flowset: FlowSet) -> list[Fold]:
    """Make one fold per subject, in the order of their names."""
    subjects = np.array(flowset.subjects)
    names = sorted(set(flowset.subjects))
    if len(names) < 2:
        problem = f"all {len(flowset)} clips are of one subject ({', '.join(names)})"
        raise InputError(problem, hint="leave-one-subject-out needs at least two subjects")
    return [_fold(name, subjects == name) for name in names]


def inner_subject_folds(flowset: FlowSet, folds: int, seed: int) -> Iterator[Fold]:
    """Make subject-disjoint folds of training clips, to choose epochs and hyper-parameters."""
    for number, held_out in enumerate(group_kfold(flowset.subjects, folds, seed)):
        yield _fold(f"inner{number}", held_out)


def _fold(name: str, tested: NDArray[np.bool_]) -> Fold:
    return Fold(name, np.flatnonzero(~tested), np.flatnonzero(tested))


@dataclass(frozen=True)
class Protocol:
    """How subjects are held out, parsed from its name; no subject is in training and test at once.

    The name is `loso`, `kfold:K`, `holdout:DATASET`, or a CSV file with the columns `subject` (or
    `clip`) and `fold`; a subject is `dataset/subject`, or the subject alone where that is
    unambiguous. A `ConfigError` refuses any other.

    Examples
    --------
    >>> maps = lab.load("synthetic", preset="smoke").maps()
    >>> lab.Protocol("kfold:2").table(maps)[["train", "test"]].sum().to_dict()
    {'train': 16, 'test': 16}
    """

    name: str = LOSO

    def __post_init__(self) -> None:
        kind, _, value = self.name.partition(":")
        known = (
            self.name == LOSO
            or (kind == "kfold" and value.isdigit() and int(value) >= 2)
            or (kind == "holdout" and bool(value))
            or self.name.endswith(".csv")
        )
        if not known:
            raise unknown_name("protocol", self.name, KINDS)

    def folds(self, maps: FlowSet) -> list[Fold]:
        """The folds of these maps, in a fixed order; `InputError` if they cannot be divided so."""
        kind, _, value = self.name.partition(":")
        if self.name == LOSO:
            return leave_one_subject_out(maps)
        if self.name.endswith(".csv"):
            return _split_file(maps, Path(self.name))
        return _kfold(maps, int(value)) if kind == "kfold" else _holdout(maps, value)

    def table(self, maps: FlowSet) -> pd.DataFrame:
        """One row per fold: how many clips it trains on and tests, and whom it holds out."""
        folds = self.folds(maps)
        subjects = subjects_by_fold(maps, folds)
        rows = [
            (fold.name, len(fold.train), len(fold.test), ", ".join(subjects[fold.name]))
            for fold in folds
        ]
        return pd.DataFrame(rows, columns=["fold", "train", "test", "held out"]).set_index("fold")

    def _repr_html_(self) -> str:
        return f"<b>Protocol</b> <code>{self.name}</code>"


def subjects_by_fold(maps: FlowSet, folds: list[Fold]) -> dict[str, list[str]]:
    subjects = np.array(maps.subjects)
    return {fold.name: np.unique(subjects[fold.test]).tolist() for fold in folds}


def digest_of_folds(maps: FlowSet, folds: list[Fold]) -> str:
    """Sixteen hexadecimal digits that name which clip is tested in which fold."""
    lines = [f"{fold.name}\0{'/'.join(maps.keys[row])}" for fold in folds for row in fold.test]
    return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()[:16]


def _kfold(maps: FlowSet, count: int) -> list[Fold]:
    subjects = len(set(maps.subjects))
    if subjects < count:
        problem = f"{subjects} subjects cannot be divided into {count} folds"
        raise InputError(problem, hint="take more subjects, or fewer folds")
    split = GroupKFold(count).split(maps.maps, groups=np.array(maps.subjects))
    return [Fold(f"kfold/{number}", *rows) for number, rows in enumerate(split, start=1)]


def _holdout(maps: FlowSet, name: str) -> list[Fold]:
    sets = np.array([key.dataset for key in maps.keys])
    if name not in sets:
        raise unknown_name("data set to hold out", name, set(sets.tolist()))
    subjects = np.array(maps.subjects)
    tested = np.isin(subjects, subjects[sets == name])
    if tested.all():
        problem = f"all clips are of {name}, and none is left to train on"
        raise InputError(problem, hint="load several data sets")
    return [_fold(f"holdout/{name}", tested)]


def _split_file(maps: FlowSet, path: Path) -> list[Fold]:
    if not path.is_file():
        raise ConfigError("no such split file", where=path, hint="check evaluation.protocol")
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
    except ValueError as error:  # empty, ragged, or no text
        raise InputError(f"no table: {error}", where=path, hint="save it as CSV") from None
    column = next((one for one in ("clip", "subject") if one in table), None)
    if column is None or "fold" not in table:
        problem = "a split file has the columns fold and subject, or fold and clip"
        raise InputError(problem, where=path, hint=f"this one has {', '.join(map(str, table))}")
    blank = np.flatnonzero((table[[column, "fold"]] == "").any(axis=1))
    if len(blank):
        problem = f"{column} or fold is empty"
        raise InputError(problem, where=path, row=int(blank[0]) + 2, hint="fill it in")
    again = np.flatnonzero(table.duplicated(column) & ~table.duplicated([column, "fold"]))
    if len(again):
        problem = f"{column} {table[column].iloc[again[0]]} is in two folds"
        raise InputError(problem, where=path, row=int(again[0]) + 2, hint="keep one of its rows")
    known = dict(zip(table[column], table["fold"], strict=True))
    chosen = []
    for key, subject in zip(maps.keys, maps.subjects, strict=True):
        of_clip, of_subject = ("/".join(key), key.clip), (key.subject_key, subject, key.subject)
        names = of_clip if column == "clip" else of_subject
        if not (found := [known[name] for name in names if name in known]):
            problem = f"no fold for {column} {names[0]}"
            raise InputError(problem, where=path, hint="add its row")
        chosen.append(found[0])
    divided = pd.Series(chosen).groupby(list(maps.subjects)).nunique()
    if (divided > 1).any():
        problem = f"subject {divided.idxmax()} is in {divided.max()} folds"
        raise InputError(problem, where=path, hint="put all clips of a subject into one fold")
    return [_fold(f"split/{fold}", np.array(chosen) == fold) for fold in sorted(set(chosen))]
