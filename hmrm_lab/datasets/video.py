"""A recording of one's own, from a folder of frames or a video file, as `Frames`.

Videos are read by OpenCV, which is here already, has the decoders in its wheels on every platform
and turns a phone's picture upright. Any frame may be asked for: a jump goes to the key frame before
it, and the time at which a frame is shown shows which one was reached.
"""

import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from hmrm_lab.datasets.images import (
    MOST_PIXELS,
    SUFFIXES,
    VIDEO_SUFFIXES,
    RecordedFrames,
    identity_of,
    measure_image,
    quiet,
)
from hmrm_lab.datasets.recordings.findings import bad_input, shown
from hmrm_lab.datasets.walking import Tree, order_frames
from hmrm_lab.records import Frames

MOST_FRAMES = 100_000
MOST_COUNTED = 2000  # of a video whose packets do not say when frames are shown
MOST_SEARCHED = 2000  # for faces and an apex
MOST_OPEN = 4  # videos of a process
HEAD_BYTES = 16
NEAR = 48  # frames; the way to a key frame is hardly shorter
BACK_MS = (0.0, 2e3, 2e4)  # where the rate varies, OpenCV may come out behind the frame
HIDING = ("VP80",)  # some of its packets are never shown
GIVE = f"give a folder of numbered frames or a video ({', '.join(VIDEO_SUFFIXES)})"
COPY = "copy the file again, or convert it to .mp4"
CONVERT = "convert it with `ffmpeg -i IN.mp4 -c:v libx264 -crf 12 OUT.mp4`"
SHORTER = "name the part with --onset and --offset, or cut it out"

os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # FFmpeg's own messages are kept back


class Recording(NamedTuple):
    """Frames and their rate; the rate is 0 where it is unknown."""

    frames: Frames
    fps: float


class VideoFrames:
    """The frames of a video, in any order: (H, W, 3) uint8, RGB. One is in memory.

    The next frame costs its decoding; a jump costs that of the frames since the last key frame.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._capture, self._next = _open(path), 0  # the number of the frame that follows
        self._times: list[float] = []
        if self._capture.grab():
            self._times = _shown_times(path, self._capture.get(cv2.CAP_PROP_POS_MSEC))
        self._numbers = {time: number for number, time in enumerate(self._times)}
        self._jump(len(self._times) - 1)
        self.count = self._next
        while self.count <= self.most and self._grab():  # the last packets need not show a frame
            self.count = max(self.count, self._next)
        self._kept = (-1, np.empty((0, 0, 3), dtype=np.uint8))
        self._shape = self[0].shape if self.count else ()

    @property
    def most(self) -> int:
        return MOST_FRAMES if self._times else MOST_COUNTED

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int, /) -> NDArray[np.uint8]:
        number = range(self.count)[index]
        if number != self._kept[0]:
            self._kept = (number, self._read(number))
        return self._kept[1]

    def _read(self, number: int) -> NDArray[np.uint8]:
        if not self._next <= number < self._next + NEAR:
            self._jump(number)
        picture = None
        while self._next <= number and self._grab():
            pass
        if self._next == number + 1:
            _, picture = self._capture.retrieve()
        if picture is None:
            raise bad_input(self.path, f"frame {number} cannot be decoded", COPY)
        if number and picture.shape != self._shape:
            (height, width), (first_height, first_width) = picture.shape[:2], self._shape[:2]
            sizes = f"{width}x{height} pixels, the first {first_width}x{first_height}"
            hint = "convert the video to one size"
            raise bad_input(self.path, f"frame {number} is {sizes}", hint)
        return np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), dtype=np.uint8)

    def _grab(self) -> bool:
        """Decode the frame that follows, and note which it was; False at the end."""
        if not self._capture.grab():
            return False
        time = self._capture.get(cv2.CAP_PROP_POS_MSEC)
        self._next = 1 + (self._numbers.get(time, -1) if self._times else self._next)
        return True

    def _jump(self, number: int) -> None:
        """Go to this frame, or to one before it: to the first where the times are unknown."""
        for back in BACK_MS if self._times else ():
            self._capture.set(cv2.CAP_PROP_POS_MSEC, max(0.0, self._times[number] - back))
            if self._grab() and 0 < self._next <= number + 1:
                return
        self._capture.release()
        self._capture, self._next = _open(self.path), 0


@dataclass(frozen=True)
class StoredVideo:
    """The frames of a video: (H, W, 3) uint8, RGB. Each process opens it when it asks for one."""

    path: Path
    count: int

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int, /) -> NDArray[np.uint8]:
        return _opened(self.path, identity_of(self.path))[index]

    def identity(self, index: int) -> str:
        return f"{identity_of(self.path)}[{index}]"


@lru_cache(maxsize=MOST_OPEN)
def _opened(path: Path, identity: str) -> VideoFrames:
    return VideoFrames(path)


def check_recording(path: Path) -> None:
    """Raise an `InputError` if there is nothing at this path."""
    if not path.exists():
        raise bad_input(path, "no such recording", GIVE)


def open_recording(path: Path, *, follow_links: bool = False) -> Recording:
    """Open a folder of frames, in the order of their names, or a video.

    Frames are read when they are asked for, those of a folder that are links to files elsewhere if
    `follow_links`. Of a folder all headers are read, of a video that can be searched the packets,
    its first frame and its last ones.
    It is an `InputError` if there are too few or too many frames, or they are damaged, too large,
    or of several sizes, or it is no recording at all.
    """
    if path.is_dir():
        return Recording(_folder(path, follow_links), 0.0)
    check_recording(path)
    suffix = path.suffix.lower()
    if suffix in SUFFIXES:
        raise bad_input(path, "one image is no recording", GIVE)
    if suffix not in VIDEO_SUFFIXES:
        raise bad_input(path, f"'{suffix}' is no suffix of a video", GIVE)
    return _video(path)


def check_span(path: Path, frames: int) -> None:
    if frames > MOST_SEARCHED:
        raise bad_input(path, f"{frames} frames to search; at most {MOST_SEARCHED}", SHORTER)


def _folder(path: Path, follow_links: bool) -> RecordedFrames:
    try:
        images, outside = Tree(path, follow_links).images(path)
    except PermissionError:
        raise bad_input(path, "may not be read", "change its rights") from None
    if outside:
        problem = f"an image that is a link out of the folder: {outside[0]}"
        raise bad_input(path, problem, "copy the image, or add --follow-links")
    _check_count(path, len(images), MOST_FRAMES)
    ordered, note = order_frames(images)
    sides = [measure_image(frame) for frame in ordered]
    for frame, size in zip(ordered, sides, strict=True):
        if size != sides[0]:
            problem = f"{size[0]}x{size[1]} pixels, the first frame {sides[0][0]}x{sides[0][1]}"
            raise bad_input(frame, problem, "give frames of one size")
    return RecordedFrames(ordered, note)


def _video(path: Path) -> Recording:
    if path.stat().st_size == 0:
        raise bad_input(path, "an empty file", COPY)
    capture = _open(path)
    width = int(capture.get(cv2.CAP_PROP_FRAME_WIDTH))
    height = int(capture.get(cv2.CAP_PROP_FRAME_HEIGHT))
    if width * height > MOST_PIXELS:
        hint = f"convert it to at most {MOST_PIXELS // 10**6} million pixels"
        raise bad_input(path, f"frames of {width}x{height} pixels", hint)
    fps, claimed = capture.get(cv2.CAP_PROP_FPS), capture.get(cv2.CAP_PROP_FRAME_COUNT)
    if _codec(capture) == "AV01" and not capture.grab():
        raise bad_input(path, "this OpenCV cannot decode AV1", CONVERT)
    capture.release()
    frames = _opened(path, identity_of(path))
    count = len(frames)
    if 2 * count < min(claimed, MOST_COUNTED):  # a guess in some containers
        raise bad_input(path, f"{count} of {claimed:.0f} frames can be decoded", COPY)
    _check_count(path, count, frames.most)
    return Recording(StoredVideo(path, count), fps if 1 <= fps <= 10_000 else 0.0)


def _shown_times(path: Path, first: float) -> list[float]:
    """When each frame is shown, in ms from the first on, without decoding; empty if unknown.

    Packets before the first may be there for the decoder alone.
    """
    packets = _open(path, cv2.CAP_PROP_FORMAT, -1)
    times: list[float] = []
    while len(times) <= MOST_FRAMES and packets.grab():
        times.append(packets.get(cv2.CAP_PROP_POS_MSEC))
    known = sorted(set(times))
    if first not in known or len(known) < len(times) or _codec(packets) in HIDING:
        return []
    return known[known.index(first) :]


def _open(path: Path, *options: int) -> cv2.VideoCapture:
    """A video at its first frame. What the file is, is judged by its first bytes as well.

    A playlist under the name of a video would have the decoder open other files. OpenCV ends the
    process at a name that is not UTF-8, and is given the open file by number.
    """
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
        known = (
            head[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip")  # MP4, MOV, 3GP
            or (head[:4] == b"RIFF" and head[8:12] == b"AVI ")
            or head[:4] == b"\x1a\x45\xdf\xa3"  # Matroska, WebM
        )
        number = Path(f"/proc/self/fd/{file.fileno()}")
        name = str(number if number.exists() else path.resolve())
        if name != shown(name):
            raise bad_input(path, "a name that is not UTF-8", "rename it")
        with quiet():
            capture = cv2.VideoCapture(name, cv2.CAP_FFMPEG, options) if known else None
    if capture is None or not capture.isOpened():
        raise bad_input(path, "not a video that OpenCV can read", COPY)
    return capture


def _codec(capture: cv2.VideoCapture) -> str:
    code = int(capture.get(cv2.CAP_PROP_FOURCC)) & 0xFFFFFFFF
    return code.to_bytes(4, "little").decode("latin-1").upper()


def _check_count(path: Path, count: int, most: int) -> None:
    if count == 0:
        raise bad_input(path, "no frames in it", GIVE)
    if count == 1:
        raise bad_input(path, "only one frame, and motion takes two", "give onset and apex")
    if count > most:
        raise bad_input(path, f"more than {most} frames", SHORTER)
