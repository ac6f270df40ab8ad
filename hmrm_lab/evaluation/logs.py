"""Predictions of other programs: our CSV, the MEGC log form, and STSTNet's published log."""

import csv
import re
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from hmrm_lab.errors import InputError
from hmrm_lab.records import CLASSES, PREDICTION_COLUMNS, Predictions

FORMS = (
    "use our predictions.csv, rows `fold/clip, truth, prediction`, or STSTNet's log "
    "(a line `dataset subject`, then `clip truth prediction`)"
)
Rows = list[tuple[int, str]]  # line number and text
Scored = tuple[str, str, str, int, int]  # data set, subject, clip, truth, prediction
LABELS = {str(index): index for index in range(len(CLASSES))}


def read_predictions(path: Path) -> Predictions:
    """Predictions from any of the three forms, told apart by their first line."""
    if not path.is_file():
        raise InputError("no such file", where=path, mend="check the path")
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise InputError("not a text file", where=path, mend=FORMS) from None
    rows = [(number, line.strip()) for number, line in enumerate(lines, 1) if line.strip()]
    if not rows:
        raise InputError("an empty file", where=path, mend=FORMS)
    first = rows[0][1]
    if "truth" in first and "prediction" in first and first.startswith("dataset,"):
        table = _read_own(path, lines)
    elif "," in first:
        table = _table(_read_megc(path, rows))
    else:
        table = _table(_read_ststnet(path, rows))
    return _checked(path, table)


def _read_own(path: Path, lines: list[str]) -> pd.DataFrame:
    records = list(csv.DictReader(lines))
    missing = [name for name in PREDICTION_COLUMNS if name not in records[0]] if records else []
    if missing or not records:
        raise InputError(f"no column {', '.join(missing)}", where=path, mend=FORMS)
    for number, record in enumerate(records, start=2):
        for name in ("truth", "prediction"):
            record[name] = _label(path, number, record[name])
        for name in ("seed", "epoch"):
            record[name] = _whole(path, number, name, record[name])
    table = pd.DataFrame(records)[list(PREDICTION_COLUMNS)]
    for name in PREDICTION_COLUMNS[-len(CLASSES) :]:
        table[name] = pd.to_numeric(table[name], errors="coerce")
    return table


def _read_megc(path: Path, rows: Rows) -> Iterator[Scored]:
    """Rows `fold/clip, truth, prediction`; a fold is `subject` or `dataset/subject`."""
    for number, line in rows:
        fields = [field.strip() for field in line.split(",")]
        if len(fields) != 3:
            raise InputError(f"{len(fields)} fields, not 3", where=path, row=number, mend=FORMS)
        if number == 1 and not fields[1].isdigit():
            continue  # a header
        place, clip = fields[0].rpartition("/")[::2]
        dataset, subject = place.rpartition("/")[::2]
        if not subject or not clip:
            raise InputError(f"'{fields[0]}' is no fold/clip", where=path, row=number, mend=FORMS)
        yield dataset or "log", subject, clip, *_labels(path, number, fields[1:])


def _read_ststnet(path: Path, rows: Rows) -> Iterator[Scored]:
    dataset = subject = ""
    for number, line in rows:
        fields = re.split(r"\s+", line)
        if len(fields) == 2:
            dataset, subject = fields
        elif len(fields) == 3 and dataset:
            yield dataset, subject, fields[0], *_labels(path, number, fields[1:])
        else:
            raise InputError(f"'{line[:40]}' is not understood", where=path, row=number, mend=FORMS)


def _labels(path: Path, number: int, fields: list[str]) -> tuple[int, int]:
    truth, prediction = fields
    return _label(path, number, truth), _label(path, number, prediction)


def _label(path: Path, number: int, text: str) -> int:
    if text not in LABELS:
        raise InputError(
            f"label '{text}' is outside 0..{len(CLASSES) - 1}",
            where=path,
            row=number,
            mend="use 0 negative, 1 positive, 2 surprise",
        )
    return LABELS[text]


def _whole(path: Path, number: int, name: str, text: str) -> int:
    if not text.isdigit():
        raise InputError(f"{name} '{text}'", where=path, row=number, mend="use a whole number")
    return int(text)


def _table(rows: Iterator[Scored]) -> pd.DataFrame:
    columns = ["dataset", "subject", "clip", "truth", "prediction"]
    table = pd.DataFrame(list(rows), columns=columns)
    table["fold"] = table["dataset"] + "/" + table["subject"]
    table["seed"], table["epoch"] = 0, 0
    for name in PREDICTION_COLUMNS[-len(CLASSES) :]:
        table[name] = float("nan")
    return table[list(PREDICTION_COLUMNS)]


def _checked(path: Path, table: pd.DataFrame) -> Predictions:
    if table.empty:
        raise InputError("no predictions", where=path, mend=FORMS)
    twice = table.duplicated(["dataset", "subject", "clip", "seed"])
    if twice.any():
        row = table[twice].iloc[0]
        raise InputError(
            f"clip {row['dataset']}/{row['subject']}/{row['clip']} is predicted twice",
            where=path,
            mend="keep one prediction per clip and seed",
        )
    return Predictions(table.reset_index(drop=True))
