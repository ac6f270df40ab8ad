"""CAS(ME)^3, part A (Li et al., 2023): 860 micro-expressions at 30 fps, 699 in the three classes.

```
ROOT/cas(me)3_part_A_ME_label_JpgIndex_v2.xlsx
ROOT/spNO.1/b/color/175.jpg ...
```
A folder holds a long video with several expressions, so that a clip is named after its onset
(`b_175`) and its frames are those from onset to offset. Classes: happy; surprise; disgust, fear,
anger and sad. Some frames were dropped by the recorder, and some clips are one frame long.
"""

from hmrm_lab.datasets.recordings.findings import Facts
from hmrm_lab.datasets.recordings.reader import FRAMES, Source, listed, numbered

SOURCE = Source(
    Facts(
        "casme3",
        "CAS(ME)^3",
        "Institute of Psychology, Chinese Academy of Sciences: http://casme.psych.ac.cn",
        "Li et al. 2023",
        counts=(457, 55, 187),
        listed=860,
    ),
    patterns=("cas(me)3_part_A_ME", "cas(me)3_part_A", "casme3"),
    columns={
        "subject": ("Subject",),
        "clip": ("Filename",),
        "emotion": ("emotion", "Estimated Emotion"),
        **FRAMES,
    },
    emotions="happy happiness surprise disgust fear anger sad sadness others other",
    fps=30.0,
    bases=(".", "part_A", "Part_A", "ME_A", "data/part_A", "part_A/data"),
    subject=numbered(r"(?:spno\.?)?0*(\d{1,4})", "spNO.{}", "spNO.1"),
    path=lambda record: (record.key.subject, record.clip, "color"),
    clip=lambda record: f"{record.clip.lower()}_{record.onset}",
    trimmed=True,
)
casme3 = listed(SOURCE)
