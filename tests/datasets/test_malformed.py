"""What real disks and spreadsheets do to a data set. Each is said in one sentence, or reported."""

import datetime
import os
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
Place = Callable[[Path], Path]


def tree(folder: Path) -> Path:
    return trees.write_casme2(folder / "root", trees.casme2_rows()[:3])


def table(root: Path) -> Path:
    return root / TABLE


def frame(root: Path, number: int = APEX) -> Path:
    return root / "Cropped" / "sub01" / FIRST / f"reg_img{number}.jpg"


def clip_folder(root: Path) -> Path:
    return frame(root).parent


def book(change: Callable[[Any], object]) -> Harm:
    """Change the sheet of the workbook."""

    def harm(root: Path) -> None:
        workbook = openpyxl.load_workbook(table(root))
        change(workbook.active)
        workbook.save(table(root))

    return harm


def cell(field: str, value: object) -> Harm:
    column = trees.CASME2_HEADER.index(field) + 1
    return book(lambda sheet: setattr(sheet.cell(2, column), "value", value))


def write(content: bytes, place: Place = frame) -> Harm:
    return lambda root: place(root).write_bytes(content)


def cut(place: Place, share: float) -> Harm:
    return lambda root: place(root).write_bytes(
        (content := place(root).read_bytes())[: int(share * len(content))]
    )


def moved(place: Place, name: str) -> Harm:
    return lambda root: place(root).rename(root / name)


def removed(number: int) -> Harm:
    return lambda root: frame(root, number).unlink()


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


def linked_out(place: Place) -> Harm:
    """A link instead of a file or folder, which is outside of the root."""

    def harm(root: Path) -> None:
        elsewhere = root.parent / "elsewhere" / place(root).name
        elsewhere.parent.mkdir()
        place(root).rename(elsewhere)
        place(root).symlink_to(elsewhere)

    return harm


def circle(place: Place) -> Harm:
    """A link to itself."""

    def harm(root: Path) -> None:
        place(root).rename(root / "lost")
        place(root).symlink_to(place(root).name)

    return harm


def strange_frames(root: Path) -> None:
    """Every frame's name holds bytes that are not UTF-8, and the apex is damaged."""
    for path in list(clip_folder(root).iterdir()):
        path.rename(path.with_name(os.fsdecode(b"\xff") + path.name))
    frame(root).with_name(os.fsdecode(b"\xffreg_img48.jpg")).write_bytes(b"")


ERRORS: dict[str, tuple[Harm, str]] = {
    "half a workbook": (cut(table, 0.5), "not a readable workbook"),
    "a damaged workbook": (damaged_archive, "not a readable workbook"),
    "zip bomb": (zip_bomb, "unpacks to more than"),
    "no header": (book(lambda sheet: sheet.merge_cells("A1:I1")), "no column 'Filename'"),
    "coding file leads out": (linked_out(table), "leads out of the root"),
    "old workbook": (moved(table, "CASME2.xls"), "an old workbook"),
    "no coding file": (moved(table, "x"), "no coding file of CASME II"),
    "no folder of images": (
        moved(lambda root: root / "Cropped", "Pictures"),
        "expected is Cropped/sub01/EP02_01f",
    ),
}
DAY = datetime.date(2014, 5, 8)
MERGED = book(lambda sheet: sheet.merge_cells("A2:A3"))
AGAIN = [1, FIRST, None, 46, 48, 50, None, "1", "surprise"]
SKIPS: dict[str, tuple[Harm, str, str]] = {
    "date for a subject": (cell("Subject", DAY), "row", "a date (2014-05-08"),
    "truth value for a subject": (cell("Subject", True), "row", "a truth value"),
    "date for an apex": (cell("ApexFrame", DAY), "row", "the apex is a date"),
    "a clip of 300 letters": (cell("Filename", "a" * 300), "row", "300 characters long"),
    "merged subjects": (MERGED, "row", "the subject is merged with another cell"),
    "absolute path": (cell("Filename", "/etc/passwd"), "row", "is a path, not a name"),
    "no emotion": (cell("Estimated Emotion", None), "label", "unknown emotion ''"),
    "one-frame clip": (cell("OffsetFrame", 46), "frames", "only one frame, 46"),
    "missing onset frame": (removed(46), "frames", "no frame 46 (onset)"),
    "missing folder": (moved(clip_folder, "lost"), "folder", "no folder sub01/EP02_01f"),
    "folder without images": (
        lambda root: [path.unlink() for path in clip_folder(root).iterdir()],
        "frames",
        "no numbered images",
    ),
    "clip leads out": (linked_out(clip_folder), "outside", "leads out of the root"),
    "frame leads out": (linked_out(frame), "outside", "leads out of the root"),
    "zero-byte apex": (write(b""), "unreadable", "an empty file"),
    "cut-off apex": (cut(frame, 0.7), "unreadable", "the image is cut off"),
    "names that are not UTF-8": (strange_frames, "unreadable", "an empty file"),
    "another size": (
        write(trees.image_bytes(".jpg", size=(20, 12))),
        "sizes",
        "20x12 pixels, but the clip has 32x24",
    ),
    "a link to itself": (circle(frame), "unreadable", "no such frame"),
    "a folder that links to itself": (circle(clip_folder), "folder", "no folder sub01/EP02_01f"),
    "listed twice": (
        book(lambda sheet: sheet.append(AGAIN)),
        "duplicate",
        "casme2/sub01/EP02_01f is listed in row 2",
    ),
}
REMARKS: dict[str, tuple[Harm, str, str]] = {
    "apex before onset": (cell("ApexFrame", 40), "apex_outside", "the apex 40 is outside 46..50"),
    "apex = onset": (cell("ApexFrame", 46), "onset_is_apex", "the same frame, 46"),
    "no apex": (cell("ApexFrame", None), "apex_missing", "no apex is given"),
    "missing apex frame": (removed(48), "frames", "no frame 48 (apex)"),
    "offset before onset": (cell("OffsetFrame", 40), "offset", "'40' is not after the onset 46"),
    "missing offset frame": (removed(50), "offset", "no frame 50"),
    "missing frame": (removed(47), "frames", "1 of 5 frames"),
    "zero-byte frame": (write(b"", lambda root: frame(root, 47)), "unreadable", "an empty file"),
    "another size of a frame": (
        write(trees.image_bytes(".jpg", size=(20, 12)), lambda root: frame(root, 47)),
        "sizes",
        "20x12 pixels, but the clip has 32x24",
    ),
    "one number twice": (
        lambda root: frame(root).with_name("reg_img048.jpg").write_bytes(frame(root).read_bytes()),
        "naming",
        "frame 48 is there twice",
    ),
    "a strange name": (
        lambda root: frame(root, 49).rename(
            frame(root).with_name(os.fsdecode(b"reg_\xff\xe9.jpg"))
        ),
        "naming",
        r"reg_\xff\xe9.jpg",
    ),
}


@pytest.mark.parametrize("case", ERRORS)
def test_errors_name_place_and_hint_in_one_sentence(case: str, tmp_path: Path) -> None:
    harm, words = ERRORS[case]
    root = tree(tmp_path)
    harm(root)
    before = state(tmp_path)
    with pytest.raises(InputError) as caught:
        audit("casme2", root)
    told = str(caught.value)
    assert words in told and str(root) in told and "; " in told and "\n" not in told
    assert state(tmp_path) == before


@pytest.mark.parametrize("case", [*SKIPS, *REMARKS])
def test_what_is_wrong_with_a_clip_is_reported(case: str, tmp_path: Path) -> None:
    harm, kind, words = (SKIPS | REMARKS)[case]
    root = tree(tmp_path)
    harm(root)
    before = state(tmp_path)
    result = audit("casme2", root)
    finding = next(one for one in result.findings if one.kind == kind and words in str(one))
    assert finding.row == {"merged subjects": 3, "listed twice": 5}.get(case, 2)
    assert finding.where.isprintable() and finding.hint
    assert finding.left_out == (case in SKIPS)
    clips = {clip.key.clip: clip for clip in result.clips}
    here = case in REMARKS or case in ("merged subjects", "listed twice")
    others = {"EP19_06f"} if case == "merged subjects" else {"EP19_05f", "EP19_06f"}
    assert clips.keys() == (others | {FIRST} if here else others)
    if case in REMARKS:
        assert (clips[FIRST].apex is None) == ("apex" in case)
    assert state(tmp_path) == before


def test_links_are_followed_on_request(tmp_path: Path) -> None:
    places = (clip_folder, frame, table, lambda root: root / "Cropped")
    for number, place in enumerate(places):
        (tmp_path / str(number)).mkdir()
        root = tree(tmp_path / str(number))
        linked_out(place)(root)
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


def test_names_of_two_orders_keep_their_last_number_and_strays_are_no_frames(
    tmp_path: Path,
) -> None:
    root = tree(tmp_path)
    for path in list(clip_folder(root).iterdir()):
        number = int(path.stem.removeprefix("reg_img"))
        path.rename(path.with_name(f"{100 - number}_img{number}.jpg"))
    for name in ("._reg_img48.jpg", "Thumbs.db", "notes.txt"):
        (clip_folder(root) / name).write_bytes(b"stray")
    result = audit("casme2", root)
    (finding,) = result.findings
    assert "are counted by the last number of their names" in finding.problem
    assert (len(result.clips), finding.kind, finding.left_out) == (3, "naming", False)
    (clip,) = (clip for clip in result.clips if clip.key.clip == FIRST)
    assert clip.frames.paths[clip.apex or 0].stem == "52_img48"  # type: ignore[attr-defined]


def state(folder: Path) -> list[tuple[str, int, int]]:
    """Every path with its size and when it was written."""
    states = ((path, path.lstat()) for path in sorted(folder.rglob("*")))
    return [(str(path), state.st_size, state.st_mtime_ns) for path, state in states]
