"""Apex spotting, for clips that are annotated with onset and offset only.

The apex is the frame whose landmark regions differ most from those of the onset and the offset,
relative to the noise from frame to frame. Before frames are compared, each is registered to the
onset by an affine motion, and what is left of head motion and of a change of light is taken out
of the difference: for small displacements both are linear in it,

    I_t - I_0  =  gx u + gy v + gain I_0 + level + what the face does,

with (gx, gy) the slope of the onset frame and (u, v) affine in the place. Without this step the
rule finds the largest head motion and not the expression.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import cv2
import numpy as np

from hmrm_lab.errors import InputError
from hmrm_lab.faces.regions import part_masks
from hmrm_lab.records import Floats, Frames

BLUR = 0.024  # of the distance between the outer eye corners; sensor noise is finer than that
SMOOTHING = 0.06  # of the time from onset to offset
STRIDE = 2  # every second pixel is enough to fit eight numbers
REGISTRATIONS = 2  # of each frame to the onset


@dataclass(frozen=True, eq=False)
class ApexCurve:
    """The spotted apex and what it was read from.

    Parameters
    ----------
    apex
        A frame number. The peak of `curve`, or a guess where there is no peak.
    spotted
        Whether `curve` has a peak: not where the clip is still, or too short.

    Shapes
    ------
    frames : (n,) int64, frame numbers from onset to offset
    curve : (n,) float32, smoothed difference of all regions, in units of the noise
    parts : name of a region to (n,) float32, its difference before smoothing
    """

    apex: int
    spotted: bool
    frames: np.ndarray
    curve: Floats
    parts: Mapping[str, Floats]


def spot_apex(
    frames: Frames,
    landmarks: Floats,
    onset: int = 0,
    offset: int | None = None,
    *,
    to_offset: bool = True,
) -> ApexCurve:
    """The apex between onset and offset.

    Parameters
    ----------
    landmarks
        Of the onset frame: (68, 2), pixels.
    offset
        The last frame, if it is not given.
    to_offset
        Whether differences to the offset count too. If not, the apex may be the offset itself,
        as in a clip that was cut before the face relaxed.

    Raises
    ------
    InputError
        If onset and offset are not frames of the clip in this order, or the face is not in it.
    """
    last = len(frames) - 1 if offset is None else offset
    if not 0 <= onset <= last < len(frames):
        raise InputError(
            f"onset {onset} and offset {last} in a clip of {len(frames)} frames",
            mend="give two frames of the clip, the onset first",
        )
    numbers = np.arange(onset, last + 1)
    grey = _blurred(frames, landmarks, onset, last)
    still = _without_head_motion(grey, landmarks)
    masks = part_masks(landmarks, *grey.shape[1:])
    parts = {name: _difference(still[:, m], to_offset) for name, m in masks.items() if m.any()}
    if not parts:
        raise InputError("landmarks that lie outside the frame", mend="detect the face again")
    curve = _smooth(np.sqrt(np.mean([part**2 for part in parts.values()], axis=0)))
    between = curve[1 : -1 if to_offset else None]
    if between.max(initial=0) > 0:
        return ApexCurve(onset + 1 + int(between.argmax()), True, numbers, curve, parts)
    guess = last if len(numbers) == 2 else (onset + last) // 2
    return ApexCurve(guess, False, numbers, curve, parts)


def _blurred(frames: Frames, landmarks: Floats, onset: int, offset: int) -> Floats:
    """Grey and without fine noise: (n, H, W)."""
    sigma = BLUR * float(np.linalg.norm(landmarks[45] - landmarks[36]))
    grey = [cv2.cvtColor(frames[n], cv2.COLOR_RGB2GRAY) for n in range(onset, offset + 1)]
    return np.stack([cv2.GaussianBlur(image.astype(np.float32), (0, 0), sigma) for image in grey])


def _without_head_motion(grey: Floats, landmarks: Floats) -> Floats:
    """Differences to the first frame that no motion of the head or light explains: (n, H, W)."""
    reference = grey[0]
    place = _affine_terms(*reference.shape)  # (3, H, W)
    explained = np.concatenate([*_moves(reference, place), _light(reference)])  # (8, H, W)
    face = np.zeros(reference.shape, dtype=np.uint8)
    cv2.fillConvexPoly(face, cv2.convexHull(np.round(landmarks).astype(np.int32)), 1)
    inside = face[::STRIDE, ::STRIDE].astype(bool)
    solve = np.linalg.pinv(explained[:, ::STRIDE, ::STRIDE][:, inside].T)  # (8, pixels)
    left = []
    for picture in grey:
        motion, seen = np.zeros((2, 3), dtype=np.float32), picture
        for _ in range(REGISTRATIONS):
            change = seen - reference
            strengths = solve @ change[::STRIDE, ::STRIDE][inside]
            motion -= strengths[:6].reshape(2, 3)
            seen = _shifted(picture, np.tensordot(motion, place, axes=1))
        change = seen - reference
        strengths = solve @ change[::STRIDE, ::STRIDE][inside]
        left.append(change - np.tensordot(strengths, explained, axes=1))
    return np.stack(left).astype(np.float32)


def _affine_terms(height: int, width: int) -> Floats:
    """1, x and y at every pixel, the last two from -1 to 1: (3, H, W)."""
    rows, columns = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    return np.stack([np.ones_like(rows), columns, rows]).astype(np.float32)


def _moves(picture: Floats, place: Floats) -> tuple[Floats, Floats]:
    """How the picture changes with each number of an affine motion: two (3, H, W)."""
    across = cv2.Sobel(picture, cv2.CV_32F, 1, 0, scale=1 / 8)
    down = cv2.Sobel(picture, cv2.CV_32F, 0, 1, scale=1 / 8)
    return across * place, down * place


def _light(picture: Floats) -> Floats:
    """How it changes with the lamp and with the black level: (2, H, W)."""
    return np.stack([picture / 128, np.ones_like(picture)])


def _shifted(picture: Floats, motion_px: Floats) -> Floats:
    """The picture seen where the motion (2, H, W) points."""
    rows, columns = np.mgrid[: picture.shape[0], : picture.shape[1]].astype(np.float32)
    x, y = columns + motion_px[0], rows + motion_px[1]
    return cv2.remap(picture, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def _difference(region: Floats, to_offset: bool) -> Floats:
    """A region's mean difference to its first and last frame, in units of its noise: (n,)."""
    far = np.abs(region - region[0]).mean(axis=1)
    if to_offset:
        far = far + np.abs(region - region[-1]).mean(axis=1)
    steps = np.abs(np.diff(region, axis=0)).mean(axis=1)
    noise = float(steps.mean()) if len(steps) else 0.0
    return (far / noise if noise > 0 else np.zeros_like(far)).astype(np.float32)


def _smooth(curve: Floats) -> Floats:
    sigma = SMOOTHING * (len(curve) - 1)
    if sigma == 0:
        return curve.astype(np.float32)
    row = curve[None].astype(np.float32)
    return cv2.GaussianBlur(row, (0, 0), sigma, borderType=cv2.BORDER_REFLECT)[0]
