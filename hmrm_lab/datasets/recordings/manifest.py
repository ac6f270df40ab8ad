"""Recordings of one's own, listed in a table, and any recordings written as such a table.

The table lies below the root, `clips.csv` if no other is named, as text or as a workbook. A row is
a clip: a folder of numbered frames or a video below the root, its subject, marks and label. Marks
are the numbers in the names of frames, or frames of a video counted from 0. Blank are an apex to
be spotted, an offset at the last frame, and the label of a clip that is only to be predicted.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Annotated

import cv2
import pandas as pd
from pydantic import Field

from hmrm_lab.datasets.classes import MEGC3, UNITS, ClassScheme
from hmrm_lab.datasets.images import VIDEO_SUFFIXES, RecordedFrames
from hmrm_lab.datasets.recordings import coding
from hmrm_lab.datasets.recordings.findings import (
    KNOWN,
    Survey,
    bad_input,
    check_root,
    recordings,
    shown,
)
from hmrm_lab.datasets.recordings.reader import Source, survey_table
from hmrm_lab.datasets.video import StoredVideo
from hmrm_lab.datasets.walking import NUMBER, Tree
from hmrm_lab.records import Clip
from hmrm_lab.runtime.store import check_target, write_atomic_bytes

TEMPLATE = Path(__file__).with_name("template.csv")
SOURCE = Source(
    name="manifest",
    path=lambda row, subject: own_path(row["path"]).parts,
    patterns=(),
    **KNOWN["manifest"],
)


@recordings(SOURCE)
def manifest(
    root: Path,
    *,
    scheme: ClassScheme = MEGC3,
    table: str = "clips.csv",
    fps: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0,
    follow_links: bool = False,
) -> Survey:
    """The clips of a table below `root`, or at an absolute path; `fps` where nothing else says it.

    Columns that recordings.toml does not name are groups of clips. A label is a word or a class of
    the scheme; for a scheme of action units those of the row decide where it names no class.
    """
    check_root(root, SOURCE.title)
    tree = Tree(root, follow_links)
    listed = own_table(tree, table, SOURCE.columns)
    times = Counter(row.fields["path"] for row in listed.rows)
    rows = tuple(_named(row, several=times[row.fields["path"]] > 1) for row in listed.rows)
    source = replace(SOURCE, fps=fps)
    return survey_table(source, tree, listed._replace(rows=rows), scheme, ".")


def own_table(tree: Tree, name: str, columns: coding.Columns) -> coding.CodingTable:
    """A table below the root, or at an absolute path; an `InputError` if there is none."""
    path = tree.root / name
    if not path.is_file():
        kinds = {*coding.WORKBOOKS, *coding.TEXTS}
        here = sorted(one.name for one in tree.root.iterdir() if one.suffix.lower() in kinds)
        known = f"here are {shown(', '.join(here))}" if here else "`hmrm data template` writes one"
        raise bad_input(path, "no such table", f"name yours as data.table; {known}")
    return coding.read_coding(path if Path(name).is_absolute() else tree.inside(path), columns)


def _named(row: coding.Row, *, several: bool) -> coding.Row:
    """A clip without a name gets that of its recording, and the onset where it has several."""
    path = PurePosixPath(row.fields["path"].replace("\\", "/"))
    name = path.stem if path.suffix.lower() in VIDEO_SUFFIXES else path.name
    name += f"_{row.fields['onset']}" if several else ""
    return replace(row, fields={**row.fields, "clip": row.fields.get("clip") or name or "-"})


def own_path(text: str) -> PurePosixPath:
    """A path below the root; else `ValueError` with problem and hint."""
    path = PurePosixPath(text.replace("\\", "/"))
    if not text:
        raise ValueError("the path is empty", "name a folder or a file")
    if path.is_absolute() or ".." in path.parts or re.match(r"[A-Za-z]:", text):
        problem = f"the path '{text}' leads out of the root"
        raise ValueError(problem, "give it below the root, such as s01/clip01")
    return path


def write_template(path: Path) -> None:
    """Write a table with comments and examples; an `InputError` if there is such a file."""
    check_new(path)
    write_atomic_bytes(path, TEMPLATE.read_bytes())


def write_manifest(
    clips: Sequence[Clip], path: Path, root: Path | None, scheme: ClassScheme = MEGC3
) -> None:
    """List clips in a table, from which `manifest` reads them again by the same scheme.

    Paths are those below `root`, the folder of the data set. Drawn frames, which lie nowhere, are
    written as PNG files, `<subject>/<clip>/<number>.png` beside the table. An `InputError` if
    a file or folder is there already.
    """
    check_new(path)
    rows = []
    for clip in clips:
        marks = {name: getattr(clip, name) for name in ("onset", "apex", "offset")}
        rows.append(
            {"path": _place(clip, path.parent, root), "subject": clip.key.subject}
            | {name: "" if at is None else frame_number(clip, at) for name, at in marks.items()}
            | {"label": _word(clip, scheme), "dataset": clip.key.dataset, "clip": clip.key.clip}
            | {"fps": f"{clip.fps:g}" if clip.fps else ""}
            | {"action_units": "+".join(clip.action_units or ()), **clip.groups}
        )
    text = pd.DataFrame(rows).to_csv(index=False)
    write_atomic_bytes(path, text.encode("utf-8", "surrogateescape"))


def check_new(path: Path) -> None:
    if path.suffix.lower() != ".csv":
        raise bad_input(path, "a manifest is written as .csv", "name a .csv file")
    if path.exists():
        raise bad_input(path, "this file is there already", "name another one")
    check_target(path)


def _word(clip: Clip, scheme: ClassScheme) -> str:
    """The emotion, or the class where the scheme reads another one from that word."""
    try:
        meant = scheme.label(clip.emotion, clip.key.dataset)
    except LookupError:
        meant = None
    return clip.emotion if meant == clip.label and scheme.read != UNITS else clip.expression


def frame_number(clip: Clip, index: int) -> int:
    """The number of a frame as a manifest has it: that of its file, or its place from 0."""
    files = clip.frames.paths if isinstance(clip.frames, RecordedFrames) else ()
    return int(NUMBER.findall(files[index].stem)[0]) if files else index


def _place(clip: Clip, folder: Path, root: Path | None) -> str:
    if isinstance(clip.frames, StoredVideo):
        return clip.frames.path.relative_to(root or "").as_posix()
    if isinstance(clip.frames, RecordedFrames):
        return clip.frames.paths[0].parent.relative_to(root or "").as_posix()
    place = folder / clip.key.subject / clip.key.clip
    if place.exists():
        raise bad_input(place, "this folder is there already", "write to a new folder")
    for number in range(len(clip.frames)):
        image = cv2.cvtColor(clip.frames[number], cv2.COLOR_RGB2BGR)
        write_atomic_bytes(place / f"{number:03d}.png", cv2.imencode(".png", image)[1].tobytes())
    return place.relative_to(folder).as_posix()
