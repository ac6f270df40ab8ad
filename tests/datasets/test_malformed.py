"""What real disks and spreadsheets do to a data set. Each is said in one sentence, or reported."""

import datetime
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

import openpyxl
import pytest
import trees

from hmrm_lab.config import load_config
from hmrm_lab.datasets.audit import audit
from hmrm_lab.errors import InputError
from hmrm_lab.preparation import load_clips

FIRST, CLIPS = "EP02_01f", {"EP02_01f", "EP19_05f", "EP19_06f"}
TABLE = "CASME2-coding-20140508.xlsx"
Harm = Callable[[Path], object]
Place = Callable[[Path], Path]


def tree(folder: Path) -> Path:
    return trees.write_casme2(folder / "root", trees.casme2_rows()[:3])


def table(root: Path) -> Path:
    return root / TABLE


def frame(root: Path, number: int = 48) -> Path:
    return root / "Cropped" / "sub01" / FIRST / f"reg_img{number}.jpg"


def clip_folder(root: Path) -> Path:
    return frame(root).parent


def cell(field: str, value: object, merge: str = "") -> Harm:
    def harm(root: Path) -> None:
        workbook = openpyxl.load_workbook(table(root))
        workbook.active.cell(2, trees.HEADERS["casme2"].index(field) + 1).value = value
        if merge:
            workbook.active.merge_cells(merge)
        workbook.save(table(root))

    return harm


def written(content: bytes, number: int = 48) -> Harm:
    return lambda root: frame(root, number).write_bytes(content)


def removed(*numbers: int) -> Harm:
    return lambda root: [frame(root, number).unlink() for number in numbers]


def renamed(number: int, name: bytes) -> Harm:
    return lambda root: frame(root, number).rename(clip_folder(root) / os.fsdecode(name))


def cut_off(root: Path) -> None:
    os.truncate(frame(root), frame(root).stat().st_size * 2 // 3)


def link_out(place: Place, root: Path) -> None:
    """A link to a file or folder outside of the root."""
    elsewhere = root.parent / "elsewhere"
    place(root).rename(elsewhere)
    place(root).symlink_to(elsewhere)


def circle(place: Place, root: Path) -> None:
    """A link to itself."""
    place(root).rename(root / "lost")
    place(root).symlink_to(place(root).name)


DAY = datetime.date(2014, 5, 8)
SMALL = trees.image_bytes(".jpg", size=(20, 12))
SIZES = "20x12 pixels, but the clip has 32x24"
SKIPS: dict[str, tuple[Harm, str, str]] = {
    "truth value for a subject": (cell("Subject", True), "row", "a truth value"),
    "date for an apex": (cell("ApexFrame", DAY), "row", "the apex is a date (2014-05-08"),
    "a clip of 300 letters": (cell("Filename", "a" * 300), "row", "300 characters long"),
    "merged subjects": (cell("Subject", 1, "A2:A3"), "row", "is merged with another cell"),
    "absolute path": (cell("Filename", "/etc/passwd"), "row", "is a path, not a name"),
    "clip leads out": (partial(link_out, clip_folder), "outside", "leads out of the root"),
    "frame leads out": (partial(link_out, frame), "outside", "leads out of the root"),
    "zero-byte apex": (written(b""), "unreadable", "an empty file"),
    "cut-off apex": (cut_off, "unreadable", "the image is cut off"),
    "a link to itself": (partial(circle, frame), "unreadable", "no such frame"),
    "a folder that links to itself": (
        partial(circle, clip_folder),
        "folder",
        "no folder sub01/EP02_01f",
    ),
}
REMARKS: dict[str, tuple[Harm, str, str]] = {
    "missing apex frame": (removed(48), "frames", "no frame 48 (apex)"),
    "offset before onset": (cell("OffsetFrame", 40), "offset", "'40' is not after the onset 46"),
    "missing offset frame": (removed(50), "offset", "no frame 50"),
    "zero-byte frame": (written(b"", 47), "unreadable", "an empty file"),
    "another size of a frame": (written(SMALL, 47), "sizes", SIZES),
    "one number twice": (renamed(49, b"reg_img048.jpg"), "naming", "frame 48 is there twice"),
    "a strange name": (renamed(49, b"reg_\xff\xe9.jpg"), "naming", r"reg_\xff\xe9.jpg"),
}


@pytest.mark.parametrize("case", [*SKIPS, *REMARKS])
def test_what_is_wrong_with_a_clip_is_reported(case: str, tmp_path: Path) -> None:
    harm, kind, words = (SKIPS | REMARKS)[case]
    root = tree(tmp_path)
    harm(root)
    result = audit("casme2", root)
    finding = next(one for one in result.findings if one.kind == kind and words in str(one))
    assert finding.row == (3 if case == "merged subjects" else 2)
    assert finding.where.isprintable() and finding.hint
    assert finding.left_out == (case in SKIPS)
    clips = {clip.key.clip: clip for clip in result.clips}
    lost = {2: FIRST, 3: "EP19_05f"}[finding.row]
    assert clips.keys() == CLIPS - ({lost} if finding.left_out else set())
    if case in REMARKS:
        assert (clips[FIRST].apex is None) == ("apex" in case)


def test_links_are_followed_on_request(tmp_path: Path) -> None:
    places = (clip_folder, frame, lambda root: root / "Cropped", table)
    for number, place in enumerate(places):
        root = tree(tmp_path / str(number))
        link_out(place, root)
        result = audit("casme2", root, follow_links=True)
        assert (len(result.clips), result.findings) == (3, [])
        config = load_config("smoke", data="casme2", overrides=["data.follow_links=true"])
        assert len(load_clips(config, root) or ()) == 3
        if number > 1:
            with pytest.raises(InputError, match=r"leads out .* allow it with --follow-links"):
                audit("casme2", root)
    with pytest.raises(InputError, match="leads out of the root"):
        audit("casme2", root, follow_links=True, coding=f"../{TABLE}")


def test_names_of_two_orders_keep_their_last_number(tmp_path: Path) -> None:
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
