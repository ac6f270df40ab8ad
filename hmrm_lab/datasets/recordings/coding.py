"""Coding files: the table in which a data set lists its clips, as a workbook or as text.

The header is looked for, because some files begin with pages of text, and a column is known by
any of its spellings. All cells become text, and a whole number is one however it is written: pandas
makes 48.0 of 48 if one cell of the column is empty. What spreadsheets do to names, dates and merged
cells, is reported with the row.
"""

import datetime
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hmrm_lab.datasets.recordings.findings import shown
from hmrm_lab.datasets.recordings.sheets import MOST_ROWS, TEXTS, Odd, Sheet, read_sheets
from hmrm_lab.datasets.walking import loose
from hmrm_lab.errors import InputError

HEADER_ROWS = 60  # how far down the header may be
LONGEST_TEXT = 200  # characters of one cell
WHOLE = re.compile(r"(\d+)[.,](?:00?|0{4,})")  # 48,000 may be 48 or 48 thousand
MONTH = "(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)"
ODD = {
    "a date": re.compile(
        r"(?:\d{4}-\d\d?-\d\d?|\d{4}/\d\d?/\d\d?|\d\d?/\d\d?/\d{2,4})(?:[ T].*)?"
        rf"|\d\d?-{MONTH}(?:-\d{{2,4}})?|{MONTH}-\d{{2,4}}"
    ),
    "a number without its last digits": re.compile(r"\d(?:[.,]\d+)?e\+\d+"),
    "an error of the spreadsheet": re.compile(
        r"#(?:(?:ref|value|num|null|calc|div/0)!|name\?|##*)"
    ),
}
"""What spreadsheets leave in place of a name or number, where the text shows it."""

Columns = Mapping[str, Sequence[str]]
"""Field to the spellings of its column; one that ends in "?" may be missing."""


@dataclass(frozen=True)
class Row:
    """One line of a coding file. `number` is the row as a spreadsheet shows it.

    Parameters
    ----------
    odd
        Fields whose cell is no text or number, with what it is instead; asking for one of them
        raises `ValueError`.
    """

    number: int
    fields: Mapping[str, str]
    odd: Mapping[str, str]

    def __getitem__(self, field: str) -> str:
        if field in self.odd:
            raise ValueError(f"the {field} is {self.odd[field]}; it must be plain text or a number")
        return self.fields.get(field, "")


@dataclass(frozen=True)
class CodingTable:
    """The rows of a coding file, and the fields that have a column there."""

    path: Path
    rows: tuple[Row, ...]
    fields: frozenset[str]


def read_coding(path: Path, columns: Columns) -> CodingTable:
    """The rows of a coding file; of several sheets with its columns, those of the longest.

    Parameters
    ----------
    columns
        The fields that are needed, each with the spellings of its column. Case, spaces and signs
        do not count. A field whose name ends in "?" may be missing.

    Raises
    ------
    InputError
        If the file is no table, or lacks a column, or two sheets are equally long and differ.
    """
    best: tuple[int, dict[str, list[int]]] = (0, {})
    tables: dict[str, CodingTable] = {}
    for name, sheet in read_sheets(path):
        for index, (number, cells) in enumerate(sheet[:HEADER_ROWS]):
            found = _columns_of(cells, columns)
            if len(found) > len(best[1]):
                best = (number, found)
            if all(field in found for field in _needed(columns)):
                _refuse_twins(path, number, found, cells)
                tables[name] = _table(path, sheet[index:], {f: at[0] for f, at in found.items()})
                break
    if tables:
        return _longest(path, tables, best[0])
    missing = [field for field in _needed(columns) if field not in best[1]]
    wanted = ", ".join(f"'{columns[field][0]}'" for field in missing)
    raise InputError(
        f"no column {wanted}" if best[1] else "no header with the columns of this data set",
        where=shown(path),
        row=best[0] or None,
        mend=f"needed are {', '.join(columns[field][0] for field in _needed(columns))}",
    )


def whole(text: str) -> int | None:
    """A frame number, or None."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None


def data_set(text: str) -> str:
    """A data set's name in one spelling: casme2 from CASME II."""
    return {"casmeii": "casme2", "smichs": "smic"}.get(simple(text), text.lower())


def simple(text: str) -> str:
    """A column's name without case, spaces and signs."""
    return re.sub(r"[^a-z0-9]", "", text.lower())


def find_name(name: str, names: Sequence[str]) -> str | None:
    """This one of the names; else the only one that differs in case and leading zeros alone."""
    if name in names:
        return name
    like = [one for one in names if loose(one) == loose(name)]
    return like[0] if len(like) == 1 else None


def _needed(columns: Columns) -> list[str]:
    return [field for field in columns if not field.endswith("?")]


def _longest(path: Path, tables: Mapping[str, CodingTable], header: int) -> CodingTable:
    most = max(len(table.rows) for table in tables.values())
    if most == 0:
        raise InputError("lists no clips", where=shown(path), row=header, mend="copy it again")
    (name, longest), *others = (pair for pair in tables.items() if len(pair[1].rows) == most)
    for other, table in others:
        if [row.fields for row in table.rows] != [row.fields for row in longest.rows]:
            problem = f"the sheets '{name}' and '{other}' both list {most} clips, and differ"
            raise InputError(problem, where=shown(path), mend="remove one of them")
    return longest


def _columns_of(cells: Sequence[Any], columns: Columns) -> dict[str, list[int]]:
    """Where each field's column is in this row; several places if it is there twice."""
    names = [simple(cell) if isinstance(cell, str) else "" for cell in cells]
    found: dict[str, list[int]] = {}
    for field, spellings in columns.items():
        for spelling in spellings:
            places = [at for at, name in enumerate(names) if name == simple(spelling)]
            if places:
                found[field] = places
                break
    return found


def _refuse_twins(
    path: Path, row: int, found: Mapping[str, list[int]], cells: Sequence[Any]
) -> None:
    for places in found.values():
        if len(places) > 1:
            raise InputError(
                f"two columns are called '{shown(cells[places[0]])}'",
                where=shown(path),
                row=row,
                mend="rename or remove one of them",
            )


def _table(path: Path, sheet: Sheet, at: Mapping[str, int]) -> CodingTable:
    """The rows below the header, which is the first."""
    if len(sheet) > MOST_ROWS:
        mend = f"a list of clips has at most {MOST_ROWS}; remove the others"
        raise InputError(f"{len(sheet)} rows", where=shown(path), mend=mend)
    width = len(sheet[0][1])
    rows = []
    for number, cells in sheet[1:]:
        fields: dict[str, str] = {}
        odd: dict[str, str] = {}
        for field, column in at.items():
            name = field.rstrip("?")
            fields[name], problem = _as_text(cells[column] if column < len(cells) else None)
            if path.suffix.lower() in TEXTS and "".join(cells[width:]).strip():
                problem = f"in a row of {len(cells)} cells below {width} columns"
            if problem:
                odd[name] = problem
        if any(fields.values()) or odd:
            rows.append(Row(number, fields, odd))
    return CodingTable(path, tuple(rows), frozenset(field.rstrip("?") for field in at))


def _as_text(cell: Any) -> tuple[str, str]:
    """The text of a cell, and what is odd about it."""
    text = "" if cell is None else " ".join(str(cell).split())
    odd = _oddity(cell, text)
    number = WHOLE.fullmatch(text)
    return "" if odd else number[1] if number else text, odd


def _oddity(cell: Any, text: str) -> str:
    if isinstance(cell, Odd):
        return cell.what
    if isinstance(cell, datetime.date | datetime.time | datetime.timedelta):
        return f"a date ({cell})"
    if isinstance(cell, bool):
        return f"a truth value ({cell})"
    if shown(text) != text:
        return f"not UTF-8 text ({shown(text)})"
    if len(text) > LONGEST_TEXT:
        return f"{len(text)} characters long"
    known = (what for what, pattern in ODD.items() if pattern.fullmatch(text.lower()))
    return next((f"{what} ({text})" for what in known), "")
