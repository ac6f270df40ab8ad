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
from hmrm_lab.datasets.clips import UNPACK, Record, make_clip
from hmrm_lab.datasets.recordings.coding import Row, whole
from hmrm_lab.datasets.recordings.findings import (
    Facts,
    Finding,
    Survey,
    check_root,
    first_error,
    recordings,
    shown,
)
from hmrm_lab.datasets.recordings.reader import DATA_SET, find_coding, of_data_set
from hmrm_lab.datasets.walking import Tree
from hmrm_lab.errors import InputError
from hmrm_lab.records import Clip, ClipKey

FACTS = Facts(
    "smic",
    "SMIC-HS",
    "Center for Machine Vision and Signal Analysis, University of Oulu",
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


@recordings(FACTS, source="Li et al. 2013")
def smic(root: Path, *, coding: str = "", images: str = "", follow_links: bool = False) -> Survey:
    """The clips of SMIC-HS below `root`, without an apex if the table has no column for it."""
    check_root(root, FACTS.title)
    tree = Tree(root, follow_links)
    findings: list[Finding] = []
    table, intervals = _read_intervals(tree, coding, findings)
    base = _base(tree, images)
    where = shown(table or root)
    clips: list[Clip] = []
    rows: dict[ClipKey, int | None] = {}
    records = _records(tree, base, intervals, findings, where)
    for record, place in records:
        clip, remarks = make_clip(record, place, tree, base, where=where, fps=FPS)
        findings += remarks
        if clip is not None:
            clips.append(clip)
            rows[clip.key] = record.row
    if not clips:
        raise first_error(findings, root, table)
    return Survey(FACTS.name, root, table, len(records), clips, findings, {}, rows)


def clip_id(text: str) -> tuple[str, str, str, int]:
    """s01_ne_02 from s1_ne_2: the id, subject, class and number; or `ValueError`."""
    parts = re.fullmatch(r"s0*(\d+)_(ne|po|sur)_0*(\d+)", text.strip().lower())
    if parts is None:
        raise ValueError(f"'{shown(text)}' is not an id like s01_ne_01")
    subject, code, number = f"s{int(parts[1]):02d}", parts[2], int(parts[3])
    return f"{subject}_{code}_{number:02d}", subject, CODES[code], number


def _base(tree: Tree, named: str) -> Path:
    names = (named,) if named else BASES
    for name in names:
        base = tree.root if name == "." else tree.find(tree.root, tuple(name.split("/")))
        if base and _folders(tree, base, r"s\d+"):
            return base
    raise InputError(
        "no folder of images of SMIC-HS",
        where=shown(tree.root),
        mend="expected is HS/s01/micro/positive/s01_po_01",
    )


def _records(
    tree: Tree, base: Path, intervals: Intervals, findings: list[Finding], where: str
) -> list[tuple[Record, tuple[str, ...]]]:
    """Every clip of the tree with its place below the base."""
    found: dict[str, tuple[Record, tuple[str, ...]]] = {}
    for place in _places(tree, base):
        try:
            name, subject, label, number = clip_id(place[-1])
        except ValueError as error:
            findings.append(Finding("naming", str(error), MEND, shown("/".join(place))))
            continue
        key, folder = ClipKey(FACTS.name, subject, name), "/".join(map(shown, place))
        problem, mend = "", "move the folder to where its name says"
        if len(place) == 4 and place[2].lower() != label:
            problem = f"{name} lies among the {place[2]} clips"
        elif clip_id(f"{place[0]}_ne_1")[1] != subject:
            problem = f"{name} lies in the folder of {place[0]}"
        elif name in found:
            problem, mend = f"{name} is there twice", "remove one of the folders"
        if problem:
            kind = "duplicate" if "twice" in problem else "label"
            findings.append(Finding(kind, problem, mend, folder, clip=key))
            continue
        whole_folder = len(place) == 4
        for nth, part in enumerate(_parts(tree, base, place, intervals.get(name), whole_folder)):
            later = f"{subject}_{name.split('_')[1]}_{number + nth:02d}"
            found.setdefault(later, (_record(later, part, place), place))
            if name in intervals and not part.row:
                first = intervals[name][0]
                problem = f"frames '{first.onset}'..'{first.offset}' are not those of {folder}"
                mend = "correct this row; the whole folder is taken, without an apex"
                findings.append(
                    Finding("frames", problem, mend, where, first.row, key, left_out=False)
                )
        if not whole_folder and name not in intervals:
            problem = f"{name} is not in the table, and its folder is longer than the clip"
            findings.append(Finding("row", problem, "add its row", where, clip=key))
    for name in sorted(intervals.keys() - found.keys()):
        part, key = intervals[name][0], ClipKey(FACTS.name, clip_id(name)[1], name)
        place = _host(tree, base, key.subject, part, list(found.values()))
        if place:
            found[name] = _record(name, part, place), place
        else:
            findings.append(Finding("folder", f"no folder of {name}", UNPACK, where, part.row, key))
    return [found[name] for name in sorted(found)]


def _host(
    tree: Tree,
    base: Path,
    subject: str,
    part: Interval,
    known: list[tuple[Record, tuple[str, ...]]],
) -> tuple[str, ...]:
    """The folder of another clip of the subject that holds these frames."""
    wanted = {whole(part.onset), whole(part.offset)}
    places = (place for record, place in known if record.key.subject == subject)
    return next((p for p in places if wanted <= {*tree.frames(base.joinpath(*p)).numbers}), ())


def _record(name: str, part: Interval, place: tuple[str, ...]) -> Record:
    _, subject, label, _ = clip_id(name)
    return Record(
        ClipKey(FACTS.name, subject, name), place[-1], MEGC3.classes.index(label), label,
        part.row or None, part.onset, part.apex, part.offset,
    )  # fmt: skip


def _parts(
    tree: Tree,
    base: Path,
    place: tuple[str, ...],
    intervals: list[Interval] | None,
    whole_folder: bool,
) -> list[Interval]:
    """The expressions in a folder: those of the table; of a cut clip, the one that is in it."""
    if not whole_folder:
        return intervals or []
    numbers = tree.frames(base.joinpath(*place)).numbers
    for part in intervals or []:
        onset, offset = whole(part.onset), whole(part.offset)
        if onset in numbers and offset in numbers:
            return [part]
        if onset is not None and offset is not None and offset - onset + 1 == len(numbers):
            return [part]  # numbered anew
    first, last = (numbers[0], numbers[-1]) if numbers else (0, 0)
    return [Interval(0, str(first), None, str(last))]


def _places(tree: Tree, base: Path) -> list[tuple[str, ...]]:
    """Paths of clip folders below the base, in both layouts."""
    places: list[tuple[str, ...]] = []
    for subject in _folders(tree, base, r"s\d+"):
        if _folders(tree, base / subject, "micro"):
            micro = _folders(tree, base / subject, "micro")[0]
            for label in _folders(tree, base / subject / micro, "|".join(CODES.values())):
                inside = _folders(tree, base / subject / micro / label, ".*")
                places += [(subject, micro, label, clip) for clip in inside]
        else:
            places += [(subject, clip) for clip in _folders(tree, base / subject, "s.*")]
    return places


def _folders(tree: Tree, folder: Path, pattern: str) -> list[str]:
    tree.inside(folder)
    return sorted(
        path.name
        for path in folder.iterdir()
        if path.is_dir() and re.fullmatch(pattern, path.name.lower(), re.DOTALL)
    )


def _read_intervals(
    tree: Tree, named: str, findings: list[Finding]
) -> tuple[Path | None, Intervals]:
    """The expressions by clip id; none where there is no table."""
    table = find_coding(tree, COLUMNS, PATTERNS, named)
    if table is None:
        return None, {}
    where = shown(table.path)
    intervals: Intervals = {}
    for row in of_data_set(table, FACTS.name):
        try:
            name, label = _row_id(row)
            given = [[row[f"{mark}{nth}"] for mark in MARKS] for nth in ("", 2, 3)]
        except ValueError as error:
            findings.append(Finding("row", str(error), "correct this row", where, row.number))
            continue
        key = ClipKey(FACTS.name, clip_id(name)[1], name)
        if name in intervals:
            problem, mend = f"{name} is listed twice", "remove one of the rows"
            findings.append(
                Finding("duplicate", problem, mend, where, row.number, key, left_out=False)
            )
            continue
        meant = MEGC3.label_of(row["emotion"])
        if meant is not None and MEGC3.classes[meant] != label:
            problem = f"{MEGC3.classes[meant]} in the table, but {name} is {label}"
            mend = "correct this row; the id is taken"
            findings.append(Finding("label", problem, mend, where, row.number, key, left_out=False))
        intervals[name] = [
            Interval(row.number, onset, apex if "apex" in table.fields else None, offset)
            for nth, (onset, apex, offset) in enumerate(given)
            if onset or nth == 0
        ]
    return table.path, intervals


def _row_id(row: Row) -> tuple[str, str]:
    """The clip's id and the class that it names, or `ValueError`."""
    name, subject, label, _ = clip_id(row["clip"])
    if not row["subject"]:
        raise ValueError("the subject is empty")
    if whole(row["subject"].lower().lstrip("sub")) not in (None, int(subject[1:])):
        raise ValueError(f"the subject '{row['subject']}' is not that of {name}")
    return name, label
