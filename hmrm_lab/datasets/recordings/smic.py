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
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from hmrm_lab.datasets.classes import MEGC3, UNITS, ClassScheme
from hmrm_lab.datasets.recordings import findings
from hmrm_lab.datasets.recordings.clips import UNPACK, Reading, Record
from hmrm_lab.datasets.recordings.coding import find_coding, of_data_set, whole
from hmrm_lab.datasets.walking import Tree
from hmrm_lab.records import ClipKey

FACTS = findings.Facts(name="smic", **findings.KNOWN["smic"])
CODES = {"ne": "negative", "po": "positive", "sur": "surprise"}
PATTERNS = ("SMIC-HS-E_annotation", "SMIC-HS", "annotation", "SMIC_apex")
BASES = ("HS", "SMIC_all_cropped/HS", "SMIC_all_raw/HS", "SMIC-HS-E", "HS_long/SMIC-HS-E", ".")
MARKS = ("onset", "apex", "offset")

Intervals = dict[ClipKey, list[Record]]
"""The expressions of each row of the table, by the clip of the first."""
Parts = tuple[str, ...]
"""The parts of a clip folder's path below the folder of images."""


@findings.recordings(FACTS)
def smic(
    root: Path,
    *,
    scheme: ClassScheme = MEGC3,
    coding: str = "",
    images: str = "",
    follow_links: bool = False,
) -> findings.Survey:
    """The clips of SMIC-HS below `root`, without an apex if the table has no column for it."""
    findings.check_root(root, FACTS.title)
    tree = Tree(root, follow_links)
    reading = Reading(FACTS, tree, find_coding(tree, FACTS.columns, PATTERNS, coding), scheme)
    intervals = _read_intervals(reading)
    for name in (images,) if images else BASES:
        base = tree.find(root, Path(name).parts)
        if base and _folders(tree, base, r"s\d+"):
            found = _records(reading, base, intervals)
            records, others = _classified(found, scheme)
            return reading.survey(base, records, len(found), others)
    hint = "expected is HS/s01/micro/positive/s01_po_01"
    raise findings.bad_input(root, "no folder of images of SMIC-HS", hint)


def clip_id(text: str, later: int = 0) -> tuple[ClipKey, int]:
    """The clip s01_ne_02 and its label from s1_ne_2, or a later clip; or `ValueError`."""
    parts = re.fullmatch(r"s0*(\d+)_(ne|po|sur)_0*(\d+)", text.strip().lower())
    if parts is None:
        raise ValueError(f"'{findings.shown(text)}' is not an id like s01_ne_01")
    subject = f"s{int(parts[1]):02d}"
    name = f"{subject}_{parts[2]}_{int(parts[3]) + later:02d}"
    return ClipKey(FACTS.name, subject, name), MEGC3.classes.index(CODES[parts[2]])


def _classified(
    found: Sequence[Record], scheme: ClassScheme
) -> tuple[list[Record], dict[str, list[int]]]:
    """The clips of a scheme, and rows of the others: their ids are in the three classes."""
    records, others = list[Record](), dict[str, list[int]]()
    for record in found:
        assert record.label is not None
        word = MEGC3.classes[record.label]
        label = None if scheme.read == UNITS else FACTS.label(word, scheme)
        if label is None:
            others.setdefault(word, []).append(record.row or 0)
        else:
            records.append(replace(record, label=label, emotion=word))
    return records, others


def _read_intervals(reading: Reading) -> Intervals:
    intervals = Intervals()
    table = reading.table
    for row in of_data_set(table, FACTS.name) if table else ():
        try:
            key, label = clip_id(row["clip"])
            if not row["subject"]:
                raise ValueError("the subject is empty")
            if whole(row["subject"].lower().lstrip("sub")) not in (None, int(key.subject[1:])):
                raise ValueError(f"the subject '{row['subject']}' is not that of {key.clip}")
            marks = [[row[f"{mark}{nth}"] for mark in MARKS] for nth in ("", 2, 3)]
            meant = MEGC3.label_of(row["emotion"])
        except ValueError as error:
            reading.note("row", str(error), "correct this row", row.number)
            continue
        if key in intervals:
            problem, hint = f"{key.clip} is listed twice", "remove one of the rows"
            reading.note("duplicate", problem, hint, row.number, key, left_out=False)
            continue
        if meant is not None and meant != label:
            one, other = MEGC3.classes[meant], MEGC3.classes[label]
            problem = f"{one} in the table, but {key.clip} is {other}"
            hint = "correct this row; the id is taken"
            reading.note("label", problem, hint, row.number, key, left_out=False)
        given = intervals.setdefault(key, [])
        for onset, apex, offset in marks:
            if onset or not given:
                expression, _ = clip_id(row["clip"], later=len(given))
                known = apex if table and "apex" in table.fields else None
                given.append(Record(expression, label, row.number, onset, known, offset))
    return intervals


def _records(reading: Reading, base: Path, intervals: Intervals) -> list[Record]:
    """Every clip of the tree, in order of its id."""
    tree, found = reading.tree, dict[ClipKey, Record]()
    for path in _clip_folders(tree, base):
        folder = "/".join(map(findings.shown, path))
        try:
            key, label = clip_id(path[-1])
        except ValueError as error:
            hint = "name it like s01_ne_01, or remove it"
            reading.note("naming", str(error), hint, where=folder)
            continue
        problem = _misplaced(key, label, path)
        if problem:
            hint = "move the folder to where its name says"
            reading.note("label", problem, hint, clip=key, where=folder)
            continue
        if key in found:
            hint = "remove one of the folders"
            reading.note("duplicate", f"{key.clip} is there twice", hint, clip=key, where=folder)
            continue
        parts = given = intervals.get(key, [])
        if len(path) == 4:
            parts = [_cut(key, label, tree.frames(base.joinpath(*path)).numbers, given)]
        for part in parts:
            found.setdefault(part.key, replace(part, path=path))
            if given and part.row is None:
                first = given[0]
                problem = f"frames '{first.onset}'..'{first.offset}' are not those of {folder}"
                hint = "correct this row; the whole folder is taken, without an apex"
                reading.note("frames", problem, hint, first.row, key, left_out=False)
        if not parts:
            problem = f"{key.clip} is not in the table, and its folder is longer than the clip"
            reading.note("row", problem, "add its row", clip=key)
    for key in sorted(intervals.keys() - found.keys()):
        part = intervals[key][0]
        wanted = {whole(part.onset), whole(part.offset)}
        hosts = (one.path for one in found.values() if one.key.subject == key.subject)
        path = next((p for p in hosts if wanted <= {*tree.frames(base.joinpath(*p)).numbers}), ())
        if path:
            found[key] = replace(part, path=path)
        else:
            reading.note("folder", f"no folder of {key.clip}", UNPACK, part.row, key)
    return [found[key] for key in sorted(found)]


def _misplaced(key: ClipKey, label: int, path: Parts) -> str:
    if len(path) == 4 and path[2].lower() != MEGC3.classes[label]:
        return f"{key.clip} lies among the {path[2]} clips"
    if clip_id(f"{path[0]}_ne_1")[0].subject != key.subject:
        return f"{key.clip} lies in the folder of {path[0]}"
    return ""


def _cut(key: ClipKey, label: int, numbers: Sequence[int], given: list[Record]) -> Record:
    """The expression in the folder of a cut clip: one of the table, or else all its frames."""
    for part in given:
        onset, offset = whole(part.onset), whole(part.offset)
        if onset in numbers and offset in numbers:
            return replace(part, key=key)
        if onset is not None and offset is not None and offset - onset + 1 == len(numbers):
            return replace(part, key=key)  # numbered anew
    first, last = (numbers[0], numbers[-1]) if numbers else (0, 0)
    return Record(key, label, None, str(first), None, str(last))


def _clip_folders(tree: Tree, base: Path) -> list[Parts]:
    """Paths of clip folders below the base, in both layouts."""

    def below(paths: list[Parts], pattern: str) -> list[Parts]:
        names = ((path, _folders(tree, base.joinpath(*path), pattern)) for path in paths)
        return [(*path, name) for path, inside in names for name in inside]

    found: list[Parts] = []
    for subject in below([()], r"s\d+"):
        micro = below([subject], "micro")[:1]
        cut = below(below(micro, "|".join(CODES.values())), ".*")
        found += cut if micro else below([subject], "s.*")
    return found


def _folders(tree: Tree, folder: Path, pattern: str) -> list[str]:
    tree.inside(folder)
    return sorted(
        path.name
        for path in folder.iterdir()
        if path.is_dir() and re.fullmatch(pattern, path.name.lower(), re.DOTALL)
    )
