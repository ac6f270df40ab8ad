"""What a system makes of one recording: the record that texts, JSON and pictures are made from."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hmrm_lab.evaluation.occlusion import shares_of
from hmrm_lab.records import CLASSES, Floats

ELSEWHERE = "elsewhere"  # what is no part of the face: cheeks, forehead, background
DIGITS = 4


@dataclass(frozen=True, eq=False)
class RecordingPrediction:
    """One recording, seen by the system of one run.

    Parameters
    ----------
    face
        `detected`, `neighbour` (in another frame than the onset) or `template` (not looked for).
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

    Shapes
    ------
    probabilities : (3,)
    onset_image, apex_image : (224, 224, 3) uint8, RGB, the canonical crop
    motion : (3, H, W), order (u, v, strain), pixels of the crop
    parts : (224, 224) bool for each name
    """

    recording: str
    run: str
    probabilities: Floats
    frames: int
    fps: float
    onset: int
    apex: int
    offset: int
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

    @property
    def winner(self) -> int:
        return int(self.probabilities.argmax())

    @property
    def part_shares(self) -> dict[str, float]:
        """Share of each part in the answer, summing to 1; all 0 where no part decides."""
        shares = shares_of(np.array(list(self.part_falls.values()), np.float32))
        return dict(zip(self.part_falls, map(float, shares), strict=True))

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {
            "recording": self.recording,
            "prediction": CLASSES[self.winner],
            "probabilities": {
                name: _rounded(value)
                for name, value in zip(CLASSES, self.probabilities, strict=True)
            },
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
