"""CASME II, SAMM, CAS(ME)^3, MMEW and 4DME, and the composite of MEGC 2019.

Layouts, papers and errata are in `recordings.toml`; here is what is particular to a data set.
"""

import re
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

from hmrm_lab.datasets.recordings.findings import (
    KNOWN,
    RECORDINGS,
    Facts,
    Finding,
    Survey,
    bad_input,
    check_root,
    megc2019,
    recordings,
    shown,
)
from hmrm_lab.datasets.recordings.reader import Classes, Source, survey
from hmrm_lab.records import Clip


def shared_class(text: str, classes: Classes) -> int | None:
    """The class that all emotions of a clip share, or None."""
    parts = [re.sub(r"ly$", "", part) for part in re.split(r"[^a-z]+|\band\b", text) if part]
    unknown = [part for part in parts if part not in classes]
    if unknown or not parts:
        raise LookupError(f"unknown emotion '{text}'", f"known are {', '.join(classes)}")
    found = {classes[part] for part in parts}
    return found.pop() if len(found) == 1 else None


RULES: dict[str, dict[str, Any]] = {
    "casme3": {
        "path": lambda row, subject: (subject, row["clip"], "color"),
        "clip": lambda row, subject: f"{row['clip'].lower()}_{row['onset']}",
    },
    "mmew": {"path": lambda row, subject: (row["emotion"].lower(), row["clip"])},
    "fourdme": {"classify": shared_class},
}
"""What is not as `Source` has it."""

for name, entry in KNOWN.items():
    if "patterns" in entry:
        source = Source(name=name, **entry, **RULES.get(name, {}))
        recordings(source)(partial(survey, source))

COMPOSITE = Facts(name="composite", **KNOWN["composite"])
PARTS = {
    "casme2": ("casme2", "CASME2", "CASMEII", "CASME II", "CASME_II"),
    "smic": ("smic", "SMIC", "SMIC-HS", "SMIC_HS"),
    "samm": ("samm", "SAMM"),
}


@recordings(COMPOSITE)
def composite(root: Path, *, follow_links: bool = False) -> Survey:
    """The clips of the official list below `root`, in its order."""
    check_root(root, COMPOSITE.title)
    folders = {name: _folder(root, name) for name in PARTS}
    parts = {
        name: RECORDINGS[name].survey(folder, follow_links=follow_links)
        for name, folder in folders.items()
    }
    where = {name: shown(part.coding or part.root) for name, part in parts.items()}
    found = {clip.key: clip for part in parts.values() for clip in part.clips}
    row_of = {key: row for part in parts.values() for key, row in part.row_of.items()}
    findings = [finding for part in parts.values() for finding in part.findings]
    known = {finding.clip for finding in findings if finding.left_out}
    official = megc2019()
    clips: list[Clip] = []
    for key, label in official.items():
        clip = found.get(key)
        if clip is None and key not in known:
            problem = f"{'/'.join(key)} is on the official list and not here"
            hint = "copy it again from the data set"
            findings.append(Finding("folder", problem, hint, where[key.dataset], clip=key))
        elif clip is not None and clip.label != label:
            problem = f"{clip.expression}, but {clip.classes[label]} on the official list"
            hint = "take the coding file that came with the data set"
            row = row_of[key]
            findings.append(Finding("label", problem, hint, where[key.dataset], row, key))
        elif clip is not None:
            clips.append(clip)
    for key in (key for key in found if key not in official):
        problem, hint = f"{'/'.join(key)} is not on the official list", "nothing to do"
        findings.append(Finding("protocol", problem, hint, where[key.dataset], row_of[key], key))
    rows = sum(part.rows for part in parts.values())
    others = sum((Counter(part.other_classes) for part in parts.values()), Counter[str]())
    return Survey(COMPOSITE.name, root, None, rows, clips, findings, dict(others), row_of)


def _folder(root: Path, name: str) -> Path:
    for spelling in PARTS[name]:
        if (root / spelling).is_dir():
            return root / spelling
    hint = f"put {RECORDINGS[name].facts.title} there; the composite needs all three"
    raise bad_input(root, f"no folder '{name}'", hint)
