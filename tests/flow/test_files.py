from pathlib import Path

import cv2
import numpy as np
import pytest

from hmrm_lab.datasets.flow_pairs.stored import read_flow, write_flow
from hmrm_lab.errors import InputError


def field(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 3, (2, 5, 7)).astype(np.float32)


def test_round_trip_and_invalid_pixels(tmp_path: Path) -> None:
    for suffix, error_px in ((".flo", 0), (".pfm", 0), (".png", 1 / 128)):
        file = tmp_path / f"flow{suffix}"
        write_flow(file, field())
        assert np.abs(read_flow(file) - field()).max() <= error_px
    image = cv2.imread(str(file), cv2.IMREAD_UNCHANGED)
    image[2, 3, 0] = 0
    cv2.imwrite(str(file), image)
    assert np.isnan(read_flow(file)[:, 2, 3]).all() and np.isnan(read_flow(file)).sum() == 2


def test_flo_bytes_are_middleburys(tmp_path: Path) -> None:
    """By the published layout: magic, width, height, then (u, v) pixel by pixel, row by row."""
    file = tmp_path / "a.flo"
    flow_px = np.zeros((2, 2, 3), np.float32)
    flow_px[:, 0, 1] = 1.5, -2.0
    write_flow(file, flow_px)
    content = file.read_bytes()
    assert np.frombuffer(content[:4], "<f4")[0] == 202021.25
    assert np.frombuffer(content[4:12], "<i4").tolist() == [3, 2]
    assert np.frombuffer(content[12:], "<f4")[2:4].tolist() == [1.5, -2.0]


def test_pfm_is_read_from_the_bottom_in_either_byte_order(tmp_path: Path) -> None:
    rows = np.arange(12, dtype=np.float32).reshape(2, 2, 3)
    for scale, kind in (("-1.0", "<f4"), ("1.0", ">f4")):
        file = tmp_path / f"a{scale}.pfm"
        file.write_bytes(f"PF\n2 2\n{scale}\n".encode() + rows.astype(kind).tobytes())
        assert (read_flow(file) == rows[::-1, :, :2].transpose(2, 0, 1)).all()


def test_bad_files_are_named(tmp_path: Path) -> None:
    for name, content, words in (
        ("a.flo", b"PIEH", "not a .flo file"),
        ("a.flo", b"PIEH" + np.array([3, 2], "<i4").tobytes() + b"12", "cut off"),
        ("a.flo", b"PIEH" + np.array([-3, 2], "<i4").tobytes(), "claims -3x2"),
        ("a.flo", b"PIEH" + np.array([2**30, 2**30], "<i4").tobytes(), "claims 1073741824"),
        ("a.pfm", b"PF\n2 2\n-1.0\n", "cut off"),
        ("a.pfm", b"Pf\n1 1\n-1.0\nabcd", "three channels"),
        ("a.pfm", b"P", "not a .pfm file"),
        ("a.png", b"\x89PNG", "16-bit RGB"),
        ("a.tif", b"", "unknown flow file"),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match=words) as caught:
            read_flow(tmp_path / name)
        assert name in str(caught.value)
    with pytest.raises(InputError, match="no such file"):
        read_flow(tmp_path / "b.flo")
    with pytest.raises(InputError, match=r"use \.flo, \.pfm or \.png"):
        write_flow(tmp_path / "a.npy", field())
