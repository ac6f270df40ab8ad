"""From rows of a coding file and folders of frames to clips, and remarks on them."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from hmrm_lab.datasets.classes import ClassScheme
from hmrm_lab.datasets.images import RecordedFrames
from hmrm_lab.datasets.recordings.coding import CodingTable, whole
from hmrm_lab.datasets.recordings.findings import Facts, Finding, Survey, first_error, shown
from hmrm_lab.datasets.video import GIVE, open_recording
from hmrm_lab.datasets.walking import FOLLOW, OutsideError, Tree
from hmrm_lab.errors import InputError
from hmrm_lab.records import Clip, ClipKey, Frames

UNPACK = "unpack the data set again, or remove the row"
CORRECT = "correct this row, or copy the files again"
SPOT = "spot the apex (`hmrm prepare`), or correct the row"
UNIT = re.compile(r"(?:AU)?\s*([LR])?\s*(?:AU)?\s*(\d{1,2})\s*([LR])?([A-E])?([LR])?\s*(\(K\))?")
BLANK = ("", "/", "-", "-1", "?", "nan", "na", "n/a", "#n/a", "<na>", "none", "null")


@dataclass(frozen=True)
class Record:
    key: ClipKey
    label: int | None
    row: int | None  # None of a folder without one
    onset: str
    apex: str | None  # None where the data set gives none for any clip
    offset: str
    path: tuple[str, ...] = ()  # the parts of the clip's path below the folder of images
    emotion: str = ""
    units: tuple[str, ...] | None = None  # the action units; None where nobody has coded them
    fps: float | None = None  # None for that of the video or the data set
    groups: Mapping[str, str] = field(default_factory=dict)


class LeftOutError(Exception):
    """A clip cannot be used: the kind, problem and hint of the finding."""


@dataclass
class Reading:
    """A data set while it is read, with the findings so far."""

    facts: Facts
    tree: Tree
    table: CodingTable | None
    scheme: ClassScheme
    findings: list[Finding] = field(default_factory=list)

    @property
    def coding(self) -> Path | None:
        return self.table.path if self.table else None

    @property
    def unpack(self) -> str:
        """The hint where files are missing."""
        return CORRECT if self.facts.is_own else UNPACK

    def note(
        self,
        kind: str,
        problem: str,
        hint: str,
        row: int | None = None,
        clip: ClipKey | None = None,
        *,
        where: str = "",
        left_out: bool = True,
        label: int | None = None,
    ) -> None:
        """Add a finding; `where` is the coding file, or the root, if it is not given."""
        where = where or shown(self.coding or self.tree.root)
        self.findings.append(Finding(kind, problem, hint, where, row, clip, left_out, label))

    def survey(
        self, base: Path, records: Sequence[Record], rows: int, others: Mapping[str, list[int]]
    ) -> Survey:
        """Number the frames of every clip below `base`.

        `rows` are counted; `others` are those of each emotion outside the classes.
        """
        clips: list[Clip] = []
        row_of: dict[ClipKey, int | None] = {}
        for record in records:
            try:
                clips.append(self._clip(base, record))
                row_of[record.key] = record.row
            except LeftOutError as reason:
                self._remark(record, *reason.args, left_out=True)
        self.findings.sort(key=lambda one: one.row or 0)
        root, coding = self.tree.root, self.coding
        if not clips:
            raise first_error(self.findings, root, coding)
        findings = self.findings
        return Survey(self.facts.name, root, coding, rows, clips, findings, dict(others), row_of)

    def _remark(
        self, record: Record, kind: str, problem: str, hint: str, *, left_out: bool = False
    ) -> None:
        row, key, label = record.row, record.key, record.label
        self.note(kind, problem, hint, row, key, left_out=left_out, label=label)

    def _clip(self, base: Path, record: Record) -> Clip:
        named = "/".join(map(shown, record.path))
        try:
            place = self.tree.find(base, record.path)
        except OutsideError as error:
            raise LeftOutError("outside", f"{named} {error.problem}", error.hint) from None
        if place is None or (place.is_file() and not self.facts.is_own):
            what, hint = ("recording", GIVE) if self.facts.is_own else ("folder", UNPACK)
            raise LeftOutError("folder", f"no {what} {named} in {shown(base)}", hint)
        numbers, frames, fps = self._frames(record, place)
        onset, apex, offset = _marks(record)
        cut = range(0) if offset is None else range(onset, offset + 1)
        if len(cut) == len(numbers) and not {onset, offset} & {*numbers}:  # numbered anew
            problem = f"frames {numbers[0]}..{numbers[-1]} stand for {onset}..{offset}"
            self._remark(record, "naming", problem, "nothing to do if the files were renumbered")
            numbers = tuple(cut)
        at = {number: index for index, number in enumerate(numbers)}
        if onset not in at:
            there = f"{shown(place)}, which has {numbers[0]}..{numbers[-1]}"
            raise LeftOutError("frames", f"no frame {onset} (onset) in {there}", self.unpack)
        last = self._last(record, numbers, onset, offset)
        inside = [number for number in numbers if onset <= number <= last]
        gap = last - onset + 1 - len(inside)
        if gap:
            problem = f"{gap} of {last - onset + 1} frames from onset to offset are missing"
            self._remark(record, "frames", problem, self.unpack)
        peak = self._peak(record, apex, inside)
        start = 0
        if self.facts.trimmed:
            assert isinstance(frames, RecordedFrames)
            start, frames = at[onset], RecordedFrames(frames.paths[at[onset] : at[last] + 1])
        return Clip(
            key=record.key,
            label=record.label,
            frames=frames,
            onset=at[onset] - start,
            apex=None if peak is None else at[peak] - start,
            offset=at[last] - start,
            fps=record.fps or fps or self.facts.fps,
            classes=self.scheme.classes,
            emotion=record.emotion,
            action_units=record.units,
            groups=record.groups,
        )

    def _frames(self, record: Record, folder: Path) -> tuple[Sequence[int], Frames, float]:
        """Numbers in the names of frames, or from 0; frames, and their rate or 0."""
        if folder.is_file():
            try:
                film, fps = open_recording(folder)
            except InputError as error:
                problem = f"{shown(folder)}: {error.problem}"
                raise LeftOutError("unreadable", problem, error.hint) from None
            return range(len(film)), film, fps
        frames = self.tree.frames(folder)
        if frames.outside:
            problem = f"{frames.outside[0]} leads out of the root"
            hint = f"copy the frames themselves below the root, or {FOLLOW}"
            raise LeftOutError("outside", problem, hint)
        for hint, problem in frames.oddities.items():
            self._remark(record, "naming", problem, hint)
        if not frames.paths:
            raise LeftOutError("frames", f"no numbered images in {shown(folder)}", self.unpack)
        return frames.numbers, RecordedFrames(frames.paths), 0.0

    def _last(self, record: Record, numbers: Sequence[int], onset: int, offset: int | None) -> int:
        """The last frame of the clip: its offset, or what there is of it."""
        if offset is None and self.facts.is_own:
            last = numbers[-1]
        elif offset is None or offset < onset:
            problem = f"the offset '{record.offset}' is not after the onset {onset}"
            if self.facts.trimmed or self.facts.is_own:
                raise LeftOutError("offset", problem, "correct this row")
            last = numbers[-1]
            hint = f"correct this row; the last frame, {last}, is taken for it"
            self._remark(record, "offset", problem, hint)
        else:
            last = max(number for number in numbers if number <= offset)
            if last < offset:
                hint = f"{self.unpack.partition(', or')[0]}; frame {last} is taken for it"
                self._remark(record, "offset", f"no frame {offset} (offset)", hint)
        if last == onset:
            problem = f"only one frame, {onset}, from onset to offset: nothing moves"
            raise LeftOutError("frames", problem, "correct this row, or remove it")
        return last

    def _peak(self, record: Record, apex: int | None, inside: Sequence[int]) -> int | None:
        """The number of the apex frame, or None where the table's is missing or cannot be right."""
        onset, last = inside[0], inside[-1]
        if apex is None:
            if record.apex is not None and not self.facts.is_own:
                problem = f"no apex is given ('{record.apex}')"
                self._remark(record, "apex_missing", problem, SPOT)
        elif not onset <= apex <= last:
            problem = f"the apex {apex} is outside {onset}..{last}"
            self._remark(record, "apex_outside", problem, SPOT)
        elif apex == onset:
            problem = f"onset and apex are the same frame, {apex}"
            self._remark(record, "onset_is_apex", problem, SPOT)
        elif apex not in inside:
            self._remark(record, "frames", f"no frame {apex} (apex)", f"{self.unpack}; or {SPOT}")
        else:
            return apex
        return None


def coded_units(text: str) -> tuple[str, ...] | None:
    """The action units of a cell as coded: ("4", "L12", "R14B") from AU4+12L+R AU14B.

    Those that are held and do not move, marked (k) in 4DME, are left out. None if there are none; a
    `ValueError` for what cannot be read or leaves open which, such as "12A or 25B" and "4?".
    """
    if text.lower() in (*BLANK, "0"):
        return None
    units = []
    for part in re.split(r"[+,;&\uff0b\uff0c]", text.upper()):
        found = UNIT.fullmatch(part.strip())
        before, number, after, level, last, held = found.groups(default="") if found else [""] * 6
        side = before + after + last
        if len(side) > 1 or not number:
            raise ValueError(f"the action units '{text}' cannot be read")
        if not held:
            units.append(f"{side}{int(number)}{level}")
    return tuple(units)


def _marks(record: Record) -> tuple[int, int | None, int | None]:
    """Onset, apex and offset as numbers; the latter two may be blank."""
    texts = {"onset": record.onset, "apex": record.apex or "", "offset": record.offset}
    for name, text in texts.items():
        blank = name != "onset" and text.lower() in BLANK
        if whole(text) is None and not blank:
            problem = f"the {name} is '{text}', not a frame number"
            raise LeftOutError("row", problem, "correct this row")
    onset, apex, offset = map(whole, texts.values())
    assert onset is not None
    return onset, apex, offset
