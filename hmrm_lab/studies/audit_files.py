"""The files of a run as an audit reads them: each of the form that a run writes, or refused.

An audit is asked about runs that somebody else has made, or changed. What is damaged is told in a
sentence, by an `InputError` that names the file, what is wrong with it, and the mend.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hmrm_lab.errors import InputError
from hmrm_lab.records import are_classes, prediction_columns, probability_columns
from hmrm_lab.runtime.store import RunFolder, read_json

MADE_ANEW = "delete the file; it is made anew"
RUN_ANEW = "delete the run folder and run it again"  # this file is written with the first fold only
TEXTS = ("dataset", "subject", "clip", "fold")
LABELS = ("truth", "prediction")
PEOPLE = ("training_persons", "motionmix_partners", "normalisation_persons")


def read_units(run: RunFolder) -> list[dict[str, Any]]:
    """The files of the finished folds, at least one."""
    files = sorted(run.folds.glob("*.json"))
    if not files:
        raise InputError("no finished fold", where=run.path, mend="run it first")
    classes = tuple(read_data(run)["classes"])
    return [_unit(file, classes) for file in files]


def read_data(run: RunFolder) -> dict[str, Any]:
    """What `data.json` says of the data; runs of older versions do not say whom they hold out."""
    file = run.path / "data.json"
    if not file.is_file():
        raise InputError("the file is missing", where=file, mend=RUN_ANEW)
    try:
        data = read_json(file)
    except InputError as error:
        raise InputError(error.problem, where=file, mend=RUN_ANEW) from None
    if told := _wrong_data(data):
        raise InputError(f"not the record of a run's data: {told}", where=file, mend=RUN_ANEW)
    return dict(data)


def read_figures(run: RunFolder) -> dict[str, Any]:
    """The figures that the run shows."""
    file = run.path / "metrics.json"
    figures = read_json(file)
    if not isinstance(figures, dict):
        raise InputError("not the figures of a run", where=file, mend=MADE_ANEW)
    return figures


def _unit(file: Path, classes: tuple[str, ...]) -> dict[str, Any]:
    unit = read_json(file)
    if told := _wrong_unit(unit, classes):
        raise InputError(f"not the record of a fold: {told}", where=file, mend=MADE_ANEW)
    return dict(unit)


def _wrong_data(data: Any) -> str:
    """What is wrong with the content of `data.json`; empty if nothing is."""
    if not isinstance(data, dict):
        return "it is no table"
    for name in ("fingerprint", "unit"):
        if not isinstance(data.get(name), str):
            return f"'{name}' is no text"
    if not _is_count(data.get("folds")):
        return "'folds' is no number of folds"
    classes = data.get("classes")
    if not isinstance(classes, dict) or not are_classes([*classes]):
        return "'classes' does not give the number of clips of each class"
    held_out = data.get("held_out", {})
    if not isinstance(held_out, dict) or not all(map(_is_count, held_out.values())):
        return "'held_out' does not give the number of clips of each fold"
    weights = data.get("weights", [])
    known = isinstance(weights, list) and all(map(_is_weights, weights))
    return "" if known else "'weights' does not say whom each file has seen"


def _wrong_unit(unit: Any, classes: tuple[str, ...]) -> str:
    """What is wrong with the record of a fold; empty if nothing is."""
    if not isinstance(unit, dict):
        return "it is no table"
    if not isinstance(unit.get("fold"), str):
        return "'fold' is no name"
    if type(unit.get("seed")) is not int:
        return "'seed' is no whole number"
    rows = unit.get("predictions")
    if not isinstance(rows, list) or not rows:
        return "there are no predictions"
    wrong = (_wrong_row(row, classes) for row in rows)
    return next(filter(None, wrong), "") or _wrong_account(unit)


def _wrong_account(unit: Mapping[str, Any]) -> str:
    """The same of what it says about its training; runs of older versions say less."""
    for name in ("losses", "looks"):
        if not isinstance(unit.get(name, []), list):
            return f"'{name}' is no list"
    for name in PEOPLE:
        people = unit.get(name, [])
        if not isinstance(people, list) or not all(isinstance(who, str) for who in people):
            return f"'{name}' is no list of names"
    if "training_digest" in unit:
        if not isinstance(unit["training_digest"], str):
            return "'training_digest' is no text"
        if not _is_count(unit.get("training_clips")):
            return "'training_clips' is no number of clips"
    return ""


def _wrong_row(row: Any, classes: tuple[str, ...]) -> str:
    """The same of one prediction."""
    if not isinstance(row, dict):
        return "a prediction is no table"
    for name in prediction_columns(classes):
        value = row.get(name)
        if name in TEXTS:
            told = "" if isinstance(value, str) else "is no text"
        elif name in probability_columns(classes):
            told = "" if type(value) in (int, float) else "is no number"
        elif type(value) is not int:
            told = "is no whole number"
        else:
            told = "is no class" if name in LABELS and value not in range(len(classes)) else ""
        if told:
            return f"'{name}' of a prediction {told}"
    return ""


def _is_weights(one: Any) -> bool:
    """Whether it names a file of weights and the subjects that it has seen."""
    if not isinstance(one, dict) or not isinstance(one.get("subjects"), list):
        return False
    return all(
        isinstance(text, str) for text in (one.get("setting"), one.get("file"), *one["subjects"])
    )


def _is_count(value: Any) -> bool:
    """Whether it is a whole number from nought on; true and 1.0 are none."""
    return type(value) is int and value >= 0
