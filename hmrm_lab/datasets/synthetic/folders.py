"""Clips on disk: `root/<subject>/<clip>/000.png ...`, listed in `root/clips.csv`.

Any recordings in this layout can be read, with or without a `landmarks.npy` beside the images.
"""

import logging
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hmrm_lab.datasets.classes import MEGC3, ClassScheme
from hmrm_lab.datasets.images import RecordedFrames, read_image
from hmrm_lab.datasets.recordings.coding import Row, find_name, read_coding, whole
from hmrm_lab.datasets.recordings.findings import bad_input, shown
from hmrm_lab.datasets.walking import Tree, check_name, order_frames
from hmrm_lab.records import Clip, ClipKey, Floats, LandmarkedFrames

log = logging.getLogger(__name__)

LIST_NAME, LANDMARKS = "clips.csv", "landmarks.npy"
COLUMNS = ("subject", "clip", "label", "onset", "apex", "offset", "fps")


@dataclass(frozen=True)
class ImageFrames:
    """Images of a folder with landmarks, read when asked for: (H, W, 3) uint8, RGB.

    They have no identity, or maps would be cached that know nothing of the landmarks.
    """

    paths: tuple[Path, ...]

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int, /) -> NDArray[np.uint8]:
        return read_image(self.paths[index])

    def landmarks(self, index: int) -> Floats:
        """The landmarks of a frame from `landmarks.npy`: (68, 2) float32, order (x, y), pixels."""
        path = self.paths[index].parent / LANDMARKS
        if not path.is_file():
            raise bad_input(path, "no landmarks for this clip", "detect them or write this file")
        try:
            every = np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))  # noqa: TID251
        except (ValueError, EOFError, OSError, zipfile.BadZipFile, MemoryError):
            raise bad_input(path, "not a NumPy array", "write it with numpy.save") from None
        if every.shape != (len(self), 68, 2):
            hint = f"give an array of shape ({len(self)}, 68, 2)"
            raise bad_input(path, f"landmarks of shape {every.shape}", hint)
        return np.asarray(every[index], dtype=np.float32)


def write_clips(clips: Iterable[Clip], root: Path | str) -> Path:
    """Write the clips below `root` as images, landmarks and a list; returns the list's path."""
    rows = []
    for clip in clips:
        folder = Path(root) / clip.key.subject / clip.key.clip
        folder.mkdir(parents=True, exist_ok=True)
        for number in range(len(clip.frames)):
            image = cv2.cvtColor(clip.frames[number], cv2.COLOR_RGB2BGR)
            (folder / f"{number:03d}.png").write_bytes(cv2.imencode(".png", image)[1].tobytes())
        if isinstance(clip.frames, LandmarkedFrames):
            points = [clip.frames.landmarks(number) for number in range(len(clip.frames))]
            np.save(folder / LANDMARKS, np.stack(points))
        marks = (clip.onset, clip.known_apex, clip.offset)
        rows.append((*clip.key[1:], clip.expression, *marks, clip.fps))
    path = Path(root) / LIST_NAME
    pd.DataFrame(rows, columns=list(COLUMNS)).to_csv(path, index=False)
    return path


def read_clips(
    root: Path | str, dataset: str = "synthetic", scheme: ClassScheme = MEGC3
) -> list[Clip]:
    """Read the clips that `root/clips.csv` lists, with landmarks where there is `landmarks.npy`.

    Images are read when a frame is asked for. If the list, one of its rows or a folder of images is
    missing or wrong, an `InputError` names it.
    """
    path = Path(root) / LIST_NAME
    if not path.is_file():
        raise bad_input(path, "no list of clips here", "give the folder that holds it")
    clips: dict[ClipKey, Clip] = {}
    rows: dict[ClipKey, int] = {}
    for row in read_coding(path, {name: (name,) for name in COLUMNS}).rows:
        try:
            clip = _read_row(path.parent, row, dataset, scheme)
            if clip.key in clips:
                named = f"clip '{clip.key.clip}' of subject '{clip.key.subject}'"
                problem = f"{named} is in row {rows[clip.key]} already"
                raise ValueError(problem, "remove one of them")
        except ValueError as error:
            problem, hint = (*error.args, "correct this row")[:2]
            raise bad_input(path, problem, hint, row.number) from None
        clips[clip.key], rows[clip.key] = clip, row.number
    return list(clips.values())


def _read_row(root: Path, row: Row, dataset: str, scheme: ClassScheme) -> Clip:
    """The clip of a row under the names of its folders; `ValueError` with problem and hint."""
    label = scheme.label_of(row["label"])
    if label is None:
        hint = f"use one of {', '.join(scheme.classes)}"
        raise ValueError(f"unknown label '{row['label']}'", hint)
    folder = root
    for field in ("subject", "clip"):
        check_name(row[field], f"the {field}")
        names = [path.name for path in folder.glob("*") if path.is_dir()]
        folder = folder / (find_name(row[field], names) or row[field])
    tree = Tree(folder, follow_links=True)
    images, note = order_frames(tree.images(folder)[0] if folder.is_dir() else ())
    if not images:
        raise ValueError(f"no images in '{folder}'", "add them or remove the row")
    if note:
        log.warning("%s: %s", shown(folder), note)
    onset, apex, offset = (_frame_number(row, name) for name in ("onset", "apex", "offset"))
    if not onset < apex <= offset < len(images):
        raise ValueError(
            f"onset {onset}, apex {apex} and offset {offset} do not fit {len(images)} images",
            "count frames from 0, onset before apex, apex not after offset",
        )
    rate = row["fps"]
    try:
        fps = float(rate)
    except ValueError:
        fps = 0.0
    if not 0 < fps < np.inf:
        raise ValueError(f"fps is '{rate}'", "give frames per second above 0")
    return Clip(
        key=ClipKey(dataset, folder.parent.name, folder.name),
        label=label,
        frames=ImageFrames(images) if (folder / LANDMARKS).is_file() else RecordedFrames(images),
        onset=onset,
        apex=apex,
        offset=offset,
        fps=fps,
        classes=scheme.classes,
    )


def _frame_number(row: Row, name: str) -> int:
    number = whole(row[name])
    if number is None:
        raise ValueError(f"{name} is '{row[name]}'", "give a frame number from 0")
    return number
