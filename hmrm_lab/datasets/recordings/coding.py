"""Coding files: the table in which a data set lists its clips, as a workbook or as text.

The header is looked for, because some files begin with pages of text. All cells become text, and a
whole number is one however it is written: pandas makes 48.0 of 48 if one cell of the column is
empty. What spreadsheets do to names, dates and merged cells, is reported with the row.
"""

import csv
import datetime
import io
import re
import xml.etree.ElementTree as ET
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import openpyxl
from defusedxml import ElementTree as SafeTree
from defusedxml.common import DefusedXmlException
from openpyxl.utils import range_boundaries

from hmrm_lab.datasets.recordings.findings import RECORDINGS, bad_input, shown
from hmrm_lab.datasets.walking import Tree, loose
from hmrm_lab.errors import InputError

WORKBOOKS = (".xlsx", ".xlsm", ".ods")
TEXTS = (".csv", ".tsv", ".txt")
DELIMITERS = ",;\t|"
LARGEST_BYTES = 32 * 2**20  # of the file, and of all that is packed in a workbook
MOST_ROWS = 20_000
MOST_COLUMNS = 200  # those beyond are not read
LARGEST_MERGE = 100_000  # cells of all merged areas
HEADER_ROWS = 60  # how far down the header may be
LONGEST_TEXT = 200  # characters of one cell
OFFICE, TABLE, TEXT = (
    f"{{urn:oasis:names:tc:opendocument:xmlns:{name}:1.0}}" for name in ("office", "table", "text")
)
BROKEN = (
    *(zipfile.BadZipFile, ET.ParseError, KeyError, ValueError, TypeError, AttributeError),
    *(IndexError, EOFError, OSError, NotImplementedError, RuntimeError, zlib.error),
)
"""What a damaged workbook makes its reader raise."""

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
OTHERS = "*?"  # in place of a field: every other column, as it is called
Sheet = list[tuple[int, list[Any]]]
"""The rows of a sheet that are not empty, each with its number."""


@dataclass(frozen=True)
class Row:
    """One line of a coding file. Asking for a field that is odd raises `ValueError`."""

    number: int  # as a spreadsheet shows it
    fields: Mapping[str, str]
    odd: Mapping[str, str]  # what a cell is instead of text or a number
    others: Mapping[str, str]  # the cells of `OTHERS`

    def __getitem__(self, field: str) -> str:
        if field in self.odd:
            raise ValueError(f"the {field} is {self.odd[field]}; it must be plain text or a number")
        return self.fields.get(field, "")


class CodingTable(NamedTuple):
    """The rows of a coding file, and the fields that have a column there."""

    path: Path
    rows: tuple[Row, ...]
    fields: frozenset[str]


class Odd(NamedTuple):
    """A cell that holds neither text nor a number."""

    what: str


MERGED = Odd("merged with another cell")


def read_coding(path: Path, columns: Columns) -> CodingTable:
    """Read the rows of a coding file; of several sheets with its columns, those of the longest.

    Case, spaces and signs of a column do not count. If the file is no table, or lacks a column, or
    two sheets are equally long and differ, an `InputError` says so.
    """
    needed = [field for field in columns if not field.endswith("?")]
    header, best = 0, dict[str, list[int]]()
    tables: dict[str, CodingTable] = {}
    for name, sheet in read_sheets(path):
        for index, (number, cells) in enumerate(sheet[:HEADER_ROWS]):
            found = _columns_of(cells, columns)
            if len(found) > len(best):
                header, best = number, found
            if all(field in found for field in needed):
                if OTHERS in columns:
                    found |= _others(cells, [at[0] for at in found.values()])
                for at in found.values():
                    if len(at) > 1:
                        problem = f"two columns are called '{shown(str(cells[at[0]]))}'"
                        raise bad_input(path, problem, "rename or remove one of them", number)
                tables[name] = _table(path, sheet[index:], {f: at[0] for f, at in found.items()})
                break
    if tables:
        return _longest(path, tables, header)
    wanted = ", ".join(f"'{columns[field][0]}'" for field in needed if field not in best)
    problem = f"no column {wanted}" if best else "no header with the columns of this data set"
    hint = f"needed are {', '.join(columns[field][0] for field in needed)}"
    raise bad_input(path, problem, hint, header or None)


def find_coding(
    tree: Tree, columns: Columns, patterns: Sequence[str], named: str = ""
) -> CodingTable | None:
    """Read the coding file: the one that is named, or the first with such a name, if there is one.

    They are looked for in the root and in its folders. Text called .txt may be no table.
    """
    if named:
        return read_coding(tree.inside(tree.root / named), columns)
    folders = [tree.root, *sorted(path for path in tree.root.iterdir() if path.is_dir())]
    files = [
        path
        for suffix in (*WORKBOOKS, *TEXTS)
        for folder in folders
        for path in sorted(folder.iterdir())
        if path.suffix.lower() == suffix and not path.name.startswith(("~", "."))
    ]
    for path in (path for name in patterns for path in files if simple(name) in simple(path.stem)):
        try:
            return read_coding(tree.inside(path), columns)
        except InputError:
            if path.suffix.lower() != ".txt":
                raise
    return None


def of_data_set(table: CodingTable, name: str) -> list[Row]:
    """The rows of one data set, where a column marks some as another's."""
    others = RECORDINGS.keys() - {name}
    return [row for row in table.rows if data_set(row.fields.get("dataset", "")) not in others]


def whole(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None


def frame_rate(text: str) -> float | None:
    """Frames per second, None where it is blank; a `ValueError` if it is no such number."""
    if not text:
        return None
    if not re.fullmatch(r"\d{1,5}([.,]\d+)?", text) or not float(text.replace(",", ".")):
        raise ValueError(f"the fps is '{text}', not frames per second")
    return float(text.replace(",", "."))


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


def _columns_of(cells: Sequence[Any], columns: Columns) -> dict[str, list[int]]:
    """Where each field's column is in this row; several indices if it is there twice."""
    names = [simple(cell) if isinstance(cell, str) else "" for cell in cells]
    found: dict[str, list[int]] = {}
    for field, spellings in columns.items():
        spelled = [simple(spelling) for spelling in spellings if simple(spelling) in names]
        if spelled:
            found[field] = [index for index, name in enumerate(names) if name == spelled[0]]
    return found


def _others(cells: Sequence[Any], known: Sequence[int]) -> dict[str, list[int]]:
    """The columns that are no field, by a star and their name."""
    found: dict[str, list[int]] = {}
    for index, cell in enumerate(cells):
        name = shown(" ".join(str(cell or "").split()))
        if name and index not in known:
            found.setdefault(f"*{name}", []).append(index)
    return found


def _table(path: Path, sheet: Sheet, at: Mapping[str, int]) -> CodingTable:
    """The rows below the header, which is the first."""
    if len(sheet) > MOST_ROWS:
        hint = f"a list of clips has at most {MOST_ROWS}; remove the others"
        raise bad_input(path, f"{len(sheet)} rows", hint)
    width = len(sheet[0][1])
    rows = []
    for number, cells in sheet[1:]:
        fields, odd, others = dict[str, str](), dict[str, str](), dict[str, str]()
        shifted = path.suffix.lower() in TEXTS and "".join(cells[width:]).strip()
        for field, column in at.items():
            name, cell = field.rstrip("?"), cells[column] if column < len(cells) else None
            text, problem = _as_text(cell)
            if name.startswith("*"):  # whatever a cell of a group holds is a name
                raw = "" if cell is None else " ".join(str(cell).split())
                others[name[1:]] = text or shown(raw)[:LONGEST_TEXT]
                continue
            fields[name] = text
            if shifted:
                problem = f"in a row of {len(cells)} cells below {width} columns"
            if problem:
                odd[name] = problem
        if any(fields.values()) or odd:
            rows.append(Row(number, fields, odd, others))
    return CodingTable(path, tuple(rows), frozenset(field.rstrip("?") for field in at))


def _longest(path: Path, tables: Mapping[str, CodingTable], header: int) -> CodingTable:
    most = max(len(table.rows) for table in tables.values())
    if most == 0:
        raise bad_input(path, "lists no clips", "copy it again", header)
    (name, longest), *others = (pair for pair in tables.items() if len(pair[1].rows) == most)
    for other, table in others:
        if [row.fields for row in table.rows] != [row.fields for row in longest.rows]:
            problem = f"the sheets '{name}' and '{other}' both list {most} clips, and differ"
            raise bad_input(path, problem, "remove one of them")
    return longest


def _as_text(cell: Any) -> tuple[str, str]:
    text = "" if cell is None else " ".join(str(cell).split())
    if isinstance(cell, Odd):
        odd = cell.what
    elif isinstance(cell, datetime.date | datetime.time | datetime.timedelta):
        odd = f"a date ({cell})"
    elif isinstance(cell, bool):
        odd = f"a truth value ({cell})"
    elif shown(text) != text:
        odd = f"not UTF-8 text ({shown(text)})"
    elif len(text) > LONGEST_TEXT:
        odd = f"{len(text)} characters long"
    else:
        known = (what for what, pattern in ODD.items() if pattern.fullmatch(text.lower()))
        odd = next((f"{what} ({text})" for what in known), "")
    number = WHOLE.fullmatch(text)
    return "" if odd else number[1] if number else text, odd


def read_sheets(path: Path) -> Iterator[tuple[str, Sheet]]:
    """Read the sheets of a file with their names; a text file once for each delimiter."""
    suffix = path.suffix.lower()
    if not path.is_file():
        raise bad_input(path, "no such file", "check its name")
    if suffix not in (*WORKBOOKS, *TEXTS):
        known = ", ".join((*WORKBOOKS, *TEXTS))
        raise bad_input(path, f"a table of type '{path.suffix}'", f"save it as one of {known}")
    size = path.stat().st_size
    if size == 0:
        raise bad_input(path, "the file is empty", "copy it again")
    if size > LARGEST_BYTES:
        raise bad_input(path, f"{size / 2**20:.0f} MiB are no list of clips", "give the right file")
    if suffix in TEXTS:
        yield from _text(path)
        return
    try:
        _check_archive(path)
        sheets = _document(path) if suffix == ".ods" else _workbook(path)
    except DefusedXmlException:
        problem = "declares XML entities, which a list of clips never needs"
        hint = "do not open it; get the file again from its source"
        raise bad_input(path, problem, hint) from None
    except BROKEN as error:
        hint = "open it in a spreadsheet program and save it as .xlsx or .csv"
        problem = f"not a readable workbook ({type(error).__name__})"
        raise bad_input(path, problem, hint) from None
    yield from sheets


def _text(path: Path) -> Iterator[tuple[str, Sheet]]:
    """Bytes that are not UTF-8 become surrogates, for only the cells that are needed matter."""
    content = path.read_bytes()
    wide = content.startswith((b"\xff\xfe", b"\xfe\xff"))  # "Unicode text" of spreadsheets
    text = content.decode(*(("utf-16", "replace") if wide else ("utf-8-sig", "surrogateescape")))
    if "\0" in text:
        raise bad_input(path, "not a text file", "save it as CSV UTF-8")
    try:
        for sign in DELIMITERS:
            lines = csv.reader(io.StringIO(text, newline=""), delimiter=sign, skipinitialspace=True)
            yield "", [(number, cells) for number, cells in enumerate(lines, 1) if any(cells)]
    except csv.Error as error:
        raise bad_input(path, f"not a table ({error})", "save it again") from None


def _check_archive(path: Path) -> None:
    """Refuse archives that unpack to too much, XML that declares entities, and endless merges."""
    merged = 0
    with zipfile.ZipFile(path) as archive:
        if sum(member.file_size for member in archive.infolist()) > LARGEST_BYTES:
            raise bad_input(path, "unpacks to more than a list of clips holds", "copy it again")
        for member in archive.infolist():
            if not member.filename.endswith((".xml", ".rels")):
                continue
            with archive.open(member) as part:
                for _, element in SafeTree.iterparse(part, forbid_dtd=True):
                    if element.tag.endswith("}mergeCell"):  # each of whose cells would be made
                        edges = range_boundaries(element.get("ref", ""))
                        left, top, right, bottom = (int(edge or 0) for edge in edges)
                        merged += (right - left + 1) * (bottom - top + 1)
                    if merged > LARGEST_MERGE:
                        problem = f"the cells {element.get('ref')} are merged"
                        raise bad_input(path, problem, "split them and save it")


def _workbook(path: Path) -> list[tuple[str, Sheet]]:
    """The rows of all sheets from the cells that these store; their own rows may be a million."""
    sheets = []
    for page in openpyxl.load_workbook(path, data_only=True).worksheets:
        cells = {at: cell.value for at, cell in page._cells.items() if cell.value is not None}
        for area in page.merged_cells.ranges:
            first, *hidden = area.cells
            if first in cells:
                cells |= dict.fromkeys(hidden, MERGED)
        rows: dict[int, list[Any]] = {}
        for row, column in sorted(cells):
            if column <= MOST_COLUMNS:
                line = rows.setdefault(row, [])
                line += [None] * (column - 1 - len(line)) + [cells[row, column]]
        sheets.append((page.title, list(rows.items())))
    return sheets


def _document(path: Path) -> list[tuple[str, Sheet]]:
    """The rows of all sheets of OpenDocument, in which a row or cell may stand for many."""
    with zipfile.ZipFile(path) as archive, archive.open("content.xml") as part:
        tables = SafeTree.parse(part, forbid_dtd=True).getroot().iter(f"{TABLE}table")
    sheets = []
    for table in tables:
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
        sheets.append((table.get(f"{TABLE}name", ""), rows))
    return sheets


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
