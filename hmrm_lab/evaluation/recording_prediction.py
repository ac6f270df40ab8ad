"""What a system makes of one recording: the record that texts, JSON and pictures are made from."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from hmrm_lab.errors import HmrmError
from hmrm_lab.preparation.quality import ClipWarning
from hmrm_lab.records import Floats, FlowSet

ELSEWHERE = "elsewhere"  # what is no part of the face: cheeks, forehead, background
NO_ANSWER = "no answer"
DIGITS = 4


@dataclass(frozen=True, eq=False)
class RecordingPrediction:
    """One recording, seen by the system of one run, or the reasons why it was not asked.

    Parameters
    ----------
    offset
        None where no frame after the apex is needed.
    face
        `detected`, `template` (not looked for) or `missing` (from the onset).
    apex_is
        `given`, `spotted`, or `guessed` where nothing seemed to move.
    part_falls
        How far the winner's probability falls with this part of the face held still, or with
        `ELSEWHERE`; see `occlusion`.
    parts
        Where each of them lies in the crop.
    outside_share, outside_energy
        Of the crop's area and of its motion, what lies beyond the recording's frame and was left
        out.
    caveats
        What the probabilities are worth, in sentences; the first is the run's calibration.
    warnings
        Doubts about the recording. With a meaningless one there is no answer: the system is not
        asked, and the probabilities are NaN.

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
        """The same, or an `HmrmError` with the reasons if there is no answer."""
        if not self.answered:
            reasons = " ".join(warning.sentence for warning in self.warnings)
            raise HmrmError(f"{self.recording}: {NO_ANSWER}. {reasons}")
        return self

    @property
    def part_shares(self) -> dict[str, float]:
        """Share of each part in the answer, summing to 1; all 0 where no part decides."""
        shares = shares_of(np.array(list(self.part_falls.values()), np.float32))
        return dict(zip(self.part_falls, map(float, shares), strict=True))

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {
            "recording": self.recording,
            "answer": self.answered,
            "prediction": self.answer if self.answered else None,
            "probabilities": {
                name: _rounded(value)
                for name, value in zip(self.classes, self.probabilities, strict=True)
            }
            if self.answered
            else None,
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
            "outside_share": _rounded(self.outside_share),
            "outside_energy": _rounded(self.outside_energy),
            "driven_by": {name: _rounded(share) for name, share in self.part_shares.items()},
            "parts": {name: _rounded(fall) for name, fall in self.part_falls.items()},
            "run": self.run,
            "caveats": list(self.caveats),
        }


def _rounded(value: float) -> float:
    return round(float(value), DIGITS)


Gray = NDArray[np.uint8]

LEAST_FALL = 0.01  # falls that together are smaller have no shares: no region decides alone


def hold_still(motion: Floats, masks: NDArray[np.bool_]) -> Floats:
    """The map once per mask, the motion inside taken away.

    Flow inside becomes the map's median, which is the head's motion, and strain becomes 0.

    Shapes
    ------
    motion : (3, H, W), order (u, v, strain)
    masks : (R, H, W)
    returns : (R, 3, H, W)
    """
    u, v = np.median(motion[:2], axis=(1, 2))
    still = np.array([u, v, 0.0], dtype=np.float32)[:, None, None]
    return np.where(masks[:, None], still, motion[None]).astype(np.float32)


def hold_clips_still(clip: Gray, masks: NDArray[np.bool_]) -> Gray:
    """The gray clip once per mask, the pixels inside as they are in its first frame.

    Shapes
    ------
    clip : (T, S, S)
    masks : (R, H, W), enlarged to the pixels of the clip
    returns : (R, T, S, S)
    """
    return np.where(_enlarge(masks, clip.shape[1:])[:, None], clip[:1], clip[None])


def hide_in_pictures(pictures: Floats, masks: NDArray[np.bool_]) -> Floats:
    """The pictures once per mask, 0 inside: their mean, or no change.

    Shapes
    ------
    pictures : (P, S, S)
    masks : (R, H, W), enlarged to the pixels of the pictures
    returns : (R, P, S, S)
    """
    hidden = _enlarge(masks, pictures.shape[1:])[:, None]
    return np.where(hidden, np.float32(0), pictures[None])


def _enlarge(masks: NDArray[np.bool_], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Masks (R, H, W) with each cell repeated, as (R, *shape)."""
    rows, columns = (
        np.arange(side) * cells // side for side, cells in zip(shape, masks.shape[1:], strict=True)
    )
    return masks[:, rows[:, None], columns[None]]


def occlusion_falls(
    classify: Callable[[FlowSet], Floats], clip: FlowSet, masks: NDArray[np.bool_]
) -> Floats:
    """How far the probability of the predicted class falls with each region held still: (R,).

    A negative number is a region that speaks against the prediction.

    Parameters
    ----------
    clip
        One clip.
    """
    winner = int(classify(clip)[0].argmax())
    count = len(masks)
    held = FlowSet(
        np.concatenate([clip.maps, hold_still(clip.maps[0], masks)]),
        np.zeros(count + 1, dtype=np.int64),
        clip.keys * (count + 1),
        clip.classes,
        unit=clip.unit,
        inside=None if clip.inside is None else np.repeat(clip.inside, count + 1, axis=0),
        clips=None
        if clip.clips is None
        else np.concatenate([clip.clips, hold_clips_still(clip.clips[0], masks)]),
        pictures=None
        if clip.pictures is None
        else np.concatenate([clip.pictures, hide_in_pictures(clip.pictures[0], masks)]),
    )
    believed = classify(held)[:, winner]
    return np.asarray(believed[0] - believed[1:], dtype=np.float32)


def shares_of(falls: Floats) -> Floats:
    """Falls as shares that sum to 1; those below 0 left out, all 0 if they are next to none."""
    falling = falls.clip(min=0)
    total = float(falling.sum())
    return (falling / total if total >= LEAST_FALL else np.zeros_like(falling)).astype(np.float32)
