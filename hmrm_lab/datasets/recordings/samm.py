"""SAMM (Davison et al., 2018): 159 clips at 200 fps, 133 of them in the three classes.

```
ROOT/SAMM_Micro_FACS_Codes_v2.xlsx        the header is in row 14, below the terms of use
ROOT/006/006_1_2/006_05562.jpg ...
```
Classes as in MEGC 2019: Happiness; Surprise; Anger, Contempt, Disgust, Fear and Sadness. Errata:
the apex of 028_4_1 and 032_3_1 is outside onset..offset; both are on the official list, and stay
here without an apex.
"""

import re
from pathlib import Path

from hmrm_lab.datasets.recordings.findings import Facts, Survey, recordings
from hmrm_lab.datasets.recordings.reader import FRAMES, Source, survey

FACTS = Facts(
    "samm",
    "SAMM",
    "Manchester Metropolitan University (M. H. Yap); a signed release agreement",
    official=True,
    counts=(92, 26, 15),
    listed=159,
)


def subject_id(text: str) -> str:
    """006 from 6 or 006."""
    if not re.fullmatch(r"\d{1,3}", text):
        raise ValueError(f"the subject '{text}' is not a number such as 006")
    return text.zfill(3)


SOURCE = Source(
    FACTS,
    patterns=("SAMM_Micro_FACS_Codes", "Micro_FACS_Codes", "SAMM"),
    columns={
        "subject": ("Subject",),
        "clip": ("Filename", "File name"),
        "emotion": ("Estimated Emotion", "Emotion", "label"),
        **FRAMES,
    },
    emotions=(
        *("happiness", "surprise", "anger", "contempt", "disgust", "fear", "sadness"),
        *("other", "others"),
    ),
    fps=200.0,
    bases=(".", "SAMM", "SAMM_CROP"),
    subject=subject_id,
)


@recordings(FACTS, source="Davison et al. 2018")
def samm(root: Path, *, coding: str = "", images: str = "", follow_links: bool = False) -> Survey:
    """The clips of SAMM below `root`."""
    return survey(SOURCE, root, coding=coding, images=images, follow_links=follow_links)
