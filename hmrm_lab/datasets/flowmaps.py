"""The published 28x28 flow maps (STSTNet's layout, as HTNet's code distributes it).

```
root/labels.csv                dataset,sub,filename_o,label
root/maps/<sub>_<clip> .png    8-bit RGB: red u, green v, blue strain (the blank is theirs)
```
Each channel was scaled to 0..255 over its own map, so pixels, the place of zero and the ratio of u
to v are lost: `input.normalise = "median_rms"` puts the median at zero and the RMS of each channel
at one. Directions and magnitudes are those of the channels so scaled, not of the face.
"""

from pathlib import Path

import cv2
import numpy as np

from hmrm_lab.datasets.classes import MEGC3, ClassScheme
from hmrm_lab.datasets.recordings.coding import Row, data_set, find_name, read_coding
from hmrm_lab.datasets.recordings.findings import bad_input, megc2019
from hmrm_lab.datasets.walking import check_name, loose
from hmrm_lab.records import RELATIVE, ClipKey, Floats, FlowSet
from hmrm_lab.registry import datasets

COLUMNS = {
    "data set": ("dataset", "data"),
    "subject": ("sub", "subject"),
    "clip": ("filename_o", "filename", "clip"),
    "label": ("label", "class"),
}
SIDE_PX = 28


@datasets.register("flowmaps", unit=RELATIVE, source="Liong et al. 2019; distributed with HTNet")
def flowmaps(root: Path, *, scheme: ClassScheme = MEGC3) -> FlowSet:
    """Read all maps; the first thing that is wrong is an `InputError` with file, row and hint.

    Subjects and clips that lost their zeros get those of the official list, or of the map's name.
    """
    if not root.is_dir():
        raise bad_input(root, "no such folder", "give the folder that holds labels.csv")
    table = root / "labels.csv"
    if not table.is_file():
        raise bad_input(root, "no labels.csv in this folder", "it lists the maps")
    files = {path.stem.strip(): path for path in sorted((root / "maps").glob("*.png"))}
    official = {(key.dataset, *map(loose, key[1:])): key for key in megc2019()}
    subjects: dict[tuple[str, str], str] = {}
    rows: dict[ClipKey, tuple[int, int]] = {}
    maps = []
    for row in read_coding(table, COLUMNS).rows:
        try:
            name, label = _read_row(row, scheme)
            stem = find_name(f"{name.subject}_{name.clip}", [*files])
            if stem is None:
                raise ValueError(f"no map '{name.subject}_{name.clip}.png' for this clip in maps/")
            parts, width = stem.split("_"), name.subject.count("_") + 1
            called = ClipKey(name.dataset, "_".join(parts[:width]), "_".join(parts[width:]))
            key = official.get((name.dataset, *map(loose, name[1:])), called)
            subject = subjects.setdefault((key.dataset, loose(key.subject)), key.subject)
            key = key._replace(subject=subject)
            if key in rows:
                raise ValueError(f"{'/'.join(key)} is listed twice, first in row {rows[key][0]}")
        except ValueError as error:
            raise bad_input(table, str(error), "correct or remove this row", row.number) from None
        rows[key] = row.number, label
        maps.append(_read_map(files[stem], row.number))
    labels = np.array([label for _, label in rows.values()], dtype=np.int64)
    return FlowSet(np.stack(maps), labels, tuple(rows), scheme.classes, unit=RELATIVE)


def _read_row(row: Row, scheme: ClassScheme) -> tuple[ClipKey, int]:
    """The clip as the table calls it, and its class; or `ValueError`."""
    for field in ("data set", "subject", "clip"):
        check_name(row[field], f"the {field}")
    label = scheme.label_of(row["label"])
    if label is None:
        raise ValueError(f"label '{row['label']}' is none of {scheme.numbered}")
    return ClipKey(data_set(row["data set"]), row["subject"], row["clip"]), label


def _read_map(path: Path, row: int) -> Floats:
    """(3, 28, 28) float32 in 0..1, order (u, v, strain).

    OpenCV fills what a cut-off file lacks, so its end is checked first.
    """
    content = path.read_bytes()
    image = None
    if content.startswith(b"\x89PNG\r\n\x1a\n") and b"IEND" in content[-16:]:
        try:
            image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
        except cv2.error:
            image = None
    if image is None:
        hint = "copy the file again, or remove this row of labels.csv"
        raise bad_input(path, "cut off or not a PNG image", hint, row)
    if image.shape != (SIDE_PX, SIDE_PX, 3) or image.dtype != np.uint8:
        problem = f"shape {image.shape} of {image.dtype}, not ({SIDE_PX}, {SIDE_PX}, 3) of uint8"
        raise bad_input(path, problem, "export the map as an 8-bit RGB image of 28x28 pixels")
    planes = image[..., ::-1].transpose(2, 0, 1)  # BGR to (u, v, strain)
    return (planes / 255).astype(np.float32)
