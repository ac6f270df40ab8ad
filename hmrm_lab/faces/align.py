"""Alignment: one affine map for a whole clip, from its onset frame to the canonical crop.

A transform of each frame's own would put the detector's jitter into the motion: about .6 pixels
a frame on the built-in faces, whose expressions peak at 1.4 pixels (decision 0010).
"""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Protocol, runtime_checkable

import cv2
import numpy as np
from numpy.typing import NDArray

from hmrm_lab.faces.affine import Affine, fit_upright
from hmrm_lab.faces.face import Face, five_points
from hmrm_lab.faces.template import CROP_PX, dense_landmarks, mean_face
from hmrm_lab.faces.track import FaceTrack, known_faces
from hmrm_lab.records import Clip, Floats, Frames, KnownMotion, LandmarkedFrames


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
