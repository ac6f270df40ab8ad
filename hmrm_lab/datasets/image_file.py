"""One frame from an image file, or one sentence that says why the file is none.

What an image announces is read from its first bytes, so that a header of 100000 x 100000 pixels
is refused before anybody takes memory for them.
"""

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from hmrm_lab.errors import InputError

MOST_BYTES = 2**28
MOST_PIXELS = 2**25  # a frame of 8K film has a little less
PNG, JPEG, BMP = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"BM"
KINDS = "give a PNG, JPEG or BMP file"
EIGHT_BIT_RGB = "save it as RGB with 8 bits per channel"
CHANNELS = {1: "a grey image (one channel)", 4: "an image with an alpha channel"}


def read_image(path: Path) -> NDArray[np.uint8]:
    """An 8-bit colour image as (H, W, 3) RGB.

    Raises
    ------
    InputError
        If the file is missing, empty, cut off, too large or no image, or if the image is grey,
        has an alpha channel or has other than 8 bits per channel. Nothing is converted: which
        levels of a 16-bit image are to be kept is not ours to guess.
    """
    content = _read(path)
    width, height = _announced(content)
    if width * height > MOST_PIXELS:
        raise InputError(
            f"an image that announces {width}x{height} pixels",
            where=path,
            mend=f"give a frame of at most {MOST_PIXELS // 10**6} million",
        )
    if not _is_whole(content):
        raise InputError("an image file that is cut off", where=path, mend="copy it again")
    try:
        image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error:
        image = None
    if image is None:
        raise InputError("not a readable image", where=path, mend=KINDS)
    _check_levels(path, image)
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def _read(path: Path) -> bytes:
    if path.is_dir():
        raise InputError("a folder, not an image", where=path, mend="name one frame of it")
    if not path.is_file():
        raise InputError("no such image", where=path, mend="check the path")
    size = path.stat().st_size
    if size == 0:
        raise InputError("an empty file", where=path, mend="copy the image again")
    if size > MOST_BYTES:
        raise InputError(
            f"a file of {size // 10**6} MB, too large for one frame", where=path, mend=KINDS
        )
    return path.read_bytes()


def _announced(content: bytes) -> tuple[int, int]:
    """Width and height as the header has them; (0, 0) where it is of another kind or cut off."""
    if content.startswith(PNG):
        return _big_endian(content[16:20]), _big_endian(content[20:24])
    if content.startswith(BMP):
        width, height = np.frombuffer(content[18:26].ljust(8, b"\0"), "<i4").tolist()
        return abs(width), abs(height)  # a negative height means rows from the top
    if content.startswith(JPEG):
        frame = content[_jpeg_frame(content) :]
        return _big_endian(frame[7:9]), _big_endian(frame[5:7])
    return 0, 0


def _jpeg_frame(content: bytes) -> int:
    """Where the marker lies that tells height and width; the end of the content if nowhere."""
    place = 2
    while place + 4 <= len(content) and content[place] == 0xFF:
        marker = content[place + 1]
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            return place
        padding = marker == 0xFF
        place += 1 if padding else 2 + _big_endian(content[place + 2 : place + 4])
    return len(content)


def _is_whole(content: bytes) -> bool:
    """Whether the end is there: some decoders fill in what a cut-off file lacks."""
    if content.startswith(PNG):
        return b"IEND" in content[-16:]
    if content.startswith(BMP):
        return len(content) >= int.from_bytes(content[2:6], "little")
    if content.startswith(JPEG):
        return b"\xff\xd9" in content[_jpeg_frame(content) :]  # a thumbnail lies before it
    return True


def _check_levels(path: Path, image: NDArray[np.generic]) -> None:
    if np.issubdtype(image.dtype, np.floating):
        problem = "an image of floating-point levels"
    elif image.dtype != np.uint8:
        problem = f"a {8 * image.dtype.itemsize}-bit image"
    else:
        count = 1 if image.ndim == 2 else image.shape[2]
        problem = CHANNELS.get(count, f"an image of {count} channels") if count != 3 else ""
    if problem:
        raise InputError(problem, where=path, mend=EIGHT_BIT_RGB)


def _big_endian(content: bytes) -> int:
    return int.from_bytes(content, "big")
