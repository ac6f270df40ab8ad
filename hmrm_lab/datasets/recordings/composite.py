"""The composite of MEGC 2019 (See et al., 2019): CASME II, SMIC-HS and SAMM by the official list.

```
ROOT/casme2/...   ROOT/smic/...   ROOT/samm/...      each as its own data set has it
```
442 clips of 68 subjects: 250 negative, 109 positive, 83 surprise. A clip that is not on the list is
left out, and one that is on it and not found is reported.
"""

from collections import Counter
from pathlib import Path

from hmrm_lab.datasets.recordings.findings import (
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
from hmrm_lab.records import Clip

FACTS = Facts(
    "composite",
    "the MEGC 2019 composite",
    "the three data sets are asked for one by one",
    "See et al. 2019",
    official=True,
    counts=(250, 109, 83),
)
FOLDERS = {
    "casme2": ("casme2", "CASME2", "CASMEII", "CASME II", "CASME_II"),
    "smic": ("smic", "SMIC", "SMIC-HS", "SMIC_HS"),
    "samm": ("samm", "SAMM"),
}


@recordings(FACTS)
def composite(root: Path, *, follow_links: bool = False) -> Survey:
    """The clips of the official list below `root`, in its order."""
    check_root(root, FACTS.title)
    folders = {name: _folder(root, name) for name in FOLDERS}
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
    return Survey(FACTS.name, root, None, rows, clips, findings, dict(others), row_of)


def _folder(root: Path, name: str) -> Path:
    for spelling in FOLDERS[name]:
        if (root / spelling).is_dir():
            return root / spelling
    hint = f"put {RECORDINGS[name].facts.title} there; the composite needs all three"
    raise bad_input(root, f"no folder '{name}'", hint)
