"""Tables as they go round: what is sound gives the clips that it means, the rest is refused."""

import zipfile
from collections.abc import Callable
from pathlib import Path

import openpyxl
import pytest
import trees
from openpyxl.styles import Font

from hmrm_lab.datasets.recordings.findings import RECORDINGS, Survey
from hmrm_lab.errors import InputError

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
LAUGHS = '<!DOCTYPE a [<!ENTITY b "ha"><!ENTITY c "&b;&b;&b;">]>'


def with_column(*cells: str) -> str:
    """One more column, in front."""
    lines = zip(cells, TEXT.splitlines(), strict=True)
    return "".join(f"{cell},{line}\n" for cell, line in lines)


SOUND_TEXTS: dict[str, tuple[str, Content]] = {
    "commas": ("a.csv", TEXT),
    "semicolons and a hint for spreadsheets": ("a.csv", "sep=;\n" + TEXT.replace(",", ";")),
    "tabs": ("a.TSV", TEXT.replace(",", "\t")),
    "bars in .txt": ("a.txt", TEXT.replace(",", "|")),
    "quotes": ("a.csv", '"' + TEXT.replace(",", '", "').strip().replace("\n", '"\n"') + '"'),
    "blanks that do not break": ("a.csv", TEXT.replace(",", "\xa0,\xa0")),
    "a last row of blanks": ("a.csv", TEXT + " , ,\t, , ,\n"),
    "an empty row between": ("a.csv", TEXT.replace("\n", "\n\n")),
    "a separator at the end": ("a.csv", TEXT.replace("\n", ",\n")),
    "lines of an old Mac": ("a.csv", TEXT.replace("\n", "\r")),
    "a byte-order mark": ("a.csv", "\ufeff" + TEXT),
    "Unicode text of a spreadsheet": ("a.txt", TEXT.replace(",", "\t").encode("utf-16")),
    "remarks in Chinese code": ("a.csv", with_column("note", *["\u4f60"] * 3).encode("gbk")),
    "remarks of two lines": ("a.csv", with_column("note", '"a\nb"', '"a, b"', '"a ""b"""')),
    "an unnamed column of pandas": ("a.csv", with_column("Unnamed: 0", "0.0", "1.0", "nan")),
    "floats": ("a.csv", TEXT.replace("46", "46.0").replace("48", "48.000000")),
    "decimal commas": ("a.csv", TEXT.replace(",", ";").replace("48", "48,0")),
    "subjects in two ways": ("a.csv", TEXT.replace("\n1,", "\nSUB01,", 1)),
    "clips without their zeros": ("a.csv", TEXT.replace("EP02_01f", "ep2_1f")),
    "emotions in capitals": ("a.csv", TEXT.replace("happiness", " HAPPINESS ")),
    "a header in another spelling": ("a.csv", TEXT.replace("Frame", "_frame").replace("S", "s")),
    "text above the header": ("a.csv", "CASME II\n\nnot to be handed on\n" + TEXT),
    "the composite's labels": (
        "a.csv",
        "data,subject,clip,label,onset_frame,apex_frame,offset_frame,onset_frame_path\n"
        "casme2,sub01,EP02_01f,1,46,48,50,casme2/sub01/EP02_01f/img46.jpg\n"
        "smic,20,s20_ne_01,0,1,2,3,smic/s20\nsamm,6,006_1_2,0,1,2,3,samm/006\n"
        "CASME II,sub01,EP19_05f,0,46,48,50,x\ncasme2,1,EP19_06f,0.0,46.0,48.0,50.0,x\n",
    ),
}


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
    **SOUND_TEXTS,
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


NO_FRAMES = (
    *("48.5", "48,5", "48.000", "48,000", "1e2", "4 8", "48f", "9" * 11, "\uff14\uff18"),
    *("4.80E+01", "2014-05-08", "1900-02-17 00:00:00", "#REF!", "#####"),
)
NO_NAMES = (
    *("2014-05-08", "5/8/2014", "2014/5/8", "8-May", "08-May-14", "May-08", "2014-05-08T00:00"),
    *("1.00E+02", "#NAME?", "#DIV/0!", "..", "a/b", "EP02:01f", "\\\\x", "EP02_01g"),
)
REFUSED_CELLS = {
    **dict.fromkeys(NO_NAMES, ("EP02_01f",)),
    **dict.fromkeys(NO_FRAMES, ("46", "48", "50")),
    **dict.fromkeys(("hapiness", "happy?", "3", "1.5", "nan", ""), ("happiness",)),
}


def test_a_cell_that_cannot_be_meant_costs_its_row_alone(root: Path) -> None:
    cases = [(text, place) for text, places in REFUSED_CELLS.items() for place in places]
    for text, place in cases:
        found = read(root, "a.csv", TEXT.replace(place, f'"{text}"', 1))
        assert [clip.key.clip for clip in found.clips] == ["EP19_05f", "EP19_06f"], (text, place)
        (finding,) = found.findings
        assert (finding.row, finding.left_out) == (2, True), (text, place)
        assert finding.problem and finding.hint and "\n" not in str(finding)


def test_a_row_that_cannot_be_meant_is_told(root: Path) -> None:
    second = TEXT.splitlines()[1]
    for line, words in {
        "1.5,EP02_01f,46,48,50,happiness": "the subject '1.5' is not a number",
        "1,EP02_01f,46,48,50,happiness,AU,4": "in a row of 8 cells below 6 columns",
        "1,EP02_01f,,,,happiness": "the onset is ''",
        ",EP02_01f,46,48,50,happiness": "the subject is empty",
        "1,\udcff\udce9,46,48,50,happiness": r"not UTF-8 text (\xff\xe9)",
        "1,EP19_05f,46,48,50,happiness": "EP19_05f is listed in row 2 already",
        "Subject,Filename,OnsetFrame,ApexFrame,OffsetFrame,happiness": "'Subject' is not a number",
    }.items():  # fmt: skip
        content = TEXT.replace(second, line).encode("utf-8", "surrogateescape")
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
    "text in UTF-32": ("a.csv", TEXT.encode("utf-32"), "not a text file"),
    "no row is right": (
        "a.csv",
        TEXT.replace("46", "a").replace("disgust", "joy"),
        "row 2: not one usable clip; the first of 3 problems is: the onset is 'a'",
    ),
    "a table of another type": ("a.json", TEXT, "no coding file of CASME II"),
    "too many rows": ("a.csv", TEXT + "1,a,1,2,3,fear\n" * 20_000, "20004 rows; a list of clips"),
    "a column missing": ("a.csv", TEXT.replace("Apex", "Peak"), "row 1: no column 'ApexFrame'"),
    "a column twice": ("a.csv", with_column("subject", *"123"), "two columns are called 'subject'"),
    "no rows": ("a.csv", TEXT.partition("\n")[0], "row 1: lists no clips"),
    "two sheets that differ": ("a.xlsx", sheets(NUMBERS, [*FLOATS[:3], LEGEND]), "and differ"),
    "merged by the million": ("a.xlsx", sheets(NUMBERS, merge="A10:Z9000"), "A10:Z9000 are merged"),
    "a zip bomb": ("a.xlsx", zip_bomb, "unpacks to more than"),
    "a damaged workbook": ("a.xlsx", damaged, "not a readable workbook"),
    "an old workbook": ("a.xls", b"x", "an old workbook"),
    "text called .ods": ("a.ods", TEXT, "not a readable workbook"),
    "XML cut off": ("a.ods", ods(FULL + ROW + ">"), "not a readable workbook"),
    "a bomb of entities": ("a.ods", ods(FULL, before=LAUGHS), "declares XML entities"),
    "rows by the milliard": ("a.ods", ods(MANY_ROWS), "20001 rows"),
    "columns by the milliard": ("a.ods", ods(MANY_COLUMNS), "no column 'File"),
}  # fmt: skip


def test_a_table_that_cannot_be_read_is_refused(root: Path) -> None:
    for case, (name, content, words) in REFUSED_FILES.items():
        with pytest.raises(InputError) as caught:
            read(root, name, content)
        told = str(caught.value)
        assert words in told and str(root) in told and "; " in told and "\n" not in told, case


def test_a_note_in_text_does_not_hide_the_table(root: Path) -> None:
    read(root, "a.ods", ods(FULL))
    (root / "CASME2-coding-0.txt").write_text("Please cite the paper, and sign the form.\n")
    assert len(RECORDINGS["casme2"].survey(root).clips) == 3
