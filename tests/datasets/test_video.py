"""Recordings of one's own: what is read, and one sentence for each that cannot be."""

from pathlib import Path

import cv2
import numpy as np
import pytest

import hmrm_lab.datasets.video as video_module
from hmrm_lab.datasets.video import open_recording
from hmrm_lab.errors import InputError

SIDE = 64


def drawn(number: int, side: int = SIDE) -> np.ndarray:
    """A smooth picture that codecs keep, of a level that tells which frame it is. RGB."""
    picture = np.full((side, side, 3), 8 * number, np.uint8)
    picture[: side // 2, :, 0] = 255 - 8 * number
    return picture


def write_video(path: Path, frames: list[np.ndarray], codec: str = "MJPG") -> Path:
    size = frames[0].shape[1::-1]
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*codec), 25, size)
    if not writer.isOpened():
        pytest.skip(f"no encoder for {codec} here")
    for frame in frames:
        writer.write(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
    writer.release()
    return path


def write_folder(path: Path, frames: list[np.ndarray]) -> Path:
    path.mkdir(parents=True)
    for number, frame in enumerate(frames):
        cv2.imwrite(str(path / f"img{number}.png"), cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
    return path


@pytest.mark.parametrize(("suffix", "codec"), [(".avi", "MJPG"), (".mp4", "mp4v")])
def test_a_video_comes_back_frame_by_frame(suffix: str, codec: str, tmp_path: Path) -> None:
    frames = [drawn(number) for number in range(12)]
    recording = open_recording(write_video(tmp_path / f"clip{suffix}", frames, codec))
    assert len(recording.frames) == 12
    assert recording.fps == pytest.approx(25)
    for number in (0, 5, 11, 3, 3, 10):  # forwards, backwards, twice
        seen = recording.frames[number].astype(int)
        assert np.abs(seen - frames[number]).mean() < 5
    assert (recording.frames[-1] == recording.frames[11]).all()
    with pytest.raises(IndexError):
        recording.frames[12]
    marks = {recording.frames.identity(number) for number in range(12)}
    assert len(marks) == 12


def test_a_folder_is_read_in_order_of_its_numbers(tmp_path: Path) -> None:
    frames = [drawn(number) for number in range(12)]
    recording = open_recording(write_folder(tmp_path / "clip", frames))
    assert recording.fps == 0
    assert [int(frame[-1, 0, 0]) for frame in recording.frames] == [8 * n for n in range(12)]


def refusal(path: Path) -> str:
    with pytest.raises(InputError) as caught:
        open_recording(path)
    return str(caught.value)


def test_what_is_no_recording_is_refused(tmp_path: Path) -> None:
    assert "no such recording; give a folder" in refusal(tmp_path / "absent")
    text = tmp_path / "notes.txt"
    text.write_text("no video")
    assert "'.txt' is no suffix of a video" in refusal(text)
    image = write_folder(tmp_path / "one", [drawn(1)]) / "img0.png"
    assert "one image is no recording" in refusal(image)
    assert "only one frame" in refusal(image.parent)
    (tmp_path / "none").mkdir()
    assert "no frames in it" in refusal(tmp_path / "none")


@pytest.mark.parametrize(
    "content", [b"not a video at all", b"\x00\x00\x00\x18ftypisom" + bytes(40), b"#EXTM3U\n/etc/x"]
)
def test_a_file_that_only_bears_the_name_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    path.write_bytes(content)
    assert "not a video that OpenCV can read; copy the file again" in refusal(path)
    path.write_bytes(b"")
    assert "an empty file" in refusal(path)


def test_a_video_of_one_frame_is_refused(tmp_path: Path) -> None:
    assert "only one frame" in refusal(write_video(tmp_path / "clip.avi", [drawn(1)]))


def test_a_video_that_is_cut_off_is_refused(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    frames = [rng.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8) for _ in range(40)]
    path = write_video(tmp_path / "clip.mp4", frames, "mp4v")
    whole = path.read_bytes()
    assert len(open_recording(path).frames) == 40
    path.write_bytes(whole[: len(whole) // 3])
    assert str(path) in refusal(path)


def test_too_many_and_too_large_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(video_module, "MOST_FRAMES", 4)
    frames = [drawn(number) for number in range(5)]
    path = write_video(tmp_path / "clip.avi", frames)
    folder = write_folder(tmp_path / "clip", frames)
    assert "more than 4 frames; name the part" in refusal(path)
    assert "more than 4 frames; name the part" in refusal(folder)
    monkeypatch.setattr(video_module, "MOST_FRAMES", 5)
    assert len(open_recording(path).frames) == len(open_recording(folder).frames) == 5
    monkeypatch.setattr(video_module, "MOST_PIXELS", 100)
    assert "frames of 64x64 pixels" in refusal(path)


def test_frames_of_several_sizes_are_refused(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "clip", [drawn(0), drawn(1), drawn(2, side=32)])
    assert "img2.png: 32x32 pixels, the first frame 64x64" in refusal(folder)


def test_a_folder_that_cannot_be_put_in_order_is_refused(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "clip", [drawn(0), drawn(1)])
    (folder / "img01.png").write_bytes((folder / "img1.png").read_bytes())
    assert "more than one image with the number 1: img1.png" in refusal(folder)
    (folder / "img01.png").rename(folder / "portrait.png")
    assert "an image without a number: portrait.png" in refusal(folder)
    (folder / "portrait.png").unlink()
    (folder / "img1.png").write_bytes(b"broken")
    assert "img1.png: not a PNG, JPEG, BMP, TIFF, WebP or PPM image" in refusal(folder)
