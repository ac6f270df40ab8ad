"""Evaluation protocols: how subjects are held out; `Protocol` says which there are."""

import hashlib
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hmrm_lab.config.sections import EACH, LOSO, EvaluationConfig, check_sets, tested_sets
from hmrm_lab.datasets.recordings.coding import Columns, read_coding
from hmrm_lab.datasets.recordings.findings import bad_input
from hmrm_lab.errors import ConfigError, InputError
from hmrm_lab.records import FlowSet, Ints, group_kfold

SPLIT: Columns = {"fold": ("fold",), "clip?": ("clip",), "subject?": ("subject",)}


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
    return [_fold(name, subjects == name, subjects != name) for name in names]


def inner_subject_folds(
    flowset: FlowSet, folds: int, seed: int, train_on: Sequence[str] = ()
) -> Iterator[Fold]:
    """Make subject-disjoint folds of training clips, to choose epochs and hyper-parameters."""
    trained = _are_of(flowset, train_on)
    for number, held_out in enumerate(group_kfold(flowset.subjects, folds, seed)):
        yield _fold(f"inner{number}", held_out, trained & ~held_out)


def _fold(name: str, tested: NDArray[np.bool_], trained: NDArray[np.bool_]) -> Fold:
    return Fold(name, np.flatnonzero(trained), np.flatnonzero(tested))


@dataclass(frozen=True)
class Protocol:
    """How subjects are held out, parsed from its name; no subject is in training and test at once.

    The name is `loso` for each subject once, `kfold:K` for the groups of scikit-learn's
    `GroupKFold`, `holdout:DATASET`, `holdout:each` for every data set in turn, or a CSV file with
    the columns `subject` (or `clip`) and `fold`; a subject is `dataset/subject`, or the subject
    alone where that is unambiguous. `train_on` names the data sets that are trained on, where not
    all are; all are tested. A `ConfigError` refuses any other name.

    Examples
    --------
    >>> maps = lab.load("synthetic", preset="smoke").maps()
    >>> lab.Protocol("kfold:2").table(maps)[["train", "test"]].sum().to_dict()
    {'train': 16, 'test': 16}
    >>> print(lab.Protocol(train_on=("casme2",)))
    loso trained on casme2
    """

    name: str = LOSO
    train_on: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        settings = EvaluationConfig(protocol=self.name, train_on=self.train_on)
        object.__setattr__(self, "train_on", settings.train_on)

    @classmethod
    def of(cls, settings: EvaluationConfig) -> Self:
        return cls(settings.protocol, settings.train_on)

    def __str__(self) -> str:
        return " trained on ".join(filter(None, (self.name, "+".join(self.train_on))))

    def check(self, sets: Collection[str] = ()) -> None:
        """Refuse a split file that is wrong in itself, and names of data sets that are not here."""
        if self.name.endswith(".csv"):
            read_split(Path(self.name))
        if sets:
            check_sets(self.name, self.train_on, sets)

    def folds(self, maps: FlowSet) -> list[Fold]:
        """The folds of these maps, in a fixed order; `InputError` if they cannot be divided so."""
        check_sets(self.name, self.train_on, {key.dataset for key in maps.keys})
        folds, trained = self._folds(maps), self.trains_on(maps)
        own = [fold for fold in folds if trained[fold.test].any()]
        if self.name == LOSO and len(own) < len(folds):
            others = np.setdiff1d(np.arange(len(maps)), np.concatenate([one.test for one in own]))
            name = "+".join(sorted({maps.keys[row].dataset for row in others}))
            folds = [*own, Fold(f"others/{name}", np.flatnonzero(trained), others)]
        folds = [replace(fold, train=fold.train[trained[fold.train]]) for fold in folds]
        if empty := [fold.name for fold in folds if not len(fold.train)]:
            hint = "load more data, or name other data sets to train on"
            raise InputError(f"fold {empty[0]} has no clip to train on", hint=hint)
        return folds

    def trains_on(self, maps: FlowSet) -> NDArray[np.bool_]:
        """Whether a clip may be trained on at all: (n,)."""
        return _are_of(maps, self.train_on)

    def table(self, maps: FlowSet) -> pd.DataFrame:
        """One row per fold: how many clips it trains on and tests, and whom it holds out."""
        folds = self.folds(maps)
        subjects = subjects_by_fold(maps, folds)
        rows = [
            (one.name, len(one.train), len(one.test), ", ".join(subjects[one.name]))
            for one in folds
        ]
        return pd.DataFrame(rows, columns=["fold", "train", "test", "held out"]).set_index("fold")

    def _folds(self, maps: FlowSet) -> list[Fold]:
        kind, _, value = self.name.partition(":")
        if self.name == LOSO:
            return leave_one_subject_out(maps)
        if kind == "kfold":
            return _kfold(maps, int(value))
        return _holdout(maps, value) if kind == "holdout" else _split_file(maps, Path(self.name))

    def _repr_html_(self) -> str:
        return f"<b>Protocol</b> <code>{self}</code>"


def subjects_by_fold(maps: FlowSet, folds: list[Fold]) -> dict[str, list[str]]:
    subjects = np.array(maps.subjects)
    return {fold.name: np.unique(subjects[fold.test]).tolist() for fold in folds}


def digest_of_folds(maps: FlowSet, folds: list[Fold]) -> str:
    """Sixteen hexadecimal digits that name which clip is tested in which fold."""
    lines = [f"{fold.name}\0{'/'.join(maps.keys[row])}" for fold in folds for row in fold.test]
    return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()[:16]


def _are_of(maps: FlowSet, names: Sequence[str]) -> NDArray[np.bool_]:
    """Whether a clip is of one of these data sets, (n,); all are if none is named."""
    return np.array([not names or key.dataset in names for key in maps.keys], dtype=bool)


def _kfold(maps: FlowSet, count: int) -> list[Fold]:
    from sklearn.model_selection import GroupKFold  # a second to import, which others do without

    if (subjects := len(set(maps.subjects))) < count:
        problem = f"{subjects} subjects cannot be divided into {count} folds"
        raise InputError(problem, hint="take more subjects, or fewer folds")
    split = GroupKFold(count).split(maps.maps, groups=np.array(maps.subjects))
    return [Fold(f"kfold/{number}", *rows) for number, rows in enumerate(split, start=1)]


def _holdout(maps: FlowSet, value: str) -> list[Fold]:
    """A fold of one data set, or one of each, whose subjects are nowhere in its training."""
    subjects, folds = np.array(maps.subjects), []
    for name in tested_sets(f"holdout:{value}", {key.dataset for key in maps.keys}):
        own = _are_of(maps, [name])
        same = np.isin(subjects, subjects[own])  # with their names in other data sets
        folds.append(_fold(f"holdout/{name}", own if value == EACH else same, ~same))
    return folds


def read_split(path: Path) -> tuple[str, dict[str, tuple[str, int]]]:
    """The column that a split file goes by, and for each name there its fold and its row."""
    if not path.is_file():
        raise ConfigError("no such split file", where=path, hint="check evaluation.protocol")
    table, known = read_coding(path, SPLIT), dict[str, tuple[str, int]]()
    column = next((name for name in ("clip", "subject") if name in table.fields), "")
    if not column:
        problem = "no column 'subject' or 'clip' beside 'fold'"
        raise bad_input(path, problem, "say in it whom a row is of")
    for row in table.rows:
        try:
            name, fold = row[column], row["fold"]
            if not name or not fold:
                raise ValueError(f"the {'fold' if name else column} is empty")
            before, _ = known.setdefault(name, (fold, row.number))
            if before != fold:
                raise ValueError(f"{column} {name} is in two folds, {before} and {fold}")
        except ValueError as error:
            raise bad_input(path, str(error), "correct this row", row.number) from None
    if len(names := {fold for fold, _ in known.values()}) < 2:
        problem = f"all rows are of one fold ({', '.join(names)})"
        raise bad_input(path, problem, "name at least two folds")
    return column, known


def _split_file(maps: FlowSet, path: Path) -> list[Fold]:
    column, known = read_split(path)
    chosen, owners = [], defaultdict(set)
    for key, subject in zip(maps.keys, maps.subjects, strict=True):
        of_clip = ("/".join(key), f"{key.subject}/{key.clip}", key.clip)
        names = of_clip if column == "clip" else (key.subject_key, subject, key.subject)
        found = next((name for name in names if name in known), "")
        owners[found].add(names[0])
        chosen.append(known[found][0] if found else "")
    for name in sorted(owners.pop("", ())):
        unused = known.keys() - owners.keys()
        alike = get_close_matches(name, unused, 1) or get_close_matches(name[-8:], unused, 1)
        near = alike[0] if alike else ""
        hint = f"row {known[near][1]} names '{near}', which is not in the data" if near else ""
        raise bad_input(path, f"no fold for {column} {name}", hint or "add its row")
    for name, of in owners.items():
        if len(of) > 1 and name not in of and name not in maps.subjects:
            problem = f"{column} {name} may be {' or '.join(sorted(of)[:3])}"
            raise bad_input(path, problem, "write it in full", known[name][1])
    for fold, row in known.values():
        if fold not in chosen:
            problem = f"fold {fold} has no clip in these data"
            raise bad_input(path, problem, "remove its rows, or load the data it is of", row)
    divided = pd.Series(chosen).groupby(list(maps.subjects)).nunique()
    if (divided > 1).any():
        problem = f"subject {divided.idxmax()} is in {divided.max()} folds"
        raise bad_input(path, problem, "put all clips of a subject into one fold")
    tested = {fold: np.array(chosen) == fold for fold in sorted(set(chosen))}
    return [_fold(f"split/{fold}", one, ~one) for fold, one in tested.items()]
