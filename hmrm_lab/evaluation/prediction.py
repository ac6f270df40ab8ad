"""What a system makes of one recording: the record that texts, JSON and pictures are made from."""

from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from hmrm_lab.errors import HmrmError
from hmrm_lab.evaluation.occlusion import shares_of
from hmrm_lab.preparation.quality import ClipWarning
from hmrm_lab.records import Floats

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
