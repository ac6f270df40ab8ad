"""CASME II (Yan et al., 2014): 255 clips at 200 fps, 145 of them in the three classes.

```
ROOT/CASME2-coding-20140508.xlsx
ROOT/Cropped/sub01/EP02_01f/reg_img46.jpg ...      or CASME2-RAW/sub01/EP02_01f/img46.jpg ...
```
`images=CASME2-RAW` takes the uncropped frames.

Classes as in MEGC 2019: happiness; surprise; disgust and repression. Errata: the apex of
sub04/EP12_01f is "/", and that of sub05/EP09_05f is its onset; the official list has neither.
"""

from hmrm_lab.datasets.recordings.findings import Facts
from hmrm_lab.datasets.recordings.reader import FRAMES, Source, listed, numbered

SOURCE = Source(
    Facts(
        "casme2",
        "CASME II",
        "Institute of Psychology, Chinese Academy of Sciences: http://casme.psych.ac.cn",
        "Yan et al. 2014",
        official=True,
        counts=(88, 32, 25),
        listed=255,
    ),
    patterns=("CASME2-coding", "CASME2_coding", "CASME2label", "coding", "casme_apex"),
    columns={
        "subject": ("Subject",),
        "clip": ("Filename", "File name", "Clip"),
        "emotion": ("Estimated Emotion", "Emotion", "label"),
        **FRAMES,
    },
    emotions="happiness surprise disgust repression others other sadness fear",
    fps=200.0,
    bases=("Cropped", "CASME2-RAW", "CASME2_RAW_selected", "CASME2_RAW", "RAW", "."),
    subject=numbered(r"(?:sub)?0*(\d{1,3})", "sub{:02d}", "1 or sub01"),
    left_out={
        ("sub04", "EP12_01f"): "the table gives no apex ('/')",
        ("sub05", "EP09_05f"): "onset and apex are the same frame",
    },
)
casme2 = listed(SOURCE)
