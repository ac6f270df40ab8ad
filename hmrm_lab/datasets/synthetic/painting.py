"""Brushes: masks, strokes and noise on the canvas from which a subject's frames are warped; and
what a subject looks like.

The canvas shows the crop and a margin around it at twice the resolution, so that a warped frame
neither aliases nor meets an edge. All coordinates are pixels of the 224 x 224 crop.
"""

import tomllib
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from hmrm_lab.datasets.synthetic.motion import SIZE_PX, Floats, floats

MARGIN_PX = 8
SCALE = 2
SIDE = SCALE * (SIZE_PX + 2 * MARGIN_PX)
AXIS_PX: Floats = (np.arange(SIDE) / SCALE - MARGIN_PX).astype(np.float32)
BITS = 4  # cv2 draws at 1/16 of a canvas pixel

PALETTES = tomllib.loads(Path(__file__).with_name("palettes.toml").read_text(encoding="utf-8"))


def colour(red: float, green: float, blue: float) -> Floats:
    """A colour of 8-bit levels as (3,) float32 in 0..1."""
    return floats([red / 255, green / 255, blue / 255])


def blend(image: Floats, paint: NDArray[np.floating], alpha: NDArray[np.floating]) -> None:
    """Lay `paint`, (3,) or (S, S, 3), over the image in place where `alpha`, (S, S), is not 0."""
    rows, columns = np.flatnonzero(alpha.any(axis=1)), np.flatnonzero(alpha.any(axis=0))
    if rows.size == 0:
        return
    box = (slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
    over = paint[box] if paint.ndim == 3 else paint
    image[box] += alpha[box][..., None] * (over - image[box])


def window(x_px: float, y_px: float, half_px: float) -> tuple[slice, slice]:
    """Rows and columns of the canvas within this distance of a point."""
    x, y = (round((value + MARGIN_PX) * SCALE) for value in (x_px, y_px))
    half = round(half_px * SCALE)
    return slice(max(0, y - half), y + half), slice(max(0, x - half), x + half)


def blob(x_px: float, y_px: float, width_px: float, height_px: float) -> Floats:
    """A Gaussian of height 1 with these standard deviations: (S, S)."""
    across = np.exp(-0.5 * ((AXIS_PX - x_px) / width_px) ** 2)
    down = np.exp(-0.5 * ((AXIS_PX - y_px) / height_px) ** 2)
    return np.outer(down, across).astype(np.float32)


def spot(
    centre_px: Floats, width_px: float, height_px: float, *, across: float = 0, down: float = 0
) -> Floats:
    """A `blob` this far across and down from a point."""
    x, y = map(float, centre_px)
    return blob(x + across, y + down, width_px, height_px)


def curve(points_px: ArrayLike, samples: int = 40, closed: bool = False) -> Floats:
    """A smooth curve through the points: (n, 2) to (samples, 2)."""
    points = floats(points_px)
    points = np.concatenate([points, points[:1]]) if closed else points
    steps = np.sqrt(np.linalg.norm(np.diff(points, axis=0), axis=1))  # centripetal: no overshoot
    knots = np.concatenate([[0], np.cumsum(steps)])
    from scipy.interpolate import CubicSpline  # takes longer to import than most commands to run

    spline = CubicSpline(knots, points, bc_type="periodic" if closed else "natural")
    return np.asarray(spline(np.linspace(0, knots[-1], samples)), dtype=np.float32)


def region(outline_px: ArrayLike, soft_px: float) -> Floats:
    """The inside of a polygon with an edge this soft: (n, 2) to (S, S) in 0..1."""
    mask = np.zeros((SIDE, SIDE), dtype=np.uint8)
    cv2.fillPoly(mask, [_fixed(outline_px)], 255, cv2.LINE_AA, BITS)
    return _softened(mask, soft_px)


def stroke(line_px: ArrayLike, width_px: float, soft_px: float) -> Floats:
    """A line of this width: (n, 2) to (S, S) in 0..1."""
    mask = np.zeros((SIDE, SIDE), dtype=np.uint8)
    thickness = max(1, round(width_px * SCALE))
    cv2.polylines(mask, [_fixed(line_px)], False, 255, thickness, cv2.LINE_AA, BITS)
    return _softened(mask, soft_px)


def hairs(
    roots_px: NDArray[np.floating], tips_px: NDArray[np.floating], opacity: NDArray[np.floating]
) -> Floats:
    """Straight hairs of half a pixel: (n, 2) roots and tips to (S, S) in 0..1."""
    mask = np.zeros((SIDE, SIDE), dtype=np.uint8)
    ends = _fixed(np.stack([roots_px, tips_px], axis=1))
    for line, level in zip(ends, (255 * opacity).astype(int), strict=True):
        cv2.line(mask, line[0], line[1], int(level), 1, cv2.LINE_AA, BITS)
    return _softened(mask, 0.25)


def noise(rng: np.random.Generator, grain_px: float) -> Floats:
    """Smooth noise of zero mean and unit variance with grains of this size: (S, S)."""
    grain = SCALE * grain_px
    if grain < 8:
        field = rng.standard_normal((SIDE, SIDE), dtype=np.float32)
        field = cv2.GaussianBlur(field, (0, 0), grain / 2)
    else:
        cells = max(4, round(SIDE / grain))
        small = rng.standard_normal((cells, cells), dtype=np.float32)
        field = cv2.resize(small, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
    return floats((field - field.mean()) / field.std())


def dots(rng: np.random.Generator, density: Floats, count: int, radius_px: float) -> Floats:
    """Round spots of varying strength, more of them where `density` is high: (S, S) in 0..1."""
    places = rng.integers(0, SIDE, (count, 2))
    keep = rng.random(count) < density[places[:, 1], places[:, 0]]
    sizes = rng.uniform(0.6, 1.4, count) * radius_px * SCALE
    levels = rng.uniform(60, 255, count)
    mask = np.zeros((SIDE, SIDE), dtype=np.uint8)
    for place, size, level in zip(places[keep], sizes[keep], levels[keep], strict=True):
        centre = (int(place[0]) << BITS, int(place[1]) << BITS)
        cv2.circle(mask, centre, int(size * 2**BITS), int(level), -1, cv2.LINE_AA, BITS)
    return _softened(mask, radius_px * 0.5)


def _fixed(points_px: ArrayLike) -> NDArray[np.int32]:
    """Points in the fixed-point canvas coordinates of cv2's drawing functions."""
    canvas = (floats(points_px) + MARGIN_PX) * SCALE
    return np.asarray(np.round(canvas * 2**BITS), dtype=np.int32)


def _softened(mask: NDArray[np.uint8], soft_px: float) -> Floats:
    soft = cv2.GaussianBlur(mask, (0, 0), soft_px * SCALE) if soft_px > 0 else mask
    return floats(soft) / np.float32(255)


class Traits:
    """What a subject looks like, apart from the geometry. Colours are (3,) float32 in 0..1."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.tone = float(rng.beta(1.1, 1.5))  # 0 light .. 1 dark
        complexions = floats(PALETTES["complexions"])
        step = self.tone * (len(complexions) - 1.001)
        low, part = int(step), np.float32(step % 1)
        complexion = (1 - part) * complexions[low] + part * complexions[low + 1]
        across = rng.choice([-1, 1]) * rng.uniform(0.2, 0.55)
        lamp = np.array([across, -rng.uniform(0.25, 0.5), 0.85])  # x right, y down, z to the camera
        self.light = floats(lamp / np.linalg.norm(lamp))
        self.complexion = floats(complexion / 255 + rng.normal(0, 0.008, 3))
        self.blush = float(rng.uniform(0.5, 1.2))
        self.freckles = float(rng.choice([0, 0.2, 1], p=[0.5, 0.3, 0.2]) * (self.tone < 0.5))
        self.stubble = float(rng.choice([0, rng.uniform(0.3, 0.9)], p=[0.65, 0.35]))
        self.roughness = float(rng.uniform(0.8, 1.3))
        known = 2 if self.tone > 0.55 else None  # darker subjects here have dark eyes and hair
        irises, hairs, walls = (PALETTES[name] for name in ("irises", "hairs", "backgrounds"))
        self.iris = colour(*irises[rng.integers(0, known or len(irises))])
        self.hair = colour(*hairs[rng.integers(0, known or len(hairs))])
        self.background = colour(*walls[rng.integers(len(walls))])
        self.brow_density = float(rng.uniform(0.65, 1.0))
        self.parting_px = float(rng.uniform(-38, 38))
        self.hairline_px = float(rng.uniform(17, 29))
        self.long_hair = bool(rng.random() < 0.45)
        self.lip_tint = float(rng.uniform(0.35, 0.8))
