"""The traits of one person: colours, hair, light, and how rough or freckled the skin is."""

from dataclasses import dataclass

import numpy as np

from hmrm_lab.datasets.synthetic.geometry import Floats
from hmrm_lab.datasets.synthetic.painting import colour

_COMPLEXIONS = np.array(
    [
        (246, 216, 198),
        (238, 203, 178),
        (226, 184, 152),
        (208, 160, 124),
        (180, 130, 96),
        (146, 100, 72),
        (112, 76, 56),
    ],
    dtype=np.float32,
)
_IRISES = [
    (86, 54, 34),
    (60, 40, 30),
    (112, 82, 46),
    (92, 110, 74),
    (86, 118, 148),
    (104, 116, 124),
]
_HAIRS = [(30, 24, 22), (48, 34, 28), (84, 58, 40), (122, 88, 56), (182, 144, 96), (136, 74, 46)]
_BACKGROUNDS = [(150, 166, 178), (176, 170, 160), (138, 152, 142), (172, 158, 170), (196, 190, 180)]


@dataclass(frozen=True, eq=False)
class Traits:
    """What a person looks like, apart from the geometry. Colours are (3,) float32 in 0..1."""

    complexion: Floats
    tone: float  # 0 light .. 1 dark
    blush: float
    freckles: float
    stubble: float
    roughness: float
    light: Floats  # unit vector towards the lamp; x right, y down, z to the camera
    iris: Floats
    hair: Floats
    background: Floats
    brow_density: float
    parting_px: float
    hairline_px: float
    long_hair: bool
    lip_tint: float


def draw_traits(rng: np.random.Generator) -> Traits:
    tone = float(rng.beta(1.1, 1.5))
    step = tone * (len(_COMPLEXIONS) - 1.001)
    low, part = int(step), np.float32(step % 1)
    complexion = (1 - part) * _COMPLEXIONS[low] + part * _COMPLEXIONS[low + 1]
    dark = int(tone > 0.55)  # darker people of this sample have dark eyes and hair
    lamp = np.array([rng.choice([-1, 1]) * rng.uniform(0.2, 0.55), -rng.uniform(0.25, 0.5), 0.85])
    return Traits(
        complexion=(complexion / 255 + rng.normal(0, 0.008, 3)).astype(np.float32),
        tone=tone,
        blush=float(rng.uniform(0.5, 1.2)),
        freckles=float(rng.choice([0, 0.2, 1], p=[0.5, 0.3, 0.2]) * (tone < 0.5)),
        stubble=float(rng.choice([0, rng.uniform(0.3, 0.9)], p=[0.65, 0.35])),
        roughness=float(rng.uniform(0.8, 1.3)),
        light=(lamp / np.linalg.norm(lamp)).astype(np.float32),
        iris=colour(*_IRISES[rng.integers(0, 2 if dark else len(_IRISES))]),
        hair=colour(*_HAIRS[rng.integers(0, 2 if dark else len(_HAIRS))]),
        background=colour(*_BACKGROUNDS[rng.integers(len(_BACKGROUNDS))]),
        brow_density=float(rng.uniform(0.65, 1.0)),
        parting_px=float(rng.uniform(-38, 38)),
        hairline_px=float(rng.uniform(17, 29)),
        long_hair=bool(rng.random() < 0.45),
        lip_tint=float(rng.uniform(0.35, 0.8)),
    )
