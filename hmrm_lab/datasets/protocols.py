"""Official lists of clips and labels."""

import csv
from pathlib import Path

from hmrm_lab.records import ClipKey

_INSTALLED = Path(__file__).parent / "protocols"
_CHECKOUT = Path(__file__).parents[2] / "data" / "protocols"
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
