"""What a data set on disk turned out to be: its clips, and everything found on the way."""

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from hmrm_lab.errors import InputError
from hmrm_lab.records import Clip, ClipKey

KINDS = {
    "row": "rows that cannot be read",
    "label": "unknown labels",
    "duplicate": "clips listed twice",
    "folder": "clips without a folder",
    "outside": "paths that lead out of the root",
    "frames": "frames missing",
    "unreadable": "frames unreadable",
    "sizes": "frames of unequal size",
    "onset_is_apex": "onset = apex",
    "apex_outside": "apex outside onset..offset",
    "apex_missing": "no apex given",
    "offset": "offset wrong",
    "protocol": "left out by the protocol",
    "naming": "names that differ",
}
"""Every kind of finding, in words."""


@dataclass(frozen=True)
class Finding:
    """One thing that is not as it should be, with its place and its mend.

    `left_out` says that it cost a clip; otherwise the clip is there and this is a remark on it.
    """

    kind: str
    problem: str
    mend: str
    where: str
    row: int | None = None
    clip: ClipKey | None = None
    left_out: bool = True

    def error(self) -> InputError:
        """The same as an exception."""
        return InputError(self.problem, mend=self.mend, where=self.where, row=self.row)

    def __str__(self) -> str:
        return str(self.error())


@dataclass(frozen=True)
class Survey:
    """The clips of a data set and the findings, before any image was opened.

    `other_classes` counts rows of emotions that are none of the classes.
    """

    dataset: str
    root: Path
    coding: Path | None
    rows: int
    clips: list[Clip]
    findings: list[Finding]
    other_classes: dict[str, int] = field(default_factory=dict)
    row_of: dict[ClipKey, int | None] = field(default_factory=dict)

    def remark(self, options: Mapping[str, str]) -> str:
        """What `hmrm data check` finds, in one line with counts; empty if there is nothing."""
        kinds = Counter(one.kind for one in self.findings if not one.left_out)
        counts = {
            "no usable apex (it is spotted)": sum(clip.apex is None for clip in self.clips),
            "left out": sum(one.left_out and one.kind != "protocol" for one in self.findings),
            **{words: kinds[kind] for kind, words in KINDS.items() if "apex" not in kind},
        }
        told = ", ".join(f"{what}: {count}" for what, count in counts.items() if count)
        given = {"root": self.root, **options}.items()
        command = " ".join([self.dataset, *(f"--{name} {value}" for name, value in given if value)])
        start = f"{self.dataset}, {len(self.clips)} clips"
        return shown(f"{start}: {told}; see `hmrm data check {command}`") if told else ""


def shown(path: Path | str) -> str:
    """A path as text that can be printed and written, whatever bytes its name holds."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def first_error(findings: Sequence[Finding], root: Path, coding: Path | None) -> InputError:
    """Why there is no clip at all."""
    costly = [finding for finding in findings if finding.left_out]
    if not costly:
        return InputError(
            "no clips of the classes",
            where=shown(coding or root),
            mend="check that the coding file is that of this data set",
        )
    first = costly[0]
    return InputError(
        f"not one usable clip; the first of {len(costly)} problems is: {first.problem}",
        mend=first.mend,
        where=first.where,
        row=first.row,
    )
