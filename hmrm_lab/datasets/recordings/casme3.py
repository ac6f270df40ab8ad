"""CAS(ME)^3, part A (Li et al., 2023): 860 micro-expressions at 30 fps, 699 in the three classes.

```
ROOT/cas(me)3_part_A_ME_label_JpgIndex_v2.xlsx
ROOT/spNO.1/b/color/175.jpg ...
```
A folder holds a long video with several expressions, so that a clip is named after its onset
(`b_175`) and its frames are those from onset to offset. Classes: happy; surprise; disgust, fear,
anger and sad. Some frames were dropped by the recorder, and some clips are one frame long.
"""

import re
from pathlib import Path

from hmrm_lab.datasets.clips import Record
from hmrm_lab.datasets.recordings.findings import Facts, Survey, recordings
from hmrm_lab.datasets.recordings.reader import FRAMES, Source, survey

FACTS = Facts(
    "casme3",
    "CAS(ME)^3",
    "Institute of Psychology, Chinese Academy of Sciences: http://casme.psych.ac.cn",
    counts=(457, 55, 187),
    listed=860,
)


def subject_id(text: str) -> str:
    """spNO.1 from 1 or spNO.1."""
    number = re.fullmatch(r"(?:spno\.?)?0*(\d{1,4})", text.lower())
    if number is None:
        raise ValueError(f"the subject '{text}' is not a number such as spNO.1")
    return f"spNO.{int(number[1])}"


def clip_id(record: Record) -> str:
    return f"{record.clip.lower()}_{record.onset}"


def place(record: Record) -> tuple[str, ...]:
    return record.key.subject, record.clip, "color"


SOURCE = Source(
    FACTS,
    patterns=("cas(me)3_part_A_ME", "cas(me)3_part_A", "casme3"),
    columns={
        "subject": ("Subject",),
        "clip": ("Filename",),
        "emotion": ("emotion", "Estimated Emotion"),
        **FRAMES,
    },
    emotions=(
        *("happy", "happiness", "surprise", "disgust", "fear", "anger", "sad", "sadness"),
        *("others", "other"),
    ),
    fps=30.0,
    bases=(".", "part_A", "Part_A", "ME_A", "data/part_A", "part_A/data"),
    subject=subject_id,
    place=place,
    clip=clip_id,
    trimmed=True,
)


@recordings(FACTS, source="Li et al. 2023")
def casme3(root: Path, *, coding: str = "", images: str = "", follow_links: bool = False) -> Survey:
    """The micro-expressions of part A of CAS(ME)^3 below `root`."""
    return survey(SOURCE, root, coding=coding, images=images, follow_links=follow_links)
