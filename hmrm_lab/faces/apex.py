"""Apex spotting, for clips that are annotated with onset and offset only.

The apex is the frame whose landmark regions differ most from those of the onset and the offset,
relative to the noise from frame to frame. Before frames are compared, each is registered to the
onset by an affine motion; the rest of head motion and of a change of light, linear for small
displacements, is regressed out of the difference:

    I_t - I_0  =  gx u + gy v + gain I_0 + level + facial movement,

with (gx, gy) the gradient of the onset frame and (u, v) affine in the pixel's position. Without
this step the largest head motion would be found and not the expression.

When eyelids close, or the gaze moves, the eye openings change within a few frames by far more than
brows and mouth do. In a clip in which this happens the eyelids do not count, neither for the apex
nor for the motion of the head. Frames of another scene are left out.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from hmrm_lab.errors import InputError
from hmrm_lab.faces.landmarks import Mask, eye_corners_px, face_mask, part_masks
from hmrm_lab.records import Floats, Frames

SIDE, SLACK, BLOCK = 64, 8, 12  # pixels of a reduced picture, of the largest shift, of a block
SHADE = 6.0  # changes of brightness over more pixels of the reduced picture are illumination
FAINT = 0.03  # contrast that may be noise
LEAST_CHANGED = 0.35  # quantile over blocks: a cut changes even the least changed ones
UNLIKE = 0.10  # unlikeness of a cut; a blink reaches .06, another face begins at .12
ABOVE_STEPS = 8.0  # and this many times the median of the other steps
STRANGE = 0.2  # unlikeness to the first frame, which a dissolve reaches in small steps
BLACK = 24  # grey level that 95 % of the pixels of a black frame stay below
BLUR = 0.024  # of the distance between the outer eye corners; sensor noise is finer than that
SMOOTHING = 0.06  # of the time from onset to offset
STRIDE = 2  # every second pixel is enough to fit eight numbers
REGISTRATIONS = 2  # of each frame to the onset
LID_MOTION = 0.007  # of the distance between the outer eye corners; expressions stay below it
ALONE = 3.0  # times as far as brows and mouth move


def same_scene(pictures: Sequence[NDArray[np.uint8]]) -> Mask:
    """Whether each picture, (H, W), shows the first one's scene, which a cut ends."""
    details = [_detail(picture) for picture in pictures]
    steps = [_unlikeness(a, b) for a, b in pairwise(details)]
    usual = max(sorted(steps)[: len(steps) // 2], default=0.0)
    most = max(UNLIKE, min(STRANGE, ABOVE_STEPS * usual))
    seen, last = np.zeros(len(pictures), dtype=bool), 0
    for number, picture in enumerate(pictures):
        step = _unlikeness(details[last], details[number])
        strange = _unlikeness(details[0], details[number]) > STRANGE
        seen[number] = number == 0 or not (step > most or strange or is_black(picture))
        last = number if seen[number] else last
    return seen


def unlikeness(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    """Difference of two pictures, (H, W): 0 alike, 1 nothing in common."""
    return _unlikeness(_detail(one), _detail(other))


def is_black(frame: NDArray[np.uint8]) -> bool:
    """Whether a frame, (H, W, 3) or (H, W), is black but for a few pixels."""
    brightest = np.atleast_3d(frame[::4, ::4]).max(axis=2)
    return float(np.percentile(brightest, 95)) < BLACK


def to_grey(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)


def _detail(picture: NDArray[np.uint8]) -> Floats:
    small = cv2.resize(picture, (SIDE, SIDE), interpolation=cv2.INTER_AREA).astype(np.float32)
    level = np.log(small + 16)
    return np.asarray(level - cv2.GaussianBlur(level, (0, 0), SHADE), dtype=np.float32)


def _unlikeness(one: Floats, other: Floats) -> float:
    middle = one[SLACK:-SLACK, SLACK:-SLACK]
    fit = cv2.matchTemplate(other, middle, cv2.TM_CCOEFF_NORMED)
    places = [(SLACK, SLACK), np.unravel_index(fit.argmax(), fit.shape)]  # without shift, too
    there = [other[y : y + len(middle), x : x + len(middle)] for y, x in places]
    return min(_changed(middle, part) for part in there)


def _changed(one: Floats, other: Floats) -> float:
    change, energy = (
        cv2.resize(values, None, fx=1 / BLOCK, fy=1 / BLOCK, interpolation=cv2.INTER_AREA)
        for values in ((one - other) ** 2, one**2 + other**2)
    )
    return float(np.quantile(change / (energy + FAINT**2), LEAST_CHANGED))


@dataclass(frozen=True, eq=False)
class ApexCurve:
    """The spotted apex and the curve behind it, over the frames of the onset's scene.

    Shapes
    ------
    apex : the peak of `curve`; a guess where there is none, in a clip that is still or too short
    curve : (n,) float32 for these frames, smoothed difference of all regions in units of the noise
    parts : name of a region to its difference before smoothing; without the eyes if they blink
    blinks : the frames in which the eyelids close
    cut : the first frame that is left out, since it is nearly black or of another scene
    """

    apex: int
    spotted: bool
    frames: np.ndarray
    curve: Floats
    parts: Mapping[str, Floats]
    blinks: tuple[int, ...] = ()
    cut: int | None = None


def spot_apex(
    frames: Frames, landmarks: Floats, onset: int = 0, offset: int | None = None
) -> ApexCurve:
    """Spot the apex between onset and offset (default: the last frame).

    Landmarks are those of the onset, (68, 2), in pixels. Differences to the offset count, too, if
    it is of the same scene. Raises an `InputError` if these are not frames of the clip in this
    order, or the face is not in it.
    """
    last = len(frames) - 1 if offset is None else offset
    if not 0 <= onset <= last < len(frames):
        problem = f"onset {onset} and offset {last} in a clip of {len(frames)} frames"
        raise InputError(problem, hint="give two frames of the clip, the onset first")
    every = np.arange(onset, last + 1)
    pictures = [to_grey(frames[n]) for n in range(onset, last + 1)]
    seen = same_scene(pictures)
    cut = None if seen.all() else onset + int(seen.argmin())
    to_offset = bool(seen[-1])
    numbers = every[seen]
    grey = _blurred([pictures[n] for n in np.flatnonzero(seen)], landmarks)
    still, masks, closing = _without_blinks(grey, landmarks)
    parts = {name: _difference(still[:, m], to_offset) for name, m in masks.items() if m.any()}
    curve = np.sqrt(np.mean([part**2 for part in parts.values()], axis=0))
    curve = _smooth(curve.astype(np.float32))
    between = curve[1 : -1 if to_offset else None]
    spotted = bool(between.max(initial=0) > 0)
    choice = numbers if len(numbers) > 1 else every
    apex = numbers[1 + between.argmax()] if spotted else choice[len(choice) // 2]
    blinks = tuple(numbers[closing].tolist())
    return ApexCurve(int(apex), spotted, numbers, curve, parts, blinks, cut)


def is_blink(frames: Frames, landmarks: Floats, onset: int, apex: int) -> bool:
    """Whether the eyelids close in a given apex, while brows and mouth are still."""
    last = min(2 * apex - onset, len(frames) - 1)
    grey = _blurred([to_grey(frames[n]) for n in range(onset, last + 1)], landmarks)
    return bool(_without_blinks(grey, landmarks)[2][apex - onset])


def _without_blinks(grey: Floats, landmarks: Floats) -> tuple[Floats, dict[str, Mask], Mask]:
    """Differences without head motion, (n, H, W); masks; frames with closing eyelids, (n,)."""
    height, width = grey.shape[1:]
    masks = part_masks(landmarks, height, width)
    if not any(mask.any() for mask in masks.values()):
        raise InputError("landmarks that lie outside the frame", hint="detect the face again")
    openings = part_masks(landmarks, height, width, margin=0)
    eyes = [openings["eye_left"], openings["eye_right"]]
    lids = masks["eye_left"] | masks["eye_right"]
    rest = {name: mask & ~lids for name, mask in masks.items()}
    others = [rest[name] for name in ("brow_left", "brow_right", "mouth")]
    still = _without_head_motion(grey, landmarks)
    if np.any(others) and _closing(still, grey[0], landmarks, eyes, [])[0]:
        without = _without_head_motion(grey, landmarks, but=lids)
        found, closing = _closing(without, grey[0], landmarks, eyes, others)
        if found:
            return without, rest, closing
    return still, masks, np.zeros(len(grey), dtype=bool)


def _closing(
    still: Floats, onset: Floats, landmarks: Floats, eyes: Sequence[Mask], others: Sequence[Mask]
) -> tuple[bool, Mask]:
    """Whether the eyes ever move alone; frames in which they close, or differ from the onset: (n,).

    The motion of a region is its mean difference over 1, 2, 4, ... frames by its mean gradient.
    """
    slope, least = np.hypot(*_slopes(onset)), LID_MOTION * eye_corners_px(landmarks)
    lids_px, rest_px = (
        [still[:, m][:, ::STRIDE] / (slope[m].mean() + 1e-6) for m in masks if m.any()]
        for masks in (eyes, others)
    )

    def alone(one: slice, other: slice) -> Mask:
        lids, rest = (
            [np.abs(region[one] - region[other]).mean(axis=1) for region in group]
            for group in (lids_px, rest_px)
        )
        far = np.sum(lids, axis=0) / len(eyes)
        return np.asarray((far > least) & (far > ALONE * np.max(rest, axis=0, initial=0)))

    count = len(still)
    before, after = np.zeros((2, count), dtype=bool)
    for lag in 2 ** np.arange(int(np.log2(count)) + 1):
        apart = alone(slice(lag, None), slice(0, count - lag))
        before[lag:] |= apart
        after[: count - lag] |= apart
    unlike = alone(slice(None), slice(0, 1))
    return bool((before | unlike).any()), (before & after) | unlike


def _blurred(pictures: Sequence[NDArray[np.uint8]], landmarks: Floats) -> Floats:
    """Pictures without fine noise: (n, H, W)."""
    sigma = BLUR * eye_corners_px(landmarks)
    return np.stack([cv2.GaussianBlur(p.astype(np.float32), (0, 0), sigma) for p in pictures])


def _without_head_motion(grey: Floats, landmarks: Floats, but: Mask | None = None) -> Floats:
    """Differences to the first frame that neither head motion nor light explains: (n, H, W).

    Pixels of `but`, (H, W), are not used to estimate the motion.
    """
    reference = grey[0]
    height, width = reference.shape
    pixels = np.mgrid[:height, :width][::-1].astype(np.float32)  # x before y
    rows, columns = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    place = np.stack([np.ones_like(rows), columns, rows]).astype(np.float32)  # affine terms
    moves = [slope * place for slope in _slopes(reference)]
    light = np.stack([reference / 128, np.ones_like(reference)])
    explained = np.concatenate([*moves, light])  # (8, H, W)
    face = face_mask(landmarks, *reference.shape)
    inside = face if but is None else face & ~but
    inside = inside[::STRIDE, ::STRIDE]
    solve = np.linalg.pinv(explained[:, ::STRIDE, ::STRIDE][:, inside].T)  # (8, pixels)
    left = []
    for picture in grey:
        motion, seen = np.zeros((2, 3), dtype=np.float32), picture
        for _ in range(REGISTRATIONS):
            change = seen - reference
            strengths = solve @ change[::STRIDE, ::STRIDE][inside]
            motion -= strengths[:6].reshape(2, 3)
            x, y = pixels + np.tensordot(motion, place, axes=1)
            seen = cv2.remap(picture, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        change = seen - reference
        strengths = solve @ change[::STRIDE, ::STRIDE][inside]
        left.append(change - np.tensordot(strengths, explained, axes=1))
    return np.stack(left).astype(np.float32)


def _slopes(picture: Floats) -> list[Floats]:
    return [cv2.Sobel(picture, cv2.CV_32F, x, 1 - x, scale=1 / 8) for x in (1, 0)]


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
        return curve
    return cv2.GaussianBlur(curve[None], (0, 0), sigma, borderType=cv2.BORDER_REFLECT)[0]
