"""The recordings that are listed row by row, from a coding file and a tree to clips.

A data set is described by a `Source` in `recordings.toml`, with its layout, paper and errata. What
is wrong with one clip leaves that clip out and is reported with file, row and hint; what is wrong
with the root or the coding file is an `InputError`.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from hmrm_lab.datasets.classes import MEGC3, OBJECTIVE, UNITS, ClassScheme, scheme_names
from hmrm_lab.datasets.recordings.clips import BLANK, Reading, Record, coded_units
from hmrm_lab.datasets.recordings.coding import (
    CodingTable,
    Columns,
    Row,
    data_set,
    find_coding,
    frame_rate,
    of_data_set,
)
from hmrm_lab.datasets.recordings.findings import (
    KNOWN,
    RECORDINGS,
    Facts,
    Finding,
    NoClipsError,
    Survey,
    bad_input,
    check_root,
    first_error,
    recordings,
    shown,
)
from hmrm_lab.datasets.walking import Tree, check_name, loose
from hmrm_lab.records import Clip, ClipKey

Classify = Callable[[str], int | None]  # a word to its label; None for a clip that is left out

COLUMNS: Columns = KNOWN["listed"]["columns"]


@dataclass(frozen=True, kw_only=True)
class Source(Facts):
    """The formats of a data set that is listed row by row."""

    patterns: Sequence[str]  # names that the coding file may have
    bases: Sequence[str] = (".",)  # may hold the images; the first that has a clip is taken
    columns: Columns = field(default_factory=lambda: COLUMNS)
    subject: Mapping[str, str] = field(default_factory=dict)  # how its id is made of a number
    path: Callable[[Row, str], tuple[str, ...]] = lambda row, subject: (subject, row["clip"])
    clip: Callable[[Row, str], str] = lambda row, subject: row["clip"]  # its name
    classify: Callable[[str, Classify], int | None] | None = None  # of a text of several words
    left_out: Mapping[str, str] = field(default_factory=dict)  # by protocol, and why
    unlabelled: bool = False  # whether a clip may have no emotion, as those of a test set


def survey(
    source: Source,
    root: Path,
    *,
    scheme: ClassScheme = MEGC3,
    coding: str = "",
    images: str = "",
    follow_links: bool = False,
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
    return survey_table(source, tree, table, scheme, images)


def survey_table(
    source: Source, tree: Tree, table: CodingTable, scheme: ClassScheme, images: str
) -> Survey:
    """Read the clips that a table lists, and what the tree holds of them."""
    reading = Reading(source, tree, table, scheme)
    others: dict[str, list[int]] = {}
    records = _records(source, table, reading, others)
    if not records:
        raise first_error(reading.findings, tree.root, table.path)
    base = _base(tree, source, records, images)
    return reading.survey(base, records, len(table.rows), others)


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
    source: Source, table: CodingTable, reading: Reading, others: dict[str, list[int]]
) -> list[Record]:
    """The rows of the classes, each clip once, by its name on the official list.

    A subject keeps its first spelling: S01 and s1 are one subject.
    """
    records: list[Record] = []
    seen: dict[tuple[str, ...], int] = {}  # names, and where each recording of one's own begins
    scheme = reading.scheme
    expected = source.expected(scheme.name) or {}
    names = {(key.subject, loose(key.clip)): key for key in expected}
    subjects: dict[str, str] = {}
    every, own = source, source.is_own
    for row in table.rows if own else of_data_set(table, source.name):
        try:
            source = replace(every, name=data_set(row["dataset"]) or every.name) if own else every
            by_units = own and scheme.read == UNITS and row["units"]
            unlabelled = source.unlabelled and row["emotion"].lower() in BLANK and not by_units
            label = None if unlabelled else _label(source, row, scheme)
            if label is None and not unlabelled:
                stated = (row["objective"] or row["units"]) if scheme.read == UNITS else ""
                others.setdefault(stated or row["emotion"].lower(), []).append(row.number)
                continue
            check_name(row["subject"], "the subject")
            check_name(row["clip"], "the name of the clip")
            check_name(source.name, "the data set")
            subject = _subject(source, row["subject"])
            subject = subjects.setdefault(loose(subject), subject)
            key = ClipKey(source.name, subject, source.clip(row, subject))
            marks = row["onset"], row["apex"], row["offset"]
            path = source.path(row, subject)
            fps = frame_rate(row["fps"])
        except (ValueError, LookupError) as error:
            kind = "label" if isinstance(error, LookupError) else "row"
            problem, hint = (*error.args, "correct this row")[:2]
            reading.note(kind, str(problem), hint, row.number)
            continue
        key = names.get((subject, loose(key.clip)), key)
        reason = source.left_out.get("/".join(key[1:])) if scheme is MEGC3 else None
        place = ("", *map(loose, path), row["onset"]) if own else key
        if key in seen or place in seen:
            problem = f"{'/'.join(key)} is listed in row {seen.get(key) or seen[place]} already"
            hint = "remove one of the two" + (", or name both in a column 'clip'" if own else "")
            reading.note("duplicate", problem, hint, row.number, key)
        elif reason:
            hint = "nothing to do: the MEGC 2019 list leaves it out"
            reading.note("protocol", reason, hint, row.number, key)
        elif row["emotion"].isdigit() and expected and expected.get(key) != label:
            problem = f"the label {row['emotion']} is not that of the MEGC 2019 list"
            hint = f"name the emotion, or use {scheme.numbered}"
            reading.note("label", problem, hint, row.number, key, label=expected.get(key))
        else:
            units = _units(reading, row, key)
            known = (*marks, path, row["emotion"], units, fps, row.others)
            records.append(Record(key, label, row.number, *known))
        for name in (key, place):
            seen.setdefault(name, row.number)
    return records


def _units(reading: Reading, row: Row, key: ClipKey) -> tuple[str, ...] | None:
    """The action units of a row, None with a finding where they cannot be read."""
    try:
        return coded_units(row["units"])
    except ValueError as error:
        hint = "write them as in 4+L12+R14B; the clip stays without"
        reading.note("units", str(error), hint, row.number, key, left_out=False)
        return None


def _subject(source: Source, text: str) -> str:
    """The subject's id: by the form `sub{:02d}`, sub01 from 1, 01 or sub01."""
    if not source.subject:
        return text
    number = re.fullmatch(source.subject["pattern"], text.lower())
    if number is None:
        example = source.subject["example"]
        raise ValueError(f"the subject '{text}' is not a number such as {example}")
    return source.subject["form"].format(int(number[1]))


def _label(source: Source, row: Row, scheme: ClassScheme) -> int | None:
    """The label, None for an emotion outside the classes, or `LookupError`."""
    text = row["emotion"].lower()
    if scheme.read == UNITS and not (source.is_own and text in map(str.lower, scheme.classes)):
        return _unit_label(row, scheme)
    if source.official and text.isdigit() and scheme is MEGC3 and scheme.label_of(text) is not None:
        return scheme.label_of(text)
    if source.classify:
        return source.classify(text, partial(source.label, scheme=scheme))
    return source.label(text, scheme)


def _unit_label(row: Row, scheme: ClassScheme) -> int | None:
    """The label by the objective class of the coding file, or else by its action units."""
    stated = row["objective"].upper()
    stated = dict(zip("1234567", OBJECTIVE, strict=True)).get(stated, stated)
    if stated in OBJECTIVE and scheme.name in scheme_names():
        return scheme.classes.index(stated) if stated in scheme.classes else None
    units = coded_units(row["units"])
    if not units:
        raise LookupError("no action units, which these classes are made of", "code them")
    return scheme.label("+".join(units))


def shared_class(text: str, classify: Classify) -> int | None:
    """The class that all emotions of a clip share, or None."""
    parts = [re.sub(r"ly$", "", part) for part in re.split(r"[^a-z]+|\band\b", text) if part]
    found = {classify(part) for part in parts or [text]}
    return found.pop() if len(found) == 1 else None


DFME: dict[str, Any] = {
    "columns": {"emotion?" if one == "emotion" else one: at for one, at in COLUMNS.items()},
    "path": lambda row, subject: (row["clip"],),
}
RULES: dict[str, dict[str, Any]] = {
    "casme3": {
        "path": lambda row, subject: (subject, row["clip"], "color"),
        "clip": lambda row, subject: f"{row['clip'].lower()}_{row['onset']}",
    },
    "mmew": {"path": lambda row, subject: (row["emotion"].lower(), row["clip"])},
    "fourdme": {"classify": shared_class},
    **dict.fromkeys(("dfme", "dfme_test_a", "dfme_test_b"), DFME),
}
"""What is not as `Source` has it."""

for name, entry in KNOWN.items():
    if "patterns" in entry:
        source = Source(name=name, **entry, **RULES.get(name, {}))
        recordings(source)(partial(survey, source))

COMPOSITE = Facts(name="composite", **KNOWN["composite"])
PARTS = KNOWN["parts"]


@recordings(COMPOSITE)
def composite(root: Path, *, scheme: ClassScheme = MEGC3, follow_links: bool = False) -> Survey:
    """The clips of the official list below `root`, in its order.

    By another scheme, all clips of those parts that are there and have some of its classes.
    """
    check_root(root, COMPOSITE.title)
    parts: dict[str, Survey] = {}
    findings: list[Finding] = []
    for name in PARTS:
        try:
            folder = _folder(root, name)
            parts[name] = RECORDINGS[name].survey(folder, scheme=scheme, follow_links=follow_links)
        except NoClipsError as error:
            if scheme is MEGC3:
                raise
            place = str(error.where)
            findings.append(Finding("part", f"{name}: {error.problem}", error.hint, place))
    if not parts:
        raise first_error(findings, root, None)
    where = {name: shown(part.coding or part.root) for name, part in parts.items()}
    found = {clip.key: clip for part in parts.values() for clip in part.clips}
    row_of = {key: row for part in parts.values() for key, row in part.row_of.items()}
    findings += [finding for part in parts.values() for finding in part.findings]
    known = {finding.clip for finding in findings if finding.left_out}
    official = COMPOSITE.expected(scheme.name) or {}
    clips: list[Clip] = []
    for key, label in official.items():
        clip = found.get(key)
        if clip is None and key not in known:
            problem = f"{'/'.join(key)} is on the official list and not here"
            hint = "copy it again from the data set"
            place = where[key.dataset]
            findings.append(Finding("folder", problem, hint, place, clip=key, label=label))
        elif clip is not None and clip.label != label:
            problem = f"{clip.expression}, but {clip.classes[label]} on the official list"
            hint = "take the coding file that came with the data set"
            place, row = where[key.dataset], row_of[key]
            findings.append(Finding("label", problem, hint, place, row, key, label=label))
        elif clip is not None:
            clips.append(clip)
    for key in (key for key in found if official and key not in official):
        problem, hint = f"{'/'.join(key)} is not on the official list", "nothing to do"
        findings.append(Finding("protocol", problem, hint, where[key.dataset], row_of[key], key))
    rows = sum(part.rows for part in parts.values())
    others = {
        f"{name} {word}": numbers
        for name, part in parts.items()
        for word, numbers in part.other_classes.items()
    }
    clips = clips if official else [*found.values()]
    return Survey(COMPOSITE.name, root, None, rows, clips, findings, others, row_of)


def _folder(root: Path, name: str) -> Path:
    for spelling in PARTS[name]:
        if (root / spelling).is_dir():
            return root / spelling
    hint = f"put {RECORDINGS[name].facts.title} there; MEGC 2019 needs all three"
    raise NoClipsError(f"no folder '{name}'", where=shown(root), hint=hint)
