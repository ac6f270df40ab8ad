"""Predictions of other programs: tables, printed lists of labels, and STSTNet's published log.

Columns are found by the names in the header; a table without one is read in the order of `ORDER`.
Lists are printed by STSTNet in Python and by HTNet, whose closing dictionary is read as well.
"""

import codecs
import csv
import re
import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from hmrm_lab.datasets.classes import EMOTIONS, MEGC3, ClassScheme
from hmrm_lab.errors import InputError
from hmrm_lab.records import Ints, Predictions, classes_of, prediction_columns, probability_columns

FORMS = (
    "use a table with the header `subject,clip,truth,prediction`, rows `fold/clip, truth, "
    "prediction`, printed lists `Subject:`, `Predicted :`, `Ground Truth :`, or STSTNet's log "
    "(a line `dataset subject`, then `clip truth prediction`)"
)
ORDER = ("dataset", "subject", "clip", "truth", "prediction")  # the last three, or more
NAMES: dict[str, list[str]] = tomllib.loads(
    Path(__file__).with_suffix(".toml").read_text(encoding="utf-8")
)  # of columns, by what they hold
SEPARATORS = ",;\t|"
LAST = [False, True, True]  # whether cells are labels: a clip, its true and its predicted label
NUMBER = re.compile(r"\d{1,9}(\.0*)?")
TOKEN = re.compile(
    r"""(?<!this\ )\bsubject[ \t]*[:=][ \t]*(?P<subject>[^\s,;]+)
    | ['"](?P<key>[^'"\n]+)['"]\s*:\s*\{
    | (?P<best>\bbest\ )?\b(?:(?P<prediction>predicted|predictions?|preds?|y_pred)
        | (?:ground[ _]?truth|truth|gt|y_true))['"]?\s*[:=]\s*
        (?:[\w.]*\(\s*)?\[(?P<labels>[^\[\]]*)\]""",
    re.IGNORECASE | re.VERBOSE,
)
PEEKS = "the best test epoch of each subject: PEEKS, not comparable with honest results"


class Row(NamedTuple):
    line: int
    dataset: str
    subject: str
    clip: str
    truth: str
    prediction: str
    others: dict[str, str]  # seed, epoch and probabilities, as far as they are known


def read_predictions(path: Path, scheme: ClassScheme = MEGC3) -> tuple[Predictions, list[str]]:
    """Read the predictions of a log, and describe in sentences how they were read."""
    try:
        return _parsed(_text(path), scheme)
    except InputError as error:
        raise InputError(error.problem, where=path, row=error.row, hint=error.hint) from None


def _text(path: Path) -> str:
    if not path.is_file():
        raise _error("no such file", "check the path")
    content = path.read_bytes()
    wide = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))  # `>` of PowerShell
    try:
        return content.decode("utf-16" if wide else "utf-8-sig")
    except UnicodeDecodeError:
        raise _error("not a text file") from None


def _error(problem: str, hint: str = FORMS, row: int | None = None) -> InputError:
    return InputError(problem, row=row, hint=hint)


def _parsed(text: str, scheme: ClassScheme) -> tuple[Predictions, list[str]]:
    lines = [(number, line) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
    tokens = list(TOKEN.finditer(text))
    if not lines:
        raise _error("an empty file")
    own = classes_of(name.strip('" ') for name in re.split(r"[,;\t]", lines[0][1]))
    if len(own) > 1 and own != scheme.classes and not any(name.isdigit() for name in own):
        scheme = ClassScheme("columns of probabilities", own, {})
    first = lines[0][1].split()
    if any(token["labels"] is not None for token in tokens):
        rows, form = _printed(text, tokens)
    elif len(first) == 2 and not _headed(first) and not any(_is_label(f, scheme) for f in first):
        rows, form = list(_ststnet(lines)), "STSTNet's log: clip, truth, prediction"
    else:
        rows, form = _table(text, lines[0][1], scheme)
    if not rows:
        raise _error("no predictions")
    labels, classes = _labels(rows, scheme)
    table = pd.DataFrame([{**row._asdict(), **row.others} for row in rows])
    table["fold"] = table["dataset"] + "/" + table["subject"]
    table[["truth", "prediction"]] = labels
    for name in ("seed", "epoch"):
        written = [row.others.get(name, "0") for row in rows]
        for row, number in zip(rows, written, strict=True):
            if not NUMBER.fullmatch(number):
                raise _error(f"{name} '{number}'", "use a whole number", row.line)
        table[name] = [int(float(number)) for number in written]
    table = table.reindex(columns=[*prediction_columns(scheme.classes), "line"])
    for name in probability_columns(scheme.classes):
        table[name] = pd.to_numeric(table[name], errors="coerce")
    twice = table[table.duplicated(["dataset", "subject", "clip", "seed"])]
    if len(twice):
        clip = "/".join(twice.iloc[0][["dataset", "subject", "clip"]])
        hint, line = "keep one prediction per clip and seed", int(twice.iloc[0]["line"])
        raise _error(f"clip {clip} is predicted twice", hint, line)
    return Predictions(table.drop(columns="line")), [form, classes]


def _table(text: str, first: str, scheme: ClassScheme) -> tuple[list[Row], str]:
    separator = max(SEPARATORS, key=first.count)
    if separator not in first:
        separator, text = "\t", "\n".join("\t".join(line.split()) for line in text.splitlines())
    lines = list(_fields(text, separator)) or [(1, [""])]
    header, count = lines[0][1], len(lines[0][1])
    headed = _headed(header)
    if headed:
        del lines[0]
    elif 3 <= count <= len(ORDER) and [_is_label(cell, scheme) for cell in header[-3:]] == LAST:
        header = list(ORDER[-count:])
    else:
        problem = f"no header that names truth and prediction, and {count} columns"
        hint = "write a first line such as `subject,clip,truth,prediction`"
        raise _error(problem, hint, lines[0][0])
    columns = _columns(header, scheme)
    rows = []
    for order, (line, fields) in enumerate(lines, 1):
        if len(fields) != len(header):
            raise _error(f"{len(fields)} fields, not {len(header)}", row=line)
        rows.append(_row(line, order, {role: fields[at] for role, at in columns.items()}))
    words = "columns by the header: " if headed else "no header; columns in this order: "
    words += ", ".join(f"{role} '{header[at]}'" if headed else role for role, at in columns.items())
    if headed and not any(row.subject for row in rows):
        words += "; no subjects, so that intervals are over clips and not over subjects"
        rows = [row._replace(subject=row.clip) for row in rows]
    for row in rows:
        if not row.subject or not row.clip:
            hint = "name subject and clip in every row, such as sub01/EP02_01f"
            raise _error(f"'{row.subject}/{row.clip}' is no fold/clip", hint, row.line)
    return rows, words


def _fields(text: str, separator: str) -> Iterator[tuple[int, list[str]]]:
    """The number and the fields of every line; blank rows are allowed at the end only."""
    reader = csv.reader(text.splitlines(), delimiter=separator, skipinitialspace=True)
    blank = 0
    try:
        for line in reader:
            fields = [field.strip() for field in line]
            if not any(fields):
                blank = blank or reader.line_num
            elif blank:
                raise _error("a blank row", "remove it", blank)
            else:
                yield reader.line_num, fields
    except csv.Error as error:
        raise _error(f"no table ({error})") from None


def _row(line: int, order: int, cells: dict[str, str]) -> Row:
    """A row of a table; its subject is empty where neither column nor path names one."""
    clip = cells.pop("clip", str(order))
    subject = cells.pop("subject", None)
    if subject is None:
        subject, _, clip = clip.replace("\\", "/").rpartition("/")
    dataset, _, subject = subject.rpartition("/")
    dataset = cells.pop("dataset", dataset) or "log"
    return Row(line, dataset, subject, clip, cells.pop("truth"), cells.pop("prediction"), cells)


def _columns(header: list[str], scheme: ClassScheme) -> dict[str, int]:
    plain = [_plain(name) for name in header]
    columns: dict[str, int] = {}
    scores = {name: [_plain(name)] for name in probability_columns(scheme.classes)}
    others = {role: NAMES[role] for role in ("dataset", "subject", "clip", "seed", "epoch")}
    for role, names in (others | scores).items():
        if known := [name for name in names if name in plain]:
            columns[role] = plain.index(known[0])
    for role in ("truth", "prediction"):
        found = [at for at, name in enumerate(plain) if name in NAMES[role]]
        if not found and role == "truth":
            found = [at for at, name in enumerate(plain) if name in NAMES["truth_if_no_other"]]
        if len(found) != 1:
            which = " and ".join(repr(header[at]) for at in found)
            problem = f"{which} may both be the {role}" if found else f"no column of the {role}"
            raise _error(problem, f"name one column '{role}'", 1)
        columns[role] = found[0]
    return columns


def _headed(fields: Iterable[str]) -> bool:
    return not {*NAMES["truth"], *NAMES["prediction"]}.isdisjoint(map(_plain, fields))


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _ststnet(lines: list[tuple[int, str]]) -> Iterator[Row]:
    dataset = subject = ""
    for number, line in lines:
        fields = line.split()
        if len(fields) == 2:
            dataset, subject = fields
        elif len(fields) == 3:
            clip, truth, prediction = fields
            yield Row(number, dataset, subject, clip, truth, prediction, {})
        else:
            raise _error(f"{line.strip()[:40]!r} is not understood", row=number)


def _printed(text: str, tokens: list[re.Match[str]]) -> tuple[list[Row], str]:
    """The lists that a program printed, or its closing dictionary; if both, they must agree."""
    found: dict[str, list[dict[str, Any]]] = {"subject": [], "key": []}
    entry: dict[str, Any] = {}
    line, before = 1, 0
    for token in tokens:
        line, before = line + text.count("\n", before, token.start()), token.start()
        if token["labels"] is None:
            kind = "subject" if token["subject"] else "key"
            entry = {"line": line, "name": token[kind]}
            found[kind].append(entry)
            continue
        role = "prediction" if token["prediction"] else "truth"
        if not entry or role in entry:
            problem = f"a second list of the {role}" if entry else "labels of no subject"
            raise _error(problem, "give each `Subject: name` one list of either kind", line)
        entry[role] = token["labels"].replace(",", " ").split()
    printed, closing = (_listed(entries) for entries in found.values())
    if printed and closing and {row[2:6] for row in printed} != {row[2:6] for row in closing}:
        raise _error("printed lists and a dictionary differ", "keep one")
    words = f"{'printed lists' if printed else 'a dictionary'} of labels"
    if not printed:
        words += f"; if it is HTNet's, of {PEEKS}"
    elif any(token["best"] for token in tokens):
        words += f" under 'Best Predicted', {PEEKS}"
    return printed or closing, words


def _listed(entries: list[dict[str, Any]]) -> list[Row]:
    rows = []
    for entry in entries:
        lists = [entry.get(role, []) for role in ("truth", "prediction")]
        if len(lists[0]) != len(lists[1]) or not lists[0]:
            counts = f"{len(lists[0])} true labels and {len(lists[1])} predictions"
            hint = "give both lists whole, or remove the subject"
            raise _error(f"subject {entry['name']!r} has {counts}", hint, entry["line"])
        dataset, _, subject = entry["name"].rpartition("/")
        for number, (truth, prediction) in enumerate(zip(*lists, strict=True), 1):
            clip = (dataset or "log", subject, str(number))
            rows.append(Row(entry["line"], *clip, truth, prediction, {}))
    return rows


def _labels(rows: list[Row], scheme: ClassScheme) -> tuple[Ints, str]:
    """Truth and prediction of each row as class numbers, and how labels were read."""
    written = sorted({text.strip("'\"") for row in rows for text in (row.truth, row.prediction)})
    numbers = {text: int(float(text)) for text in written if NUMBER.fullmatch(text)}
    used = set(numbers.values())
    count, words = len(scheme.classes), _words(scheme)
    start = 1 if used >= {*range(1, count + 1)} and 0 not in used else 0
    names = {text: words[_plain(text)] for text in written if _plain(text) in words}
    classes = names | {text: number - start for text, number in numbers.items()}
    labels = []
    for row in rows:
        for text in (row.truth, row.prediction):
            label = classes.get(text.strip("'\""), -1)
            labels.append(label)
            if not 0 <= label < count:
                problem = f"label {text[:40]!r} is outside {start}..{start + count - 1}"
                hint = f"use {scheme.numbered}, or these words"
                raise _error(f"{problem}, and no class", hint, row.line)
    read = [f"{start + label} {name}" for label, name in enumerate(scheme.classes) if numbers]
    read += [f"'{text}' {scheme.classes[label]}" for text, label in names.items()]
    return np.reshape(labels, (-1, 2)), f"labels: {', '.join(read)}"


def _words(scheme: ClassScheme) -> dict[str, int]:
    """The words that name a label: emotions, classes, and the first three letters of one alone."""
    starts = Counter(name[:3] for name in scheme.classes)
    short = {name[:3]: name for name in scheme.classes if starts[name[:3]] == 1}
    emotions = scheme.words if scheme.read == EMOTIONS else {}
    words = {**short, **emotions, **{name: name for name in scheme.classes}}
    return {_plain(word): scheme.classes.index(name) for word, name in words.items() if name}


def _is_label(text: str, scheme: ClassScheme) -> bool:
    return bool(NUMBER.fullmatch(text)) or _plain(text) in _words(scheme)
