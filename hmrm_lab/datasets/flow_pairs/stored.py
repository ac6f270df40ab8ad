"""Pairs on disk: two images and a flow file each."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hmrm_lab.datasets.flow_pairs.flow_files import read_flow
from hmrm_lab.datasets.flow_pairs.pairs import TruePair
from hmrm_lab.datasets.images import read_image
from hmrm_lab.errors import InputError
from hmrm_lab.records import Floats

UNKNOWN_PX = 1e9  # Middlebury's mark for a pixel whose motion was not measured


@dataclass(frozen=True, slots=True)
class PairFiles:
    """Where the parts of a pair are; `name` is how tables call it."""

    name: str
    onset: Path
    apex: Path
    flow: Path

    def read(self) -> TruePair:
        """The pair, or an `InputError` that names the file."""
        onset, apex = read_frame(self.onset), read_frame(self.apex)
        flow_px = read_flow(self.flow)
        for path, shape in ((self.apex, apex.shape[:2]), (self.flow, flow_px.shape[1:])):
            if shape != onset.shape[:2]:
                raise InputError(
                    f"{shape[1]}x{shape[0]} pixels, but {self.onset.name} has "
                    f"{onset.shape[1]}x{onset.shape[0]}",
                    where=path,
                    mend="unpack the data set again",
                )
        flow_px[:, ~(np.abs(flow_px) < UNKNOWN_PX).all(axis=0)] = np.nan
        return TruePair(onset, apex, flow_px)


@dataclass(frozen=True)
class StoredPairs:
    """A source of random crops of pairs on disk.

    Parameters
    ----------
    crop
        Height and width in pixels; none gives whole frames.
    """

    files: Sequence[PairFiles]
    crop: tuple[int, int] | None = None

    def __len__(self) -> int:
        return len(self.files)

    def __call__(self, rng: np.random.Generator) -> TruePair:
        files = self.files[int(rng.integers(len(self.files)))]
        return _cropped(files, self.crop, rng) if self.crop else files.read()


def read_frame(path: Path) -> Floats:
    """An image as (H, W, 3) float32, RGB in 0..255, or an `InputError`."""
    return read_image(path).astype(np.float32)


def need_folder(root: Path, *parts: str, of: str) -> Path:
    """A folder beneath the root, or an `InputError` that says what is expected."""
    folder = root.joinpath(*parts)
    if not folder.is_dir():
        raise InputError(f"no such folder of {of}", where=folder, mend="check --root")
    return folder


def _cropped(files: PairFiles, crop: tuple[int, int], rng: np.random.Generator) -> TruePair:
    pair = files.read()
    height, width = crop
    rows, columns = pair.onset.shape[0] - height, pair.onset.shape[1] - width
    if rows < 0 or columns < 0:
        raise InputError(
            f"smaller than a crop of {width}x{height}", where=files.onset, mend="crop less"
        )
    top, left = int(rng.integers(rows + 1)), int(rng.integers(columns + 1))
    box = (slice(top, top + height), slice(left, left + width))
    return TruePair(pair.onset[box], pair.apex[box], pair.flow_px[:, *box])
