"""Face tracks and alignment: one affine map for a clip, from its onset to the canonical crop.

A transform of each frame's own would put the detector's jitter into the motion: about .6 pixels
a frame on the built-in faces, whose expressions peak at 1.4 pixels (decision 0010).
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Protocol, get_args, runtime_checkable

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hmrm_lab.errors import InputError
from hmrm_lab.faces.face import SMALLEST_SIDE, Face, FaceProvider, Fallback, box_around, five_points
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
AROUND = 0.5  # of a face's size, on every side: the part of the next frame that is searched first
FOLLOWED_PX = 240  # the larger side of this part, reduced; the face itself has half of it


@dataclass(frozen=True, eq=False)
class FaceTrack:
    """A face for each searched frame, in ascending order; `missing` showed none."""

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
        """Number of frames by fallback: `none` (detected), `neighbour`, `template`."""
        found = Counter(face.fallback for face in self.faces.values())
        return {name: found[name] for name in get_args(Fallback)}


def find_face(
    frame: NDArray[np.uint8], provider: FaceProvider, *, near: Face | None = None, number: int = 0
) -> Face | None:
    """Find the face of a frame; None if it shows none.

    The part round `near`, the same face in another frame, is searched first; of several faces
    elsewhere the nearest is taken, or the one of this `number`, counted from the left from 1.
    """
    if near is not None and near.fallback != "none":
        near = None
    if near is not None and (face := _around(frame, provider, near)) is not None:
        return face
    found = provider(frame)
    if found is None:
        return None
    faces = found.all_faces
    if near is not None:
        there = near.five().mean(axis=0)
        found = min(faces, key=lambda face: np.linalg.norm(face.five().mean(axis=0) - there))
    elif number > len(faces):
        problem = f"face {number} is asked for, and the frame shows {len(faces)}"
        raise InputError(problem, hint="count the faces from the left, from 1")
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
    """Track the face through all frames, or `only` these; `number` is that of `find_face`.

    A frame without a detected face takes that of the nearest frame that has one, the earlier of
    two equally near; if no frame has one, all take the mean face in the middle of the frame.
    """
    indices = range(len(frames)) if only is None else sorted(set(only))
    if not indices:
        raise InputError("a clip without frames", hint="leave the clip out")
    track: dict[int, Face] = {}
    detected: dict[int, Face] = {}
    last: Face | None = None
    for index in indices:
        frame = frames[index]
        face = find_face(frame, provider, near=last, number=number)
        if face is not None:
            detected[index] = last = face
        track[index] = face or face_in_frame(*frame.shape[:2])
    missing = frozenset(track) - frozenset(detected)
    for index in missing if detected else ():
        nearest = min(detected, key=lambda other: (abs(other - index), other))
        track[index] = detected[nearest].taken_from(nearest)
    return FaceTrack(track, missing)


def known_faces(frames: LandmarkedFrames, numbers: Iterable[int]) -> FaceTrack:
    """The faces of frames that come with landmarks; their provider is `exact`."""
    points = {number: frames.landmarks(number) for number in sorted(set(numbers))}
    return FaceTrack({n: Face(box_around(face), face, 1.0, EXACT) for n, face in points.items()})


@runtime_checkable
class FramesWithin(Protocol):
    """Frames whose crop may reach beyond the recording; `inside` is (H, W)."""

    def inside(self) -> NDArray[np.bool_]: ...


@dataclass(frozen=True, eq=False)
class AlignedFrames:
    """Frames in the canonical crop, (size, size, 3) uint8; without a track they have landmarks."""

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
        """The landmarks of a frame in the crop, (68, 2); `KeyError` if the track lacks it."""
        number = range(len(self))[index]
        if self.track is not None:
            return self.to_crop.points(dense_landmarks(self.track[number]))
        assert isinstance(self.frames, LandmarkedFrames)
        return self.to_crop.points(self.frames.landmarks(number))

    def inside(self) -> NDArray[np.bool_]:
        """The pixels of the crop within the recording: (size, size)."""
        return self._inside

    @cached_property
    def _inside(self) -> NDArray[np.bool_]:
        shown = np.full(self.frames[self.onset].shape[:2], 255, dtype=np.uint8)
        size = (self.size_px, self.size_px)
        return cv2.warpAffine(shown, self.to_crop.matrix(), size, flags=cv2.INTER_LINEAR) > 127


class AlignedKnownFrames(AlignedFrames):
    def flow(self, source: int, target: int) -> Floats:
        """The exact flow between two frames: (2, size, size) float32, pixels of the crop."""
        assert isinstance(self.frames, KnownMotion)
        flow = self.frames.flow(source, target).transpose(1, 2, 0) @ self.to_crop.linear.T
        return self._crop(flow).transpose(2, 0, 1)

    def clean(self, index: int) -> Floats:
        """A frame without sensor noise: (size, size, 3) float32, RGB in levels of 0..255."""
        assert isinstance(self.frames, KnownMotion)
        return self._crop(self.frames.clean(index))

    def _crop(self, values: NDArray[np.floating]) -> Floats:
        return _warp(values.astype(np.float32), self.to_crop, self.size_px, cv2.INTER_LINEAR)


def crop_map(face: Face) -> Affine:
    """The map from the frame to the canonical crop, by the eyes and the corners of the mouth."""
    return fit_upright(face.five(), five_points(mean_face()))


def align_clip(clip: Clip, track: FaceTrack) -> Clip:
    """The clip in the canonical crop of its onset frame's face, which the track contains."""
    to_crop = crop_map(track[clip.onset])
    return replace(clip, frames=AlignedFrames(clip.frames, to_crop, track, onset=clip.onset))


def align_known(clip: Clip) -> Clip:
    assert isinstance(clip.frames, LandmarkedFrames)
    to_crop = crop_map(known_faces(clip.frames, [clip.onset])[clip.onset])
    kind = AlignedKnownFrames if isinstance(clip.frames, KnownMotion) else AlignedFrames
    return replace(clip, frames=kind(clip.frames, to_crop, onset=clip.onset))


def warp(frame: NDArray[np.uint8], to_crop: Affine, size_px: int = CROP_PX) -> NDArray[np.uint8]:
    """The crop of a frame: (H, W, 3) to (size, size, 3). Beyond the frame its border repeats.

    A frame that shrinks is blurred first, so that fine skin does not alias.
    """
    if to_crop.scale < 1:
        sigma = 0.5 * float(np.sqrt(to_crop.scale**-2 - 1))
        frame = cv2.GaussianBlur(frame, (0, 0), sigma) if sigma > 0.1 else frame
    return _warp(frame, to_crop, size_px, cv2.INTER_CUBIC)


def _warp(image: NDArray[Any], to_crop: Affine, size_px: int, interpolation: int) -> NDArray[Any]:
    size, border = (size_px, size_px), cv2.BORDER_REPLICATE
    return cv2.warpAffine(image, to_crop.matrix(), size, flags=interpolation, borderMode=border)
