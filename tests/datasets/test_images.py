"""Files that are no frames. `write_unfit` serves the test of the command line as well."""

import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest

from hmrm_lab.datasets.images import read_rgb
from hmrm_lab.errors import InputError

NOISE = np.random.default_rng(0).integers(0, 256, (32, 40, 3), dtype=np.uint8)


def encoded(suffix: str, image: np.ndarray = NOISE) -> bytes:
    return cv2.imencode(suffix, image)[1].tobytes()


def png_of(width: int, height: int) -> bytes:
    """A PNG that announces this size and holds no pixel."""

    def chunk(name: bytes, data: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(name + data))
        return struct.pack(">I", len(data)) + name + data + check

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def jpeg_of(width: int, height: int) -> bytes:
    content = encoded(".jpg")
    size = content.index(b"\xff\xc0") + 5
    return content[:size] + struct.pack(">HH", height, width) + content[size + 4 :]


def bmp_of(width: int, height: int) -> bytes:
    content = encoded(".bmp")
    return content[:18] + struct.pack("<ii", width, height) + content[26:]


UNFIT = {
    "grey.png": (encoded(".png", NOISE[..., 0]), "a grey image (one channel); save it as RGB"),
    "grey.jpg": (encoded(".jpg", NOISE[..., 0]), "a grey image (one channel)"),
    "alpha.png": (encoded(".png", np.dstack([NOISE, NOISE[..., :1]])), "an alpha channel"),
    "deep.png": (encoded(".png", NOISE.astype(np.uint16)), "a 16-bit image; save it as RGB with 8"),
    "float.tiff": (
        encoded(".tiff", np.full((32, 32, 3), np.nan, np.float32)),
        "not a PNG, JPEG or BMP image",
    ),
    "text.png": (b"text", "not a PNG, JPEG or BMP image"),
    "empty.png": (b"", "an empty file"),
    "huge.png": (png_of(100_000, 100_000), "claims 100000x100000 pixels"),
    "large.png": (png_of(30_000, 30_000), "claims 30000x30000 pixels"),
    "huge.jpg": (jpeg_of(60_000, 50_000), "claims 60000x50000 pixels"),
    "huge.bmp": (bmp_of(100_000, -100_000), "claims 100000x100000 pixels"),
    "hollow.png": (png_of(32, 32), "not an image that OpenCV can read"),
    **{
        f"cut{share}{suffix}": (
            encoded(suffix)[: len(encoded(suffix)) * share // 100],
            "cut off; copy the file again",
        )
        for suffix in (".png", ".jpg", ".bmp")
        for share in (30, 60, 99)
    },
}


def write_unfit(folder: Path, name: str) -> str:
    """Write the file, and return what shall be said of it."""
    content, words = UNFIT[name]
    (folder / name).write_bytes(content)
    return words


@pytest.mark.parametrize("name", UNFIT)
def test_each_is_one_sentence_that_names_the_file(tmp_path: Path, name: str) -> None:
    words = write_unfit(tmp_path, name)
    with pytest.raises(InputError) as caught:
        read_rgb(tmp_path / name)
    assert words in str(caught.value)
    assert str(caught.value).startswith(f"{tmp_path / name}: ")
    assert "\n" not in str(caught.value)


def test_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="no such frame"):
        read_rgb(tmp_path / "absent.png")
    with pytest.raises(InputError, match="a folder, not an image"):
        read_rgb(tmp_path)
    (tmp_path / "film.avi").write_bytes(b"0" * 100)
    monkeypatch.setattr("hmrm_lab.datasets.images.LARGEST_BYTES", 99)
    with pytest.raises(InputError, match="are no frame"):
        read_rgb(tmp_path / "film.avi")


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp"])
def test_sound_files_are_read_as_rgb(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"frame{suffix}"
    path.write_bytes(encoded(suffix))
    image = read_rgb(path)
    expected = cv2.imdecode(np.frombuffer(encoded(suffix), np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
    assert image.dtype == np.uint8
    assert (image == expected).all()


def test_a_jpeg_with_something_behind_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "frame.jpg"
    path.write_bytes(encoded(".jpg") + b"a note of the camera")
    assert read_rgb(path).shape == NOISE.shape
