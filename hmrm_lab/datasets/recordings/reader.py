"""From a coding file and a tree to clips: what CASME II, SAMM, CAS(ME)^3, MMEW and 4DME share.

A data set is described by a `Source`; `survey` reads its table, finds every clip's folder and
numbers its frames. No image is opened. What is wrong with one clip leaves that clip out and is
reported with file, row and mend; what is wrong with the root or the coding file is an `InputError`.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path

from hmrm_lab.datasets.classes import MEGC3
from hmrm_lab.datasets.clips import Record, make_clip
from hmrm_lab.datasets.recordings.coding import (  # fmt: skip
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
    Finding,
    Survey,
    check_root,
    first_error,
    shown,
)
from hmrm_lab.datasets.recordings.sheets import TEXTS, WORKBOOKS
from hmrm_lab.datasets.walking import Tree, check_name, loose
from hmrm_lab.errors import InputError
from hmrm_lab.records import Clip, ClipKey

Classes = Mapping[str, int | None]

FRAMES: Columns = {
    "onset": ("OnsetFrame", "Onset", "OnsetF"),
    "apex": ("ApexFrame", "Apex", "ApexF"),
    "offset": ("OffsetFrame", "Offset", "OffsetF"),
}
DATA_SET: Columns = {"dataset?": ("data", "dataset")}


@dataclass(frozen=True)
class Source:
    """The formats of a data set that is listed row by row.

    Parameters
    ----------
    patterns
        Names that the coding file may have.
    bases
        Folders of the root that may hold the images; the first that has a clip is taken.
    emotions
        The words of its table, in lower case, those outside the classes among them.
    subject, clip, place
        The subject's id from what the table says; the clip's; the path's parts below the base.
    trimmed
        Whether a folder holds a long video, of which a clip is onset to offset.
    left_out
        Clips (subject, clip) that the protocol leaves out, with the reason.
    """

    facts: Facts
    patterns: tuple[str, ...]
    columns: Columns
    emotions: tuple[str, ...]
    fps: float
    bases: tuple[str, ...]
    subject: Callable[[str], str]
    place: Callable[[Record], tuple[str, ...]] = lambda record: (record.key.subject, record.clip)
    clip: Callable[[Record], str] = lambda record: record.clip
    classify: Callable[[str, Classes], int | None] | None = None
    trimmed: bool = False
    left_out: Mapping[tuple[str, str], str] = field(default_factory=dict)

    @property
    def classes(self) -> Classes:
        """Emotion to label; None for those outside the classes."""
        return {word: MEGC3.label(word, self.facts.name) for word in self.emotions}


def survey(
    source: Source,
    root: Path,
    *,
    coding: str = "",
    images: str = "",
    follow_links: bool = False,
) -> Survey:
    """Everything that the coding file lists and the tree holds.

    Parameters
    ----------
    coding, images
        The coding file and the folder of images below the root, where there are several.
    follow_links
        Read what links lead to, although it lies outside of the root.

    Raises
    ------
    InputError
        If the root or the coding file is wrong, or not one clip is usable.
    """
    check_root(root, source.facts.title)
    tree = Tree(root, follow_links)
    columns = {**source.columns, **DATA_SET}
    table = find_coding(tree, columns, source.patterns, coding)
    if table is None:
        raise _no_coding(root, source)
    findings: list[Finding] = []
    others: Counter[str] = Counter()
    records = _records(source, table, findings, others)
    if not records:
        raise first_error(findings, root, table.path)
    base = find_base(tree, source, records, images)
    clips: list[Clip] = []
    rows: dict[ClipKey, int | None] = {}
    for record in records:
        clip, remarks = make_clip(
            record,
            source.place(record),
            tree,
            base,
            where=shown(table.path),
            fps=source.fps,
            trimmed=source.trimmed,
        )
        findings += remarks
        if clip is not None:
            clips.append(clip)
            rows[clip.key] = record.row
    findings.sort(key=lambda one: one.row or 0)
    if not clips:
        raise first_error(findings, root, table.path)
    return Survey(
        source.facts.name, root, table.path, len(table.rows), clips, findings, dict(others), rows
    )


def find_coding(
    tree: Tree, columns: Columns, patterns: tuple[str, ...], named: str = ""
) -> CodingTable | None:
    """The coding file: the one that is named, or the first with such a name, if there is one.

    They are looked for in the root and in its folders. Text called .txt may be no table.
    """
    if named:
        return read_coding(tree.inside(tree.root / named), columns)
    places = [tree.root, *sorted(path for path in tree.root.iterdir() if path.is_dir())]
    files = [
        path
        for suffix in (*WORKBOOKS, *TEXTS)
        for place in places
        for path in sorted(place.iterdir())
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
    """The rows of one data set, where a column tells of some that they are another's."""
    others = RECORDINGS.keys() - {name}
    return [row for row in table.rows if data_set(row.fields.get("dataset", "")) not in others]


def _no_coding(root: Path, source: Source) -> InputError:
    old = next((path for path in sorted(root.iterdir()) if path.suffix.lower() == ".xls"), "")
    if old:
        return InputError("an old workbook", where=shown(old), mend="save it as .xlsx or .csv")
    return InputError(
        f"no coding file of {source.facts.title}",
        where=shown(root),
        mend=f"put {source.patterns[0]}*.xlsx there; it comes with the data set",
    )


def find_base(tree: Tree, source: Source, records: list[Record], named: str = "") -> Path:
    """The folder below which the clips are."""
    if named:
        base = tree.inside(tree.root / named)
        check_root(base, f"images of {source.facts.title}")
        return base
    for name in source.bases:
        place = () if name == "." else tuple(name.split("/"))
        found = tree.find(tree.root, place)
        if found and any(tree.find(found, source.place(record)[:1]) for record in records):
            return found
    expected = "/".join((source.bases[0], *source.place(records[0]))) if records else "..."
    raise InputError(
        "no folder of images fits the coding file",
        where=shown(tree.root),
        mend=f"expected is {shown(expected)}",
    )


def _records(
    source: Source, table: CodingTable, findings: list[Finding], others: Counter[str]
) -> list[Record]:
    """The rows of the classes, each clip once."""
    records: list[Record] = []
    seen: dict[ClipKey, int] = {}
    where = shown(table.path)
    expected = source.facts.expected() or {}
    names = {(key.subject, loose(key.clip)): key for key in expected}
    people: dict[str, str] = {}
    for row in of_data_set(table, source.facts.name):
        try:
            label = _label(source, row)
            if label is None:
                others[row["emotion"].lower()] += 1
                continue
            record = _record(source, row, label, people)
        except (ValueError, LookupError) as error:
            kind = "label" if isinstance(error, LookupError) else "row"
            problem, mend = str(error.args[0]), "correct this row"
            if isinstance(error, LookupError) and len(error.args) > 1:
                mend = error.args[1]
            findings.append(Finding(kind, problem, mend, where, row.number))
            continue
        official = names.get((record.key.subject, loose(record.key.clip)))
        record = record.called(official or record.key)
        if record.key in seen:
            problem = f"{'/'.join(record.key)} is listed in row {seen[record.key]} already"
            mend = "remove one of the two"
            findings.append(Finding("duplicate", problem, mend, where, row.number, record.key))
            continue
        seen[record.key] = row.number
        reason = source.left_out.get((record.key.subject, record.key.clip))
        if reason:
            mend = "nothing to mend: the MEGC 2019 list leaves it out"
            findings.append(Finding("protocol", reason, mend, where, row.number, record.key))
            continue
        if row["emotion"].isdigit() and expected.get(record.key) != label:
            problem = f"the label {row['emotion']} is not that of the MEGC 2019 list"
            mend = f"name the emotion, or use {MEGC3.numbered}"
            findings.append(Finding("label", problem, mend, where, row.number, record.key))
            continue
        records.append(record)
    return records


def _label(source: Source, row: Row) -> int | None:
    """The label, None for an emotion outside the classes, or `LookupError`."""
    text = row["emotion"].lower()
    if source.facts.official and text.isdigit() and MEGC3.label_of(text) is not None:
        return MEGC3.label_of(text)
    if source.classify:
        return source.classify(text, source.classes)
    if text not in source.classes:
        near = get_close_matches(text, source.classes, n=1, cutoff=0.6)
        known = ", ".join(source.classes)
        raise LookupError(
            f"unknown emotion '{shown(row['emotion'])}'",
            f"did you mean '{near[0]}'?" if near else f"known are {known}",
        )
    return source.classes[text]


def _record(source: Source, row: Row, label: int, people: dict[str, str]) -> Record:
    """The row in our words. A subject keeps its first spelling: S01 and s1 are one person."""
    check_name(row["subject"], "the subject")
    check_name(row["clip"], "the name of the clip")
    subject = source.subject(row["subject"])
    subject = people.setdefault(loose(subject), subject)
    key = ClipKey(source.facts.name, subject, row["clip"])
    record = Record(
        key, row["clip"], label, row["emotion"].lower(), row.number,
        row["onset"], row["apex"], row["offset"],
    )  # fmt: skip
    return record.called(ClipKey(source.facts.name, subject, source.clip(record)))
