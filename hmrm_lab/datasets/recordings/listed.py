"""The recordings whose coding file has a row for each clip, each described by a `Source`."""

import re
from collections import Counter
from functools import partial
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
from hmrm_lab.datasets.recordings.reader import Classes, Source, numbered, survey
from hmrm_lab.records import Clip

CAS = "Institute of Psychology, Chinese Academy of Sciences: http://casme.psych.ac.cn"


def shared_class(text: str, classes: Classes) -> int | None:
    """The class that all emotions of a clip share, or None."""
    parts = [re.sub(r"ly$", "", part) for part in re.split(r"[^a-z]+|\band\b", text) if part]
    unknown = [part for part in parts if part not in classes]
    if unknown or not parts:
        raise LookupError(f"unknown emotion '{text}'", f"known are {', '.join(classes)}")
    found = {classes[part] for part in parts}
    return found.pop() if len(found) == 1 else None


CASME2 = Source(
    "casme2",
    "CASME II",
    CAS,
    "Yan et al. 2014",
    fps=200.0,
    official=True,
    counts=(88, 32, 25),
    listed=255,
    patterns=("CASME2-coding", "CASME2_coding", "CASME2label", "coding", "casme_apex"),
    emotions="happiness surprise disgust repression others other sadness fear",
    bases=("Cropped", "CASME2-RAW", "CASME2_RAW_selected", "CASME2_RAW", "RAW", "."),
    subject=numbered(r"(?:sub)?0*(\d{1,3})", "sub{:02d}", "1 or sub01"),
    left_out={
        ("sub04", "EP12_01f"): "the table gives no apex ('/')",
        ("sub05", "EP09_05f"): "onset and apex are the same frame",
    },
)
"""CASME II (Yan et al., 2014), 145 clips in the three classes; CASME2-RAW has uncropped frames.

    ROOT/CASME2-coding-20140508.xlsx
    ROOT/Cropped/sub01/EP02_01f/reg_img46.jpg ...    or CASME2-RAW/sub01/EP02_01f/img46.jpg ...
"""

SAMM = Source(
    "samm",
    "SAMM",
    "Manchester Metropolitan University (M. H. Yap); a signed release agreement",
    "Davison et al. 2018",
    fps=200.0,
    official=True,
    counts=(92, 26, 15),
    listed=159,
    patterns=("SAMM_Micro_FACS_Codes", "Micro_FACS_Codes", "SAMM"),
    emotions="happiness surprise anger contempt disgust fear sadness other others",
    bases=(".", "SAMM", "SAMM_CROP"),
    subject=numbered(r"(\d{1,3})", "{:03d}", "006"),
)
"""SAMM (Davison et al., 2018), 133 clips in the three classes.

    ROOT/SAMM_Micro_FACS_Codes_v2.xlsx        the header is in row 14, below the terms of use
    ROOT/006/006_1_2/006_05562.jpg ...

Errata: the apex of 028_4_1 and 032_3_1 is outside onset..offset; both are on the official list, and
stay here without an apex.
"""

CASME3 = Source(
    "casme3",
    "CAS(ME)^3",
    CAS,
    "Li et al. 2023",
    fps=30.0,
    counts=(457, 55, 187),
    listed=860,
    trimmed=True,
    patterns=("cas(me)3_part_A_ME", "cas(me)3_part_A", "casme3"),
    emotions="happy happiness surprise disgust fear anger sad sadness others other",
    bases=(".", "part_A", "Part_A", "ME_A", "data/part_A", "part_A/data"),
    subject=numbered(r"(?:spno\.?)?0*(\d{1,4})", "spNO.{}", "spNO.1"),
    path=lambda row, subject: (subject, row["clip"], "color"),
    clip=lambda row, subject: f"{row['clip'].lower()}_{row['onset']}",
)
"""CAS(ME)^3, part A (Li et al., 2023), 699 micro-expressions in the three classes.

    ROOT/cas(me)3_part_A_ME_label_JpgIndex_v2.xlsx
    ROOT/spNO.1/b/color/175.jpg ...

A folder holds a long video with several expressions, so that a clip is named after its onset
(`b_175`). Some frames were dropped by the recorder, and some clips are one frame long.
"""

MMEW = Source(
    "mmew",
    "MMEW",
    "the MMEW team: http://www.dpailab.com/database.html",
    "Ben et al. 2022",
    fps=90.0,
    counts=(109, 36, 89),
    listed=300,
    patterns=("MMEW_Micro_Exp", "MMEW"),
    emotions="happiness surprise anger disgust fear sadness others other",
    bases=("Micro_Expression", ".", "MMEW_Final/Micro_Expression"),
    subject=numbered(r"s?0*(\d{1,3})", "S{:02d}", "S03"),
    path=lambda row, subject: (row["emotion"].lower(), row["clip"]),
)
"""MMEW (Ben et al., 2022), 234 micro-expressions in the three classes.

    ROOT/MMEW_Micro_Exp.xlsx
    ROOT/happiness/S03-01-002/1.jpg ...       or below Micro_Expression/

Errata: some offsets are not after the onset; the last frame of the folder is taken for them.
"""

FOURDME = Source(
    "fourdme",
    "4DME",
    "Center for Machine Vision and Signal Analysis, University of Oulu",
    "Li et al. 2023",
    fps=60.0,
    listed=267,
    patterns=("4DME_Labelling_Micro", "4DME"),
    emotions="positive surprise negative repression others other",
    bases=("gray_micro", ".", "gray_micro_crop"),
    classify=shared_class,
)
"""4DME (Li et al., 2023), micro-expressions; here the grey videos.

    ROOT/4DME_Labelling_Micro_release v1.xlsx
    ROOT/gray_micro/<subject>/<clip>/...

A clip may have two emotions ("negative & repression"): it is taken if both are of one class, and
left out as one outside the three if not.
"""

for source in (CASME2, SAMM, CASME3, MMEW, FOURDME):
    recordings(source)(partial(survey, source))

COMPOSITE = Facts(
    "composite",
    "the MEGC 2019 composite",
    "the three data sets are asked for one by one",
    "See et al. 2019",
    official=True,
    counts=(250, 109, 83),
)
"""The composite of MEGC 2019 (See et al., 2019): 442 clips of 68 subjects by the official list.

    ROOT/casme2/...   ROOT/smic/...   ROOT/samm/...      each as its own data set has it

A clip that is not on the list is left out, and one that is on it and not found is reported.
"""

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
