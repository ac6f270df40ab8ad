"""SMIC-HS (Li et al., 2013): 164 clips at 100 fps. Nobody has marked an apex.

```
ROOT/HS/s01/micro/positive/s01_po_01/image000123.bmp ...     (or below SMIC_all_cropped/)
ROOT/SMIC-HS-E/s01/s1_po_01/image000123.bmp ...              the long videos around them
ROOT/SMIC-HS-E_annotation.xlsx                               onset and offset; the latter need it
ROOT/smic_apex.csv                                           the same, and apexes by a program
```
The folders say which clips there are. Ids are written s1_ne_01 or s01_ne_01; here they always have
two digits. A row may hold two or three expressions (Onset2F, Onset3F): in the long videos the later
ones are the clips that follow in number and have no folder of their own. A clip that has a row and
no folder is looked for in the folders of its subject, by its frame numbers.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from hmrm_lab.datasets.classes import MEGC3
from hmrm_lab.datasets.recordings.clips import UNPACK, Reading, Record
from hmrm_lab.datasets.recordings.coding import Row, whole
from hmrm_lab.datasets.recordings.findings import (
    Facts,
    Survey,
    bad_input,
    check_root,
    recordings,
    shown,
)
from hmrm_lab.datasets.recordings.reader import DATA_SET, find_coding, of_data_set
from hmrm_lab.datasets.walking import Tree
from hmrm_lab.records import ClipKey

FACTS = Facts(
    "smic",
    "SMIC-HS",
    "Center for Machine Vision and Signal Analysis, University of Oulu",
    "Li et al. 2013",
    official=True,
    counts=(70, 51, 43),
    listed=164,
)
FPS = 100.0
CODES = {"ne": "negative", "po": "positive", "sur": "surprise"}
PATTERNS = ("SMIC-HS-E_annotation", "SMIC-HS", "annotation", "SMIC_apex")
BASES = ("HS", "SMIC_all_cropped/HS", "SMIC_all_raw/HS", "SMIC-HS-E", "HS_long/SMIC-HS-E", ".")
MARKS = ("onset", "apex", "offset")
COLUMNS = {
    "subject": ("Subject",),
    "clip": ("Filename", "clip"),
    "onset": ("OnsetF", "Onset", "onset_frame"),
    "apex?": ("ApexF", "Apex", "apex_frame"),
    "offset": ("OffsetF", "Offset", "offset_frame"),
    "emotion?": ("Emotion", "label"),
    **DATA_SET,
    **{f"{name}{nth}?": (f"{name.capitalize()}{nth}F",) for nth in (2, 3) for name in MARKS},
}
MEND = "name it like s01_ne_01, or remove it"


@dataclass(frozen=True)
class Interval:
    """The frames of one expression, as the table has them; an apex of None if it has none."""

    row: int
    onset: str
    apex: str | None
    offset: str


Intervals = dict[str, list[Interval]]
Parts = tuple[str, ...]
"""The parts of a clip folder's path below the folder of images."""


@recordings(FACTS)
def smic(root: Path, *, coding: str = "", images: str = "", follow_links: bool = False) -> Survey:
    """The clips of SMIC-HS below `root`, without an apex if the table has no column for it."""
    check_root(root, FACTS.title)
    tree = Tree(root, follow_links)
    reading = Reading(FACTS, tree, find_coding(tree, COLUMNS, PATTERNS, coding))
    intervals = _read_intervals(reading)
    base = _base(tree, images)
    records = _records(reading, base, intervals)
    return reading.survey(base, records, fps=FPS, rows=len(records))


def clip_id(text: str) -> tuple[str, str, str, int]:
    """s01_ne_02 from s1_ne_2: the id, subject, class and number; or `ValueError`."""
    parts = re.fullmatch(r"s0*(\d+)_(ne|po|sur)_0*(\d+)", text.strip().lower())
    if parts is None:
        raise ValueError(f"'{shown(text)}' is not an id like s01_ne_01")
    subject, code, number = f"s{int(parts[1]):02d}", parts[2], int(parts[3])
    return f"{subject}_{code}_{number:02d}", subject, CODES[code], number


def _base(tree: Tree, named: str) -> Path:
    for name in (named,) if named else BASES:
        base = tree.root if name == "." else tree.find(tree.root, tuple(name.split("/")))
        if base and _folders(tree, base, r"s\d+"):
            return base
    hint = "expected is HS/s01/micro/positive/s01_po_01"
    raise bad_input(tree.root, "no folder of images of SMIC-HS", hint)


def _records(reading: Reading, base: Path, intervals: Intervals) -> list[Record]:
    """Every clip of the tree, in order of its id."""
    tree, found = reading.tree, dict[str, Record]()
    for path in _clip_folders(tree, base):
        folder, is_cut = "/".join(map(shown, path)), len(path) == 4
        try:
            name, subject, label, number = clip_id(path[-1])
        except ValueError as error:
            reading.note("naming", str(error), MEND, where=folder)
            continue
        key, given = ClipKey(FACTS.name, subject, name), intervals.get(name, [])
        kind, problem, hint = "label", "", "move the folder to where its name says"
        if is_cut and path[2].lower() != label:
            problem = f"{name} lies among the {path[2]} clips"
        elif clip_id(f"{path[0]}_ne_1")[1] != subject:
            problem = f"{name} lies in the folder of {path[0]}"
        elif name in found:
            kind, hint = "duplicate", "remove one of the folders"
            problem = f"{name} is there twice"
        if problem:
            reading.note(kind, problem, hint, clip=key, where=folder)
            continue
        parts = [_cut(tree, base, path, given)] if is_cut else given
        for nth, part in enumerate(parts):
            later = f"{subject}_{name.split('_')[1]}_{number + nth:02d}"
            found.setdefault(later, _record(later, part, path))
            if given and not part.row:
                first = given[0]
                problem = f"frames '{first.onset}'..'{first.offset}' are not those of {folder}"
                hint = "correct this row; the whole folder is taken, without an apex"
                reading.note("frames", problem, hint, first.row, key, left_out=False)
        if not parts:
            problem = f"{name} is not in the table, and its folder is longer than the clip"
            reading.note("row", problem, "add its row", clip=key)
    for name in sorted(intervals.keys() - found.keys()):
        part, key = intervals[name][0], ClipKey(FACTS.name, clip_id(name)[1], name)
        path = _host(tree, base, key.subject, part, list(found.values()))
        if path:
            found[name] = _record(name, part, path)
        else:
            reading.note("folder", f"no folder of {name}", UNPACK, part.row, key)
    return [found[name] for name in sorted(found)]


def _host(tree: Tree, base: Path, subject: str, part: Interval, known: list[Record]) -> Parts:
    """The folder of another clip of the subject that holds these frames."""
    wanted = {whole(part.onset), whole(part.offset)}
    paths = (record.path for record in known if record.key.subject == subject)
    return next((p for p in paths if wanted <= {*tree.frames(base.joinpath(*p)).numbers}), ())


def _record(name: str, part: Interval, path: Parts) -> Record:
    _, subject, label, _ = clip_id(name)
    key, marks = ClipKey(FACTS.name, subject, name), (part.onset, part.apex, part.offset)
    row = part.row or None
    return Record(key, path[-1], MEGC3.classes.index(label), label, row, *marks, path)


def _cut(tree: Tree, base: Path, path: Parts, intervals: list[Interval]) -> Interval:
    """The expression in the folder of a cut clip: one of the table, or else all its frames."""
    numbers = tree.frames(base.joinpath(*path)).numbers
    for part in intervals:
        onset, offset = whole(part.onset), whole(part.offset)
        if onset in numbers and offset in numbers:
            return part
        if onset is not None and offset is not None and offset - onset + 1 == len(numbers):
            return part  # numbered anew
    first, last = (numbers[0], numbers[-1]) if numbers else (0, 0)
    return Interval(0, str(first), None, str(last))


def _clip_folders(tree: Tree, base: Path) -> list[Parts]:
    """Paths of clip folders below the base, in both layouts."""
    paths: list[Parts] = []
    for subject in _folders(tree, base, r"s\d+"):
        if _folders(tree, base / subject, "micro"):
            micro = _folders(tree, base / subject, "micro")[0]
            for label in _folders(tree, base / subject / micro, "|".join(CODES.values())):
                inside = _folders(tree, base / subject / micro / label, ".*")
                paths += [(subject, micro, label, clip) for clip in inside]
        else:
            paths += [(subject, clip) for clip in _folders(tree, base / subject, "s.*")]
    return paths


def _folders(tree: Tree, folder: Path, pattern: str) -> list[str]:
    tree.inside(folder)
    return sorted(
        path.name
        for path in folder.iterdir()
        if path.is_dir() and re.fullmatch(pattern, path.name.lower(), re.DOTALL)
    )


def _read_intervals(reading: Reading) -> Intervals:
    """The expressions by clip id; none where there is no table."""
    table, intervals = reading.table, Intervals()
    for row in of_data_set(table, FACTS.name) if table else ():
        try:
            name, label = _row_id(row)
            given = [[row[f"{mark}{nth}"] for mark in MARKS] for nth in ("", 2, 3)]
        except ValueError as error:
            reading.note("row", str(error), "correct this row", row.number)
            continue
        key = ClipKey(FACTS.name, clip_id(name)[1], name)
        if name in intervals:
            problem, hint = f"{name} is listed twice", "remove one of the rows"
            reading.note("duplicate", problem, hint, row.number, key, left_out=False)
            continue
        meant = MEGC3.label_of(row["emotion"])
        if meant is not None and MEGC3.classes[meant] != label:
            problem = f"{MEGC3.classes[meant]} in the table, but {name} is {label}"
            hint = "correct this row; the id is taken"
            reading.note("label", problem, hint, row.number, key, left_out=False)
        intervals[name] = [
            Interval(row.number, onset, apex if table and "apex" in table.fields else None, offset)
            for nth, (onset, apex, offset) in enumerate(given)
            if onset or nth == 0
        ]
    return intervals


def _row_id(row: Row) -> tuple[str, str]:
    """The clip's id and the class that it names, or `ValueError`."""
    name, subject, label, _ = clip_id(row["clip"])
    if not row["subject"]:
        raise ValueError("the subject is empty")
    if whole(row["subject"].lower().lstrip("sub")) not in (None, int(subject[1:])):
        raise ValueError(f"the subject '{row['subject']}' is not that of {name}")
    return name, label
