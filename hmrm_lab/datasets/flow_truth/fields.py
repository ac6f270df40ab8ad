"""Motion fields: local bumps, smooth fields and affine motion, from a fraction of a pixel up."""

from collections.abc import Sequence

import cv2
import numpy as np

from hmrm_lab.records import Floats


def pixel_grid(height: int, width: int) -> Floats:
    """Coordinates of every pixel: (2, H, W), order (x, y)."""
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    return np.stack([columns, rows])


def local_bumps(
    rng: np.random.Generator, size: int, peak_px: float, *, count: int, radii: tuple[float, float]
) -> Floats:
    """Gaussian bumps, the longest vector of which is `peak_px`: (2, S, S).

    `radii` bounds the standard deviation of a bump, in pixels.
    """
    grid = pixel_grid(size, size)
    field = np.zeros((2, size, size), np.float32)
    for _ in range(count):
        centre = rng.uniform(0.08 * size, 0.92 * size, 2).astype(np.float32)
        radius = np.exp(rng.uniform(np.log(radii[0]), np.log(radii[1]), 2)).astype(np.float32)
        away = (grid - centre[:, None, None]) / radius[:, None, None]
        height = np.exp(-0.5 * (away[0] ** 2 + away[1] ** 2))
        push = rng.normal(size=2).astype(np.float32)
        field += height * push[:, None, None]
    return scaled_to(field, peak_px)


def smooth_field(rng: np.random.Generator, size: int, peak_px: float, *, grain_px: float) -> Floats:
    """Low-passed noise over the whole frame with a longest vector of `peak_px`: (2, S, S)."""
    cells = max(4, round(size / grain_px) + 3)
    coarse = rng.standard_normal((cells, cells, 2)).astype(np.float32)
    fine = cv2.resize(
        coarse, None, fx=size / (cells - 3), fy=size / (cells - 3), interpolation=cv2.INTER_CUBIC
    )
    start = (fine.shape[0] - size) // 2
    field = fine[start : start + size, start : start + size].transpose(2, 0, 1)
    return scaled_to(np.ascontiguousarray(field), peak_px)


def affine_field(rng: np.random.Generator, size: int, peak_px: float) -> Floats:
    """A shift, a turn and a change of size and shape together: (2, S, S)."""
    grid = (pixel_grid(size, size) - size / 2) / (size / 2)
    matrix = rng.normal(0, 1, (2, 2)) * rng.choice([0.0, 0.15, 0.5])
    turn, zoom = rng.normal(0, 1, 2) * rng.choice([0.0, 0.3, 1.0])
    matrix += np.array([[zoom, -turn], [turn, zoom]])
    shift = rng.normal(size=2)
    field = np.tensordot(matrix, grid, axes=1) + shift[:, None, None]
    return scaled_to(field.astype(np.float32), peak_px)


def draw_field(rng: np.random.Generator, size: int, peak_px: float) -> Floats:
    """One of the kinds, or two of them together: (2, S, S) with this longest vector."""
    kind = rng.choice(4, p=[0.3, 0.25, 0.25, 0.2])
    if kind == 3:
        share = rng.uniform(0.1, 0.6)
        ground = affine_field(rng, size, peak_px * share)
        return scaled_to(ground + _simple(rng, size, peak_px, int(rng.integers(2))), peak_px)
    return _simple(rng, size, peak_px, int(kind))


def _simple(rng: np.random.Generator, size: int, peak_px: float, kind: int) -> Floats:
    if kind == 0:
        radii = (max(4.0, 1.2 * peak_px), max(28.0, 4 * peak_px))
        return local_bumps(rng, size, peak_px, count=int(rng.integers(1, 7)), radii=radii)
    if kind == 1:
        grain_px = float(np.exp(rng.uniform(np.log(max(24.0, 5 * peak_px)), np.log(160))))
        return smooth_field(rng, size, peak_px, grain_px=grain_px)
    return affine_field(rng, size, peak_px)


def scaled_to(field: Floats, peak_px: float) -> Floats:
    """The same directions with this longest vector."""
    longest = float(np.hypot(field[0], field[1]).max())
    return field if longest == 0 else (field * np.float32(peak_px / longest)).astype(np.float32)


def join_layers(fields: Sequence[Floats], masks: Sequence[Floats]) -> Floats:
    """The motion of what is in front: each mask (S, S) hides the fields before it."""
    joined = fields[0].copy()
    for field, mask in zip(fields[1:], masks, strict=True):
        np.copyto(joined, field, where=mask > 0.5)
    return joined
