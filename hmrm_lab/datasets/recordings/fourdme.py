"""4DME (Li et al., 2023): 267 micro-expressions; here the grey videos at 60 fps.

```
ROOT/4DME_Labelling_Micro_release v1.xlsx
ROOT/gray_micro/<subject>/<clip>/...
```
Classes: positive; surprise; negative and repression. A clip may have two emotions ("negative &
repression"): it is taken if both are of one class, and left out as one outside the three if not.
"""

import re

from hmrm_lab.datasets.recordings.findings import Facts
from hmrm_lab.datasets.recordings.reader import FRAMES, Classes, Source, listed


def classify(text: str, classes: Classes) -> int | None:
    """The class that all emotions of a clip share, or None."""
    parts = [re.sub(r"ly$", "", part) for part in re.split(r"[^a-z]+|\band\b", text) if part]
    unknown = [part for part in parts if part not in classes]
    if unknown or not parts:
        raise LookupError(f"unknown emotion '{text}'", f"known are {', '.join(classes)}")
    found = {classes[part] for part in parts}
    return found.pop() if len(found) == 1 else None


SOURCE = Source(
    Facts(
        "fourdme",
        "4DME",
        "Center for Machine Vision and Signal Analysis, University of Oulu",
        "Li et al. 2023",
        listed=267,
    ),
    patterns=("4DME_Labelling_Micro", "4DME"),
    columns={
        "subject": ("sub_ID", "Subject"),
        "clip": ("fold_name", "Filename"),
        "emotion": ("Emotion",),
        **FRAMES,
    },
    emotions="positive surprise negative repression others other",
    fps=60.0,
    bases=("gray_micro", ".", "gray_micro_crop"),
    subject=lambda text: text,
    classify=classify,
)
fourdme = listed(SOURCE)
