"""Alignment: one affine map for a whole clip, from its onset frame to the canonical crop.

A transform of each frame's own would put the detector's jitter into the motion: about .6 pixels
a frame on the built-in faces, whose expressions peak at 1.4 pixels (decision 0010).
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Protocol, runtime_checkable

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hmrm_lab.errors import InputError
from hmrm_lab.faces.face import SMALLEST_SIDE, Face, FaceProvider, box_around, five_points
from hmrm_lab.faces.landmarks import (
    CROP_PX,
    Affine,
    dense_landmarks,
    face_in_frame,
    fit_upright,
    mean_face,
)
from hmrm_lab.records import Clip, Floats, Frames, KnownMotion, LandmarkedFrames

EXACT = "exact"
AROUND = 0.5  # of a face's size, on every side of it: where the next frame is searched first
FOLLOWED_PX = 240  # the larger side of this part, reduced; the face itself has half of it


@dataclass(frozen=True, eq=False)
class FaceTrack:
    """A face for each frame that was looked at.

    Parameters
    ----------
    faces
        By frame number, in ascending order.
    missing
        The frames that show no face.
    """

    faces: dict[int, Face]
    missing: frozenset[int] = frozenset()

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


def find_face(
    frame: NDArray[np.uint8], provider: FaceProvider, *, near: Face | None = None, number: int = 0
) -> Face | None:
    """The face of a frame, or None.

    Parameters
    ----------
    near
        The same person's face in another frame: the place round it is searched first, and of
        several faces elsewhere the nearest is taken.
    number
        Which face, counted from the left of the picture from 1; 0 leaves it to the provider.

    Raises
    ------
    InputError
        If there are fewer faces than `number`.
    """
    followed = near is not None and near.fallback == "none"
    face = _around(frame, provider, near) if near is not None and followed else None
    if face is not None:
        return face
    found = provider(frame)
    if found is None:
        return None
    faces = found.all_faces
    if near is not None and followed:
        there = near.five().mean(axis=0)
        found = min(faces, key=lambda face: np.linalg.norm(face.five().mean(axis=0) - there))
    elif number > len(faces):
        raise InputError(
            f"face {number} is asked for, and the frame shows {len(faces)}",
            mend="count the faces from the left, from 1",
        )
    elif number:
        found = faces[number - 1]
    return replace(found, others=tuple(face for face in faces if face is not found))


def _around(frame: NDArray[np.uint8], provider: FaceProvider, near: Face) -> Face | None:
    """The face in the part of the frame round another frame's face, reduced if it is large."""
    reach = AROUND * float((near.box[2:] - near.box[:2]).max())
    low = np.floor(near.box[:2] - reach).astype(int).clip(0)
    high = np.ceil(near.box[2:] + reach).astype(int).clip(max=(frame.shape[1], frame.shape[0]))
    part = frame[low[1] : high[1], low[0] : high[0]]
    if min(part.shape[:2]) < SMALLEST_SIDE or part.shape == frame.shape:
        return None
    scale = min(1.0, FOLLOWED_PX / max(part.shape[:2]))
    width, height = (max(round(scale * side), SMALLEST_SIDE) for side in part.shape[1::-1])
    small = cv2.resize(part, (width, height), interpolation=cv2.INTER_AREA)
    face = provider(np.asarray(small, dtype=np.uint8))
    zoom = np.array([width / part.shape[1], height / part.shape[0]], dtype=np.float32)
    return replace(face, others=()).placed(zoom, low.astype(np.float32)) if face else None


def find_faces(
    frames: Frames, provider: FaceProvider, *, only: Iterable[int] | None = None, number: int = 0
) -> FaceTrack:
    """The face of every frame, or of `only` these, followed from one frame to the next.

    A frame without a detected face takes that of the nearest frame that has one, the earlier of
    two equally near; if no frame has one, all take the mean face in the middle of the frame. Each
    `Face` says which it was.

    Parameters
    ----------
    number
        Which face of the first frame that shows one; see `find_face`.

    Raises
    ------
    InputError
        If there is no frame to look at, or that frame shows fewer faces.
    """
    indices = range(len(frames)) if only is None else sorted(set(only))
    if not indices:
        raise InputError("a clip without frames", mend="leave the clip out")
    seen: dict[int, Face | None] = {}
    sizes: dict[int, tuple[int, int]] = {}
    last: Face | None = None
    for index in indices:
        frame = frames[index]
        sizes[index] = (frame.shape[0], frame.shape[1])
        seen[index] = find_face(frame, provider, near=last, number=number)
        last = seen[index] or last
    detected = {n: face for n, face in seen.items() if face is not None}
    track: dict[int, Face] = {}
    for index, face in seen.items():
        if face is not None:
            track[index] = face
        elif detected:
            nearest = min(detected, key=lambda other: (abs(other - index), other))
            track[index] = detected[nearest].taken_from(nearest)
        else:
            track[index] = face_in_frame(*sizes[index])
    return FaceTrack(track, frozenset(seen) - frozenset(detected))


def known_faces(frames: LandmarkedFrames, numbers: Iterable[int]) -> FaceTrack:
    """The faces of these frames by the landmarks that they bring, under the provider `exact`."""
    faces = {}
    for number in sorted(set(numbers)):
        points = frames.landmarks(number)
        faces[number] = Face(box_around(points), points, 1.0, EXACT)
    return FaceTrack(faces)


@runtime_checkable
class FramesWithin(Protocol):
    """Frames in a crop that may reach beyond the recording: what lies inside it, (H, W) bool."""

    def inside(self) -> NDArray[np.bool_]: ...


@dataclass(frozen=True, eq=False)
class AlignedFrames:
    """Frames cut out and turned upright when asked for, with the landmarks carried along.

    Without a track the frames bring landmarks of their own. All are of the onset's size.

    Shapes
    ------
    aligned[i] : (size, size, 3) uint8, RGB
    """

    frames: Frames
    to_crop: Affine
    track: FaceTrack | None = None
    size_px: int = CROP_PX
    onset: int = 0

    def __len__(self) -> int:
        return len(self.frames)

    def __getitem__(self, index: int, /) -> NDArray[np.uint8]:
        return warp(self.frames[index], self.to_crop, self.size_px)

    def landmarks(self, index: int) -> Floats:
        """The 68 landmarks of a frame, in pixels of the crop: (68, 2).

        Raises
        ------
        KeyError
            If this frame's face was not looked for.
        """
        number = range(len(self))[index]
        if self.track is not None:
            return self.to_crop.points(dense_landmarks(self.track[number]))
        assert isinstance(self.frames, LandmarkedFrames)
        return self.to_crop.points(self.frames.landmarks(number))

    def inside(self) -> NDArray[np.bool_]:
        """Which pixels of the crop the recording shows: (size, size)."""
        return self._inside

    @cached_property
    def _inside(self) -> NDArray[np.bool_]:
        shown = np.full(self.frames[self.onset].shape[:2], 255, dtype=np.uint8)
        size = (self.size_px, self.size_px)
        crop = cv2.warpAffine(shown, self.to_crop.matrix(), size, flags=cv2.INTER_LINEAR)
        return np.asarray(crop > 127)


class AlignedKnownFrames(AlignedFrames):
    """Aligned frames that were drawn."""

    def flow(self, source: int, target: int) -> Floats:
        """The exact flow from one frame to another: (2, size, size) float32, pixels of the crop."""
        assert isinstance(self.frames, KnownMotion)
        flow = self.frames.flow(source, target).transpose(1, 2, 0) @ self.to_crop.linear.T
        return self._crop(flow).transpose(2, 0, 1)

    def clean(self, index: int) -> Floats:
        """A frame before the sensor: (size, size, 3) float32, RGB in levels of 0..255."""
        assert isinstance(self.frames, KnownMotion)
        return self._crop(self.frames.clean(index))

    def _crop(self, values: NDArray[np.floating]) -> Floats:
        size, matrix = (self.size_px, self.size_px), self.to_crop.matrix()
        crop = cv2.warpAffine(
            values.astype(np.float32),
            matrix,
            size,
            flags=cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE,
        )
        return np.asarray(crop, dtype=np.float32)


def crop_map(face: Face, size_px: int = CROP_PX) -> Affine:
    """From the frame to the canonical crop, by the eyes and the corners of the mouth."""
    return fit_upright(face.five(), five_points(mean_face(size_px)))


def align_clip(clip: Clip, track: FaceTrack, size_px: int = CROP_PX) -> Clip:
    """The clip in the canonical crop of its onset frame's face.

    Parameters
    ----------
    track
        Faces of the clip, the onset's among them; see `track.find_faces`.
    """
    to_crop = crop_map(track[clip.onset], size_px)
    return replace(clip, frames=AlignedFrames(clip.frames, to_crop, track, size_px, clip.onset))


def align_known(clip: Clip, size_px: int = CROP_PX) -> Clip:
    """A clip that brings its landmarks in the canonical crop of its onset's face."""
    assert isinstance(clip.frames, LandmarkedFrames)
    to_crop = crop_map(known_faces(clip.frames, [clip.onset])[clip.onset], size_px)
    kind = AlignedKnownFrames if isinstance(clip.frames, KnownMotion) else AlignedFrames
    return replace(clip, frames=kind(clip.frames, to_crop, None, size_px, clip.onset))


def warp(frame: NDArray[np.uint8], to_crop: Affine, size_px: int = CROP_PX) -> NDArray[np.uint8]:
    """The crop of a frame: (H, W, 3) to (size, size, 3). Beyond the frame its border repeats.

    A frame that shrinks is blurred first, by what keeps fine skin from turning into moire.
    """
    if to_crop.scale < 1:
        sigma = 0.5 * float(np.sqrt(to_crop.scale**-2 - 1))
        frame = cv2.GaussianBlur(frame, (0, 0), sigma) if sigma > 0.1 else frame
    return cv2.warpAffine(
        frame,
        to_crop.matrix(),
        (size_px, size_px),
        flags=cv2.INTER_CUBIC,
        borderMode=cv2.BORDER_REPLICATE,
    )
