"""Layered scenes with exact flow, made when asked for: pre-training that needs no download.

The apex is the picture as it is drawn, and each layer of the onset is looked up in it:
`onset(x) = layer(x + flow(x))`. So the flow of the onset is exact at every pixel without inverting
anything, behind a layer and beyond the frame too. Both frames are rendered at twice the size and
averaged down, that neither is sharper than the other.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from hmrm_lab.datasets.flow_pairs.pairs import TruePair
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
        axes = (radius * rng.uniform(0.4, 1.0, 2) + 1).astype(int).tolist()
        angle = rng.uniform(0, 180)
        cv2.ellipse(mask, centre.astype(int).tolist(), axes, angle, 0, 360, 255, -1, cv2.LINE_AA)
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
    centre = [rng.uniform(reach, max(length - reach, reach + 1e-3)) for length in (width, height)]
    turn = np.deg2rad(90 * rng.integers(4) + rng.normal(0, 8))
    cosine, sine = np.cos(turn) / zoom, np.sin(turn) / zoom
    matrix = np.array([[cosine, -sine, 0], [sine, cosine, 0]])
    if rng.random() < 0.5:
        matrix[:, 0] *= -1
    matrix[:, 2] = np.array(centre) - matrix[:, :2] @ [side / 2, side / 2]
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


SCALE = 2
MARGIN_PX = 24


@dataclass(frozen=True)
class ProceduralPairs:
    """A source of layered pairs.

    Parameters
    ----------
    pictures
        What patches are cut from: each (H, W, 3) float32, RGB in 0..255.
    size
        The side of a frame.
    motion_px
        Bounds of the longest vector, log-uniform.
    large
        The share of scenes that move 6 to 20 pixels instead.
    layered
        The share of scenes that have layers before the ground.
    still
        The share of scenes in which nothing moves.
    """

    pictures: Sequence[Floats]
    size: int = 128
    motion_px: tuple[float, float] = (0.05, 8.0)
    large: float = 0.12
    layered: float = 0.5
    still: float = 0.03

    def __call__(self, rng: np.random.Generator) -> TruePair:
        canvas = SCALE * (self.size + 2 * MARGIN_PX)
        count = int(rng.integers(1, 5)) if rng.random() < self.layered else 0
        peak_px = self._peak(rng)
        layers = [draw_texture(rng, canvas, self.pictures) for _ in range(count + 1)]
        shares = np.concatenate([[1.0], rng.uniform(0.1, 1.0, count)])
        fields = [draw_field(rng, self.size, peak_px * share) for share in rng.permutation(shares)]
        outlines = [_outline(rng, canvas) for _ in range(count)]
        return render(layers, outlines, fields, turn=_jitter(rng))

    def _peak(self, rng: np.random.Generator) -> float:
        if rng.random() < self.still:
            return 0.0
        low, high = (6.0, 20.0) if rng.random() < self.large else self.motion_px
        return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def render(
    layers: Sequence[Floats],
    outlines: Sequence[Floats],
    fields: Sequence[Floats],
    *,
    turn: Floats | None = None,
) -> TruePair:
    """A pair of frames from layers, the ground first.

    Parameters
    ----------
    turn
        An affine map (2, 3) of the canvas under both frames; none places them at its middle.

    Shapes
    ------
    layers : (S, S, 3) float32, RGB in 0..255, on the canvas: the frame, `MARGIN_PX` wider on each
        side, times `SCALE`
    outlines : (S, S) in 0..1, one less than the layers
    fields : (2, H, W) float32, pixels, the flow of each layer on the grid of the onset
    """
    height, width = fields[0].shape[1:]
    grid: Floats = (pixel_grid(SCALE * height, SCALE * width) + 0.5) / np.float32(SCALE) - 0.5
    still, _ = _composite(layers, outlines, [grid] * len(layers), turn)
    there: list[Floats] = [grid + _enlarged(field) for field in fields]
    moved, masks = _composite(layers, outlines, there, turn)
    masks = [_reduced(mask) for mask in masks]
    return TruePair(_reduced(moved), _reduced(still), join_layers(fields, masks))


def _composite(
    layers: Sequence[Floats],
    outlines: Sequence[Floats],
    places: Sequence[Floats],
    turn: Floats | None,
) -> tuple[Floats, list[Floats]]:
    """The layers seen at these places of the frame, at twice its size."""
    looked_up = [_on_canvas(place, turn) for place in places]
    picture = _look_up(layers[0], looked_up[0])
    masks = []
    for layer, outline, where in zip(layers[1:], outlines, looked_up[1:], strict=True):
        mask = _look_up(outline, where)
        picture += mask[..., None] * (_look_up(layer, where) - picture)
        masks.append(mask)
    return picture, masks


def _on_canvas(place_px: Floats, turn: Floats | None) -> Floats:
    where = (place_px + MARGIN_PX + 0.5) * SCALE - 0.5
    if turn is None:
        return where
    turned = np.tensordot(turn[:, :2], where, axes=1) + turn[:, 2, None, None]
    return turned.astype(np.float32)


def _look_up(image: Floats, where: Floats) -> Floats:
    return cv2.remap(image, where[0], where[1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)


def _enlarged(field: Floats) -> Floats:
    planes = [
        cv2.resize(p, None, fx=SCALE, fy=SCALE, interpolation=cv2.INTER_LINEAR) for p in field
    ]
    return np.stack(planes)


def _reduced(image: Floats) -> Floats:
    return cv2.resize(image, None, fx=1 / SCALE, fy=1 / SCALE, interpolation=cv2.INTER_AREA)


def _outline(rng: np.random.Generator, canvas: int) -> Floats:
    """The shape of a layer: one or several pieces, sometimes a soft edge."""
    mask = shape_mask(rng, canvas, float(canvas * rng.uniform(0.06, 0.4)))
    for _ in range(int(rng.integers(0, 3))):
        piece = shape_mask(rng, canvas, float(canvas * rng.uniform(0.04, 0.25)))
        mask = np.maximum(mask, piece)
    if rng.random() < 0.3:
        mask = cv2.GaussianBlur(mask, (0, 0), float(rng.uniform(0.5, 2.5)))
    return mask


def _jitter(rng: np.random.Generator) -> Floats:
    """A small turn and a shift of a fraction of a pixel, so that neither frame meets the grid."""
    angle, shift = rng.normal(0, 0.02), rng.uniform(-1, 1, 2)
    cosine, sine = np.cos(angle), np.sin(angle)
    return np.array([[cosine, -sine, shift[0]], [sine, cosine, shift[1]]], dtype=np.float32)


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
