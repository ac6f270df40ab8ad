"""Binary patterns of clips in a support vector machine.

LBP-TOP (Zhao and Pietikainen 2007), CLBP-TOP (Guo et al. 2010), STLBP-IP (Huang et al. 2015).
"""

from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache, partial
from itertools import product
from math import cos, floor, pi, sin
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from hmrm_lab.errors import ConfigError
from hmrm_lab.models.handcrafted.svm import NestedSVM
from hmrm_lab.models.interface import (
    Blocks,
    Estimator,
    InnerFolds,
    Inputs,
    Radius,
    cached_descriptor,
    system,
)
from hmrm_lab.records import Floats, Ints

POINTS = 8
UNIFORM = POINTS * (POINTS - 1) + 3  # labels
TIE = 1e-3  # gray levels; interpolated points of an even surface differ from it by rounding
T, Y, X = range(3)  # axes of a clip (T, H, W)
Axes: TypeAlias = tuple[int, int, int]  # a number for each axis, such as the distance of points
PLANES = ((Y, X), (T, X), (T, Y))  # XY, XT, YT: up and right
STEPS = (1, 2, 3, 4, -4, -3, -2, -1)  # of STLBP-IP's pattern on a line: once round its pixel


def three_planes(clip: Inputs, *, blocks: int, radius: int, radius_t: int) -> Floats:
    """Compute the histograms of one clip: (T, S, S) to (3 * blocks * blocks * 59,)."""
    volume, radii = np.asarray(clip, dtype=np.float32), (radius_t, radius, radius)
    codes = (pattern_codes(volume, plane, radii) for plane in PLANES)
    tables = [block_histograms(uniform_labels()[code], UNIFORM, blocks) for code in codes]
    return np.concatenate([table.ravel() for table in tables])


def completed_planes(clip: Inputs, *, blocks: int, radius: int, radius_t: int) -> Floats:
    """Compute the histograms of one clip: (T, S, S) to (blocks * blocks * (3 * 2 * 59 + 2),).

    Sign: whether a point is at least as bright as the pixel in the middle. Magnitude: whether it
    differs by at least the mean difference of this clip and plane. Centre: whether the pixel is at
    least as bright as the mean of its clip.
    """
    volume, radii = np.asarray(clip, dtype=np.float32), (radius_t, radius, radius)
    tables = []
    for plane in PLANES:
        differences = list(points_round(volume, plane, radii, radii))
        size = np.mean([np.abs(d).mean(dtype=np.float64) for d in differences])
        signs = codes_of(d >= -TIE for d in differences)
        sizes = codes_of(np.abs(d) >= size - TIE for d in differences)
        tables += [block_histograms(uniform_labels()[c], UNIFORM, blocks) for c in (signs, sizes)]
    inner = _moved(volume, radii, (0, 0, 0))
    bright = inner >= volume.mean(dtype=np.float64) - TIE
    tables.append(block_histograms(bright.astype(np.int64), 2, blocks))
    return np.concatenate([table.ravel() for table in tables])


def _on_planes(name: str, describe: Callable[..., Floats]) -> None:
    """Register patterns of the planes XY, XT and YT in `blocks` x `blocks`, in a linear SVM."""

    @system(name)
    def build(
        classes: int,
        *,
        blocks: Blocks = 5,
        radius: Radius = 1,
        radius_t: Radius = 2,
        inner_folds: InnerFolds = 5,
    ) -> Estimator:
        of_clip = partial(describe, blocks=blocks, radius=radius, radius_t=radius_t)
        return NestedSVM(cached_descriptor(of_clip), "linear", classes, inner_folds=inner_folds)


_on_planes("lbp_top", three_planes)
_on_planes("clbp_top", completed_planes)


@system("stlbp_ip")
def stlbp_ip(
    classes: int, *, blocks: Blocks = 5, radius_t: Radius = 1, inner_folds: InnerFolds = 5
) -> Estimator:
    """Patterns of the projections of `blocks` x `blocks` of a clip, in a linear SVM."""
    describe = partial(projected_patterns, blocks=blocks, radius_t=radius_t)
    return NestedSVM(cached_descriptor(describe), "linear", classes, inner_folds=inner_folds)


def projected_patterns(clip: Inputs, *, blocks: int, radius_t: int) -> Floats:
    """Compute the histograms of one clip: (T, S, S) to (blocks * blocks * 4 * 59,).

    Each block of the difference images is projected on its rows and on its columns. Appearance:
    the pattern of the eight neighbours along a projection. Motion: the pattern on the picture that
    the projections make one after the other, frames by pixels.
    """
    volume = np.asarray(clip, dtype=np.float32)
    check_blocks(volume.shape[1], volume.shape[2], blocks, least=2 * max(STEPS) + 1)
    found = []
    for strip in np.array_split(volume - volume[:1], blocks, axis=1):
        for block in np.array_split(strip, blocks, axis=2):
            for lines in (block.mean(2), block.mean(1)):
                picture = np.ascontiguousarray(lines[:, None])  # (T, 1, W)
                motion = pattern_codes(picture, (T, X), (radius_t, 1, 1), (radius_t, 0, 1))
                for codes in (line_codes(lines), motion):
                    labels = uniform_labels()[codes].reshape(1, len(codes), -1)
                    found.append(block_histograms(labels, UNIFORM, 1).ravel())
    return np.concatenate(found)


def line_codes(lines: Floats) -> Ints:
    """Compute the pattern of every pixel of a line but four at each end: (T, W) to (T, W - 8)."""
    reach = max(STEPS)
    end = lines.shape[1] - reach
    centre = lines[:, reach:end]
    return codes_of(lines[:, reach + n : end + n] >= centre - TIE for n in STEPS)


def points_round(
    volume: Floats, plane: tuple[int, int], radii: Axes, margins: Axes
) -> Iterator[Floats]:
    """Yield the differences of the eight points around every pixel that has all of them.

    The first lies along the plane's second axis, the others follow counter-clockwise if the first
    axis points down. Points between pixels are interpolated linearly. (T, H, W) float32 to (T - 2
    mt, H - 2 my, W - 2 mx), m the margins. Raises `ConfigError` where no pixel has all its points.
    """
    if any(size <= 2 * margin for size, margin in zip(volume.shape, margins, strict=True)):
        raise ConfigError(
            f"patterns that reach {' x '.join(map(str, margins))} do not fit a clip of"
            f" {' x '.join(map(str, volume.shape))} (frames x pixels)",
            hint="set a smaller model.radius or model.radius_t",
        )
    up, right = plane
    centre = _moved(volume, margins, (0, 0, 0))
    for point in range(POINTS):
        angle = 2 * pi * point / POINTS
        place = [0.0, 0.0, 0.0]
        place[up] = -radii[up] * sin(angle)
        place[right] = radii[right] * cos(angle)
        yield sum(w * _moved(volume, margins, at) for at, w in _corners(place)) - centre


def pattern_codes(
    volume: Floats, plane: tuple[int, int], radii: Axes, margins: Axes | None = None
) -> NDArray[np.int64]:
    """Compute the code 0..255 of every pixel within the margins; see `points_round`."""
    differences = points_round(volume, plane, radii, margins or radii)
    return codes_of(difference >= -TIE for difference in differences)


def codes_of(bits: Iterable[NDArray[np.bool_]]) -> NDArray[np.int64]:
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
        problem = f"{blocks} blocks{of} a side do not fit {width} x {height} pixels"
        raise ConfigError(problem, hint=f"set a smaller {option}")


def block_histograms(labels: Ints, count: int, blocks: int) -> Floats:
    """Compute the shares of labels in each block: (T, H, W) to (blocks, blocks, count) float32."""
    block = block_numbers(labels.shape[1], labels.shape[2], blocks)
    counts = np.bincount((block[None] * count + labels).ravel(), minlength=blocks**2 * count)
    table = counts.reshape(blocks, blocks, count)
    return (table / table.sum(-1, keepdims=True)).astype(np.float32)


def _moved(volume: Floats, margins: Axes, by: Axes) -> Floats:
    """Shift the inner part of the volume along each axis."""
    places = (
        slice(margin + step, size - margin + step)
        for size, margin, step in zip(volume.shape, margins, by, strict=True)
    )
    return volume[tuple(places)]


def _corners(place: list[float]) -> Iterator[tuple[Axes, float]]:
    """Yield the pixels around a position between pixels, each with its weight."""
    ways = []
    for value in place:
        low = floor(value + 1e-9)
        part = value - low
        ways.append([(low, 1.0)] if part < 1e-6 else [(low, 1 - part), (low + 1, part)])
    for (t, share_t), (y, share_y), (x, share_x) in product(*ways):
        yield (t, y, x), share_t * share_y * share_x
