"""One row of a coding file and one folder of frames: a clip, and remarks on it."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from hmrm_lab.datasets.classes import MEGC3
from hmrm_lab.datasets.images import RecordedFrames
from hmrm_lab.datasets.recordings.coding import whole
from hmrm_lab.datasets.recordings.findings import Finding, shown
from hmrm_lab.datasets.walking import FOLLOW, FrameList, OutsideError, Tree
from hmrm_lab.records import Clip, ClipKey

Remark = Callable[..., Finding]
UNPACK = "unpack the data set again, or remove the row"
SPOT = "spot the apex (`hmrm prepare`), or correct the row"
BLANK = ("", "/", "-", "-1", "?", "nan", "na", "n/a", "#n/a", "<na>", "none", "null")


@dataclass(frozen=True)
class Record:
    """One row in our words. `clip` is the name as the table has it; frames are still text.

    An apex of None means that the data set gives none for any clip.
    """

    key: ClipKey
    clip: str
    label: int
    emotion: str
    row: int | None
    onset: str
    apex: str | None
    offset: str

    def called(self, key: ClipKey) -> "Record":
        return replace(self, key=key)


def make_clip(
    record: Record,
    place: tuple[str, ...],
    tree: Tree,
    base: Path,
    *,
    where: str,
    fps: float,
    trimmed: bool = False,
) -> tuple[Clip | None, list[Finding]]:
    """The clip with its frames numbered, or None, and what there is to say about it.

    Parameters
    ----------
    place
        The parts of the clip's path below `base`.
    trimmed
        Whether the folder holds a long video, of which the clip is onset to offset.
    """
    remark: Remark = partial(Finding, where=where, row=record.row, clip=record.key)
    named = "/".join(map(shown, place))
    try:
        folder = tree.find(base, place)
    except OutsideError as error:
        return None, [remark("outside", f"{named} {error.problem}", error.mend)]
    if folder is None:
        return None, [remark("folder", f"no folder {named} in {shown(base)}", UNPACK)]
    frames = tree.frames(folder)
    remarks = _oddities(frames, folder, remark)
    if any(finding.left_out for finding in remarks):
        return None, remarks
    if not frames.paths:
        return None, [remark("frames", f"no numbered images in {shown(folder)}", UNPACK)]
    return _cut(record, frames, folder, remark, remarks, fps=fps, trimmed=trimmed)


def _cut(
    record: Record,
    frames: FrameList,
    folder: Path,
    remark: Remark,
    remarks: list[Finding],
    *,
    fps: float,
    trimmed: bool,
) -> tuple[Clip | None, list[Finding]]:
    marks = {"onset": record.onset, "apex": record.apex or "", "offset": record.offset}
    onset, apex, offset = (whole(text) for text in marks.values())
    blank = [name for name, text in marks.items() if name != "onset" and text.lower() in BLANK]
    bad = [name for name, text in marks.items() if whole(text) is None and name not in blank]
    if onset is None or bad:
        problem = f"the {bad[0]} is '{marks[bad[0]]}', not a frame number"
        return None, [*remarks, remark("row", problem, "correct this row")]
    numbers = _renumbered(frames, onset, offset)
    if numbers != frames.numbers:
        problem = f"frames {frames.numbers[0]}..{frames.numbers[-1]} stand for {onset}..{offset}"
        mend = "nothing to mend if the files were renumbered"
        remarks.append(remark("naming", problem, mend, left_out=False))
    at = {number: index for index, number in enumerate(numbers)}
    if onset not in at:
        problem = f"no frame {onset} (onset) in {shown(folder)}"
        return None, [*remarks, remark("frames", problem, UNPACK)]
    last = _last(record, numbers, onset, offset, remark, remarks, trimmed=trimmed)
    if last is None:
        return None, remarks
    if last == onset:
        problem = f"only one frame, {onset}, from onset to offset: nothing moves"
        return None, [*remarks, remark("frames", problem, "correct this row, or remove it")]
    inside = [number for number in numbers if onset <= number <= last]
    gap = last - onset + 1 - len(inside)
    if gap:
        problem = f"{gap} of {last - onset + 1} frames from onset to offset are missing"
        remarks.append(remark("frames", problem, UNPACK, left_out=False))
    peak = _peak(record, apex, inside, last, remark, remarks)
    start, stop = (at[onset], at[last] + 1) if trimmed else (0, len(numbers))
    clip = Clip(
        key=record.key,
        label=record.label,
        frames=RecordedFrames(frames.paths[start:stop]),
        onset=at[onset] - start,
        apex=None if peak is None else at[peak] - start,
        offset=at[last] - start,
        fps=fps,
        classes=MEGC3.classes,
    )
    return clip, remarks


def _last(
    record: Record,
    numbers: tuple[int, ...],
    onset: int,
    offset: int | None,
    remark: Remark,
    remarks: list[Finding],
    *,
    trimmed: bool,
) -> int | None:
    """The last frame of the clip: its offset, or what there is of it; None leaves the clip out."""
    if offset is None or offset < onset:
        problem = f"the offset '{record.offset}' is not after the onset {onset}"
        if trimmed:
            remarks.append(remark("offset", problem, "correct this row"))
            return None
        mend = f"correct this row; the last frame, {numbers[-1]}, is taken for it"
        remarks.append(remark("offset", problem, mend, left_out=False))
        return numbers[-1]
    last = max(number for number in numbers if number <= offset)
    if last < offset:
        problem = f"no frame {offset} (offset)"
        mend = f"unpack the data set again; frame {last} is taken for it"
        remarks.append(remark("offset", problem, mend, left_out=False))
    return last


def _peak(
    record: Record,
    apex: int | None,
    inside: list[int],
    last: int,
    remark: Remark,
    remarks: list[Finding],
) -> int | None:
    """The number of the apex frame, or None where the table's is missing or cannot be right."""
    onset = inside[0]
    if apex is None:
        if record.apex is not None:
            problem = f"no apex is given ('{record.apex}')"
            remarks.append(remark("apex_missing", problem, SPOT, left_out=False))
        return None
    if not onset <= apex <= last:
        problem = f"the apex {apex} is outside {onset}..{last}"
        remarks.append(remark("apex_outside", problem, SPOT, left_out=False))
        return None
    if apex == onset:
        problem = f"onset and apex are the same frame, {apex}"
        remarks.append(remark("onset_is_apex", problem, SPOT, left_out=False))
        return None
    if apex not in inside:
        problem = f"no frame {apex} (apex)"
        remarks.append(remark("frames", problem, f"{UNPACK}; or {SPOT}", left_out=False))
        return None
    return apex


def _renumbered(frames: FrameList, onset: int, offset: int | None) -> tuple[int, ...]:
    """The frames' numbers; counted from the onset, if a cut clip was numbered anew."""
    if offset is None or onset in frames.numbers or offset in frames.numbers:
        return frames.numbers
    if len(frames.numbers) != offset - onset + 1:
        return frames.numbers
    return tuple(range(onset, offset + 1))


def _oddities(frames: FrameList, folder: Path, remark: Remark) -> list[Finding]:
    found = []
    if frames.outside:
        problem = f"{frames.outside[0]} leads out of the root"
        mend = f"copy the frames themselves below the root, or {FOLLOW}"
        found.append(remark("outside", problem, mend))
    if frames.twice:
        problem = f"frame {frames.twice[0]} is there twice in {shown(folder)}"
        found.append(remark("naming", problem, "remove one of the two", left_out=False))
    if frames.unnumbered:
        problem = f"'{frames.unnumbered[0]}' in {shown(folder)} has no frame number"
        found.append(remark("naming", problem, "rename or remove it", left_out=False))
    if frames.disputed:
        problem = f"the frames in {shown(folder)} are counted by the last number of their names"
        mend = "nothing to mend, unless the other numbers count as well"
        found.append(remark("naming", problem, mend, left_out=False))
    return found
