"""MMEW (Ben et al., 2022): 300 micro-expressions at 90 fps, 234 of them in the three classes.

```
ROOT/MMEW_Micro_Exp.xlsx
ROOT/happiness/S03-01-002/1.jpg ...       or below Micro_Expression/
```
Classes: happiness; surprise; anger, disgust, fear and sadness. The table gives some offsets that
are not after the onset; the last frame of the folder is taken for them, and it is reported.
"""

from hmrm_lab.datasets.recordings.findings import Facts
from hmrm_lab.datasets.recordings.reader import FRAMES, Source, listed, numbered

SOURCE = Source(
    Facts(
        "mmew",
        "MMEW",
        "the MMEW team: http://www.dpailab.com/database.html",
        "Ben et al. 2022",
        counts=(109, 36, 89),
        listed=300,
    ),
    patterns=("MMEW_Micro_Exp", "MMEW"),
    columns={
        "subject": ("Subject",),
        "clip": ("Filename",),
        "emotion": ("Estimated Emotion", "Emotion"),
        **FRAMES,
    },
    emotions="happiness surprise anger disgust fear sadness others other",
    fps=90.0,
    bases=("Micro_Expression", ".", "MMEW_Final/Micro_Expression"),
    subject=numbered(r"s?0*(\d{1,3})", "S{:02d}", "S03"),
    path=lambda record: (record.emotion, record.clip),
)
mmew = listed(SOURCE)
