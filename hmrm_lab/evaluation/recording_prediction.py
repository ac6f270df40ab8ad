"""The prediction for one recording, and the regions of the face that drive it.

Regions are found by occlusion (Zeiler and Fergus 2014): each is held still, and the fall of the
probability is measured. Only predictions are needed, so that every system can be examined alike.
The result is what moved the system, not what moved the face.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from hmrm_lab.errors import HmrmError
from hmrm_lab.preparation.quality import ClipWarning
from hmrm_lab.records import Floats, FlowSet

Gray = NDArray[np.uint8]
Masks = NDArray[np.bool_]

LEAST_FALL = 0.01  # a smaller sum of falls has no shares: no region decides alone
ELSEWHERE = "elsewhere"  # outside the named parts: cheeks, forehead, background
NO_ANSWER = "no answer"
DIGITS = 4


def hold_still(motion: Floats, masks: Masks) -> Floats:
    """Copy the map once per mask, with the motion inside taken away.

    Flow inside becomes the map's median, which is the motion of the head, and strain becomes 0.

    Shapes
    ------
    motion : (3, H, W), order (u, v, strain)
    masks : (R, H, W)
    returns : (R, 3, H, W)
    """
    u, v = np.median(motion[:2], axis=(1, 2))
    still = np.array([u, v, 0.0], dtype=np.float32)[:, None, None]
    return np.where(masks[:, None], still, motion[None]).astype(np.float32)


def hold_clips_still(clip: Gray, masks: Masks) -> Gray:
    """Copy the gray clip once per mask, with the pixels inside as in its first frame.

    Shapes
    ------
    clip : (T, S, S)
    masks : (R, H, W), enlarged to the pixels of the clip
    returns : (R, T, S, S)
    """
    return np.where(_enlarge(masks, clip.shape[1:])[:, None], clip[:1], clip[None])


def hide_in_pictures(pictures: Floats, masks: Masks) -> Floats:
    """Copy the pictures once per mask, with 0 inside: their mean, or no change.

    Shapes
    ------
    pictures : (P, S, S)
    masks : (R, H, W), enlarged to the pixels of the pictures
    returns : (R, P, S, S)
    """
    hidden = _enlarge(masks, pictures.shape[1:])[:, None]
    return np.where(hidden, np.float32(0), pictures[None])


def _enlarge(masks: Masks, shape: tuple[int, ...]) -> Masks:
    """Masks (R, H, W) with each cell repeated, as (R, *shape)."""
    rows, columns = (
        np.arange(side) * cells // side for side, cells in zip(shape, masks.shape[1:], strict=True)
    )
    return masks[:, rows[:, None], columns[None]]


def occlusion_falls(classify: Callable[[FlowSet], Floats], clip: FlowSet, masks: Masks) -> Floats:
    """Measure the fall of the predicted class's probability with each region held still: (R,).

    A negative number is a region that speaks against the prediction.

    Parameters
    ----------
    clip
        One clip.
    """
    winner = int(classify(clip)[0].argmax())
    count = len(masks)

    def beside(
        one: NDArray[Any] | None, held: Callable[[Any, Masks], NDArray[Any]]
    ) -> NDArray[Any] | None:
        return None if one is None else np.concatenate([one, held(one[0], masks)])

    held = FlowSet(
        np.concatenate([clip.maps, hold_still(clip.maps[0], masks)]),
        np.zeros(count + 1, dtype=np.int64),
        clip.keys * (count + 1),
        clip.classes,
        unit=clip.unit,
        inside=None if clip.inside is None else np.repeat(clip.inside, count + 1, axis=0),
        clips=beside(clip.clips, hold_clips_still),
        pictures=beside(clip.pictures, hide_in_pictures),
    )
    probabilities = classify(held)[:, winner]
    return np.asarray(probabilities[0] - probabilities[1:], dtype=np.float32)


def shares_of(falls: Floats) -> Floats:
    """Turn falls into shares that sum to 1, without negative ones; all 0 for negligible falls."""
    falling = falls.clip(min=0)
    total = float(falling.sum())
    return (falling / total if total >= LEAST_FALL else np.zeros_like(falling)).astype(np.float32)


@dataclass(frozen=True, eq=False)
class RecordingPrediction:
    """The prediction of one run's system for one recording, or why there is none.

    Parameters
    ----------
    offset
        None where no frame after the apex is needed.
    face
        `detected`, `template` (not looked for) or `missing` (from the onset).
    apex_is
        `given`, `spotted`, or `guessed` where nothing seemed to move.
    part_falls
        Fall of the predicted class's probability with this part of the face held still, or with
        `ELSEWHERE`.
    parts
        Position of each part in the crop.
    outside_share, outside_energy
        Share of the crop's area and of its motion that lies beyond the recording's frame and was
        left out.
    caveats
        Sentences on the worth of the probabilities; the first is the run's calibration.
    warnings
        Doubts about the recording. With a meaningless one there is no prediction, and the
        probabilities are NaN.

    Shapes
    ------
    probabilities : (K,), in the order of `classes`
    onset_image, apex_image : (224, 224, 3) uint8, RGB, the canonical crop
    motion : (3, H, W), order (u, v, strain), pixels of the crop
    parts : (224, 224) bool for each name
    """

    recording: str
    run: str
    classes: tuple[str, ...]
    probabilities: Floats
    frames: int
    fps: float
    onset: int
    apex: int
    offset: int | None
    face: str
    provider: str
    apex_is: str
    onset_image: NDArray[np.uint8]
    apex_image: NDArray[np.uint8]
    motion: Floats
    part_falls: dict[str, float]
    parts: dict[str, NDArray[np.bool_]]
    outside_share: float
    outside_energy: float
    caveats: tuple[str, ...]
    warnings: tuple[ClipWarning, ...] = ()

    @property
    def answered(self) -> bool:
        return not any(warning.meaningless for warning in self.warnings)

    @property
    def answer(self) -> str:
        """The class with the highest probability, or `no answer`."""
        return self.classes[int(self.probabilities.argmax())] if self.answered else NO_ANSWER

    def require(self) -> Self:
        """Return the prediction, or raise an `HmrmError` with the reasons if there is none."""
        if not self.answered:
            reasons = " ".join(warning.sentence for warning in self.warnings)
            raise HmrmError(f"{self.recording}: {NO_ANSWER}. {reasons}")
        return self

    @property
    def part_shares(self) -> dict[str, float]:
        """Share of each part in the prediction, summing to 1; all 0 where no part decides."""
        shares = shares_of(np.array(list(self.part_falls.values()), np.float32))
        return dict(zip(self.part_falls, map(float, shares), strict=True))

    def as_dict(self) -> dict[str, Any]:
        """Convert to plain values, for JSON."""
        probabilities = dict(zip(self.classes, self.probabilities, strict=True))
        return {
            "recording": self.recording,
            "answer": self.answered,
            "prediction": self.answer if self.answered else None,
            "probabilities": _rounded(probabilities) if self.answered else None,
            "warnings": [asdict(warning) for warning in self.warnings],
            "frames": {
                "count": self.frames,
                "fps": self.fps or None,
                "onset": self.onset,
                "apex": self.apex,
                "offset": self.offset,
                "apex_is": self.apex_is,
            },
            "face": {"is": self.face, "provider": self.provider},
            "outside_share": round(float(self.outside_share), DIGITS),
            "outside_energy": round(float(self.outside_energy), DIGITS),
            "driven_by": _rounded(self.part_shares),
            "parts": _rounded(self.part_falls),
            "run": self.run,
            "caveats": list(self.caveats),
        }


def _rounded(values: dict[str, Any]) -> dict[str, float]:
    return {name: round(float(value), DIGITS) for name, value in values.items()}
