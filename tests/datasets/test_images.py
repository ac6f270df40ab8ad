"""Pictures as they go round, and files that are none. `UNFIT` serves other tests as well."""

import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import refusal

from hmrm_lab.datasets import images
from hmrm_lab.datasets.images import measure_image, read_image

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


def with_alpha(opacity: int) -> np.ndarray:
    return np.dstack([NOISE, np.full(NOISE.shape[:2], opacity, np.uint8)])


def tags(orientation: int, order: str = "<", pixels: bytes = b"", width: int = 40) -> bytes:
    """A TIFF file of NOISE's size; its first directory is what EXIF data are as well."""
    entries = [
        *((256, width), (257, 32), (258, 8), (259, 1), (262, 2), (273, 8 + 2 + 9 * 12 + 4)),
        *((274, orientation), (277, 3), (279, NOISE.size)),
    ]
    mark = b"II*\0" if order == "<" else b"MM\0*"
    content = mark + struct.pack(f"{order}IH", 8, len(entries))
    content += b"".join(struct.pack(f"{order}HHII", tag, 4, 1, v) for tag, v in entries)
    return content + bytes(4) + pixels


def turned(orientation: int) -> bytes:
    """A JPEG of a camera that was held this way."""
    content = b"Exif\0\0" + tags(orientation)
    return JPEG[:2] + b"\xff\xe1" + struct.pack(">H", len(content) + 2) + content + JPEG[2:]


JPEG, BMP = encoded(".jpg"), encoded(".bmp")
HUGE_JPEG = b"\xff\xd8\xff\xc0" + struct.pack(">HBHHB", 11, 8, 50_000, 60_000, 1) + bytes(9)
HUGE_BMP = BMP[:18] + struct.pack("<ii", 100_000, -100_000) + BMP[26:]
WEBP = b"RIFF\x16\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0"
PROGRESSIVE = cv2.imencode(".jpg", NOISE, [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])[1].tobytes()
FILM = b"\0\0\0\x18ftypmp42" + bytes(range(200)) * 100
RGB = NOISE[..., ::-1]
BY_JPEG = cv2.imdecode(np.frombuffer(JPEG, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
GREY = np.repeat(NOISE[..., :1], 3, axis=2)

SOUND = {
    "plain.jpg": (JPEG, BY_JPEG),
    "motion_photo.jpg": (JPEG + FILM, BY_JPEG),
    "padded.jpg": (JPEG + bytes(10_000), BY_JPEG),
    "two_pictures.jpg": (JPEG + encoded(".jpg", RGB), BY_JPEG),
    "no_end.jpg": (JPEG[:-2], BY_JPEG),
    "progressive.jpg": (PROGRESSIVE, BY_JPEG),
    "damaged_exif.jpg": (JPEG[:2] + b"\xff\xe1\0\x0aExif\0\0II" + JPEG[2:], BY_JPEG),
    "upside_down.jpg": (turned(3), BY_JPEG[::-1, ::-1]),
    "portrait.jpg": (turned(6), np.rot90(BY_JPEG, -1)),
    "two_too_large.bmp": (BMP[:2] + struct.pack("<I", len(BMP) + 2) + BMP[6:], RGB),
    "plain.png": (encoded(".png"), RGB),
    "PLAIN.TIFF": (encoded(".tiff"), RGB),
    "first_directory.tif": (tags(1, "<", RGB.tobytes()), RGB),
    "motorola.tif": (tags(1, ">", RGB.tobytes()), RGB),
    "portrait.tif": (tags(6, "<", RGB.tobytes()), np.rot90(RGB, -1)),
    "plain.webp": (encoded(".webp"), RGB),
    "remark.ppm": (b"P6\n# a remark\n40 32\n255\n" + RGB.tobytes(), RGB),
    "png_called.jpg": (encoded(".png"), RGB),
    **{f"grey{suffix}": (encoded(suffix, NOISE[..., 0]), GREY) for suffix in (".png", ".bmp")},
}

UNFIT = {
    "alpha.png": (encoded(".png", with_alpha(100)), "partly transparent; save it without"),
    "deep.png": (encoded(".png", NOISE.astype(np.uint16)), "a 16-bit image; save it with 8"),
    "float.tiff": (encoded(".tiff", np.full((32, 32, 3), np.nan, np.float32)), "a 32-bit image"),
    "text.png": (b"text", "not a PNG, JPEG, BMP, TIFF, WebP or PPM image"),
    "sound.webp": (b"RIFF\x24\0\0\0WAVEfmt " + bytes(32), "not a PNG, JPEG"),
    "circular.tif": (b"II*\0" + struct.pack("<IH", 8, 1) + bytes(12), "not a PNG, JPEG"),
    "outside.tif": (b"II*\0" + struct.pack("<I", 2**31), "not a PNG, JPEG"),
    "empty.png": (b"", "an empty file"),
    "huge.png": (png_of(100_000, 100_000), "claims 100000x100000 pixels"),
    "huge.jpg": (HUGE_JPEG, "claims 60000x50000 pixels"),
    "huge.bmp": (HUGE_BMP, "claims 100000x100000 pixels"),
    "huge.ppm": (b"P6 100000 100000 255 ", "claims 100000x100000 pixels"),
    "huge.tif": (tags(1, width=2**30), "claims 1073741824x32 pixels"),
    "huge.webp": (WEBP + b"\xff" * 6, "claims 16777216x16777216"),
    "nothing.ppm": (b"P6 0 5 255 ", "claims 0x5 pixels"),
    "hollow.png": (png_of(32, 32), "not an image that OpenCV can read"),
    "short.tif": (tags(1, "<", RGB.tobytes()[:-5]), "cut off"),
    "film_and_half_a_picture.jpg": (JPEG[:-100] + bytes(4096), "cut off"),
    **{
        f"cut{share}{suffix}": (
            encoded(suffix)[: len(encoded(suffix)) * share // 100],
            "cut off; copy the file again",
        )
        for suffix in (".png", ".jpg", ".bmp", ".webp", ".ppm")
        for share in (30, 60, 99)
    },
}


def write_unfit(folder: Path, name: str) -> str:
    """What shall be said of the file that it writes."""
    content, words = UNFIT[name]
    (folder / name).write_bytes(content)
    return words


def test_unfit_files_are_one_sentence_that_names_them(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    for name in UNFIT:
        words = write_unfit(tmp_path, name)
        sentence = refusal(read_image, tmp_path / name)
        assert words in sentence and sentence.startswith(f"{tmp_path / name}: "), name
        told = capfd.readouterr().err
        assert told == "" or name == "hollow.png"  # of which libpng complains by itself


def test_a_folder_or_a_film_is_no_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "a folder, not an image" in refusal(read_image, tmp_path)
    (tmp_path / "film.avi").write_bytes(b"0" * 100)
    monkeypatch.setattr(images, "LARGEST_BYTES", 99)
    assert "are no frame" in refusal(read_image, tmp_path / "film.avi")


def test_sound_files_are_read_upright_as_rgb(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    for name, (content, expected) in SOUND.items():
        path = tmp_path / name
        path.write_bytes(content)
        image = read_image(path)
        assert image.dtype == np.uint8 and np.array_equal(image, expected), name
        assert measure_image(path) == image.shape[1::-1], name
    assert capfd.readouterr().err == ""
