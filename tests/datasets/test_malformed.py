"""What real disks and spreadsheets do to a data set. Each is said in one sentence, or reported."""

import datetime
import os
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import openpyxl
import pytest
import trees

from hmrm_lab.config import load_config
from hmrm_lab.datasets.audit import audit
from hmrm_lab.datasets.recordings.findings import RECORDINGS
from hmrm_lab.errors import InputError
from hmrm_lab.preparation import load_clips
from hmrm_lab.registry import datasets

FIRST, APEX = "EP02_01f", 48
TABLE = "CASME2-coding-20140508.xlsx"
Harm = Callable[[Path], object]


def table(root: Path) -> Path:
    return root / TABLE


def frame(root: Path, number: int = APEX) -> Path:
    return root / "Cropped" / "sub01" / FIRST / f"reg_img{number}.jpg"


def book(change: Callable[[Any], object]) -> Harm:
    """Change the sheet of the workbook."""

    def harm(root: Path) -> None:
        workbook = openpyxl.load_workbook(table(root))
        change(workbook.active)
        workbook.save(table(root))

    return harm


def cell(field: str, value: object, row: int = 2) -> Harm:
    column = trees.CASME2_HEADER.index(field) + 1
    return book(lambda sheet: setattr(sheet.cell(row, column), "value", value))


def write(content: bytes, number: int = APEX) -> Harm:
    return lambda root: frame(root, number).write_bytes(content)


def keep(path: Callable[[Path], Path], share: float) -> Harm:
    """Cut a file off."""

    def harm(root: Path) -> None:
        content = path(root).read_bytes()
        path(root).write_bytes(content[: int(share * len(content))])

    return harm


def csv(content: bytes) -> Harm:
    """The table as text instead of a workbook."""

    def harm(root: Path) -> None:
        table(root).unlink()
        (root / "CASME2-coding.csv").write_bytes(content)

    return harm


def text_table(*rows: str) -> Harm:
    header = "Subject,Filename,OnsetFrame,ApexFrame,OffsetFrame,Estimated Emotion"
    return csv("\n".join([header, *rows, ""]).encode())


def replace_table(content: bytes) -> Harm:
    return lambda root: table(root).write_bytes(content)


def sheet_xml(change: Callable[[bytes], bytes]) -> Harm:
    """Change the XML of the sheet itself."""

    def harm(root: Path) -> None:
        with zipfile.ZipFile(table(root)) as archive:
            parts = {name: archive.read(name) for name in archive.namelist()}
        parts["xl/worksheets/sheet1.xml"] = change(parts["xl/worksheets/sheet1.xml"])
        with zipfile.ZipFile(table(root), "w") as archive:
            for name, content in parts.items():
                archive.writestr(name, content)

    return harm


def bomb(entity: str) -> Harm:
    return sheet_xml(lambda content: entity.encode() + content.split(b"?>", 1)[-1])


def zip_bomb(root: Path) -> None:
    with zipfile.ZipFile(table(root), "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/media/zeros.xml", b"<a>" + bytes(64 * 2**20))


def damaged_archive(root: Path) -> None:
    """Nonsense in the packed bytes of the sheet."""
    content = bytearray(table(root).read_bytes())
    with zipfile.ZipFile(table(root)) as archive:
        member = archive.getinfo("xl/worksheets/sheet1.xml")
    start = member.header_offset + 30 + len(member.filename)
    content[start : start + 40] = b"\xff" * 40
    table(root).write_bytes(content)


def other_archive(root: Path) -> None:
    with zipfile.ZipFile(table(root), "w") as archive:
        archive.writestr("readme.txt", "no workbook")


def linked_out(path: Callable[[Path], Path]) -> Harm:
    """A link instead of a file or folder, which is outside of the root."""

    def harm(root: Path) -> None:
        elsewhere = root.parent / "elsewhere" / path(root).name
        elsewhere.parent.mkdir()
        path(root).rename(elsewhere)
        path(root).symlink_to(elsewhere)

    return harm


clip_outside, frame_outside = linked_out(lambda root: frame(root).parent), linked_out(frame)
table_outside, images_outside = linked_out(table), linked_out(lambda root: root / "Cropped")


def circle(path: Callable[[Path], Path]) -> Harm:
    """A link to itself."""

    def harm(root: Path) -> None:
        path(root).rename(root / "lost")
        path(root).symlink_to(path(root).name)

    return harm


def strange_name(root: Path) -> None:
    frame(root, 49).rename(frame(root).with_name(os.fsdecode(b"reg_\xff\xe9.jpg")))


def strange_frames(root: Path) -> None:
    """Every frame's name holds bytes that are not UTF-8, and the apex is damaged."""
    for path in list(frame(root).parent.iterdir()):
        path.rename(path.with_name(os.fsdecode(b"\xff") + path.name))
    frame(root).with_name(os.fsdecode(b"\xffreg_img48.jpg")).write_bytes(b"")


def same_number_twice(root: Path) -> None:
    frame(root).with_name("reg_img048.jpg").write_bytes(frame(root).read_bytes())


def png_header(width: int, height: int) -> bytes:
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sII", 13, b"IHDR", width, height) + bytes(99)


def bmp_header(width: int, height: int) -> bytes:
    return b"BM" + struct.pack("<IIIIii", 200, 0, 54, 40, width, height) + bytes(200)


def jpeg_header(width: int, height: int) -> bytes:
    return b"\xff\xd8\xff\xc0" + struct.pack(">HBHHB", 11, 8, height, width, 1) + bytes(9)


ENDLESS = b'</sheetData><mergeCells count="1"><mergeCell ref="K1:XFD1048576"/></mergeCells>'
LAUGHS = '<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "ha"><!ENTITY c "&b;&b;&b;">]>'
EXTERNAL = '<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/hostname">]>'

ERRORS: dict[str, tuple[Harm, str]] = {
    "text called .xlsx": (replace_table(b"Subject,Filename\n1,EP02_01f\n"), "not a readable work"),
    "empty workbook file": (replace_table(b""), "the file is empty"),
    "half a workbook": (keep(table, 0.5), "not a readable workbook"),
    "a damaged workbook": (damaged_archive, "not a readable workbook"),
    "an archive that is no workbook": (other_archive, "not a readable workbook"),
    "XML bomb": (bomb(LAUGHS), "declares XML entities"),
    "XML that reads a file": (bomb(EXTERNAL), "declares XML entities"),
    "zip bomb": (zip_bomb, "unpacks to more than"),
    "no header": (book(lambda sheet: sheet.merge_cells("A1:I1")), "no column 'Filename'"),
    "millions of merged cells": (
        sheet_xml(lambda xml: xml.replace(b"</sheetData>", ENDLESS)),
        "the cells K1:XFD1048576 are merged",
    ),
    "empty csv": (csv(b""), "the file is empty"),
    "csv of blank lines": (csv(b"\n\n\n"), "no header"),
    "csv in UTF-32": (csv("Subject,Filename\n".encode("utf-32")), "not a text file"),
    "csv with zero bytes": (csv(b"Subject\0,Filename\n"), "not a text file"),
    "coding file leads out": (table_outside, "leads out of the root"),
    "old workbook": (lambda root: table(root).rename(root / "CASME2.xls"), "an old workbook"),
    "no coding file": (lambda root: table(root).unlink(), "no coding file of CASME II"),
    "no folder of images": (
        lambda root: (root / "Cropped").rename(root / "Pictures"),
        "expected is Cropped/sub01/EP02_01f",
    ),
    "no row is right": (
        text_table("1,EP02_01f,a,b,c,happiness", "1,X,1,2,3,joy"),
        "row 2: not one usable clip; the first of 2 problems is: the onset is 'a'",
    ),
}


@pytest.mark.parametrize("case", ERRORS)
def test_errors(case: str, tmp_path: Path) -> None:
    harm, words = ERRORS[case]
    root = tree(tmp_path)
    harm(root)
    before = state(tmp_path)
    with pytest.raises(InputError) as caught:
        audit("casme2", root)
    assert words in str(caught.value)
    assert str(root) in str(caught.value), "it names the place"
    assert "; " in str(caught.value), "it names the hint"
    assert "\n" not in str(caught.value)
    assert state(tmp_path) == before


AGAIN = [1, FIRST, None, 46, 48, 50, None, "1", "surprise"]
SKIPS: dict[str, tuple[Harm, str, str]] = {
    "empty subject": (cell("Subject", None), "row", "the subject is empty"),
    "date for a subject": (cell("Subject", datetime.date(2014, 5, 8)), "row", "a date (2014-05-08"),
    "date for a clip": (cell("Filename", datetime.datetime(2014, 5, 8)), "row", "a date (2014"),
    "truth value for a subject": (cell("Subject", True), "row", "a truth value"),
    "date for an apex": (cell("ApexFrame", datetime.date(2014, 5, 8)), "row", "the apex is a date"),
    "empty clip": (cell("Filename", None), "row", "the name of the clip is empty"),
    "a clip of 300 letters": (cell("Filename", "a" * 300), "row", "300 characters long"),
    "merged subjects": (
        book(lambda sheet: sheet.merge_cells("A2:A3")),
        "row",
        "the subject is merged with another cell",
    ),
    "absolute path": (cell("Filename", "/etc/passwd"), "row", "is a path, not a name"),
    "path of a drive": (cell("Filename", "C:\\clips"), "row", "is a path, not a name"),
    "fraction for an apex": (cell("ApexFrame", 48.5), "row", "the apex is '48.5', not a frame"),
    "no emotion": (cell("Estimated Emotion", None), "label", "unknown emotion ''"),
    "one-frame clip": (cell("OffsetFrame", 46), "frames", "only one frame, 46"),
    "missing onset frame": (lambda root: frame(root, 46).unlink(), "frames", "no frame 46 (onset)"),
    "missing folder": (
        lambda root: frame(root).parent.rename(root / "Cropped" / "lost"),
        "folder",
        "no folder sub01/EP02_01f",
    ),
    "folder without images": (
        lambda root: [path.unlink() for path in frame(root).parent.iterdir()],
        "frames",
        "no numbered images",
    ),
    "clip leads out": (clip_outside, "outside", "leads out of the root"),
    "frame leads out": (frame_outside, "outside", "leads out of the root"),
    "zero-byte apex": (write(b""), "unreadable", "an empty file"),
    "text for an apex": (
        write(b"not an image"),
        "unreadable",
        "not a PNG, JPEG, BMP, TIFF, WebP or PPM image",
    ),
    "cut-off apex": (keep(frame, 0.7), "unreadable", "the image is cut off"),
    "cut off in its header": (
        keep(frame, 0.02),
        "unreadable",
        "not a PNG, JPEG, BMP, TIFF, WebP or PPM image",
    ),
    "huge PNG": (write(png_header(100_000, 100_000)), "unreadable", "claims 100000x100000"),
    "huge BMP": (write(bmp_header(90_000, -90_000)), "unreadable", "claims 90000x90000"),
    "huge JPEG": (write(jpeg_header(65_000, 65_000)), "unreadable", "claims 65000x65000"),
    "empty PNG": (write(png_header(0, 5)), "unreadable", "claims 0x5"),
    "PNG without its end": (write(png_header(5, 5)), "unreadable", "the image is cut off"),
    "names that are not UTF-8": (strange_frames, "unreadable", "an empty file"),
    "another size": (
        write(trees.image_bytes(".jpg", size=(20, 12))),
        "sizes",
        "pixels, but the clip has",
    ),
    "a link to itself": (circle(frame), "unreadable", "no such frame"),
    "a folder that links to itself": (
        circle(lambda root: frame(root).parent),
        "folder",
        "no folder sub01/EP02_01f",
    ),
    "listed twice": (
        book(lambda sheet: sheet.append(AGAIN)),
        "duplicate",
        "casme2/sub01/EP02_01f is listed in row 2",
    ),
}
STAY = {"merged subjects", "listed twice"}  # the first of the two is still there


@pytest.mark.parametrize("case", SKIPS)
def test_skips(case: str, tmp_path: Path) -> None:
    harm, kind, words = SKIPS[case]
    root = tree(tmp_path)
    harm(root)
    before = state(tmp_path)
    result = audit("casme2", root)
    finding = next(one for one in result.findings if one.kind == kind)
    assert words in str(finding)
    assert finding.row == {"merged subjects": 3, "listed twice": 5}.get(case, 2)
    assert finding.where.isprintable()
    assert finding.hint
    assert [clip.key.clip for clip in result.clips if clip.key.clip != FIRST] == (
        ["EP19_06f"] if case == "merged subjects" else ["EP19_05f", "EP19_06f"]
    )
    here = any(clip.key.clip == FIRST for clip in result.clips)
    assert here == (case in STAY)
    assert finding.left_out
    assert state(tmp_path) == before


REMARKS: dict[str, tuple[Harm, str, str]] = {
    "apex before onset": (cell("ApexFrame", 40), "apex_outside", "the apex 40 is outside 46..50"),
    "apex after offset": (cell("ApexFrame", 60), "apex_outside", "the apex 60 is outside 46..50"),
    "apex = onset": (cell("ApexFrame", 46), "onset_is_apex", "the same frame, 46"),
    "no apex": (cell("ApexFrame", None), "apex_missing", "no apex is given"),
    "missing apex frame": (lambda root: frame(root).unlink(), "frames", "no frame 48 (apex)"),
    "offset before onset": (cell("OffsetFrame", 40), "offset", "'40' is not after the onset 46"),
    "missing offset frame": (lambda root: frame(root, 50).unlink(), "offset", "no frame 50"),
    "missing frame": (lambda root: frame(root, 47).unlink(), "frames", "1 of 5 frames"),
    "zero-byte frame": (write(b"", 47), "unreadable", "an empty file"),
    "one number twice": (same_number_twice, "naming", "frame 48 is there twice"),
    "a strange name": (strange_name, "naming", r"reg_\xff\xe9.jpg"),
}
WITHOUT_APEX = {
    *("apex before onset", "apex after offset", "apex = onset", "no apex", "missing apex frame"),
}


@pytest.mark.parametrize("case", REMARKS)
def test_remarks(case: str, tmp_path: Path) -> None:
    harm, kind, words = REMARKS[case]
    root = tree(tmp_path)
    harm(root)
    result = audit("casme2", root)
    finding = next(one for one in result.findings if one.kind == kind and words in str(one))
    assert not finding.left_out
    assert finding.row == 2
    assert len(result.clips) == 3
    (clip,) = (clip for clip in result.clips if clip.key.clip == FIRST)
    assert (clip.apex is None) == (case in WITHOUT_APEX)


def test_links_are_followed_on_request(tmp_path: Path) -> None:
    for number, harm in enumerate((clip_outside, frame_outside, table_outside, images_outside)):
        (tmp_path / str(number)).mkdir()
        root = tree(tmp_path / str(number))
        harm(root)
        result = audit("casme2", root, follow_links=True)
        assert (len(result.clips), result.findings) == (3, [])
        config = load_config("smoke", data="casme2", overrides=["data.follow_links=true"])
        assert len(load_clips(config, root) or ()) == 3
    with pytest.raises(InputError, match="leads out of the root"):
        audit("casme2", root, follow_links=True, coding=f"../{TABLE}")
    with pytest.raises(InputError, match="allow it with --follow-links"):
        audit("casme2", root)
    for name in RECORDINGS:
        assert datasets[name].complete({"follow_links": True})["follow_links"]


def test_names_of_two_orders_keep_their_last_number(tmp_path: Path) -> None:
    root = tree(tmp_path)
    for path in list(frame(root).parent.iterdir()):
        number = int(path.stem.removeprefix("reg_img"))
        path.rename(path.with_name(f"{100 - number}_img{number}.jpg"))
    result = audit("casme2", root)
    (finding,) = result.findings
    assert "are counted by the last number of their names" in finding.problem
    assert (len(result.clips), finding.kind, finding.left_out) == (3, "naming", False)
    (clip,) = (clip for clip in result.clips if clip.key.clip == FIRST)
    assert clip.frames.paths[clip.apex or 0].stem == "52_img48"  # type: ignore[attr-defined]


def test_strays_are_no_frames(tmp_path: Path) -> None:
    root = tree(tmp_path)
    for name in ("._reg_img48.jpg", "Thumbs.db", "notes.txt"):
        (frame(root).parent / name).write_bytes(b"stray")
    assert audit("casme2", root).findings == []


def tree(folder: Path) -> Path:
    return trees.write_casme2(folder / "root", trees.casme2_rows()[:3])


def state(folder: Path) -> list[tuple[str, int, int]]:
    """Every path with its size and when it was written."""
    states = ((path, path.lstat()) for path in sorted(folder.rglob("*")))
    return [(str(path), state.st_size, state.st_mtime_ns) for path, state in states]
