"""The recorded data sets by name: what is known of each, and how it is surveyed."""

import csv
import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, wraps
from pathlib import Path

from hmrm_lab.datasets.recordings.findings import Survey, shown
from hmrm_lab.errors import InputError
from hmrm_lab.records import Clip, ClipKey
from hmrm_lab.registry import datasets

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Facts:
    """What is known of a data set before its files are seen.

    Parameters
    ----------
    official
        Whether its clips are on the list of MEGC 2019.
    counts, listed
        Clips per class, and rows of all emotions, that it holds when complete.
    """

    name: str
    title: str
    request: str
    official: bool = False
    counts: tuple[int, ...] | None = None
    listed: int | None = None

    def expected(self) -> dict[ClipKey, int] | None:
        """The clips of the official list, where there is one."""
        if not self.official:
            return None
        return megc2019() if self.name == "composite" else official_clips(self.name)


@dataclass(frozen=True)
class Recording:
    """A registered data set of recordings: its facts, and how it is surveyed."""

    facts: Facts
    survey: Callable[..., Survey]


RECORDINGS: dict[str, Recording] = {}


def recordings(
    facts: Facts, *, source: str
) -> Callable[[Callable[..., Survey]], Callable[..., list[Clip]]]:
    """Decorate a survey: it is registered for `hmrm data check`, and its clips as a data set."""

    def decorate(find: Callable[..., Survey]) -> Callable[..., list[Clip]]:
        @wraps(find)
        def build(root: Path, **options: str) -> list[Clip]:
            found = find(root, **options)
            _say_once(found.remark(options))
            return found.clips

        RECORDINGS[facts.name] = Recording(facts, find)
        datasets.register(facts.name, source=source)(build)
        return build

    return decorate


@cache
def official_clips(dataset: str) -> dict[ClipKey, int]:
    """The clips of one data set on the list of MEGC 2019."""
    return {key: label for key, label in megc2019().items() if key.dataset == dataset}


@cache
def _say_once(remark: str) -> None:
    """Log what there is to say of a data set, however often its clips are asked for."""
    if remark:
        log.warning(remark)


def check_root(root: Path, title: str) -> None:
    if not root.is_dir():
        raise InputError(
            "no such folder", where=shown(root), mend=f"give the folder of {title} with --root"
        )


_INSTALLED = Path(__file__).parent / "protocols"
_CHECKOUT = Path(__file__).parents[3] / "data" / "protocols"
SAMM_DIGITS = 3  # SAMM's own folders are 006; the official list writes 6


def megc2019() -> dict[ClipKey, int]:
    """The MEGC 2019 composite: 442 clips of 68 subjects, 250 negative, 109 positive, 83 surprise.

    Source: the challenge's list of the three-class composite database evaluation. SAMM subjects
    are padded as in SAMM's own folders.
    """
    folder = _CHECKOUT if _CHECKOUT.is_dir() else _INSTALLED
    with (folder / "megc2019.csv").open(newline="", encoding="utf-8") as file:
        return {_key(row): int(row["label"]) for row in csv.DictReader(file)}


def _key(row: dict[str, str]) -> ClipKey:
    subject = row["subject"]
    padded = subject.zfill(SAMM_DIGITS) if row["dataset"] == "samm" else subject
    return ClipKey(row["dataset"], padded, row["clip"])
