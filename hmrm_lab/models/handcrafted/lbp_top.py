"""LBP-TOP: local binary patterns on three planes through a clip (Zhao and Pietikainen 2007)."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache, partial
from math import cos, floor, pi, sin

import numpy as np
from numpy.typing import NDArray

from hmrm_lab.errors import ConfigError
from hmrm_lab.models.handcrafted.svm import linear_svm
from hmrm_lab.models.layers import Blocks, Estimator, InnerFolds, Inputs, Radius
from hmrm_lab.records import Floats, Ints
from hmrm_lab.registry import Card, Recipe, systems

OF_CLIPS: Recipe = {"augment": {"motionmix": 0.0}}  # for systems that read no maps

CARD = Card(
    takes="clip",
    citation="Zhao and Pietikainen, Dynamic texture recognition using local binary patterns with an"
    " application to facial expressions, IEEE TPAMI 29, 2007",
    fidelity="adapted",
    departures=(
        "clips are brought to their number of frames by linear interpolation; the baselines of the"
        " field use the temporal interpolation model",
        "faces are aligned by their onset frame, by one affine map",
        "C of the linear SVM is chosen on training subjects",
    ),
    estimator=True,
)


@systems.register("lbp_top", recipe=OF_CLIPS, source="Zhao and Pietikainen 2007", card=CARD)
def lbp_top(
    classes: int,
    *,
    blocks: Blocks = 5,
    radius: Radius = 1,
    radius_t: Radius = 2,
    inner_folds: InnerFolds = 5,
) -> Estimator:
    """Uniform patterns of the planes XY, XT and YT in `blocks` x `blocks`, in a linear SVM."""
    describe = partial(three_planes, blocks=blocks, radius=radius, radius_t=radius_t)
    return linear_svm(describe, classes, inner_folds)


def three_planes(clip: Inputs, *, blocks: int, radius: int, radius_t: int) -> Floats:
    """Compute the histograms of one clip: (T, S, S) to (3 * blocks * blocks * 59,)."""
    volume = np.asarray(clip, dtype=np.float32)
    radii, labels = Radii(radius, radius_t), uniform_labels()
    tables = [
        block_histograms(labels[pattern_codes(volume, plane, radii)], UNIFORM, blocks)
        for plane in PLANES
    ]
    return np.concatenate([table.ravel() for table in tables])


POINTS = 8
UNIFORM = POINTS * (POINTS - 1) + 3  # labels
TIE = 1e-3  # gray levels; interpolated points of an even surface differ from it by rounding
T, Y, X = range(3)  # axes of a clip (T, H, W)
PLANES = ((Y, X), (T, X), (T, Y))  # XY, XT, YT: up and right


@dataclass(frozen=True)
class Radii:
    """Distances of the points, in pixels and in frames."""

    space: int
    time: int

    def along(self, axis: int) -> int:
        return self.time if axis == T else self.space

    @property
    def margins(self) -> tuple[int, int, int]:
        return self.time, self.space, self.space


def points_round(
    volume: Floats, plane: tuple[int, int], radii: Radii, margins: tuple[int, int, int]
) -> Iterator[Floats]:
    """Yield the differences of the eight points around every pixel that has all of them.

    The first lies along the plane's second axis, the others follow counter-clockwise if the first
    axis points down. Points between pixels are interpolated linearly.

    Shapes
    ------
    volume : (T, H, W) float32
    yields : (T - 2 mt, H - 2 my, W - 2 mx); m are the margins
    """
    check_size(volume.shape, margins)
    up, right = plane
    centre = _moved(volume, margins, (0, 0, 0))
    for point in range(POINTS):
        angle = 2 * pi * point / POINTS
        place = [0.0, 0.0, 0.0]
        place[up] = -radii.along(up) * sin(angle)
        place[right] = radii.along(right) * cos(angle)
        corners = _corners(place)
        yield sum(w * _moved(volume, margins, at) for at, w in corners) - centre


def pattern_codes(
    volume: Floats,
    plane: tuple[int, int],
    radii: Radii,
    margins: tuple[int, int, int] | None = None,
) -> NDArray[np.int64]:
    """Compute the code 0..255 of every pixel within the margins; see `points_round`."""
    differences = points_round(volume, plane, radii, margins or radii.margins)
    return codes_of(difference >= -TIE for difference in differences)


def codes_of(bits: Iterator[NDArray[np.bool_]]) -> NDArray[np.int64]:
    """Combine bits to a number, the lowest first."""
    return np.asarray(sum(bit.astype(np.int64) << place for place, bit in enumerate(bits)))


@lru_cache(maxsize=1)
def uniform_labels() -> Ints:
    """List the label of every code, (256,): uniform ones 0..57 in order, the others 58."""
    labels = np.full(2**POINTS, UNIFORM - 1, dtype=np.int64)
    known = 0
    for code in range(2**POINTS):
        bits = [code >> place & 1 for place in range(POINTS)]
        if sum(bits[place] != bits[place - 1] for place in range(POINTS)) <= 2:
            labels[code] = known
            known += 1
    return labels


def block_numbers(height: int, width: int, blocks: int, *, option: str = "model.blocks") -> Ints:
    """Number the block of every pixel, row by row: (`height`, `width`), 0..blocks^2 - 1."""
    check_blocks(height, width, blocks, option=option)
    rows, columns = (np.arange(side) * blocks // side for side in (height, width))
    return np.asarray(rows[:, None] * blocks + columns[None], dtype=np.int64)


def check_blocks(
    height: int, width: int, blocks: int, *, option: str = "model.blocks", least: int = 1
) -> None:
    """Raise `ConfigError` naming `option` where a block has less than `least` pixels a side."""
    if blocks * least > min(height, width):
        of = "" if least == 1 else f" of at least {least} pixels"
        raise ConfigError(
            f"{blocks} blocks{of} a side do not fit {width} x {height} pixels",
            hint=f"set a smaller {option}",
        )


def block_histograms(labels: Ints, count: int, blocks: int) -> Floats:
    """Compute the shares of labels in each block: (T, H, W) to (blocks, blocks, count) float32."""
    _, height, width = labels.shape
    block = block_numbers(height, width, blocks)
    counts = np.bincount((block[None] * count + labels).ravel(), minlength=blocks**2 * count)
    table = counts.reshape(blocks, blocks, count)
    return (table / table.sum(-1, keepdims=True)).astype(np.float32)


def check_size(shape: tuple[int, ...], margins: tuple[int, int, int]) -> None:
    """Raise `ConfigError` where no pixel has all its points."""
    if any(size <= 2 * margin for size, margin in zip(shape, margins, strict=True)):
        raise ConfigError(
            f"patterns that reach {' x '.join(map(str, margins))} do not fit a clip of"
            f" {' x '.join(map(str, shape))} (frames x pixels)",
            hint="set a smaller model.radius or model.radius_t",
        )


def _moved(volume: Floats, margins: tuple[int, int, int], by: tuple[int, int, int]) -> Floats:
    """Shift the inner part of the volume along each axis."""
    places = (
        slice(margin + step, size - margin + step)
        for size, margin, step in zip(volume.shape, margins, by, strict=True)
    )
    return volume[tuple(places)]


def _corners(place: list[float]) -> list[tuple[tuple[int, int, int], float]]:
    """List the pixels around a position between pixels, each with its weight."""
    corners: list[tuple[tuple[int, ...], float]] = [((), 1.0)]
    for value in place:
        low = floor(value + 1e-9)
        part = value - low
        ways = [(low, 1.0)] if part < 1e-6 else [(low, 1 - part), (low + 1, part)]
        corners = [((*at, step), w * share) for at, w in corners for step, share in ways]
    return [((at[0], at[1], at[2]), weight) for at, weight in corners]
