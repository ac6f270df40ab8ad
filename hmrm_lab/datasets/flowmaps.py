"""The published 28x28 flow maps (STSTNet's layout, as HTNet's code distributes it).

```
root/labels.csv                dataset,sub,filename_o,label
root/maps/<sub>_<clip> .png    8-bit RGB: red u, green v, blue strain (the blank is theirs)
```
Each channel was scaled to 0..255 over its own map, so pixels, the place of zero and the ratio of u
to v are lost: `input.normalise = "median_rms"` puts the median at zero and the RMS of each channel
at one. Directions and magnitudes are those of the channels so scaled, not of the face.
"""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from hmrm_lab.errors import InputError
from hmrm_lab.records import CLASSES, RELATIVE, ClipKey, Floats, FlowSet
from hmrm_lab.registry import datasets

COLUMNS = ("dataset", "sub", "filename_o", "label")
SIDE_PX = 28


@dataclass(frozen=True)
class Row:
    number: int
    key: ClipKey
    label: int


@datasets.register("flowmaps", unit=RELATIVE, source="Liong et al. 2019; distributed with HTNet")
def flowmaps(root: Path) -> FlowSet:
    """Read all maps. The first thing that is wrong raises `InputError` with file, row and mend."""
    if not root.is_dir():
        raise InputError("no such folder", where=root, mend="give the folder that holds labels.csv")
    table = root / "labels.csv"
    rows = list(_read_labels(table))
    if not rows:
        raise InputError(
            "no clips", where=table, mend="add a row dataset,sub,filename_o,label each"
        )
    maps = np.stack([_read_map(root / "maps", row) for row in rows])
    labels = np.array([row.label for row in rows], dtype=np.int64)
    return FlowSet(maps, labels, tuple(row.key for row in rows), unit=RELATIVE)


def _read_labels(table: Path) -> Iterator[Row]:
    if not table.is_file():
        raise InputError(
            "no labels.csv in this folder", where=table.parent, mend="it lists the clips of maps/"
        )
    try:
        lines = table.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        problem = f"not a text file ({error})"
        raise InputError(problem, where=table, mend="save it as UTF-8") from None
    reader = csv.DictReader(lines)
    try:
        missing = [name for name in COLUMNS if name not in (reader.fieldnames or [])]
    except csv.Error as error:
        problem = f"not a table ({error})"
        raise InputError(problem, where=table, mend="save it as CSV") from None
    if missing:
        raise InputError(
            f"no column {', '.join(missing)}", where=table, mend=f"needed: {', '.join(COLUMNS)}"
        )
    seen: dict[ClipKey, int] = {}
    for number, fields in enumerate(reader, start=2):
        row = _parse(table, number, fields)
        if row.key in seen:
            raise InputError(
                f"{'/'.join(row.key)} is listed twice, first in row {seen[row.key]}",
                where=table,
                row=number,
                mend="remove one of the two",
            )
        seen[row.key] = number
        yield row


def _parse(table: Path, number: int, fields: dict[str, str | None]) -> Row:
    dataset, subject, clip, label = ((fields[name] or "").strip() for name in COLUMNS)
    for name, value in zip(COLUMNS[:3], (dataset, subject, clip), strict=True):
        if not value or "/" in value or "\\" in value or value.startswith("."):
            raise InputError(
                f"{name} '{value}' is not a name", where=table, row=number, mend="correct it"
            )
    if label not in {str(index) for index in range(len(CLASSES))}:
        meaning = ", ".join(f"{index} {name}" for index, name in enumerate(CLASSES))
        raise InputError(
            f"label '{label}' is outside 0..{len(CLASSES) - 1}",
            where=table,
            row=number,
            mend=f"use {meaning}",
        )
    return Row(number, ClipKey(dataset, subject, clip), int(label))


def _read_map(folder: Path, row: Row) -> Floats:
    """(3, 28, 28) float32 in 0..1, order (u, v, strain)."""
    stem = f"{row.key.subject}_{row.key.clip}"
    candidates = (folder / f"{stem} .png", folder / f"{stem}.png")
    path = next((path for path in candidates if path.is_file()), None)
    if path is None:
        raise InputError(
            f"no map '{stem}.png' for this clip",
            where=folder.parent / "labels.csv",
            row=row.number,
            mend=f"put it into {folder.name}/ or remove the row",
        )
    image = _decode(path)
    if image is None:
        raise InputError(
            "cut off or not a PNG image",
            where=path,
            row=row.number,
            mend="copy the file again, or remove this row of labels.csv",
        )
    if image.shape != (SIDE_PX, SIDE_PX, 3) or image.dtype != np.uint8:
        raise InputError(
            f"shape {image.shape} of {image.dtype}, not ({SIDE_PX}, {SIDE_PX}, 3) of uint8",
            where=path,
            mend="export the map as an 8-bit RGB image of 28x28 pixels",
        )
    planes = image[..., ::-1].transpose(2, 0, 1)  # BGR to (u, v, strain)
    return (planes / 255).astype(np.float32)


def _decode(path: Path) -> np.ndarray | None:
    """The image, or None. OpenCV fills what a cut-off file lacks, so its end is checked first."""
    content = path.read_bytes()
    if not content.startswith(b"\x89PNG\r\n\x1a\n") or b"IEND" not in content[-16:]:
        return None
    try:
        return cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error:
        return None
