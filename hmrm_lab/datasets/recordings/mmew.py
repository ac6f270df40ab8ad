"""MMEW (Ben et al., 2022): 300 micro-expressions at 90 fps, 234 of them in the three classes.

```
ROOT/MMEW_Micro_Exp.xlsx
ROOT/happiness/S03-01-002/1.jpg ...       or below Micro_Expression/
```
Classes: happiness; surprise; anger, disgust, fear and sadness. The table gives some offsets that
are not after the onset; the last frame of the folder is taken for them, and it is reported.
"""

import re
from pathlib import Path

from hmrm_lab.datasets.clips import Record
from hmrm_lab.datasets.recordings.findings import Facts, Survey, recordings
from hmrm_lab.datasets.recordings.reader import FRAMES, Source, survey

FACTS = Facts(
    "mmew",
    "MMEW",
    "the MMEW team: http://www.dpailab.com/database.html",
    counts=(109, 36, 89),
    listed=300,
)


def subject_id(text: str) -> str:
    """S03 from 3, 03 or S03."""
    number = re.fullmatch(r"s?0*(\d{1,3})", text.lower())
    if number is None:
        raise ValueError(f"the subject '{text}' is not a number such as S03")
    return f"S{int(number[1]):02d}"


def place(record: Record) -> tuple[str, ...]:
    return record.emotion, record.clip


SOURCE = Source(
    FACTS,
    patterns=("MMEW_Micro_Exp", "MMEW"),
    columns={
        "subject": ("Subject",),
        "clip": ("Filename",),
        "emotion": ("Estimated Emotion", "Emotion"),
        **FRAMES,
    },
    emotions=(
        *("happiness", "surprise", "anger", "disgust", "fear", "sadness"),
        *("others", "other"),
    ),
    fps=90.0,
    bases=("Micro_Expression", ".", "MMEW_Final/Micro_Expression"),
    subject=subject_id,
    place=place,
)


@recordings(FACTS, source="Ben et al. 2022")
def mmew(root: Path, *, coding: str = "", images: str = "", follow_links: bool = False) -> Survey:
    """The micro-expressions of MMEW below `root`."""
    return survey(SOURCE, root, coding=coding, images=images, follow_links=follow_links)
