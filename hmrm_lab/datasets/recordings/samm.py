"""SAMM (Davison et al., 2018): 159 clips at 200 fps, 133 of them in the three classes.

```
ROOT/SAMM_Micro_FACS_Codes_v2.xlsx        the header is in row 14, below the terms of use
ROOT/006/006_1_2/006_05562.jpg ...
```
Classes as in MEGC 2019: Happiness; Surprise; Anger, Contempt, Disgust, Fear and Sadness. Errata:
the apex of 028_4_1 and 032_3_1 is outside onset..offset; both are on the official list, and stay
here without an apex.
"""

from hmrm_lab.datasets.recordings.findings import Facts
from hmrm_lab.datasets.recordings.reader import FRAMES, Source, listed, numbered

SOURCE = Source(
    Facts(
        "samm",
        "SAMM",
        "Manchester Metropolitan University (M. H. Yap); a signed release agreement",
        "Davison et al. 2018",
        official=True,
        counts=(92, 26, 15),
        listed=159,
    ),
    patterns=("SAMM_Micro_FACS_Codes", "Micro_FACS_Codes", "SAMM"),
    columns={
        "subject": ("Subject",),
        "clip": ("Filename", "File name"),
        "emotion": ("Estimated Emotion", "Emotion", "label"),
        **FRAMES,
    },
    emotions="happiness surprise anger contempt disgust fear sadness other others",
    fps=200.0,
    bases=(".", "SAMM", "SAMM_CROP"),
    subject=numbered(r"(\d{1,3})", "{:03d}", "006"),
)
samm = listed(SOURCE)
