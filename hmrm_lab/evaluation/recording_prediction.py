"""The prediction for one recording, and the regions of the face that drive it.

Each region is held still, and the fall of the probability is measured (occlusion, Zeiler and Fergus
2014), so that every system can be examined alike: what moved the system, not what moved the face.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
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
    """Copy the map (3, H, W) once per mask (R, H, W), with the head's median motion inside."""
    u, v = np.median(motion[:2], axis=(1, 2))
    still = np.array([u, v, 0.0], dtype=np.float32)[:, None, None]
    return np.where(masks[:, None], still, motion).astype(np.float32)


def hold_clips_still(clip: Gray, masks: Masks) -> Gray:
    """Copy the gray clip (T, S, S) once per mask, with the pixels inside as in its first frame."""
    return np.where(_enlarge(masks, clip.shape[1:]), clip[:1], clip)


def hide_in_pictures(pictures: Floats, masks: Masks) -> Floats:
    """Copy the pictures (P, S, S) once per mask, with 0 inside: their mean, or no change."""
    return np.where(_enlarge(masks, pictures.shape[1:]), np.float32(0), pictures)


def _enlarge(masks: Masks, shape: tuple[int, ...]) -> Masks:
    """Masks (R, H, W) with each cell repeated, as (R, 1, *shape)."""
    rows, columns = (
        np.arange(side) * cells // side for side, cells in zip(shape, masks.shape[1:], strict=True)
    )
    return masks[:, None, rows[:, None], columns]


def occlusion_falls(classify: Callable[[FlowSet], Floats], clip: FlowSet, masks: Masks) -> Floats:
    """Measure how far a clip's winning probability falls with each region held still: (R,)."""
    winner = int(classify(clip)[0].argmax())
    copies = replace(clip.take([0] * (len(masks) + 1)), frames=None)
    copies.maps[1:] = hold_still(clip.maps[0], masks)
    if copies.sequence is not None:
        still = [hold_still(motion, masks) for motion in copies.sequence[0]]
        copies.sequence[1:] = np.stack(still, axis=1)
    if copies.clips is not None:
        copies.clips[1:] = hold_clips_still(copies.clips[0], masks)
    if copies.pictures is not None:
        copies.pictures[1:] = hide_in_pictures(copies.pictures[0], masks)
    probabilities = classify(copies)[:, winner]
    return np.asarray(probabilities[0] - probabilities[1:], dtype=np.float32)


def shares_of(falls: Floats) -> Floats:
    """Turn falls into shares that sum to 1, without negative ones; all 0 for negligible falls."""
    falling = falls.clip(min=0)
    total = float(falling.sum())
    return (falling / total if total >= LEAST_FALL else np.zeros_like(falling)).astype(np.float32)


@dataclass(frozen=True, eq=False)
class RecordingPrediction:
    """The prediction of one run's system for one recording, or why there is none."""

    recording: str
    run: str
    classes: tuple[str, ...]
    probabilities: Floats  # (K,), in the order of `classes`
    frames: int
    fps: float
    onset: int
    apex: int
    offset: int | None  # None where no frame after the apex is needed
    face: str  # `detected`, `template` (not looked for) or `missing` (from the onset)
    provider: str
    apex_is: str  # `given`, `spotted`, or `guessed` where nothing seemed to move
    onset_image: NDArray[np.uint8]  # (224, 224, 3), RGB, the canonical crop
    apex_image: NDArray[np.uint8]
    motion: Floats  # (3, H, W), order (u, v, strain), pixels of the crop
    outside_share: float  # of the crop's area: beyond the recording's frame, and left out
    outside_energy: float = 0.0  # likewise of its motion
    part_falls: dict[str, float] = field(default_factory=dict)  # with a part, or `ELSEWHERE`, still
    parts: dict[str, NDArray[np.bool_]] = field(default_factory=dict)  # (224, 224), in the crop
    caveats: tuple[str, ...] = ()  # sentences on the probabilities; the first is the calibration
    units: Mapping[str, float] = field(default_factory=dict)  # probability of each learnt unit
    warnings: tuple[ClipWarning, ...] = ()  # a meaningless one: no prediction, probabilities NaN

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

        def rounded(values: Mapping[str, Any]) -> dict[str, float]:
            return {name: round(float(value), DIGITS) for name, value in values.items()}

        probabilities = dict(zip(self.classes, self.probabilities, strict=True))
        return {
            "recording": self.recording,
            "answer": self.answered,
            "prediction": self.answer if self.answered else None,
            "probabilities": rounded(probabilities) if self.answered else None,
            **({"action_units": rounded(self.units)} if self.units else {}),
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
            "driven_by": rounded(self.part_shares),
            "parts": rounded(self.part_falls),
            "run": self.run,
            "caveats": list(self.caveats),
        }
