"""Pictures to be moved: dead leaves, coloured noise, and whatever pictures are handed in."""

from collections.abc import Sequence

import cv2
import numpy as np

from hmrm_lab.records import Floats

_STOCK = 11  # the stream of random numbers of the stock of pictures


def coloured_noise(rng: np.random.Generator, side: int) -> Floats:
    """Noise whose amplitude falls with frequency, as in pictures of nature: (S, S, 3), 0..255."""
    fall = rng.uniform(0.8, 2.2)
    rows, columns = np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)[None]
    amplitude = 1 / np.maximum(np.hypot(rows, columns), 1 / side) ** fall
    amplitude[0, 0] = 0
    phases = rng.standard_normal((3, side, side // 2 + 1)) * np.exp(
        2j * np.pi * rng.random((3, side, side // 2 + 1))
    )
    planes = np.fft.irfft2(phases * amplitude, s=(side, side))
    planes /= planes.std(axis=(1, 2), keepdims=True)
    shared = rng.uniform(0.3, 1.0)
    planes[1:] = shared * planes[:1] + (1 - shared) * planes[1:]
    contrast = np.exp(rng.uniform(np.log(6), np.log(60)))
    picture = rng.uniform(50, 200, 3) + contrast * planes.transpose(1, 2, 0)
    return np.clip(picture, 0, 255).astype(np.float32)


def dead_leaves(rng: np.random.Generator, side: int) -> Floats:
    """Shapes that cover one another, each of its own colour or texture: (S, S, 3), 0..255."""
    picture = coloured_noise(rng, side)
    grain = coloured_noise(rng, side) - 128
    palette = rng.uniform(10, 245, (6, 3))
    contrast = rng.uniform(0.25, 1.0)
    largest = side * rng.uniform(0.12, 0.45)
    for _ in range(int(rng.integers(12, 70))):
        mask = shape_mask(rng, side, float(largest * rng.random() ** 2 + 3))
        paint = palette[rng.integers(6)] + rng.normal(0, 12, 3)
        paint = 128 + contrast * (paint - 128)
        textured = grain * rng.choice([0.0, 0.15, 0.6]) * contrast
        box = _box(mask)
        alpha = mask[box][..., None]
        picture[box] += alpha * (paint.astype(np.float32) + textured[box] - picture[box])
    return np.clip(picture, 0, 255).astype(np.float32)


def shape_mask(rng: np.random.Generator, side: int, radius: float) -> Floats:
    """An ellipse, a polygon or a bar, with a soft edge of a pixel: (S, S) in 0..1."""
    mask = np.zeros((side, side), np.uint8)
    centre = rng.uniform(0, side, 2)
    kind = rng.integers(3)
    if kind == 0:
        axes = (radius * rng.uniform(0.4, 1.0, 2) + 1).astype(int)
        middle = (int(centre[0]), int(centre[1]))
        cv2.ellipse(
            mask,
            middle,
            (int(axes[0]), int(axes[1])),
            rng.uniform(0, 180),
            0,
            360,
            255,
            -1,
            cv2.LINE_AA,
        )
    else:
        corners = int(rng.integers(3, 9))
        angles = np.sort(rng.uniform(0, 2 * np.pi, corners))
        reach = radius * rng.uniform(0.5, 1.2, corners)[:, None]
        points = reach * np.stack([np.cos(angles), np.sin(angles)], axis=1)
        if kind == 2:
            turn = rng.uniform(0, np.pi)
            rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
            points = points * [1.5, 0.2] @ rotation
        cv2.fillPoly(mask, [np.rint((centre + points) * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
    return mask.astype(np.float32) / np.float32(255)


def patch_of(picture: Floats, rng: np.random.Generator, side: int) -> Floats:
    """A square of a picture at a random place, turned, mirrored and sized: (S, S, 3)."""
    height, width = picture.shape[:2]
    zoom = float(np.exp(rng.uniform(np.log(0.8), np.log(2.5))))
    zoom = max(zoom, side / min(height, width))
    reach = side / zoom / 2
    x, y = (
        rng.uniform(reach, max(width - reach, reach + 1e-3)),
        rng.uniform(reach, max(height - reach, reach + 1e-3)),
    )
    turn = np.deg2rad(90 * rng.integers(4) + rng.normal(0, 8))
    cosine, sine = np.cos(turn) / zoom, np.sin(turn) / zoom
    matrix = np.array([[cosine, -sine, 0], [sine, cosine, 0]])
    if rng.random() < 0.5:
        matrix[:, 0] *= -1
    matrix[:, 2] = np.array([x, y]) - matrix[:, :2] @ [side / 2, side / 2]
    if zoom < 1:
        picture = cv2.GaussianBlur(picture, (0, 0), 0.5 / zoom)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(
        picture, matrix, (side, side), flags=flags, borderMode=cv2.BORDER_REFLECT_101
    ).astype(np.float32)


def procedural_pictures(seed: int, count: int, side: int = 512) -> list[Floats]:
    """A stock of pictures to cut patches from; to draw each scene anew would take longer than
    to learn from it.

    Shapes
    ------
    returns : each (side, side, 3) float32, 0..255; three in four are dead leaves
    """
    rng = np.random.default_rng(np.random.SeedSequence([seed, _STOCK]))
    draw = (dead_leaves, dead_leaves, dead_leaves, coloured_noise)
    return [draw[number % 4](rng, side) for number in range(count)]


def draw_texture(rng: np.random.Generator, side: int, pictures: Sequence[Floats]) -> Floats:
    """A patch of one of the pictures, its colours changed: (S, S, 3), 0..255."""
    found = patch_of(pictures[int(rng.integers(len(pictures)))], rng, side)
    if rng.random() < 0.3:
        gain, offset = rng.uniform(0.4, 1.2), rng.uniform(-30, 30)
        found = np.clip((found - 128) * np.float32(gain) + np.float32(128 + offset), 0, 255)
    return found if rng.random() < 0.7 else np.ascontiguousarray(found[..., rng.permutation(3)])


def _box(mask: Floats) -> tuple[slice, slice]:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if rows.size == 0:
        return slice(0, 0), slice(0, 0)
    return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
