"""What each pre-training learns from: the procedural mixture, or the published sets."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from hmrm_lab.datasets.flow_pairs import PairSource, ProceduralPairs, TruePair
from hmrm_lab.datasets.flow_pairs.facial import FacialPairs, face_pictures
from hmrm_lab.datasets.flow_pairs.flying_chairs import flying_chairs
from hmrm_lab.datasets.flow_pairs.flying_things import flying_things
from hmrm_lab.datasets.flow_pairs.procedural import procedural_pictures
from hmrm_lab.datasets.flow_pairs.stored import StoredPairs
from hmrm_lab.datasets.images import SUFFIXES, read_image
from hmrm_lab.errors import InputError
from hmrm_lab.flow.schedules import Preset
from hmrm_lab.records import Floats

TRAINING_SEED = 20_000  # of pictures and people; evaluation draws its own from other seeds
STOCK, PEOPLE = 160, 24
_LARGEST_SIDE = 900


@dataclass(frozen=True)
class Mixture:
    """Each pair from one of several sources, by chance."""

    sources: Sequence[PairSource]
    shares: Sequence[float]

    def __call__(self, rng: np.random.Generator) -> TruePair:
        return self.sources[rng.choice(len(self.sources), p=self.shares)](rng)


def procedural_mixture(
    size: int, *, photographs: Path | None = None, stock: int = STOCK, people: int = PEOPLE
) -> Mixture:
    """Layered scenes of drawn pictures, faces and, where a folder is named, photographs."""
    faces = face_pictures(TRAINING_SEED, range(people))
    pictures = [*procedural_pictures(TRAINING_SEED, stock), *faces]
    if photographs is not None:
        found = read_pictures(photographs)
        pictures += found * max(1, round(stock / len(found)))  # as often as drawn ones
    layered = ProceduralPairs(pictures, size)
    return Mixture([layered, FacialPairs(faces, size)], [0.75, 0.25])


def read_pictures(folder: Path) -> list[Floats]:
    """Every picture of a folder as (H, W, 3) float32, RGB in 0..255."""
    files = sorted(path for path in folder.glob("*") if path.suffix.lower() in SUFFIXES)
    if not files:
        raise InputError("no pictures", where=folder, mend="name a folder of photographs")
    return [_bounded(read_image(path)).astype(np.float32) for path in files]


def _bounded(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    longest = max(picture.shape[:2])
    if longest <= _LARGEST_SIDE:
        return picture
    scale = _LARGEST_SIDE / longest
    return cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)


def sources_for(
    preset: Preset,
    *,
    chairs: Path | None = None,
    things: Path | None = None,
    photographs: Path | None = None,
) -> dict[str, PairSource]:
    """The source of every stage of a preset.

    Parameters
    ----------
    chairs, things
        The roots of FlyingChairs and FlyingThings3D, for presets that learn from them.
    photographs
        A folder of pictures that join the drawn ones of the procedural scenes.

    Raises
    ------
    InputError
        If a stage needs a root that is not named.
    """
    needed = {stage.data for stage in preset.stages}
    sources: dict[str, PairSource] = {}
    if "procedural" in needed:
        sources["procedural"] = procedural_mixture(preset.crop[0], photographs=photographs)
    if "flying_chairs" in needed:
        files = flying_chairs(_named(chairs, "FlyingChairs", preset))
        sources["flying_chairs"] = StoredPairs(files, preset.crop)
    if "flying_things" in needed:
        sources["flying_things"] = StoredPairs(
            flying_things(_named(things, "FlyingThings3D", preset)), preset.crop
        )
    return sources


def _named(root: Path | None, name: str, preset: Preset) -> Path:
    if root is None:
        raise InputError(f"preset '{preset.name}' learns from {name}", mend="name its folder")
    return root
