"""Coding files: the table in which a data set lists its clips, as .xlsx or .csv.

The header is looked for, because some files begin with pages of text, and a column is known by
any of its spellings. All cells become text. What spreadsheets do to names, dates and merged cells,
is reported with the row.
"""

import csv
import datetime
import re
import xml.etree.ElementTree as ET
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import openpyxl
from defusedxml import ElementTree as SafeTree
from defusedxml.common import DefusedXmlException
from openpyxl.utils import range_boundaries

from hmrm_lab.datasets.findings import shown
from hmrm_lab.errors import InputError

HEADER_ROWS = 60  # how far down the header may be
LONGEST_TEXT = 200  # characters of one cell
LARGEST_BYTES = 32 * 2**20  # of the file, and of all that is packed in a workbook
MOST_ROWS = 20_000
MOST_COLUMNS = 200
LARGEST_MERGE = 100_000  # cells
DELIMITERS = (",", ";", "\t")

Columns = Mapping[str, Sequence[str]]
"""Field to the spellings of its column; one that ends in "?" may be missing."""

Grid = list[list[Any]]


@dataclass(frozen=True)
class Row:
    """One line of a coding file. `number` is the row as a spreadsheet shows it."""

    number: int
    fields: Mapping[str, str]
    odd: Mapping[str, str]
    """Fields whose cell is no text or number, with what it is instead."""

    def __getitem__(self, field: str) -> str:
        return self.fields.get(field, "")


@dataclass(frozen=True)
class CodingTable:
    path: Path
    rows: tuple[Row, ...]
    header: Mapping[str, str]
    """Field to the column as this file spells it."""


class Merged:
    """What a cell holds that is hidden behind a merged one."""


MERGED = Merged()


def read_coding(path: Path, columns: Columns) -> CodingTable:
    """The rows of a coding file.

    Parameters
    ----------
    columns
        The fields that are needed, each with the spellings of its column. Case, spaces and signs
        do not count. A field whose name ends in "?" may be missing. The sheets of a workbook are
        looked at in their order.

    Raises
    ------
    InputError
        If the file is no table, or lacks a column.
    """
    _check_file(path)
    grids = _workbook(path) if path.suffix.lower() == ".xlsx" else _text(path)
    best: tuple[int, dict[str, list[int]]] = (0, {})
    for grid in grids:
        for index, cells in enumerate(grid[:HEADER_ROWS]):
            found = _columns_of(cells, columns)
            if len(found) > len(best[1]):
                best = (index + 1, found)
            if all(field in found for field in _needed(columns)):
                _refuse_twins(path, index + 1, found, cells)
                return _table(path, grid, index, {field: at[0] for field, at in found.items()})
    missing = [field for field in _needed(columns) if field not in best[1]]
    wanted = ", ".join(f"'{columns[field][0]}'" for field in missing)
    raise InputError(
        f"no column {wanted}" if best[1] else "no header with the columns of this data set",
        where=shown(path),
        row=best[0] or None,
        mend=f"needed are {', '.join(columns[field][0] for field in _needed(columns))}",
    )


def simple(text: str) -> str:
    """A column's name without case, spaces and signs."""
    return re.sub(r"[^a-z0-9]", "", text.lower())


def _needed(columns: Columns) -> list[str]:
    return [field for field in columns if not field.endswith("?")]


def _check_file(path: Path) -> None:
    if not path.is_file():
        raise InputError("no such coding file", where=shown(path), mend="check its name")
    if path.suffix.lower() not in (".xlsx", ".csv"):
        raise InputError(
            f"a coding file of type '{path.suffix}'",
            where=shown(path),
            mend="save it as .xlsx or .csv",
        )
    size = path.stat().st_size
    if size == 0:
        raise InputError("the coding file is empty", where=shown(path), mend="copy it again")
    if size > LARGEST_BYTES:
        raise InputError(
            f"{size / 2**20:.0f} MiB are no coding file",
            where=shown(path),
            mend="give the right file",
        )


def _text(path: Path) -> list[Grid]:
    """The table once for each delimiter; the header decides which it is."""
    try:
        content = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise InputError("not UTF-8 text", where=shown(path), mend="save it as CSV UTF-8") from None
    if "\0" in content:
        raise InputError("not a text file", where=shown(path), mend="save it as CSV UTF-8")
    lines = content.splitlines()
    try:
        return [list(csv.reader(lines, delimiter=sign)) for sign in DELIMITERS]
    except csv.Error as error:
        raise InputError(
            f"not a table ({error})", where=shown(path), mend="save it again"
        ) from None


def _workbook(path: Path) -> Iterator[Grid]:
    _check_archive(path)
    try:
        book = openpyxl.load_workbook(path, data_only=True)
    except (*BROKEN, DefusedXmlException) as error:
        raise _no_workbook(path, error) from None
    try:
        for page in book.worksheets:
            yield _grid(page, path)
    finally:
        book.close()


BROKEN = (
    *(zipfile.BadZipFile, ET.ParseError, KeyError, ValueError, TypeError, AttributeError),
    *(IndexError, EOFError, OSError, NotImplementedError, RuntimeError, zlib.error),
)
"""What a damaged workbook makes openpyxl raise."""


def _no_workbook(path: Path, error: Exception) -> InputError:
    return InputError(
        f"not a readable workbook ({type(error).__name__})",
        where=shown(path),
        mend="open it in a spreadsheet program and save it as .xlsx or .csv",
    )


def _check_archive(path: Path) -> None:
    """Refuse archives that unpack to too much, and XML that declares entities."""
    try:
        with zipfile.ZipFile(path) as archive:
            if sum(member.file_size for member in archive.infolist()) > LARGEST_BYTES:
                raise InputError(
                    "unpacks to more than a coding file holds",
                    where=shown(path),
                    mend="copy it again",
                )
            for member in archive.infolist():
                if member.filename.endswith((".xml", ".rels")):
                    with archive.open(member) as part:
                        for _, element in SafeTree.iterparse(part, forbid_dtd=True):
                            _check_merge(path, element)
    except DefusedXmlException:
        raise InputError(
            "declares XML entities, which a coding file never needs",
            where=shown(path),
            mend="do not open it; get the file again from its source",
        ) from None
    except BROKEN as error:
        raise _no_workbook(path, error) from None


def _check_merge(path: Path, element: ET.Element) -> None:
    """Refuse areas so large that spreadsheet code would fill the memory with their cells."""
    if not element.tag.endswith("}mergeCell"):
        return
    left, top, right, bottom = (int(edge or 0) for edge in range_boundaries(element.get("ref", "")))
    if (right - left + 1) * (bottom - top + 1) > LARGEST_MERGE:
        raise InputError(
            f"the cells {element.get('ref')} are merged",
            where=shown(path),
            mend="split them and save it",
        )


def _grid(page: Any, path: Path) -> Grid:
    if page.max_row > MOST_ROWS:
        raise InputError(
            f"sheet '{page.title}' has {page.max_row} rows",
            where=shown(path),
            mend=f"a coding file has at most {MOST_ROWS}; remove empty rows below the table",
        )
    if page.max_column > MOST_COLUMNS:
        raise InputError(
            f"sheet '{page.title}' has {page.max_column} columns",
            where=shown(path),
            mend=f"a coding file has at most {MOST_COLUMNS}; remove empty columns beside the table",
        )
    grid = [list(cells) for cells in page.iter_rows(values_only=True)]
    for area in page.merged_cells.ranges:
        for row, column in list(area.cells)[1:]:
            if row <= len(grid) and column <= len(grid[row - 1]):
                grid[row - 1][column - 1] = MERGED
    return grid


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
                f"two columns are called '{cells[places[0]]}'",
                where=shown(path),
                row=row,
                mend="rename or remove one of them",
            )


def _table(path: Path, grid: Grid, header: int, at: Mapping[str, int]) -> CodingTable:
    rows = []
    for number, cells in enumerate(grid[header + 1 :], start=header + 2):
        fields: dict[str, str] = {}
        odd: dict[str, str] = {}
        for field, column in at.items():
            cell = cells[column] if column < len(cells) else None
            fields[field.rstrip("?")], problem = _as_text(cell)
            if problem:
                odd[field.rstrip("?")] = problem
        if any(fields.values()) or odd:
            rows.append(Row(number, fields, odd))
    if not rows:
        raise InputError(
            "lists no clips", where=shown(path), row=header + 1, mend="copy the file again"
        )
    spelt = {field.rstrip("?"): str(grid[header][column]) for field, column in at.items()}
    return CodingTable(path, tuple(rows), spelt)


def _as_text(cell: Any) -> tuple[str, str]:
    """The text of a cell, and what is odd about it."""
    if cell is None:
        return "", ""
    if cell is MERGED:
        return "", "merged with another cell"
    if isinstance(cell, datetime.date | datetime.time | datetime.timedelta):
        return "", f"a date ({cell})"
    if isinstance(cell, bool):
        return "", f"a truth value ({cell})"
    if isinstance(cell, float) and cell.is_integer():
        cell = int(cell)
    text = str(cell).strip()
    if len(text) > LONGEST_TEXT:
        return "", f"{len(text)} characters long"
    return text, ""
