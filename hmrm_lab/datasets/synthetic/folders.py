"""Clips on disk: `root/<subject>/<clip>/000.png ...`, listed in `root/clips.csv`.

Any recordings in this layout can be read, with or without a `landmarks.npy` beside the images.
"""

import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hmrm_lab.datasets.synthetic.geometry import Floats
from hmrm_lab.errors import InputError
from hmrm_lab.records import CLASSES, Clip, ClipKey, LandmarkedFrames

LIST_NAME = "clips.csv"
COLUMNS = ("subject", "clip", "label", "onset", "apex", "offset", "fps")
LONGEST_HEADER = 10_000  # bytes
IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp")


@dataclass(frozen=True)
class ImageFrames:
    """Images of a folder, read when asked for: (H, W, 3) uint8, RGB."""

    paths: tuple[Path, ...]

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int, /) -> NDArray[np.uint8]:
        path = self.paths[index]
        try:
            image = cv2.imread(str(path), cv2.IMREAD_COLOR)
        except cv2.error:
            image = None
        if image is None:
            raise InputError(
                "not an image that OpenCV can read", mend="replace this file", where=path
            )
        return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), dtype=np.uint8)

    def landmarks(self, index: int) -> Floats:
        """The landmarks of a frame from `landmarks.npy`: (68, 2) float32, order (x, y), pixels."""
        path = self.paths[index].parent / "landmarks.npy"
        if not path.is_file():
            raise InputError(
                "no landmarks for this clip", mend="detect them or write this file", where=path
            )
        try:
            every = np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))
        except (ValueError, EOFError, OSError, zipfile.BadZipFile, MemoryError):
            raise InputError(
                "not a NumPy array", mend="write it with numpy.save", where=path
            ) from None
        if every.shape != (len(self), 68, 2):
            raise InputError(
                f"landmarks of shape {every.shape}",
                mend=f"give an array of shape ({len(self)}, 68, 2)",
                where=path,
            )
        return np.asarray(every[index], dtype=np.float32)


def write_clips(clips: Iterable[Clip], root: Path | str) -> Path:
    """Write the clips below `root` as images, landmarks and a list; returns the list's path."""
    root = Path(root)
    rows = []
    for clip in clips:
        folder = root / clip.key.subject / clip.key.clip
        folder.mkdir(parents=True, exist_ok=True)
        for number in range(len(clip.frames)):
            image = cv2.cvtColor(clip.frames[number], cv2.COLOR_RGB2BGR)
            path = folder / f"{number:03d}.png"
            if not cv2.imwrite(str(path), image):
                raise InputError("cannot be written", mend="free space or rights", where=path)
        if isinstance(clip.frames, LandmarkedFrames):
            points = [clip.frames.landmarks(number) for number in range(len(clip.frames))]
            np.save(folder / "landmarks.npy", np.stack(points))
        label = CLASSES[clip.label]
        rows.append((*clip.key[1:], label, clip.onset, clip.known_apex, clip.offset, clip.fps))
    path = root / LIST_NAME
    pd.DataFrame(rows, columns=list(COLUMNS)).to_csv(path, index=False)
    return path


def read_clips(root: Path | str, dataset: str = "synthetic") -> list[Clip]:
    """The clips that `root/clips.csv` lists. Images are read when a frame is asked for.

    Raises
    ------
    InputError
        If the list, one of its rows or a folder of images is missing or wrong. Rows count from
        2, as a spreadsheet shows them below the header.
    """
    path = Path(root) / LIST_NAME
    if not path.is_file():
        raise InputError("no list of clips here", mend="give the folder that holds it", where=path)
    with path.open("rb") as file:
        if len(file.readline(LONGEST_HEADER)) == LONGEST_HEADER:
            raise InputError(
                "not a table (its first line has no end)",
                mend=f"give the columns {', '.join(COLUMNS)}",
                where=path,
            )
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (pd.errors.EmptyDataError, pd.errors.ParserError, UnicodeDecodeError) as error:
        raise InputError(
            f"not a table ({error})", mend=f"give the columns {', '.join(COLUMNS)}", where=path
        ) from None
    missing = [name for name in COLUMNS if name not in table.columns]
    if missing:
        raise InputError(
            f"the columns {', '.join(missing)} are missing",
            mend=f"give the columns {', '.join(COLUMNS)}",
            where=path,
        )
    clips: list[Clip] = []
    seen: dict[ClipKey, int] = {}
    for row, record in enumerate(table.to_dict("records"), start=2):
        clip = _read_row(path, row, {str(k): str(v) for k, v in record.items()}, dataset)
        if clip.key in seen:
            raise InputError(
                f"clip '{clip.key.clip}' of subject '{clip.key.subject}' is in row "
                f"{seen[clip.key]} already",
                mend="remove one of them",
                where=path,
                row=row,
            )
        seen[clip.key] = row
        clips.append(clip)
    return clips


def _read_row(path: Path, row: int, record: dict[str, str], dataset: str) -> Clip:
    label = record["label"]
    if label not in CLASSES:
        raise InputError(
            f"unknown label '{label}'", mend=f"use one of {', '.join(CLASSES)}", where=path, row=row
        )
    folder = path.parent / record["subject"] / record["clip"]
    images = _images(folder)
    if not images:
        raise InputError(
            f"no images in '{folder}'", mend="add them or remove the row", where=path, row=row
        )
    onset, apex, offset = (int(_number(path, row, record, n)) for n in ("onset", "apex", "offset"))
    if not 0 <= onset < apex <= offset < len(images):
        raise InputError(
            f"onset {onset}, apex {apex} and offset {offset} do not fit {len(images)} images",
            mend="count frames from 0, onset before apex, apex not after offset",
            where=path,
            row=row,
        )
    return Clip(
        key=ClipKey(dataset, record["subject"], record["clip"]),
        label=CLASSES.index(label),
        frames=ImageFrames(images),
        onset=onset,
        apex=apex,
        offset=offset,
        fps=_number(path, row, record, "fps"),
    )


def _images(folder: Path) -> tuple[Path, ...]:
    if not folder.is_dir():
        return ()
    return tuple(sorted(p for p in folder.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES))


def _number(path: Path, row: int, record: dict[str, str], name: str) -> float:
    text = record[name]
    whole = name != "fps"
    try:
        value = int(text) if whole else float(text)
    except ValueError:
        value = -1
    if not np.isfinite(value) or value < 0 or (not whole and value == 0):
        raise InputError(
            f"{name} is '{text}'",
            mend="give a frame number from 0" if whole else "give frames per second above 0",
            where=path,
            row=row,
        )
    return value
