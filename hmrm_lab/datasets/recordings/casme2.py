"""CASME II (Yan et al., 2014): 255 clips at 200 fps, 145 of them in the three classes.

```
ROOT/CASME2-coding-20140508.xlsx
ROOT/Cropped/sub01/EP02_01f/reg_img46.jpg ...      or CASME2-RAW/sub01/EP02_01f/img46.jpg ...
```
Classes as in MEGC 2019: happiness; surprise; disgust and repression. Errata: the apex of
sub04/EP12_01f is "/", and that of sub05/EP09_05f is its onset; the official list has neither.
"""

import re
from pathlib import Path

from hmrm_lab.datasets.recordings.findings import Facts, Survey, recordings
from hmrm_lab.datasets.recordings.reader import FRAMES, Source, survey

FACTS = Facts(
    "casme2",
    "CASME II",
    "Institute of Psychology, Chinese Academy of Sciences: http://casme.psych.ac.cn",
    official=True,
    counts=(88, 32, 25),
    listed=255,
)


def subject_id(text: str) -> str:
    """sub01 from 1, 01 or sub01."""
    number = re.fullmatch(r"(?:sub)?0*(\d{1,3})", text.lower())
    if number is None:
        raise ValueError(f"the subject '{text}' is not a number such as 1 or sub01")
    return f"sub{int(number[1]):02d}"


SOURCE = Source(
    FACTS,
    patterns=("CASME2-coding", "CASME2_coding", "CASME2label", "coding", "casme_apex"),
    columns={
        "subject": ("Subject",),
        "clip": ("Filename", "File name", "Clip"),
        "emotion": ("Estimated Emotion", "Emotion", "label"),
        **FRAMES,
    },
    emotions=(
        *("happiness", "surprise", "disgust", "repression"),
        *("others", "other", "sadness", "fear"),
    ),
    fps=200.0,
    bases=("Cropped", "CASME2-RAW", "CASME2_RAW_selected", "CASME2_RAW", "RAW", "."),
    subject=subject_id,
    left_out={
        ("sub04", "EP12_01f"): "the table gives no apex ('/')",
        ("sub05", "EP09_05f"): "onset and apex are the same frame",
    },
)


@recordings(FACTS, source="Yan et al. 2014")
def casme2(root: Path, *, coding: str = "", images: str = "", follow_links: bool = False) -> Survey:
    """The clips of CASME II below `root`; `images=CASME2-RAW` takes the uncropped frames."""
    return survey(SOURCE, root, coding=coding, images=images, follow_links=follow_links)
