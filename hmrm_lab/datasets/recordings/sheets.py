"""Sheets of a file as rows of cells: workbooks (.xlsx, .xlsm, .ods) and text, within bounds.

An empty row is left out, and each row has the number that a spreadsheet shows. Cells with a format
and no content do not count, however far below or beside the table they are.
"""

import csv
import io
import xml.etree.ElementTree as ET
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import openpyxl
from defusedxml import ElementTree as SafeTree
from defusedxml.common import DefusedXmlException
from openpyxl.utils import range_boundaries

from hmrm_lab.datasets.recordings.findings import shown
from hmrm_lab.errors import InputError

WORKBOOKS = (".xlsx", ".xlsm", ".ods")
TEXTS = (".csv", ".tsv", ".txt")
DELIMITERS = ",;\t|"
LARGEST_BYTES = 32 * 2**20  # of the file, and of all that is packed in a workbook
MOST_ROWS = 20_000
MOST_COLUMNS = 200  # those beyond are not read
LARGEST_MERGE = 100_000  # cells of all merged areas
OFFICE, TABLE, TEXT = (
    f"{{urn:oasis:names:tc:opendocument:xmlns:{name}:1.0}}" for name in ("office", "table", "text")
)

Sheet = list[tuple[int, list[Any]]]
BROKEN = (
    *(zipfile.BadZipFile, ET.ParseError, KeyError, ValueError, TypeError, AttributeError),
    *(IndexError, EOFError, OSError, NotImplementedError, RuntimeError, zlib.error),
)
"""What a damaged workbook makes its reader raise."""


@dataclass(frozen=True)
class Odd:
    """A cell that holds neither text nor a number."""

    what: str


MERGED = Odd("merged with another cell")


def read_sheets(path: Path) -> Iterator[tuple[str, Sheet]]:
    """The sheets of a file with their names; a text file once for each delimiter.

    Raises
    ------
    InputError
        If the file is missing, of another type, damaged, or beyond the bounds.
    """
    _check_file(path)
    suffix = path.suffix.lower()
    if suffix in TEXTS:
        yield from _text(path)
        return
    _check_archive(path)
    try:
        yield from _document(path) if suffix == ".ods" else _workbook(path)
    except DefusedXmlException as error:
        raise _no_workbook(path, error) from None


def _check_file(path: Path) -> None:
    if not path.is_file():
        raise InputError("no such file", where=shown(path), mend="check its name")
    if path.suffix.lower() not in (*WORKBOOKS, *TEXTS):
        known = ", ".join((*WORKBOOKS, *TEXTS))
        problem = f"a table of type '{path.suffix}'"
        raise InputError(problem, where=shown(path), mend=f"save it as one of {known}")
    size = path.stat().st_size
    if size == 0:
        raise InputError("the file is empty", where=shown(path), mend="copy it again")
    if size > LARGEST_BYTES:
        problem = f"{size / 2**20:.0f} MiB are no list of clips"
        raise InputError(problem, where=shown(path), mend="give the right file")


def _text(path: Path) -> Iterator[tuple[str, Sheet]]:
    """Bytes that are not UTF-8 become surrogates, for only the cells that are needed matter."""
    content = path.read_bytes()
    wide = content.startswith((b"\xff\xfe", b"\xfe\xff"))  # "Unicode text" of spreadsheets
    text = content.decode(*(("utf-16", "replace") if wide else ("utf-8-sig", "surrogateescape")))
    if "\0" in text:
        raise InputError("not a text file", where=shown(path), mend="save it as CSV UTF-8")
    try:
        for sign in DELIMITERS:
            lines = csv.reader(io.StringIO(text, newline=""), delimiter=sign, skipinitialspace=True)
            yield "", [(number, cells) for number, cells in enumerate(lines, 1) if any(cells)]
    except csv.Error as error:
        problem = f"not a table ({error})"
        raise InputError(problem, where=shown(path), mend="save it again") from None


def _no_workbook(path: Path, error: Exception) -> InputError:
    return InputError(
        f"not a readable workbook ({type(error).__name__})",
        where=shown(path),
        mend="open it in a spreadsheet program and save it as .xlsx or .csv",
    )


def _check_archive(path: Path) -> None:
    """Refuse archives that unpack to too much, and XML that declares entities."""
    merged = 0
    try:
        with zipfile.ZipFile(path) as archive:
            if sum(member.file_size for member in archive.infolist()) > LARGEST_BYTES:
                problem = "unpacks to more than a list of clips holds"
                raise InputError(problem, where=shown(path), mend="copy it again")
            for member in archive.infolist():
                if member.filename.endswith((".xml", ".rels")):
                    with archive.open(member) as part:
                        for _, element in SafeTree.iterparse(part, forbid_dtd=True):
                            merged += _merged_cells(element)
                            if merged > LARGEST_MERGE:
                                problem = f"the cells {element.get('ref')} are merged"
                                mend = "split them and save it"
                                raise InputError(problem, where=shown(path), mend=mend)
    except DefusedXmlException:
        raise InputError(
            "declares XML entities, which a list of clips never needs",
            where=shown(path),
            mend="do not open it; get the file again from its source",
        ) from None
    except BROKEN as error:
        raise _no_workbook(path, error) from None


def _merged_cells(element: ET.Element) -> int:
    """How many cells this element merges; spreadsheet code would make each of them."""
    if not element.tag.endswith("}mergeCell"):
        return 0
    left, top, right, bottom = (int(edge or 0) for edge in range_boundaries(element.get("ref", "")))
    return (right - left + 1) * (bottom - top + 1)


def _workbook(path: Path) -> Iterator[tuple[str, Sheet]]:
    try:
        book = openpyxl.load_workbook(path, data_only=True)
    except BROKEN as error:
        raise _no_workbook(path, error) from None
    for page in book.worksheets:
        yield page.title, _page(page)


def _page(page: Any) -> Sheet:
    """The rows of a sheet from the cells that it stores; its own rows may be a million."""
    cells: dict[tuple[int, int], Any] = {
        at: cell.value for at, cell in page._cells.items() if cell.value is not None
    }
    for area in page.merged_cells.ranges:
        first, *hidden = area.cells
        if first in cells:
            cells |= dict.fromkeys(hidden, MERGED)
    rows: dict[int, list[Any]] = {}
    for row, column in sorted(cells):
        if column <= MOST_COLUMNS:
            line = rows.setdefault(row, [])
            line += [None] * (column - 1 - len(line)) + [cells[row, column]]
    return list(rows.items())


def _document(path: Path) -> Iterator[tuple[str, Sheet]]:
    try:
        with zipfile.ZipFile(path) as archive, archive.open("content.xml") as part:
            tables = SafeTree.parse(part, forbid_dtd=True).getroot().iter(f"{TABLE}table")
        sheets = [(table.get(f"{TABLE}name", ""), _rows(table)) for table in tables]
    except BROKEN as error:
        raise _no_workbook(path, error) from None
    yield from sheets


def _rows(table: ET.Element) -> Sheet:
    """The rows of a sheet of OpenDocument, in which a row or cell may stand for many."""
    rows: Sheet = []
    number = 0
    for element in table.iter(f"{TABLE}table-row"):
        cells: list[Any] = []
        for cell in element:
            if cell.tag in (f"{TABLE}table-cell", f"{TABLE}covered-table-cell"):
                repeat = int(cell.get(f"{TABLE}number-columns-repeated", "1"))
                cells += [_value(cell)] * min(repeat, MOST_COLUMNS - len(cells))
        repeat = int(element.get(f"{TABLE}number-rows-repeated", "1"))
        if any(cell is not None for cell in cells):
            room = MOST_ROWS + 1 - len(rows)
            rows += [(number + nth, cells) for nth in range(1, min(repeat, room) + 1)]
        number += repeat
    return rows


def _value(cell: ET.Element) -> Any:
    if cell.tag == f"{TABLE}covered-table-cell":
        return MERGED
    kind = cell.get(f"{OFFICE}value-type")
    if kind in ("float", "percentage", "currency"):
        return cell.get(f"{OFFICE}value")
    text = " ".join("".join(line.itertext()) for line in cell.findall(f"{TEXT}p"))
    if kind in ("date", "time"):
        return Odd(f"a date ({cell.get(f'{OFFICE}date-value', text)})")
    return Odd(f"a truth value ({text})") if kind == "boolean" else text or None
