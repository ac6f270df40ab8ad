"""What a data set on disk turned out to be: its clips, and everything found on the way."""

import csv
import logging
import os
import tomllib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from hmrm_lab.errors import InputError
from hmrm_lab.records import Clip, ClipKey
from hmrm_lab.registry import datasets

if TYPE_CHECKING:
    from hmrm_lab.datasets.classes import ClassScheme


def _read(name: str) -> dict[str, Any]:
    return tomllib.loads(Path(__file__).with_name(name).read_text(encoding="utf-8"))


KINDS: dict[str, str] = _read("kinds.toml")
KNOWN: dict[str, dict[str, Any]] = _read("recordings.toml")
"""The formats of each data set, as `Facts` and `reader.Source` name them."""

INSTALLED = Path(__file__).parent / "protocols"
CHECKOUT = Path(__file__).parents[3] / "data" / "protocols"
OFFICIAL = "megc3"  # the classes of the official list
SAMM_DIGITS = 3  # SAMM's own folders are 006; the official list writes 6

log = logging.getLogger(__name__)
warn_once = cache(log.warning)  # however often the clips of a data set are asked for


@dataclass(frozen=True)
class Finding:
    """One thing that is not as it should be, with its file and its hint."""

    kind: str
    problem: str
    hint: str
    where: str
    row: int | None = None
    clip: ClipKey | None = None
    left_out: bool = True  # it cost a clip; otherwise the clip is there, and this is a remark on it
    label: int | None = None  # of the clip, where it is known

    def __str__(self) -> str:
        return str(InputError(self.problem, hint=self.hint, where=self.where, row=self.row))


@dataclass(frozen=True)
class Survey:
    """The clips of a data set and the findings, before any image was opened."""

    dataset: str
    root: Path
    coding: Path | None
    rows: int
    clips: list[Clip]
    findings: list[Finding]
    other_classes: dict[str, list[int]]  # rows of emotions that are none of the classes
    row_of: dict[ClipKey, int | None]

    def remark(self, options: Mapping[str, Any]) -> str:
        """What `hmrm data check` finds, in one line with counts; empty if there is nothing."""
        kinds = Counter(one.kind for one in self.findings if not one.left_out)
        counts = {
            "no usable apex (it is spotted)": sum(clip.apex is None for clip in self.clips),
            "left out": sum(one.left_out and one.kind != "protocol" for one in self.findings),
            **{words: kinds[kind] for kind, words in KINDS.items() if "apex" not in kind},
        }
        listed = ", ".join(f"{what}: {count}" for what, count in counts.items() if count)
        given = {"root": self.root, **options}
        if "scheme" in given:
            given["classes"] = given.pop("scheme").name
        usual = {"classes": OFFICIAL, "table": "clips.csv"}
        given = {name: value for name, value in given.items() if value != usual.get(name)}
        flags = {f"--{name.replace('_', '-')}": value for name, value in given.items() if value}
        words = [name if value is True else f"{name} {value}" for name, value in flags.items()]
        command = " ".join([self.dataset, *words])
        start = f"{self.dataset}, {len(self.clips)} clips"
        return shown(f"{start}: {listed}; see `hmrm data check {command}`") if listed else ""


def shown(path: Path | str) -> str:
    """A path as text that can be printed and written, whatever bytes its name holds."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def bad_input(path: Path, problem: str, hint: str, row: int | None = None) -> InputError:
    """The error about a file or folder, whatever bytes its name holds."""
    return InputError(problem, hint=hint, where=shown(path), row=row)


class NoClipsError(InputError):
    """A data set has no clips of the classes, and nothing is wrong with it."""


def first_error(findings: Sequence[Finding], root: Path, coding: Path | None) -> InputError:
    """Why there is no clip at all."""
    costly = [finding for finding in findings if finding.left_out]
    if not costly:
        hint = "check that the coding file and the classes are those of this data set"
        return NoClipsError("no clips of the classes", where=shown(coding or root), hint=hint)
    first = costly[0]
    problem = f"not one usable clip; the first of {len(costly)} problems is: {first.problem}"
    return InputError(problem, hint=first.hint, where=first.where, row=first.row)


def check_root(root: Path, title: str) -> None:
    if not root.is_dir():
        raise bad_input(root, "no such folder", f"give the folder of {title} with --root")


@dataclass(frozen=True)
class Facts:
    """What is known of a data set before its files are seen."""

    name: str
    title: str
    request: str  # who is asked for it
    paper: str
    columns: Mapping[str, Sequence[str]] = field(default_factory=dict)  # of its coding file
    fps: float = 0.0
    official: bool = False  # whether its clips are on the list of MEGC 2019
    emotions: str = ""  # the words of its table, in lower case, also those outside the classes
    counts: Mapping[str, int] = field(default_factory=dict)  # published: clips of each emotion
    objective: Sequence[int] = ()  # published: clips of the objective classes I to VII
    counts_from: str = ""  # who has published them
    listed: int | None = None  # rows of all emotions
    trimmed: bool = False  # whether a folder holds a long video, of which a clip is a part

    @property
    def is_own(self) -> bool:
        """Whether a person has listed recordings of their own."""
        return not self.request

    def label(self, word: str, scheme: "ClassScheme") -> int | None:
        """The label of an emotion of this data set; None for one outside the classes."""
        try:
            return scheme.label(word, self.name)
        except LookupError:
            if word.lower() not in self.emotions.split():
                raise
            return None

    def expected(self, classes: str) -> dict[ClipKey, int] | None:
        """The clips of the official list, where there is one for these classes."""
        if not self.official or classes != OFFICIAL:
            return None
        every = _official().items()
        return {key: label for key, label in every if self.name in ("composite", key.dataset)}


class Recording(NamedTuple):
    """A registered data set of recordings: its facts, and how it is surveyed."""

    facts: Facts
    survey: Callable[..., Survey]


class FoundClips(list[Clip]):
    """The clips of a data set of recordings, and what was found beside them."""

    findings: Sequence[Finding] = ()


RECORDINGS: dict[str, Recording] = {}


def recordings(facts: Facts) -> Callable[[Callable[..., Survey]], Callable[..., list[Clip]]]:
    """Register the decorated survey for `hmrm data check`, and its clips as a data set."""

    def decorate(find: Callable[..., Survey]) -> Callable[..., list[Clip]]:
        @wraps(find)
        def build(root: Path, **options: Any) -> list[Clip]:
            found = find(root, **options)
            remark = found.remark(options)
            if remark:
                warn_once(remark)
            clips = FoundClips(found.clips)
            clips.findings = found.findings
            return clips

        RECORDINGS[facts.name] = Recording(facts, find)
        return datasets.register(facts.name, source=facts.paper)(build)

    return decorate


def megc2019() -> dict[ClipKey, int]:
    """The MEGC 2019 composite: 442 clips of 68 subjects, 250 negative, 109 positive, 83 surprise.

    Source: the challenge's list of the three-class composite database evaluation. SAMM subjects
    are padded as in SAMM's own folders.
    """
    folder = CHECKOUT if CHECKOUT.is_dir() else INSTALLED
    clips: dict[ClipKey, int] = {}
    with (folder / "megc2019.csv").open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            digits = SAMM_DIGITS if row["dataset"] == "samm" else 0
            key = ClipKey(row["dataset"], row["subject"].zfill(digits), row["clip"])
            clips[key] = int(row["label"])
    return clips


_official = cache(megc2019)
