"""From a coding file and a tree to clips: what all data sets share that are listed row by row.

A data set is described by a `Source`. What is wrong with one clip leaves that clip out and is
reported with file, row and hint; what is wrong with the root or the coding file is an `InputError`.
"""

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path

from hmrm_lab.datasets.classes import MEGC3
from hmrm_lab.datasets.recordings.clips import Reading, Record
from hmrm_lab.datasets.recordings.coding import (
    TEXTS,
    WORKBOOKS,
    CodingTable,
    Columns,
    Row,
    data_set,
    read_coding,
    simple,
)
from hmrm_lab.datasets.recordings.findings import (
    RECORDINGS,
    Facts,
    Survey,
    bad_input,
    check_root,
    first_error,
    shown,
)
from hmrm_lab.datasets.walking import Tree, check_name, loose
from hmrm_lab.errors import InputError
from hmrm_lab.records import ClipKey

Classes = Mapping[str, int | None]

COLUMNS: Columns = {
    "subject": ("Subject", "sub_ID"),
    "clip": ("Filename", "File name", "Clip", "fold_name"),
    "emotion": ("Estimated Emotion", "Emotion", "label"),
    "onset": ("OnsetFrame", "Onset", "OnsetF"),
    "apex": ("ApexFrame", "Apex", "ApexF"),
    "offset": ("OffsetFrame", "Offset", "OffsetF"),
    "dataset?": ("data", "dataset"),
}


@dataclass(frozen=True, kw_only=True)
class Source(Facts):
    """The formats of a data set that is listed row by row."""

    patterns: Sequence[str]  # names that the coding file may have
    emotions: str  # the words of its table, in lower case, those outside the classes among them
    bases: Sequence[str] = (".",)  # may hold the images; the first that has a clip is taken
    columns: Columns = field(default_factory=lambda: COLUMNS)
    subject: Mapping[str, str] = field(default_factory=dict)  # how its id is made of a number
    path: Callable[[Row, str], tuple[str, ...]] = lambda row, subject: (subject, row["clip"])
    clip: Callable[[Row, str], str] = lambda row, subject: row["clip"]  # its name
    classify: Callable[[str, Classes], int | None] | None = None  # None: outside the classes
    left_out: Mapping[str, str] = field(default_factory=dict)  # by protocol, and why

    @property
    def classes(self) -> Classes:
        """Emotion to label; None for those outside the classes."""
        return {word: MEGC3.label(word, self.name) for word in self.emotions.split()}


def survey(
    source: Source, root: Path, *, coding: str = "", images: str = "", follow_links: bool = False
) -> Survey:
    """Read everything that the coding file lists and the tree holds.

    `coding` and `images` name the coding file and the folder of images below the root, where there
    are several. With `follow_links`, what links lead to is read although it is outside of the root.
    """
    check_root(root, source.title)
    tree = Tree(root, follow_links)
    table = find_coding(tree, source.columns, source.patterns, coding)
    if table is None:
        old = next((path for path in sorted(root.iterdir()) if path.suffix.lower() == ".xls"), None)
        if old:
            raise bad_input(old, "an old workbook", "save it as .xlsx or .csv")
        hint = f"put {source.patterns[0]}*.xlsx there; it comes with the data set"
        raise bad_input(root, f"no coding file of {source.title}", hint)
    reading = Reading(source, tree, table)
    others: Counter[str] = Counter()
    records = _records(source, table, reading, others)
    if not records:
        raise first_error(reading.findings, root, table.path)
    base = _base(tree, source, records, images)
    return reading.survey(base, records, len(table.rows), others)


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


def _base(tree: Tree, source: Source, records: list[Record], named: str) -> Path:
    if named:
        base = tree.inside(tree.root / named)
        check_root(base, f"images of {source.title}")
        return base
    for name in source.bases:
        found = tree.find(tree.root, Path(name).parts)
        if found and any(tree.find(found, record.path[:1]) for record in records):
            return found
    expected = "/".join((source.bases[0], *records[0].path))
    problem = "no folder of images fits the coding file"
    raise bad_input(tree.root, problem, f"expected is {shown(expected)}")


def _records(
    source: Source, table: CodingTable, reading: Reading, others: Counter[str]
) -> list[Record]:
    """The rows of the classes, each clip once, by its name on the official list.

    A subject keeps its first spelling: S01 and s1 are one subject.
    """
    records: list[Record] = []
    seen: dict[ClipKey, int] = {}
    expected = source.expected() or {}
    names = {(key.subject, loose(key.clip)): key for key in expected}
    subjects: dict[str, str] = {}
    for row in of_data_set(table, source.name):
        try:
            label = _label(source, row)
            if label is None:
                others[row["emotion"].lower()] += 1
                continue
            check_name(row["subject"], "the subject")
            check_name(row["clip"], "the name of the clip")
            subject = _subject(source, row["subject"])
            subject = subjects.setdefault(loose(subject), subject)
            key = ClipKey(source.name, subject, source.clip(row, subject))
            marks = row["onset"], row["apex"], row["offset"]
            path = source.path(row, subject)
        except (ValueError, LookupError) as error:
            kind = "label" if isinstance(error, LookupError) else "row"
            problem, hint = (*error.args, "correct this row")[:2]
            reading.note(kind, str(problem), hint, row.number)
            continue
        key = names.get((subject, loose(key.clip)), key)
        reason = source.left_out.get("/".join(key[1:]))
        if key in seen:
            problem = f"{'/'.join(key)} is listed in row {seen[key]} already"
            reading.note("duplicate", problem, "remove one of the two", row.number, key)
        elif reason:
            hint = "nothing to do: the MEGC 2019 list leaves it out"
            reading.note("protocol", reason, hint, row.number, key)
        elif row["emotion"].isdigit() and expected.get(key) != label:
            problem = f"the label {row['emotion']} is not that of the MEGC 2019 list"
            hint = f"name the emotion, or use {MEGC3.numbered}"
            reading.note("label", problem, hint, row.number, key)
        else:
            records.append(Record(key, label, row.number, *marks, path))
        seen.setdefault(key, row.number)
    return records


def _subject(source: Source, text: str) -> str:
    """The subject's id: by the form `sub{:02d}`, sub01 from 1, 01 or sub01."""
    if not source.subject:
        return text
    number = re.fullmatch(source.subject["pattern"], text.lower())
    if number is None:
        example = source.subject["example"]
        raise ValueError(f"the subject '{text}' is not a number such as {example}")
    return source.subject["form"].format(int(number[1]))


def _label(source: Source, row: Row) -> int | None:
    """The label, None for an emotion outside the classes, or `LookupError`."""
    text = row["emotion"].lower()
    if source.official and text.isdigit() and MEGC3.label_of(text) is not None:
        return MEGC3.label_of(text)
    if source.classify:
        return source.classify(text, source.classes)
    if text not in source.classes:
        near = get_close_matches(text, source.classes, n=1, cutoff=0.6)
        hint = f"did you mean '{near[0]}'?" if near else f"known are {', '.join(source.classes)}"
        raise LookupError(f"unknown emotion '{shown(row['emotion'])}'", hint)
    return source.classes[text]
