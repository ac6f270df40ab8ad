"""Audit of a recorded data set: what is there, what is missing, and what can be used.

Nothing is written. Of a frame only the header and the end of the file are read, unless the audit is
deep: then every frame from onset to offset is decoded.
"""

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from hmrm_lab.datasets.classes import OBJECTIVE, UNITS, ClassScheme, scheme, scheme_names
from hmrm_lab.datasets.images import RecordedFrames, measure_image
from hmrm_lab.datasets.recordings.findings import (
    KINDS,
    OFFICIAL,
    RECORDINGS,
    Facts,
    Finding,
    Survey,
    first_error,
    shown,
)
from hmrm_lab.errors import InputError, check_known
from hmrm_lab.records import Clip, ClipKey
from hmrm_lab.registry import datasets

Counts = tuple[int, ...]
Labels = Mapping[ClipKey, int | None]
Progress = Callable[[int, int], None]


class SubjectCount(NamedTuple):
    dataset: str
    subject: str
    found: Counts
    expected: Counts | None  # where there is an official list


@dataclass(frozen=True)
class Audit:
    facts: Facts
    scheme: ClassScheme
    survey: Survey
    clips: list[Clip]  # the usable ones
    findings: list[Finding]
    frames: int  # how many images were checked
    deep: bool

    @property
    def classes(self) -> tuple[str, ...]:
        return self.scheme.classes

    @property
    def labels(self) -> Labels:
        return {clip.key: clip.label for clip in self.clips}

    @property
    def found(self) -> Counts:
        return self._counts(self.labels)

    @property
    def published(self) -> Counts | None:
        """Clips of each class where none is missing; None if nobody has published them."""
        facts, scheme = self.facts, self.scheme
        counts = Counter[int | None]((facts.expected(scheme.name) or {}).values())
        if not counts and scheme.read == UNITS and scheme.name in scheme_names():
            known = zip(map(scheme.label, OBJECTIVE), facts.objective, strict=False)
            counts = Counter(dict(known))
        elif not counts and scheme.read != UNITS:
            for word, clips in facts.counts.items():
                counts[facts.label(word, scheme)] += clips
        return tuple(counts[label] for label in range(len(self.classes))) if counts else None

    @property
    def differences(self) -> list[str]:
        """Why a class has not the published number of clips, row by row; empty if all have."""
        left = [one for one in self.findings if one.left_out and one.kind != "protocol"]
        lost = {(one.row, one.clip): one for one in left}.values()
        lines = []
        for label, expected in enumerate(self.published or ()):
            found, gone = self.found[label], [f"  {one}" for one in lost if one.label == label]
            more = found + len(gone) - expected
            if found != expected:
                listed = f"; rows {'more' if more > 0 else 'fewer'} than published: {abs(more)}"
                lines += [f"{self.classes[label]}: {found} of {expected}{listed if more else ''}"]
                lines += gone
        unknown = [f"  {one}" for one in lost if one.label is None]
        return [*lines, *(["of no known class:", *unknown] if unknown else [])] if lines else []

    @property
    def units(self) -> dict[int, int]:
        """Clips in which each action unit moves, on whichever side."""
        moved = [
            {int(re.sub(r"\D", "", unit)) for unit in clip.action_units or ()}
            for clip in self.clips
        ]
        return dict(sorted(Counter(unit for units in moved for unit in units).items()))

    @property
    def coded(self) -> int:
        return sum(clip.action_units is not None for clip in self.clips)

    @property
    def subjects(self) -> list[SubjectCount]:
        found, listed = self.labels, self.facts.expected(self.scheme.name)
        rows = []
        for dataset, subject in sorted({key[:2] for key in (*found, *(listed or ()))}):
            expected = None if listed is None else self._counts(listed, (dataset, subject))
            counts = self._counts(found, (dataset, subject))
            rows.append(SubjectCount(dataset, subject, counts, expected))
        return rows

    def _counts(self, labels: Labels, subject: tuple[str, ...] = ()) -> Counts:
        """Clips of each class, of all subjects or of one."""
        counts = Counter(label for key, label in labels.items() if subject in ((), key[:2]))
        return tuple(counts[label] for label in range(len(self.classes)))

    @property
    def without_apex(self) -> int:
        return sum(clip.apex is None for clip in self.clips)

    @property
    def without_label(self) -> int:
        return sum(clip.label is None for clip in self.clips)

    @property
    def complete(self) -> bool:
        """Whether every expected clip is usable."""
        expected = self.facts.expected(self.scheme.name)
        if expected is not None:
            return self.labels == expected
        lost = any(one.left_out and one.kind != "protocol" for one in self.findings)
        return not lost and self.found == (self.published or self.found)

    @property
    def verdict(self) -> str:
        total = f" of {sum(self.published)}" if self.published else ""
        state = "complete" if self.complete else "usable, but not complete"
        spot = f"; {self.without_apex} need an apex (`hmrm prepare`)" if self.without_apex else ""
        one = len({clip.key.subject_key for clip in self.clips}) == 1
        alone = "; one subject only, and leave-one-subject-out needs two" if one else ""
        mute = self.without_label
        open_ = f"; {mute} have no label (`hmrm predict` answers for them)" if mute else ""
        return f"{state}: {len(self.clips)}{total} clips{spot}{open_}{alone}"


def audit(
    name: str,
    root: Path,
    *,
    classes: str = OFFICIAL,
    coding: str = "",
    images: str = "",
    table: str = "",
    follow_links: bool = False,
    deep: bool = False,
    on_progress: Progress | None = None,
) -> Audit:
    """Check everything of a data set that a run would read.

    `classes` names a class scheme or its file. The other options are those of the data set; `deep`
    decodes the frames, which takes minutes, instead of reading their headers. It is an `InputError`
    if there is no such data set or scheme, the root or the coding file is wrong, or no clip is
    usable.
    """
    check_known("recorded data set", name, RECORDINGS)
    given = {"coding": coding, "images": images, "table": table}
    options = {key: value for key, value in given.items() if value}
    for key in options.keys() - datasets[name].options.model_fields.keys():
        raise InputError(f"data set '{name}' takes no --{key}", hint="leave it out")
    facts, find = RECORDINGS[name]
    of_classes = scheme(classes)
    survey = find(root, scheme=of_classes, follow_links=follow_links, **options)
    clips: list[Clip] = []
    findings = list(survey.findings)
    for done, clip in enumerate(survey.clips, start=1):
        remarks = _look(clip, survey, deep=deep)
        findings += remarks
        if not any(remark.left_out for remark in remarks):
            clips.append(clip)
        if on_progress:
            on_progress(done, len(survey.clips))
    if not clips:
        raise first_error(findings, root, survey.coding)
    frames = sum(clip.offset - clip.onset + 1 for clip in survey.clips)
    return Audit(facts, of_classes, survey, clips, findings, frames, deep)


def as_dict(result: Audit) -> dict[str, Any]:
    facts, survey = result.facts, result.survey

    def named(counts: Sequence[int] | None) -> dict[str, int] | None:
        return dict(zip(result.classes, counts, strict=True)) if counts else None

    return {
        "dataset": facts.name,
        "title": facts.title,
        "root": shown(survey.root),
        "coding": shown(survey.coding) if survey.coding else None,
        "verdict": result.verdict,
        "complete": result.complete,
        "usable": len(result.clips),
        "without_apex": result.without_apex,
        "scheme": result.scheme.name,
        "without_label": result.without_label,
        "classes": named(result.found),
        "expected_classes": named(result.published),
        "differences": result.differences,
        "action_units": {
            "clips": result.coded,
            "counts": {f"AU{unit}": clips for unit, clips in result.units.items()},
        },
        "rows": survey.rows,
        "expected_rows": facts.listed,
        "other_emotions": survey.other_classes,
        "subjects": [
            {"dataset": dataset, "subject": shown(subject)}
            | {"classes": named(found), "expected": named(expected)}
            for dataset, subject, found, expected in result.subjects
        ],
        "findings": [
            {**vars(one), "clip": shown("/".join(one.clip)) if one.clip else None}
            for one in result.findings
        ],
        "frames": result.frames,
        "deep": result.deep,
        "request": facts.request,
    }


def by_kind(findings: list[Finding]) -> dict[str, list[Finding]]:
    """The findings in the order of `KINDS`, without the empty kinds."""
    kinds = {kind: [one for one in findings if one.kind == kind] for kind in KINDS}
    return {kind: found for kind, found in kinds.items() if found}


def _look(clip: Clip, survey: Survey, *, deep: bool) -> list[Finding]:
    row = survey.row_of.get(clip.key)
    sizes: dict[int, tuple[int, int]] = {}
    broken: dict[int, InputError] = {}
    needed = {clip.onset} if clip.apex is None else {clip.onset, clip.apex}
    files = clip.frames.paths if isinstance(clip.frames, RecordedFrames) else None
    every = range(clip.onset, clip.offset + 1)
    for index in every if deep or files else sorted({*needed, clip.offset}):
        try:
            measured = None if deep or files is None else measure_image(files[index])
            sizes[index] = measured or clip.frames[index].shape[1::-1]
        except InputError as error:
            broken[index] = error
    remarks = []
    if broken:
        first = broken[min(needed & broken.keys() or broken)]
        more = f" (and {len(broken) - 1} more of this clip)" if len(broken) > 1 else ""
        problem, where = f"{first.problem}{more}", str(first.where)
        lost = bool(needed & broken.keys()) or not sizes
        remarks.append(
            Finding("unreadable", problem, first.hint, where, row, clip.key, lost, clip.label)
        )
    if len(set(sizes.values())) > 1:
        usual = Counter(sizes.values()).most_common(1)[0][0]
        odd = next(index for index, size in sizes.items() if size != usual)
        problem = "{}x{} pixels, but the clip has {}x{}".format(*sizes[odd], *usual)
        where = shown(files[odd] if files else survey.root)
        lost = len({sizes[index] for index in needed if index in sizes}) > 1
        hint = "crop all frames of a clip to one size"
        remarks.append(Finding("sizes", problem, hint, where, row, clip.key, lost, clip.label))
    return remarks
