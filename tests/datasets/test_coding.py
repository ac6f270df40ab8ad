"""Tables as they go round: what is sound gives the clips that it means, the rest is refused."""

import tomllib
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import openpyxl
import pytest
import trees
from conftest import refusal
from openpyxl.styles import Font

from hmrm_lab.datasets.recordings.findings import RECORDINGS, Survey

CLIPS = [("EP02_01f", 1, 0, 2, 4), ("EP19_05f", 0, 0, 2, 4), ("EP19_06f", 0, 0, 2, 4)]
TEXT = """Subject,Filename,OnsetFrame,ApexFrame,OffsetFrame,Estimated Emotion
1,EP02_01f,46,48,50,happiness
1,EP19_05f,46,48,50,disgust
1,EP19_06f,46,48,50,repression
"""
GRID = [line.split(",") for line in TEXT.splitlines()]
NUMBERS = [[int(cell) if cell.isdigit() else cell for cell in row] for row in GRID]
FLOATS = [[float(cell) if isinstance(cell, int) else cell for cell in row] for row in NUMBERS]
LEGEND = [7, "EP00_00f", 1, 2, 3, "for example"]
Content = str | bytes | Callable[[Path], object]
SOUND_TEXTS = tomllib.loads(Path(__file__).with_name("sound_tables.toml").read_text("utf-8"))
REFUSED = tomllib.loads(Path(__file__).with_name("refused.toml").read_text(encoding="utf-8"))
LAUGHS = '<!DOCTYPE a [<!ENTITY b "ha"><!ENTITY c "&b;&b;&b;">]>'


def text_file(case: dict[str, Any]) -> tuple[str, bytes]:
    """The name and the bytes of a text of `sound_tables.toml` or `refused.toml`."""
    text = case.get("before", "") + case.get("text", TEXT)
    for old, new in case.get("swap", ()):
        text = text.replace(old, new)
    return case["file"], text.encode(case.get("encoding", "utf-8"))


FULL, ROW, CELL = trees.ods_rows(NUMBERS), "<table:table-row", "<table:table-cell"
EMPTY_ROWS = f'{ROW} table:number-rows-repeated="1048572">{CELL}/></table:table-row>'
EMPTY_CELLS = f'{CELL} table:number-columns-repeated="3"/>'
COMMENT = "<office:annotation><text:p>x</text:p></office:annotation>"
HEADER_ROWS = f"<table:table-header-rows>{trees.ods_rows(NUMBERS[:1])}</table:table-header-rows>"
SOUND_ODS = {
    "floats": [trees.ods_rows(FLOATS)],
    "a sheet of a million rows": [FULL + EMPTY_ROWS],
    "cells that stand for many": [FULL.replace(f"{ROW}>", f"{ROW}>{EMPTY_CELLS}")],
    "a format in a cell": [FULL.replace("EP02", "EP<text:span>02</text:span>")],
    "a comment on a cell": [FULL.replace("<text:p>EP02", f"{COMMENT}<text:p>EP02")],
    "a header that is repeated on every page": [HEADER_ROWS + trees.ods_rows(NUMBERS[1:])],
    "notes in front": [trees.ods_rows([["Notes"]]), FULL],
}


def sheets(
    *grids: list[list[object]], far: bool = False, merge: str = ""
) -> Callable[[Path], None]:
    """A workbook of these sheets; `far`: with a format in the last row and column."""

    def write(path: Path) -> None:
        book = openpyxl.Workbook()
        book.remove(book.active)
        for grid in grids:
            page = book.create_sheet()
            for row in grid:
                page.append(row)
            if merge:
                page.merged_cells.add(merge)
            if far:
                page.cell(1_048_576, 16_384).font = Font(bold=True)
                page.cell(30_000, 2).value = "  "
                page.cell(1, 9_000).value = "far away"
                page.merge_cells("A40:F42")
        book.save(path)

    return write


def ods(*tables: str, before: str = "") -> Callable[[Path], object]:
    return lambda path: trees.write_ods(path, *tables, before=before)


SOUND_BOOKS = {
    "text": sheets(GRID),
    "cells far away": sheets(NUMBERS, far=True),
    "notes in front": sheets([["Notes"], ["Subject", "who it is"]], NUMBERS),
    "a legend in front": sheets([*NUMBERS[:1], LEGEND], NUMBERS),
    "an empty sheet in front": sheets([], NUMBERS),
    "the same sheet twice": sheets(NUMBERS, NUMBERS),
}
SOUND = {
    **{name: text_file(case) for name, case in SOUND_TEXTS.items()},
    **{f"{name} (.ods)": ("a.ods", ods(*tables)) for name, tables in SOUND_ODS.items()},
    **{f"{name} (.xlsm)": ("a.xlsm", write) for name, write in SOUND_BOOKS.items()},
    "floats (.xlsx)": ("a.xlsx", sheets(FLOATS)),
}


def read(root: Path, name: str, content: Content) -> Survey:
    """The survey with this as its only coding file."""
    for old in root.glob("CASME2-coding*"):
        old.unlink()
    path = root / f"CASME2-coding-{name}"
    if callable(content):
        content(path)
    else:
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return RECORDINGS["casme2"].survey(root)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return trees.write_casme2(tmp_path / "root", trees.casme2_rows()[:3])


def test_a_sound_table_gives_its_clips(root: Path) -> None:
    for case, (name, content) in SOUND.items():
        found = read(root, name, content)
        clips = [(c.key.clip, c.label, c.onset, c.apex, c.offset) for c in found.clips]
        assert clips == CLIPS, case
        assert {clip.key.subject for clip in found.clips} == {"sub01"}, case
        assert found.findings == [], case


def test_a_blank_apex_is_one_and_leaves_the_others(root: Path) -> None:
    """As pandas writes them: the column becomes floats."""
    floats = TEXT.replace("48", "48.0")
    for blank in ("nan", "NaN", "NA", "N/A", "#N/A", "<NA>", "None", "/", "-", "?", "-1", "", " "):
        found = read(root, "a.csv", floats.replace("48.0", blank, 1))
        assert [clip.apex for clip in found.clips] == [None, 2, 2], blank
        (finding,) = found.findings
        assert (finding.kind, finding.row, finding.left_out) == ("apex_missing", 2, False), blank


def test_a_cell_that_cannot_be_meant_costs_its_row_alone(root: Path) -> None:
    refused = dict(REFUSED["cells"])
    refused |= dict.fromkeys(("46", "48", "50"), refused.pop("frames"))
    for text, place in [(text, place) for place, texts in refused.items() for text in texts]:
        found = read(root, "a.csv", TEXT.replace(place, f'"{text}"', 1))
        assert [clip.key.clip for clip in found.clips] == ["EP19_05f", "EP19_06f"], (text, place)
        (finding,) = found.findings
        assert (finding.row, finding.left_out) == (2, True), (text, place)
        assert finding.problem and finding.hint and "\n" not in str(finding)


def test_a_row_that_cannot_be_meant_is_told(root: Path) -> None:
    second = TEXT.splitlines()[1]
    for line, words in REFUSED["rows"].items():
        content = TEXT.replace(second, line).encode("latin-1")
        found = read(root, "a.csv", content)
        assert len(found.clips) == 2, line
        assert words in str(found.findings[0]), line
    numeric = TEXT.replace("Estimated Emotion", "label").replace("disgust", "0")
    found = read(root, "a.csv", numeric.replace("happiness", "2").replace("repression", "0"))
    assert [clip.label for clip in found.clips] == [0, 0]
    assert "the label 2 is not that of the MEGC 2019 list" in str(found.findings[0])


def zip_bomb(path: Path) -> None:
    sheets(NUMBERS)(path)
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/media/zeros.xml", b"<a>" + bytes(64 * 2**20))


def damaged(path: Path) -> None:
    """Nonsense in the packed bytes of the first part."""
    sheets(NUMBERS)(path)
    content = path.read_bytes()
    path.write_bytes(content[:60] + b"\xff" * 40 + content[100:])


MANY_ROWS = FULL.replace(ROW, f'{ROW} table:number-rows-repeated="1000000000"')
MANY_COLUMNS = FULL.replace(CELL, f'{CELL} table:number-columns-repeated="1000000000"')
REFUSED_FILES: dict[str, tuple[str, Content, str]] = {
    **{name: (*text_file(case), case["words"]) for name, case in REFUSED["files"].items()},
    "too many rows": ("a.csv", TEXT + "1,a,1,2,3,fear\n" * 20_000, "20004 rows; a list of clips"),
    "two sheets that differ": ("a.xlsx", sheets(NUMBERS, [*FLOATS[:3], LEGEND]), "and differ"),
    "merged by the million": ("a.xlsx", sheets(NUMBERS, merge="A10:Z9000"), "A10:Z9000 are merged"),
    "a zip bomb": ("a.xlsx", zip_bomb, "unpacks to more than"),
    "a damaged workbook": ("a.xlsx", damaged, "not a readable workbook"),
    "XML cut off": ("a.ods", ods(FULL + ROW + ">"), "not a readable workbook"),
    "a bomb of entities": ("a.ods", ods(FULL, before=LAUGHS), "declares XML entities"),
    "rows by the milliard": ("a.ods", ods(MANY_ROWS), "20001 rows"),
    "columns by the milliard": ("a.ods", ods(MANY_COLUMNS), "no column 'File"),
}  # fmt: skip


def test_a_table_that_cannot_be_read_is_refused(root: Path) -> None:
    for case, (name, content, words) in REFUSED_FILES.items():
        told = refusal(read, root, name, content)
        assert words in told and str(root) in told and "; " in told, case


def test_a_note_in_text_does_not_hide_the_table(root: Path) -> None:
    read(root, "a.ods", ods(FULL))
    (root / "CASME2-coding-0.txt").write_text("Please cite the paper, and sign the form.\n")
    assert len(RECORDINGS["casme2"].survey(root).clips) == 3
