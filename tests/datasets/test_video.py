"""Recordings of one's own: what is read, and one sentence for each that cannot be."""

import os
import struct
import tomllib
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import refusal

from hmrm_lab.datasets import video as video_module
from hmrm_lab.datasets.video import open_recording
from hmrm_lab.datasets.walking import order_frames
from hmrm_lab.errors import InputError
from hmrm_lab.studies.prepare import recording_clip

refused = partial(refusal, open_recording)


def drawn(number: int, side: int = 64) -> np.ndarray:
    """A smooth picture that codecs keep, of a level that tells which frame it is. RGB."""
    picture = np.full((side, side, 3), 8 * number, np.uint8)
    picture[: side // 2, :, 0] = 255 - 8 * number
    return picture


def write_video(path: Path, frames: list[np.ndarray], codec: str = "MJPG", fps: float = 25) -> Path:
    size = frames[0].shape[1::-1]
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*codec), fps, size)
    if not writer.isOpened():
        pytest.skip(f"no encoder for {codec} here")
    for frame in frames:
        writer.write(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
    writer.release()
    return path


def write_folder(path: Path, frames: list[np.ndarray]) -> Path:
    path.mkdir(parents=True)
    for number, frame in enumerate(frames):
        cv2.imwrite(str(path / f"img{number}.png"), frame[..., ::-1])
    return path


VIDEOS = {
    "motion_jpeg.avi": "MJPG",
    **dict.fromkeys(("mpeg4.mp4", "quicktime.mov", "phone.3gp"), "mp4v"),
    "lossless.mkv": "FFV1",
    "vp9.webm": "VP90",
    "hidden_packets.webm": "VP80",
    **dict.fromkeys(("h264.mp4", "hevc.mov"), ""),  # which OpenCV cannot write: they lie here
}


def test_a_video_comes_back_frame_by_frame(tmp_path: Path) -> None:
    frames = [drawn(number % 32) for number in range(70)]
    for name, codec in VIDEOS.items():
        path = tmp_path / name
        film = write_video(path, frames, codec) if codec else Path(__file__).with_name(name)
        path.write_bytes(film.read_bytes() + (b"" if name.endswith(("avi", "3gp")) else bytes(9)))
        recording = open_recording(path)
        assert len(recording.frames) == 70, name
        assert recording.fps == pytest.approx(25)
        for number in (0, 5, 69, 3, 3, 60, 10, 68, 1):  # forwards, backwards, twice, far
            seen = recording.frames[number].astype(int)
            assert np.abs(seen - frames[number]).mean() < 8, (name, number)
        assert (recording.frames[-1] == recording.frames[69]).all()
        with pytest.raises(IndexError):
            recording.frames[70]
        assert len({recording.frames.identity(number) for number in range(70)}) == 70


def slower(film: bytes, count: int) -> bytes:
    """An MP4 of OpenCV whose frames after `count` are shown three times as long."""
    at = film.rindex(b"stts") - 4
    size, total, ticks = (struct.unpack(">I", film[at + k : at + k + 4])[0] for k in (0, 16, 20))
    rates = struct.pack(">IIIII", 2, count, ticks, total - count, 3 * ticks)
    changed = bytearray(film[:at] + struct.pack(">I8s", size + 8, film[at + 4 : at + 12]) + rates)
    changed += film[at + size :]
    for name in (b"moov", b"trak", b"mdia", b"minf", b"stbl"):  # the boxes around it
        place = changed.rindex(name) - 4
        (size,) = struct.unpack(">I", changed[place : place + 4])
        changed[place : place + 4] = struct.pack(">I", size + 8)
    return bytes(changed)


def test_frames_of_a_varying_rate_are_those_of_their_numbers(tmp_path: Path) -> None:
    frames = [drawn(number * 7 % 32) for number in range(400)]
    path = write_video(tmp_path / "phone.mp4", frames, "mp4v")
    path.write_bytes(slower(path.read_bytes(), 300))
    recording = open_recording(path)
    assert 300 < len(recording.frames) < 400  # an edit list ends the film where it did
    assert recording.fps < 25
    for number in (0, 310, 290, 301, 150, len(recording.frames) - 1):
        assert np.abs(recording.frames[number].astype(int) - frames[number]).mean() < 8, number


def test_a_codec_that_this_opencv_lacks_is_named() -> None:
    words = "this OpenCV cannot decode AV1; convert it with `ffmpeg "
    assert words in refused(Path(__file__).with_name("av1.mp4"))


def test_frames_are_in_the_order_of_their_names() -> None:
    table = Path(__file__).with_name("frame_names.toml").read_text(encoding="utf-8")
    known = tomllib.loads(table)
    for names in known["orders"]:
        expected = names.removeprefix("+").split("|" if "|" in names else " ")
        paths, note = order_frames([Path(f"{name}.png") for name in reversed(expected)])
        assert [path.stem for path in paths] == expected
        assert bool(note) == names.startswith("+"), names
    for names, words in known["no_order"].items():
        with pytest.raises(InputError, match=words):
            order_frames([Path(f"{name}.png") for name in names.split()])


def test_frames_that_are_links_are_read_on_request(tmp_path: Path) -> None:
    elsewhere = write_folder(tmp_path / "disk", [drawn(0), drawn(1)])
    (tmp_path / "clip").mkdir()
    for path in elsewhere.iterdir():
        (tmp_path / "clip" / path.name).symlink_to(path)
    assert "img0.png; copy the image, or add --follow-links" in refused(tmp_path / "clip")
    assert len(open_recording(tmp_path / "clip", follow_links=True).frames) == 2


def test_names_that_are_not_utf8_are_read(tmp_path: Path) -> None:
    film = write_video(tmp_path / "film.mp4", [drawn(0)] * 3, "mp4v")
    plain = write_folder(tmp_path / "plain", [drawn(0)] * 3)
    folder = plain.rename(tmp_path / os.fsdecode(b"clip_\xe9"))
    (folder / "img2.png").rename(folder / os.fsdecode(b"im\xe7g2.png"))
    for path in (folder, film.rename(tmp_path / os.fsdecode(b"clip_\xe9.mp4"))):
        assert len(open_recording(path).frames) == 3


def test_what_is_no_recording_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frames = [drawn(number) for number in range(5)]
    one = write_folder(tmp_path / "one", frames[:1])
    sizes = write_folder(tmp_path / "sizes", [*frames[:2], drawn(2, side=32)])
    broken = write_folder(tmp_path / "broken", frames[:2])
    (broken / "img1.png").write_bytes(b"broken")
    (tmp_path / "none").mkdir()
    (tmp_path / "notes.txt").write_text("no video")
    for path, words in (
        (tmp_path / "absent", "no such recording; give a folder"),
        (tmp_path / "notes.txt", "'.txt' is no suffix of a video"),
        (tmp_path / "none", "no frames in it"),
        (one / "img0.png", "one image is no recording"),
        (one, "only one frame"),
        (write_video(tmp_path / "clip.avi", frames[:1]), "only one frame"),
        (broken, "img1.png: not a PNG, JPEG, BMP, TIFF, WebP or PPM image"),
        (sizes, "img2.png: 32x32 pixels, the first frame 64x64"),
    ):
        assert words in refused(path), words
    film = write_video(tmp_path / "b.avi", frames)
    several = write_folder(tmp_path / "b", frames)
    write_folder(tmp_path / "four", frames[:4])
    monkeypatch.setattr(video_module, "MOST_FRAMES", 5)
    assert len(open_recording(film).frames) == len(open_recording(several).frames) == 5
    monkeypatch.setattr(video_module, "MOST_FRAMES", 4)
    for path in (film, several):
        assert "more than 4 frames; name the part" in refused(path)
    monkeypatch.setattr(video_module, "MOST_SEARCHED", 3)
    told = refusal(recording_clip, tmp_path / "four", onset=0)
    assert "4 frames to search; at most 3; name the part" in told
    monkeypatch.setattr(video_module, "MOST_PIXELS", 100)
    assert "frames of 64x64 pixels" in refused(film)


NO_VIDEOS = (
    b"not a video at all",
    b"\x00\x00\x00\x18ftypisom" + bytes(40),
    b"#EXTM3U\n/etc/x",  # a playlist would open other files
    b"RIFF\x00\x10\x00\x00AVI LIST" + bytes(4096),
    b"\x1a\x45\xdf\xa3" + bytes(100),
)


def test_a_file_that_only_bears_the_name_is_refused(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "clip.mp4"
    for content in NO_VIDEOS:
        path.write_bytes(content)
        assert "not a video that OpenCV can read; copy the file again" in refused(path), content
    path.write_bytes(b"")
    assert "an empty file" in refused(path)
    write_video(path, [drawn(number) for number in range(32)], "mp4v")
    os.truncate(path, path.stat().st_size // 3)
    assert str(path) in refused(path), "cut off"
    assert capfd.readouterr().err == ""
