"""Reading pictures upright; their header is checked before they are decoded."""

import io
import os
import re
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from hmrm_lab.datasets.recordings.findings import bad_input, shown

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp", ".ppm")
VIDEO_SUFFIXES = (".mp4", ".m4v", ".mov", ".3gp", ".avi", ".mkv", ".webm")
MOST_PIXELS = 40_000_000
LARGEST_BYTES = 256 * 2**20
END_BYTES = 4096  # how far before the end a file's last mark is looked for first
AGAIN = "copy the file again"

JPEG, JPEG_END, PNG_END = b"\xff\xd8\xff", b"\xff\xd9", b"IEND"
PPM = re.compile(rb"P6\s(?:\s*#[^\n]*\n)*\s*(\d{1,9})\s+(\d{1,9})\s+(\d{1,5})\s")
TIFF = {b"II*\0": "<", b"MM\0*": ">"}  # byte order
SIZES_OF_JPEG = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}  # markers of a frame header
EXIF, SCAN = 0xE1, 0xDA
ANYTHING = b"\xaa" * 4096  # may follow the last pixel of a JPEG
WIDTH, HEIGHT, OFFSETS, ORIENTATION, CHANNELS, COUNTS = 256, 257, 273, 274, 277, 279
Tags = dict[int, tuple[int, ...]]
NUMBERS = {3: "H", 4: "I"}  # TIFF's types of whole numbers
MOST_STRIPS = 2**16


class Header(NamedTuple):
    width: int
    height: int
    whole: bool  # nothing of the file is missing
    alpha: bool = False


@dataclass(frozen=True)
class RecordedFrames:
    """Images of a folder, read when asked for: (H, W, 3) uint8, RGB."""

    paths: tuple[Path, ...]
    note: str = ""  # which order was taken where the names leave several possible

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int, /) -> NDArray[np.uint8]:
        return read_image(self.paths[index])

    def identity(self, index: int) -> str:
        return identity_of(self.paths[index])


def identity_of(path: Path) -> str:
    """Which file this is: its path, its size and when it was written."""
    path = path.resolve()
    if not path.is_file():
        raise bad_input(path, "no such frame", AGAIN)
    state = path.stat()
    return f"{shown(path)}:{state.st_size}:{state.st_mtime_ns}"


def read_image(path: Path) -> NDArray[np.uint8]:
    """Read a picture as (H, W, 3) uint8, RGB, turned upright as its EXIF data say.

    A grey picture gets three equal channels. It is an `InputError` if the picture is missing,
    damaged, too large, partly transparent, or of other than 8 bits per channel: which levels are to
    be kept cannot be guessed.
    """
    header = _look(path)
    content = path.read_bytes()
    if content.startswith(JPEG):
        content = _ended(content)
    image = decode(content, cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH)
    if image is None:
        raise bad_input(path, "not an image that OpenCV can read", AGAIN)
    if image.dtype != np.uint8:
        problem = f"a {8 * image.dtype.itemsize}-bit image"
        raise bad_input(path, problem, "save it with 8 bits per channel")
    every = decode(content, cv2.IMREAD_UNCHANGED) if header.alpha else None
    if every is not None and every.shape[2:] == (4,) and every[..., 3].min() < 255:
        raise bad_input(path, "partly transparent", "save it without an alpha channel")
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), dtype=np.uint8)


def measure_image(path: Path) -> tuple[int, int]:
    """Width and height in pixels, from the header; the end of the file is checked as well."""
    header = _look(path)
    return header.width, header.height


def _look(path: Path) -> Header:
    if path.is_dir():
        raise bad_input(path, "a folder, not an image", "name one frame of it")
    if not path.is_file():
        raise bad_input(path, "no such frame", AGAIN)
    size = path.stat().st_size
    if size == 0:
        raise bad_input(path, "an empty file", AGAIN)
    if size > LARGEST_BYTES:
        raise bad_input(path, f"{size / 2**20:.0f} MiB are no frame", AGAIN)
    with path.open("rb") as file:
        head = file.read(8)
        read = next((read for mark, read in FORMATS.items() if head.startswith(mark)), None)
        try:
            header = read(file, size) if read else None
        except (struct.error, KeyError, ValueError):
            header = None
    if header is None:
        raise bad_input(path, "not a PNG, JPEG, BMP, TIFF, WebP or PPM image", AGAIN)
    if not _bounded(header.width, header.height):
        problem = f"its header claims {header.width}x{header.height} pixels"
        hint = f"frames have at most {MOST_PIXELS // 10**6} million; {AGAIN}"
        raise bad_input(path, problem, hint)
    if not header.whole:
        raise bad_input(path, "the image is cut off", AGAIN)
    return header


def _bounded(width: int, height: int) -> bool:
    return width > 0 and height > 0 and width * height <= MOST_PIXELS


@contextmanager
def quiet() -> Iterator[None]:
    """Keep back OpenCV's own messages: the error says it in one sentence."""
    level = cv2.utils.logging.getLogLevel()
    cv2.utils.logging.setLogLevel(0)
    try:
        yield
    finally:
        cv2.utils.logging.setLogLevel(level)


def decode(content: bytes, flag: int) -> NDArray[Any] | None:
    """A picture by OpenCV, whose flag says how; None if it cannot read it."""
    try:
        with quiet():
            image = cv2.imdecode(np.frombuffer(content, np.uint8), flag)
    except cv2.error:
        return None
    return None if image is None else np.asarray(image)


def _png(file: BinaryIO, size: int) -> Header:
    width, height, kind = struct.unpack(">IIxB", _at(file, 16, 10))
    return Header(width, height, _has(file, size, PNG_END, 24), kind in (4, 6))


def _ppm(file: BinaryIO, size: int) -> Header | None:
    found = PPM.match(_at(file, 0, 256))
    if found is None:
        return None
    width, height, most = map(int, found.groups())
    return Header(width, height, size >= found.end() + width * height * (6 if most > 255 else 3))


def _bmp(file: BinaryIO, size: int) -> Header:
    """What the file claims to be long may be wrong; its rows, maybe from the top, must be there."""
    claimed, start, width, height, bits, packed = struct.unpack("<2xI4xI4xii2xHI", _at(file, 0, 34))
    needed = start + (width * bits + 31) // 32 * 4 * abs(height)
    return Header(width, abs(height), size >= (claimed if packed in (1, 2) else needed))


def _webp(file: BinaryIO, size: int) -> Header | None:
    head = _at(file, 0, 32)
    if head[8:12] != b"WEBP":
        return None
    kind, whole = head[12:16], size >= 8 + int.from_bytes(head[4:8], "little")
    if kind == b"VP8 ":
        width, height = struct.unpack("<HH", head[26:30])
        return Header(width & 0x3FFF, height & 0x3FFF, whole)
    if kind == b"VP8L":
        (bits,) = struct.unpack("<I", head[21:25])
        return Header((bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1, whole, bool(bits >> 28 & 1))
    width, height = (int.from_bytes(head[at : at + 3], "little") + 1 for at in (24, 27))
    return Header(width, height, whole, bool(head[20] & 0x10))


def _tiff(file: BinaryIO, size: int) -> Header | None:
    tags = _tags(file)
    (width,), (height,), (channels,) = tags[WIDTH], tags[HEIGHT], tags.get(CHANNELS, (1,))
    if channels > 4:
        return None
    strips = zip(tags.get(OFFSETS, ()), tags.get(COUNTS, ()), strict=False)
    whole = all(start + count <= size for start, count in strips)
    return Header(*_turned(width, height, tags), whole, channels in (2, 4))


def _jpeg(file: BinaryIO, size: int) -> Header | None:
    """The frame header and the orientation, on the way through the segments to the pixels.

    Damaged EXIF data are none: a picture can do without.
    """
    at, sides, tags = 2, None, Tags()
    while len(mark := _at(file, at, 4)) == 4 and mark[0] == 0xFF and mark[1] != SCAN:
        if mark[1] == 0xFF:  # a marker may be padded
            at += 1
            continue
        (length,) = struct.unpack(">H", mark[2:])
        if mark[1] in SIZES_OF_JPEG:
            sides = struct.unpack(">xHH", _at(file, at + 4, 5))
        elif mark[1] == EXIF and not tags:
            with suppress(struct.error, KeyError, ValueError):
                tags = _tags(io.BytesIO(_at(file, at + 4, length).removeprefix(b"Exif\0\0")))
        at += 2 + length
    if sides is None:
        return None
    height, width = sides
    whole = mark[1:2] == bytes([SCAN]) and (
        _has(file, size, JPEG_END, at)
        or (_bounded(width, height) and _is_complete(_at(file, 0, size)))
    )
    return Header(*_turned(width, height, tags), whole)


def _turned(width: int, height: int, tags: Tags) -> tuple[int, int]:
    """The sides of a picture once it is upright; orientations from 5 on are quarter turns."""
    return (height, width) if tags.get(ORIENTATION, (1,))[0] in range(5, 9) else (width, height)


def _tags(file: BinaryIO) -> Tags:
    """The whole numbers of the first directory of a TIFF file, or of EXIF data."""
    head = _at(file, 0, 8)
    order = TIFF[head[:4]]
    file.seek(struct.unpack(f"{order}I", head[4:])[0])
    (count,) = struct.unpack(f"{order}H", file.read(2))
    entries = file.read(12 * count)
    found: Tags = {}
    for at in range(0, len(entries) - 11, 12):
        tag, kind, number = struct.unpack(f"{order}HHI", entries[at : at + 8])
        if kind in NUMBERS and number <= MOST_STRIPS:
            form = f"{order}{number}{NUMBERS[kind]}"
            values, length = entries[at + 8 : at + 12], struct.calcsize(form)
            if length > 4:
                values = _at(file, struct.unpack(f"{order}I", values)[0], length)
            found.setdefault(tag, struct.unpack(form, values[:length]))
    return found


def _at(file: BinaryIO, start: int, length: int) -> bytes:
    file.seek(start)
    return file.read(length)


def _has(file: BinaryIO, size: int, mark: bytes, start: int) -> bool:
    """Whether the last mark of a format is there; cameras put films and notes behind it."""
    end = max(start, size - END_BYTES)
    return mark in _at(file, end, END_BYTES) or mark in _at(file, start, size)


def _ended(content: bytes) -> bytes:
    """A JPEG with its last mark, and without the filling behind it."""
    return content.rstrip(b"\0\xff") + JPEG_END


def _is_complete(content: bytes) -> bool:
    """Whether a JPEG without its last mark has all pixels: whatever follows then changes none.

    What its decoder, in C, writes to standard error is kept back.
    """
    cut = _ended(content)[:-2]
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        fillings = (b"", ANYTHING)
        first, second = (decode(cut + one + JPEG_END, cv2.IMREAD_COLOR) for one in fillings)
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
    return first is not None and second is not None and np.array_equal(first, second)


FORMATS = {
    b"\x89PNG\r\n\x1a\n": _png,
    JPEG: _jpeg,
    b"BM": _bmp,
    **dict.fromkeys(TIFF, _tiff),
    b"RIFF": _webp,
    b"P6": _ppm,
}
