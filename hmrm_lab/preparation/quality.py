"""Warnings about clips: no face, dark, blurred, cut, or a movement that is too large.

Where the motion between two frames is not that of one face, there is no prediction
(`MEANINGLESS`). Decision 0010 explains the bounds.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from hmrm_lab.faces.align import crop_map, warp
from hmrm_lab.faces.apex import is_black, is_blink, to_grey, unlikeness
from hmrm_lab.faces.face import Face, five_points
from hmrm_lab.faces.landmarks import face_mask, part_masks
from hmrm_lab.records import Clip, Floats

MEANINGLESS = frozenset({"no_face", "dark", "cut"})
LONGEST_S = 0.6  # half a second (Yan et al. 2013), and a tenth for where coders put the marks
DARK, DIM = 1 / 3, 0.8  # mean grey level, as a share of that of the brightest frame
BLURRED = 0.76  # detail left after a blur of .048 eye distances; a sharp face has at most .67
LESS_SHARP = 0.04  # more detail left than in another frame of the clip, where .014 is usual
UNLIKE, ALIKE = 0.03, 0.97  # blocks and correlation of two faces: the same one stays within one
LARGEST_MOTION = 0.10  # of the distance between the eyes, which is 63 mm on average
FINE, COARSE = 0.024, 0.048  # of the distance between the eyes: blurs
FLOW_PX = 112  # side of the crops whose motion is measured


@dataclass(frozen=True)
class ClipWarning:
    """A warning of a kind (`code`) about a frame: `onset`, `apex`, `offset`, or empty."""

    code: str
    frame: str
    sentence: str

    @property
    def meaningless(self) -> bool:
        """Whether a prediction would be meaningless."""
        return self.code in MEANINGLESS


@dataclass(frozen=True, eq=False)
class SeenFrame:
    """A marked frame: whole, in the onset's crop, and its face."""

    name: str
    number: int
    whole: NDArray[np.uint8]
    crop: NDArray[np.uint8]
    face: Face | None


def frame_warnings(
    frames: Sequence[SeenFrame], landmarks: Floats, inside: NDArray[np.bool_]
) -> list[ClipWarning]:
    """The warnings about onset, apex and offset, given the onset's landmarks in its crop, (68, 2).

    A difference between two frames is attributed to the offset, if it is one of them.
    """
    found = [warning for frame in frames for warning in _alone(frame)]
    found += _several(frames[0])
    left = [_detail_left(frame.crop, landmarks) for frame in frames]
    for one, other, *details in zip(frames, frames[1:], left, left[1:], strict=False):
        light = _light(one, other)
        if one.face is None or other.face is None or any(w.meaningless for w in light):
            found += light
        elif not _same_face(one, one.face, other, other.face):
            text = f"The {one.name} and the {other.name} do not show the same face"
            found.append(ClipWarning("cut", other.name, f"{text}: a cut lies between them."))
        else:
            changed = light + _sharpness((one, other), details)  # both look like motion
            found += changed or _large_motion(one, other, landmarks, inside)
            if other.name == "apex" and is_blink([one.crop, other.crop], landmarks, 0, 1):
                text = "shows a blink: the eyelids move, brows and mouth do not."
                found.append(ClipWarning("blink", other.name, f"{_start(other)} {text}"))
    return found


def scene_warnings(strange: int | None) -> list[ClipWarning]:
    if strange is None:
        return []
    text = f"Frame {strange} is black or of another scene; such frames were left out."
    return [ClipWarning("interrupted", "", text)]


def clip_warnings(clip: Clip) -> list[ClipWarning]:
    seconds = (clip.offset - clip.onset) / clip.fps if clip.fps else 0.0
    text = f"it lasts {seconds:.1f} s, a micro-expression at most half a second."
    return [ClipWarning("long", "", f"From onset to offset {text}")] if seconds > LONGEST_S else []


def count_warnings(clips: Iterable[Iterable[ClipWarning]]) -> dict[str, int]:
    """Number of clips with a warning of each kind."""
    counts = Counter(code for found in clips for code in {warning.code for warning in found})
    return dict(sorted(counts.items()))


def _alone(frame: SeenFrame) -> list[ClipWarning]:
    found = []
    if is_black(frame.whole):
        found.append(ClipWarning("dark", frame.name, f"{_start(frame)} is nearly black."))
    if frame.face is None:
        text = f"No face in the {frame.name}, frame {frame.number}."
        found.append(ClipWarning("no_face", frame.name, text))
    return found


def _several(onset: SeenFrame) -> list[ClipWarning]:
    faces = onset.face.all_faces if onset.face is not None else []
    if len(faces) < 2:
        return []
    number = 1 + next(k for k, face in enumerate(faces) if face is onset.face)
    text = f"{_start(onset)} shows {len(faces)} faces; number {number} from the left is taken."
    return [ClipWarning("several_faces", onset.name, text)]


def _light(one: SeenFrame, other: SeenFrame) -> list[ClipWarning]:
    """A frame that is much darker than another, such as the first ones of a film that fades in."""
    darker, brighter = sorted((one, other), key=_brightness)
    share = _brightness(darker) / max(_brightness(brighter), 1.0)
    faces = one.face is not None and other.face is not None
    if is_black(darker.whole) or share >= (DIM if faces else DARK):
        return []
    name = other.name if other.name == "offset" else darker.name
    text = f"{_start(darker)} has {100 * share:.0f} % of the light of the {brighter.name}."
    return [ClipWarning("dark" if share < DARK else "dim", name, text)]


def _sharpness(frames: tuple[SeenFrame, SeenFrame], left: list[float]) -> list[ClipWarning]:
    """Blurred frames. If one is sharper than the other, all edges seem to move."""
    worse = frames[int(left[1] > left[0])]
    if abs(left[1] - left[0]) > LESS_SHARP:
        text = "is less sharp than the other one, which looks like motion"
    elif min(left) > BLURRED:
        text = "is blurred"
    else:
        return []
    name = "offset" if frames[1].name == "offset" else worse.name
    return [ClipWarning("blurred", name, f"{_start(worse)} {text}.")]


def _detail_left(crop: NDArray[np.uint8], landmarks: Floats) -> float:
    """The share of a face's gradients left by another blur: larger for a blurred face."""
    eyes_px, here = _eyes_px(landmarks), _without_eyes(landmarks, len(crop))
    fine = cv2.GaussianBlur(to_grey(crop).astype(np.float32), (0, 0), FINE * eyes_px)  # no noise
    coarse = cv2.GaussianBlur(fine, (0, 0), COARSE * eyes_px)
    slopes = [float(np.hypot(*np.gradient(view))[here].sum()) for view in (fine, coarse)]
    return slopes[1] / slopes[0] if slopes[0] else 0.0


def _same_face(one: SeenFrame, face: Face, other: SeenFrame, other_face: Face) -> bool:
    """Whether two faces, each aligned by its own points, are alike without their motion.

    Blur changes detail everywhere, teeth and lids change some places strongly; another face does
    both.
    """
    first = _small(warp(one.whole, crop_map(face)))
    second = _small(warp(other.whole, crop_map(other_face)))
    rows, columns = np.mgrid[:FLOW_PX, :FLOW_PX].astype(np.float32)
    flow = _large_flow(first, second)
    places = columns + flow[..., 0], rows + flow[..., 1]
    back = cv2.remap(second, *places, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    if unlikeness(first, np.asarray(back, dtype=np.uint8)) <= UNLIKE:
        return True
    views = [cv2.GaussianBlur(view.astype(np.float32), (0, 0), 3) for view in (first, second, back)]
    return float(np.corrcoef([view.ravel() for view in views])[0, 1:].max()) >= ALIKE


def _large_motion(
    one: SeenFrame, other: SeenFrame, landmarks: Floats, inside: NDArray[np.bool_]
) -> list[ClipWarning]:
    """Motion of the face, less that of lids and head, too large for a micro-expression."""
    scale, size = FLOW_PX / one.crop.shape[0], (FLOW_PX, FLOW_PX)
    shown = cv2.resize(inside.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST)
    here = _without_eyes(scale * landmarks, FLOW_PX) & shown.astype(bool)
    if not here.any():
        return []
    seen = _large_flow(_small(one.crop), _small(other.crop))[here]
    lengths = np.linalg.norm(seen - np.median(seen, axis=0), axis=1)
    share = float(np.quantile(lengths, 0.99)) / (scale * _eyes_px(landmarks))
    if share <= LARGEST_MOTION:
        return []
    usual = f"a micro-expression moves it by less than {100 * LARGEST_MOTION:.0f} %."
    moved = f"the face moves by {100 * share:.0f} % of the distance between the eyes; {usual}"
    text = f"From {one.name} to {other.name} {moved}"
    return [ClipWarning("large_motion", other.name, text)]


def _without_eyes(landmarks: Floats, side: int) -> NDArray[np.bool_]:
    parts = part_masks(landmarks, side, side)
    return face_mask(landmarks, side, side) & ~parts["eye_left"] & ~parts["eye_right"]


def _small(crop: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return cv2.resize(to_grey(crop), (FLOW_PX, FLOW_PX), interpolation=cv2.INTER_AREA)


def _large_flow(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> Floats:
    """Flow by DIS, which follows large motion, unlike other estimators: (H, W, 2)."""
    dis = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    return dis.calc(one, other, None)


def _eyes_px(landmarks: Floats) -> float:
    left, right = five_points(landmarks)[:2]
    return float(np.linalg.norm(left - right))


def _brightness(frame: SeenFrame) -> float:
    return float(frame.whole[::4, ::4].mean())


def _start(frame: SeenFrame) -> str:
    return f"The {frame.name}, frame {frame.number},"
