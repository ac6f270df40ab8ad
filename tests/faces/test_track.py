"""Every way in which a frame without a detected face gets one, and that each is reported."""

from collections.abc import Collection

import numpy as np
import pytest

from hmrm_lab.errors import InputError
from hmrm_lab.faces.align import find_face, find_faces
from hmrm_lab.faces.face import Face, box_around, choose_face
from hmrm_lab.faces.landmarks import face_in_frame, mean_face

NUMBERED = [np.full((100, 140, 3), number, np.uint8) for number in range(9)]


class Blinking:
    """Finds a face, shifted by the frame's number, in these frames only."""

    def __init__(self, seen: Collection[int]) -> None:
        self.seen = seen

    def __call__(self, frame: np.ndarray, /) -> Face | None:
        number = int(frame[0, 0, 0])
        points = mean_face(100) + np.float32(number)
        return Face(box_around(points), points, 0.9, "test") if number in self.seen else None


def test_the_nearest_detected_frame_steps_in() -> None:
    whole = find_faces(NUMBERED[:4], Blinking(range(4)))
    assert whole.counts() == {"none": 4, "neighbour": 0, "template": 0}
    for number in range(4):
        assert np.array_equal(whole[number].points, mean_face(100) + number)
    track = find_faces(NUMBERED, Blinking({2, 6}))
    sources = [track[n].from_frame for n in range(9)]
    assert sources == [2, 2, None, 2, 2, 6, None, 6, 6], "of two equally near, the earlier"
    assert np.array_equal(track[5].points, track[6].points)
    assert track[5].score == 0
    assert track.counts() == {"none": 2, "neighbour": 7, "template": 0}
    report = find_faces(NUMBERED, Blinking({1}), only=[3, 1]).report()
    rows = report[["frame", "provider", "fallback"]].to_numpy().tolist()
    assert rows == [[1, "test", "none"], [3, "test", "neighbour"]]
    assert report["from_frame"].isna().tolist() == [True, False] and report["from_frame"][1] == 1
    with pytest.raises(InputError, match="without frames"):
        find_faces([], Blinking(()))


def test_without_any_detection_the_mean_face_steps_in() -> None:
    track = find_faces(NUMBERED[:3], Blinking(()))
    assert track.counts() == {"none": 0, "neighbour": 0, "template": 3}
    assert np.array_equal(track[1].points, face_in_frame(100, 140).points)
    assert track[1].provider == "template"
    assert track[1].points[:, 0].mean() == pytest.approx(69.5, abs=1)


def face_at(x: float, y: float, size: float, score: float = 1.0) -> Face:
    points = mean_face(100) * np.float32(size) + np.float32([x, y]) - 50 * np.float32(size)
    return Face(box_around(points), points, score, "test")


@pytest.mark.parametrize(
    ("found", "expected", "others"),
    [
        ([face_at(150, 150, 1.0), face_at(450, 150, 1.2)], 1, 1),  # as far out, and larger
        ([face_at(150, 150, 1.0), face_at(350, 150, 1.0)], 1, 1),  # as large, and nearer
        ([face_at(150, 150, 1.2), face_at(350, 150, 0.5)], 0, 0),  # somebody in the background
        ([face_at(300, 150, 1.0, 0.2), face_at(100, 150, 1.0)], 1, 0),  # a pattern, hardly sure
        ([face_at(300, 150, 1.0), face_at(310, 160, 0.9, 0.9)], 0, 0),  # one face found twice
    ],
)
def test_the_largest_face_nearest_the_middle_is_taken(
    found: list[Face], expected: int, others: int
) -> None:
    chosen = choose_face(found, 300, 600)
    assert chosen is not None
    assert np.array_equal(chosen.points, found[expected].points)
    assert len(chosen.others) == others


class Crowd:
    """Two people side by side in frames that are large enough; one is seen in parts of them."""

    def __init__(self) -> None:
        self.widths: list[int] = []

    def __call__(self, frame: np.ndarray, /) -> Face | None:
        height, width = frame.shape[:2]
        self.widths.append(width)
        if width == 600:
            return choose_face([face_at(150, 150, 1.0), face_at(400, 150, 1.1)], height, width)
        return face_at(width / 2, height / 2, 0.5) if frame.any() else None


def test_a_face_is_followed_in_a_part_of_the_frame() -> None:
    crowd, frame = Crowd(), np.full((300, 600, 3), 9, np.uint8)
    for number, x in ((0, 400), (1, 150), (2, 400)):
        first = find_face(frame, crowd, number=number)
        second = find_face(frame, crowd, near=first)
        assert first is not None and second is not None
        assert crowd.widths[-1] < 300
        assert first.five()[:, 0].mean() == pytest.approx(x, abs=3)
        assert second.five()[:, 0].mean() == pytest.approx(x, abs=6)
    nowhere = find_face(frame * 0, crowd, near=face_at(150, 150, 1.0))  # not there: anywhere
    assert nowhere is not None
    assert nowhere.five()[:, 0].mean() == pytest.approx(150, abs=3)
    with pytest.raises(InputError, match="face 3 is asked for, and the frame shows 2"):
        find_face(frame, crowd, number=3)
