"""Alignment: one similarity for a whole clip, from its onset frame to the canonical crop.

A transform of each frame's own would put the detector's jitter into the motion: about .6 pixels
a frame on the built-in faces, whose expressions peak at 1.4 pixels (decision 0010).
"""

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from hmrm_lab.faces.face import Face, five_points
from hmrm_lab.faces.similarity import Similarity, fit_similarity
from hmrm_lab.faces.template import CROP_PX, dense_landmarks, mean_face
from hmrm_lab.faces.track import FaceTrack
from hmrm_lab.records import Clip, Floats, Frames


@dataclass(frozen=True, eq=False)
class AlignedFrames:
    """Frames cut out and turned upright when asked for, with the landmarks carried along.

    Shapes
    ------
    aligned[i] : (size, size, 3) uint8, RGB
    """

    frames: Frames
    to_crop: Similarity
    track: FaceTrack
    size_px: int = CROP_PX

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
        face = self.track[range(len(self))[index]]
        return self.to_crop.points(dense_landmarks(face))


def crop_similarity(face: Face, size_px: int = CROP_PX) -> Similarity:
    """From the frame to the canonical crop, by the centres of the eyes."""
    return fit_similarity(face.five()[:2], five_points(mean_face(size_px))[:2])


def align_clip(clip: Clip, track: FaceTrack, size_px: int = CROP_PX) -> Clip:
    """The clip in the canonical crop of its onset frame's face.

    Parameters
    ----------
    track
        Faces of the clip, the onset's among them; see `track.find_faces`.
    """
    to_crop = crop_similarity(track[clip.onset], size_px)
    return replace(clip, frames=AlignedFrames(clip.frames, to_crop, track, size_px))


def warp(
    frame: NDArray[np.uint8], to_crop: Similarity, size_px: int = CROP_PX
) -> NDArray[np.uint8]:
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
