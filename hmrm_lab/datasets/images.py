"""Recorded frames: images that are looked at by their header before they are decoded."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import cv2
import numpy as np
from numpy.typing import NDArray

from hmrm_lab.datasets.findings import shown
from hmrm_lab.errors import InputError

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp")
MOST_PIXELS = 40_000_000
LARGEST_BYTES = 256 * 2**20
END_BYTES = 4096  # how far before the end a file's last mark may be
AGAIN = "copy the file again"

PNG, JPEG, BMP = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"BM"
CHANNELS = {1: "a grey image (one channel)", 4: "an image with an alpha channel"}
SIZES_OF_JPEG = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}  # markers of a frame header


@dataclass(frozen=True)
class RecordedFrames:
    """Images of a folder, read when asked for: (H, W, 3) uint8, RGB."""

    paths: tuple[Path, ...]

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int, /) -> NDArray[np.uint8]:
        return read_image(self.paths[index])

    def identity(self, index: int) -> str:
        """Which file this is: its place, its size and when it was written."""
        path = self.paths[index].resolve()
        state = path.stat()
        return f"{shown(path)}:{state.st_size}:{state.st_mtime_ns}"


def read_image(path: Path) -> NDArray[np.uint8]:
    """An image as (H, W, 3) uint8, RGB. `InputError` if it is damaged or too large."""
    image = _decoded(path, cv2.IMREAD_COLOR)
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), dtype=np.uint8)


def read_rgb(path: Path) -> NDArray[np.uint8]:
    """An image that is 8-bit RGB already, as (H, W, 3) uint8.

    Raises
    ------
    InputError
        As `read_image`, and if the image is grey, has an alpha channel or has other than 8 bits
        per channel: nothing is converted, since which levels are to be kept is not ours to guess.
    """
    if path.is_dir():
        raise InputError("a folder, not an image", where=shown(path), mend="name one frame of it")
    image = _decoded(path, cv2.IMREAD_UNCHANGED)
    depth, channels = image.dtype.itemsize * 8, 1 if image.ndim == 2 else image.shape[2]
    kind = "" if channels == 3 else CHANNELS.get(channels, f"an image of {channels} channels")
    if depth != 8:
        kind = f"a {depth}-bit image"
    if kind:
        mend = "save it as RGB with 8 bits per channel"
        raise InputError(kind, where=shown(path), mend=mend)
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), dtype=np.uint8)


def measure_image(path: Path) -> tuple[int, int]:
    """Width and height in pixels, from the header; the end of the file is looked at as well.

    Raises
    ------
    InputError
        If the file is missing, empty, cut off, no PNG, JPEG or BMP image, or too large.
    """
    if not path.is_file():
        raise InputError("no such frame", where=shown(path), mend=AGAIN)
    size = path.stat().st_size
    if size == 0:
        raise InputError("an empty file", where=shown(path), mend=AGAIN)
    if size > LARGEST_BYTES:
        raise InputError(f"{size / 2**20:.0f} MiB are no frame", where=shown(path), mend=AGAIN)
    with path.open("rb") as file:
        try:
            sides = _measure(file, size)
        except (struct.error, StopIteration):
            sides = None
        whole = sides is not None and _is_whole(file, size)
    if sides is None:
        raise InputError("not a PNG, JPEG or BMP image", where=shown(path), mend=AGAIN)
    width, height = sides
    if width < 1 or height < 1 or width * height > MOST_PIXELS:
        raise InputError(
            f"its header claims {width}x{height} pixels",
            where=shown(path),
            mend=f"frames have at most {MOST_PIXELS // 10**6} million; {AGAIN}",
        )
    if not whole:
        raise InputError("the image is cut off", where=shown(path), mend=AGAIN)
    return width, height


def _decoded(path: Path, flag: int) -> NDArray[np.generic]:
    measure_image(path)
    try:
        image = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), flag)
    except cv2.error:
        image = None
    if image is None:
        raise InputError("not an image that OpenCV can read", where=shown(path), mend=AGAIN)
    return np.asarray(image)


def _measure(file: BinaryIO, size: int) -> tuple[int, int] | None:
    head = file.read(32)
    if head.startswith(PNG):
        width, height = struct.unpack(">II", head[16:24])
        return width, height
    if head.startswith(BMP):
        width, height = struct.unpack("<ii", head[18:26])
        return width, abs(height)  # rows may run from the top
    if head.startswith(JPEG):
        return next(_jpeg_sizes(file, size))
    return None


def _jpeg_sizes(file: BinaryIO, size: int) -> Iterator[tuple[int, int]]:
    """Width and height of each frame header on the way through the segments."""
    at = 2
    while at < size:
        file.seek(at)
        mark, kind, length = struct.unpack(">BBH", file.read(4))
        if mark != 0xFF:
            return
        if kind in SIZES_OF_JPEG:
            height, width = struct.unpack(">xHH", file.read(5))
            yield width, height
        at += 1 if kind == 0xFF else 2 + length  # a marker may be padded


def _is_whole(file: BinaryIO, size: int) -> bool:
    """Whether the last mark of the format is where it must be."""
    file.seek(0)
    head = file.read(8)
    file.seek(max(0, size - END_BYTES))
    end = file.read()
    if head.startswith(PNG):
        return b"IEND" in end
    if head.startswith(JPEG):
        return b"\xff\xd9" in end
    return bool(size >= struct.unpack("<I", head[2:6])[0])
