"""The faces of a clip, with a record of what was used where none was detected."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import pandas as pd

from hmrm_lab.errors import InputError
from hmrm_lab.faces.face import Face, FaceProvider, box_around
from hmrm_lab.faces.template import face_in_frame
from hmrm_lab.records import Frames, LandmarkedFrames

EXACT = "exact"


@dataclass(frozen=True, eq=False)
class FaceTrack:
    """A face for each frame that was looked at.

    Parameters
    ----------
    faces
        By frame number, in ascending order.
    """

    faces: dict[int, Face]

    def __getitem__(self, frame: int) -> Face:
        if frame not in self.faces:
            raise KeyError(f"the face of frame {frame} was not looked for")
        return self.faces[frame]

    def report(self) -> pd.DataFrame:
        """One row per frame: frame, provider, fallback, from_frame, score."""
        rows = [
            (frame, face.provider, face.fallback, face.from_frame, face.score)
            for frame, face in self.faces.items()
        ]
        table = pd.DataFrame(rows, columns=["frame", "provider", "fallback", "from_frame", "score"])
        return table.astype({"from_frame": "Int64"})

    def counts(self) -> dict[str, int]:
        """How many frames were detected (`none`), taken over, or given the mean face."""
        found = Counter(face.fallback for face in self.faces.values())
        return {
            "none": found["none"],
            "neighbour": found["neighbour"],
            "template": found["template"],
        }


def find_faces(
    frames: Frames, provider: FaceProvider, *, only: Iterable[int] | None = None
) -> FaceTrack:
    """The face of every frame, or of `only` these.

    A frame without a detected face takes that of the nearest frame that has one, the earlier of
    two equally near; if no frame has one, all take the mean face in the middle of the frame. Each
    `Face` says which it was.

    Raises
    ------
    InputError
        If there is no frame to look at.
    """
    numbers = range(len(frames)) if only is None else sorted(set(only))
    if not numbers:
        raise InputError("a clip without frames", mend="leave the clip out")
    seen: dict[int, Face | None] = {}
    sizes: dict[int, tuple[int, int]] = {}
    for number in numbers:
        frame = frames[number]
        sizes[number] = (frame.shape[0], frame.shape[1])
        seen[number] = provider(frame)
    detected = {n: face for n, face in seen.items() if face is not None}
    track: dict[int, Face] = {}
    for number, face in seen.items():
        if face is not None:
            track[number] = face
        elif detected:
            nearest = min(detected, key=lambda other: (abs(other - number), other))
            track[number] = detected[nearest].taken_from(nearest)
        else:
            track[number] = face_in_frame(*sizes[number])
    return FaceTrack(track)


def known_faces(frames: LandmarkedFrames, numbers: Iterable[int]) -> FaceTrack:
    """The faces of these frames by the landmarks that they bring, under the provider `exact`."""
    faces = {}
    for number in sorted(set(numbers)):
        points = frames.landmarks(number)
        faces[number] = Face(box_around(points), points, 1.0, EXACT)
    return FaceTrack(faces)
