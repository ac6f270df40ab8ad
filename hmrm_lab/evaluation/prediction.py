"""What a system makes of one recording: the record that texts, JSON and pictures are made from."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hmrm_lab.evaluation.occlusion import GRID, shares_of
from hmrm_lab.records import CLASSES, Floats

ROWS = ("brow", "eye", "nose", "mouth")  # what lies there in the canonical crop
COLUMNS = ("outer left", "inner left", "inner right", "outer right")  # of the image
REGIONS = tuple(f"{row} row, {column}" for row in ROWS for column in COLUMNS)
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
    cell_falls, part_falls
        How far the winner's probability falls with this sub-region, or this part of the face, held
        still; see `occlusion`.
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
    cell_falls : (16,), row by row
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
    cell_falls: Floats
    part_falls: dict[str, float]
    outside_share: float
    outside_energy: float
    caveats: tuple[str, ...]

    @property
    def winner(self) -> int:
        return int(self.probabilities.argmax())

    @property
    def cell_shares(self) -> Floats:
        """(16,), summing to 1; all 0 where no region decides."""
        return shares_of(self.cell_falls)

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        regions = zip(REGIONS, self.cell_falls, self.cell_shares, strict=True)
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
            "regions": [
                {
                    "name": name,
                    "row": number // GRID,
                    "column": number % GRID,
                    "fall": _rounded(fall),
                    "share": _rounded(share),
                }
                for number, (name, fall, share) in enumerate(regions)
            ],
            "parts": {name: _rounded(fall) for name, fall in self.part_falls.items()},
            "run": self.run,
            "caveats": list(self.caveats),
        }


def _rounded(value: float) -> float:
    return round(float(value), DIGITS)
