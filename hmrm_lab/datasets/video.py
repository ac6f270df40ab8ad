"""A recording of one's own, from a folder of frames or a video file, as `Frames`.

Videos are read by OpenCV, which is here already, has the decoders in its wheels on every platform
and turns a phone's picture upright. They are decoded from the start, since jumping to a frame is
not exact in every container; one frame at a time is in memory.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from hmrm_lab.datasets.findings import shown
from hmrm_lab.datasets.images import MOST_PIXELS, SUFFIXES, RecordedFrames, measure_image
from hmrm_lab.datasets.walking import Tree
from hmrm_lab.errors import InputError
from hmrm_lab.records import Frames

VIDEO_SUFFIXES = (".mp4", ".m4v", ".mov", ".3gp", ".avi", ".mkv", ".webm")
MOST_FRAMES = 2000
HEAD_BYTES = 16
GIVE = f"give a folder of numbered frames or a video ({', '.join(VIDEO_SUFFIXES)})"
COPY = "copy the file again, or convert it to .mp4"
SHORTER = f"cut the part around the expression out; at most {MOST_FRAMES} frames are read"


@dataclass(frozen=True)
class Recording:
    """Frames and their rate; the rate is 0 where nobody knows it."""

    frames: Frames
    fps: float


class VideoFrames:
    """The frames of a video: (H, W, 3) uint8, RGB. Reading backwards begins at the start again."""

    def __init__(self, path: Path, count: int) -> None:
        self.path, self.count = path, count
        self._capture = _open(path)
        self._next = 0
        self._kept = (-1, np.empty((0, 0, 3), dtype=np.uint8))
        self._shape = self[0].shape

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int, /) -> NDArray[np.uint8]:
        number = range(self.count)[index]
        if number != self._kept[0]:
            self._kept = (number, self._read(number))
        return self._kept[1]

    def identity(self, index: int) -> str:
        """Which frame of which file this is: place, size, when it was written, number."""
        path = self.path.resolve()
        state = path.stat()
        return f"{shown(path)}:{state.st_size}:{state.st_mtime_ns}[{index}]"

    def _read(self, number: int) -> NDArray[np.uint8]:
        if number < self._next:
            self._capture.release()
            self._capture, self._next = _open(self.path), 0
        picture = None
        while self._next <= number and self._capture.grab():
            self._next += 1
        if self._next == number + 1:
            _, picture = self._capture.retrieve()
        if picture is None:
            raise InputError(f"frame {number} cannot be decoded", where=shown(self.path), mend=COPY)
        if number and picture.shape != self._shape:
            raise InputError(
                f"frame {number} is {_size(picture.shape)} pixels, the first {_size(self._shape)}",
                where=shown(self.path),
                mend="convert the video to one size",
            )
        return np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), dtype=np.uint8)


def open_recording(path: Path) -> Recording:
    """The frames of a folder, in order of their numbers, or of a video, from 2 to 2000.

    Raises
    ------
    InputError
        If there are too few or too many frames, or they are damaged, too large, or of several
        sizes, or it is no recording at all.
    """
    if path.is_dir():
        return Recording(_folder(path), 0.0)
    if not path.is_file():
        raise InputError("no such recording", where=shown(path), mend=GIVE)
    suffix = path.suffix.lower()
    if suffix in SUFFIXES:
        raise InputError("one image is no recording", where=shown(path), mend=GIVE)
    if suffix not in VIDEO_SUFFIXES:
        raise InputError(f"'{suffix}' is no suffix of a video", where=shown(path), mend=GIVE)
    return _video(path)


def _folder(path: Path) -> RecordedFrames:
    try:
        found = Tree(path).frames(path)
    except PermissionError:
        raise InputError("may not be read", where=shown(path), mend="change its rights") from None
    for names, problem, mend in (
        (found.unnumbered, "an image without a number", "number the frames, or move it away"),
        (found.twice, "more than one image with the number", "leave one of them"),
        (found.outside, "an image that is a link out of the folder", "copy the image itself"),
    ):
        if names:
            raise InputError(f"{problem}: {names[0]}", where=shown(path), mend=mend)
    _check_count(path, len(found.paths))
    sides = [measure_image(frame) for frame in found.paths]
    for frame, size in zip(found.paths, sides, strict=True):
        if size != sides[0]:
            raise InputError(
                f"{size[0]}x{size[1]} pixels, the first frame {sides[0][0]}x{sides[0][1]}",
                where=shown(frame),
                mend="give frames of one size",
            )
    return RecordedFrames(found.paths)


def _video(path: Path) -> Recording:
    if path.stat().st_size == 0:
        raise InputError("an empty file", where=shown(path), mend=COPY)
    capture = _open(path)
    width, height = (
        int(capture.get(side)) for side in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT)
    )
    if width * height > MOST_PIXELS:
        raise InputError(
            f"frames of {width}x{height} pixels",
            where=shown(path),
            mend=f"convert it to at most {MOST_PIXELS // 10**6} million pixels",
        )
    fps, claimed = capture.get(cv2.CAP_PROP_FPS), capture.get(cv2.CAP_PROP_FRAME_COUNT)
    count = 0  # what the header says of it is a guess in some containers
    while count <= MOST_FRAMES and capture.grab():
        count += 1
    capture.release()
    if 2 * count < min(claimed, MOST_FRAMES):
        raise InputError(
            f"{count} of {claimed:.0f} frames can be decoded", where=shown(path), mend=COPY
        )
    _check_count(path, count)
    return Recording(VideoFrames(path, count), fps if 1 <= fps <= 10_000 else 0.0)


def _open(path: Path) -> cv2.VideoCapture:
    """A video at its first frame. What the file is, is judged by its first bytes as well.

    A playlist under the name of a video would have the decoder open other files.
    """
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    known = (
        head[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip")  # MP4, QuickTime, 3GP
        or (head[:4] == b"RIFF" and head[8:12] == b"AVI ")
        or head[:4] == b"\x1a\x45\xdf\xa3"  # Matroska, WebM
    )
    with _quiet():
        capture = cv2.VideoCapture(str(path.resolve()), cv2.CAP_FFMPEG) if known else None
    if capture is None or not capture.isOpened():
        raise InputError("not a video that OpenCV can read", where=shown(path), mend=COPY)
    return capture


@contextmanager
def _quiet() -> Iterator[None]:
    """OpenCV's own complaints are kept back: ours says it in one sentence."""
    level = cv2.utils.logging.getLogLevel()
    cv2.utils.logging.setLogLevel(0)
    try:
        yield
    finally:
        cv2.utils.logging.setLogLevel(level)


def _check_count(path: Path, count: int) -> None:
    if count == 0:
        raise InputError("no frames in it", where=shown(path), mend=GIVE)
    if count == 1:
        raise InputError(
            "only one frame, and motion takes two", where=shown(path), mend="give onset and apex"
        )
    if count > MOST_FRAMES:
        raise InputError(f"more than {MOST_FRAMES} frames", where=shown(path), mend=SHORTER)


def _size(shape: tuple[int, ...]) -> str:
    return f"{shape[1]}x{shape[0]}"
