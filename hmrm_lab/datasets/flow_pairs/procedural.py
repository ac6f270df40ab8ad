"""Scenes and faces with exact flow, made when asked for: pre-training that needs no download.

The apex is the picture as it is drawn, and each layer of the onset is looked up in it:
`onset(x) = layer(x + flow(x))`. So the flow of the onset is exact at every pixel without inverting
anything, behind a layer and beyond the frame too. Both frames are rendered at twice the size and
averaged down, that neither is sharper than the other.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from hmrm_lab.datasets.flow_pairs import TruePair
from hmrm_lab.datasets.synthetic import neutral_texture
from hmrm_lab.datasets.synthetic.motion import SIZE_PX, pixel_grid
from hmrm_lab.records import Clip, Floats, KnownMotion

SCALE = 2
MARGIN_PX = 24
STOCK = 11  # the stream of random numbers of the stock of pictures


def coloured_noise(rng: np.random.Generator, side: int) -> Floats:
    """Noise whose amplitude falls with frequency, as in pictures of nature: (S, S, 3), 0..255."""
    fall = rng.uniform(0.8, 2.2)
    rows, columns = np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)[None]
    amplitude = 1 / np.maximum(np.hypot(rows, columns), 1 / side) ** fall
    amplitude[0, 0] = 0
    shape = (3, side, side // 2 + 1)
    phases = rng.standard_normal(shape) * np.exp(2j * np.pi * rng.random(shape))
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
        left, top, width, height = cv2.boundingRect((mask > 0).astype(np.uint8))
        box = slice(top, top + height), slice(left, left + width)
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


def procedural_pictures(seed: int, count: int, side: int = 512) -> list[Floats]:
    """A stock of pictures to cut patches from: each (side, side, 3) float32, 0..255.

    Three in four are dead leaves. To draw each scene anew would take longer than to learn from it.
    """
    rng = np.random.default_rng(np.random.SeedSequence([seed, STOCK]))
    draw = (dead_leaves, dead_leaves, dead_leaves, coloured_noise)
    return [draw[number % 4](rng, side) for number in range(count)]


def draw_texture(rng: np.random.Generator, side: int, pictures: Sequence[Floats]) -> Floats:
    """A square of one of the pictures: turned, mirrored, sized and coloured anew; (S, S, 3)."""
    picture = pictures[int(rng.integers(len(pictures)))]
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
    found = cv2.warpAffine(
        picture, matrix, (side, side), flags=flags, borderMode=cv2.BORDER_REFLECT_101
    )
    if rng.random() < 0.3:
        gain, offset = rng.uniform(0.4, 1.2), rng.uniform(-30, 30)
        found = np.clip((found - 128) * np.float32(gain) + np.float32(128 + offset), 0, 255)
    return found if rng.random() < 0.7 else np.ascontiguousarray(found[..., rng.permutation(3)])


@dataclass(frozen=True)
class ProceduralPairs:
    """A source of layered pairs."""

    pictures: Sequence[Floats]  # to cut patches from: each (H, W, 3) float32, RGB in 0..255
    size: int = 128  # the side of a frame
    motion_px: tuple[float, float] = (0.05, 8.0)  # of the longest vector, log-uniform
    large: float = 0.12  # the share of scenes that move 6 to 20 pixels instead
    layered: float = 0.5  # of those that have layers before the ground
    still: float = 0.03  # of those in which nothing moves

    def __call__(self, rng: np.random.Generator) -> TruePair:
        canvas = SCALE * (self.size + 2 * MARGIN_PX)
        count = int(rng.integers(1, 5)) if rng.random() < self.layered else 0
        peak_px = 0.0
        if rng.random() >= self.still:
            low, high = (6.0, 20.0) if rng.random() < self.large else self.motion_px
            peak_px = float(np.exp(rng.uniform(np.log(low), np.log(high))))
        layers = [draw_texture(rng, canvas, self.pictures) for _ in range(count + 1)]
        shares = np.concatenate([[1.0], rng.uniform(0.1, 1.0, count)])
        fields = [draw_field(rng, self.size, peak_px * share) for share in rng.permutation(shares)]
        outlines = [_outline(rng, canvas) for _ in range(count)]
        # A small turn and a shift of a fraction of a pixel, so that neither frame meets the grid.
        angle, shift = rng.normal(0, 0.02), rng.uniform(-1, 1, 2)
        cosine, sine = np.cos(angle), np.sin(angle)
        turn = np.array([[cosine, -sine, shift[0]], [sine, cosine, shift[1]]], dtype=np.float32)
        return render(layers, outlines, fields, turn=turn)


def _outline(rng: np.random.Generator, canvas: int) -> Floats:
    """The shape of a layer: one or several pieces, sometimes a soft edge."""
    mask = shape_mask(rng, canvas, float(canvas * rng.uniform(0.06, 0.4)))
    for _ in range(int(rng.integers(0, 3))):
        piece = shape_mask(rng, canvas, float(canvas * rng.uniform(0.04, 0.25)))
        mask = np.maximum(mask, piece)
    if rng.random() < 0.3:
        mask = cv2.GaussianBlur(mask, (0, 0), float(rng.uniform(0.5, 2.5)))
    return mask


def render(
    layers: Sequence[Floats],
    outlines: Sequence[Floats],
    fields: Sequence[Floats],
    *,
    turn: Floats | None = None,
) -> TruePair:
    """A pair of frames from layers, the ground first.

    `turn` is an affine map (2, 3) of the canvas under both frames; none places them at its middle.

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
    there = [grid + np.stack([_resized(plane, SCALE) for plane in field]) for field in fields]
    moved, masks = _composite(layers, outlines, there, turn)
    flow_px = fields[0].copy()
    for field, mask in zip(fields[1:], masks, strict=True):
        np.copyto(flow_px, field, where=_resized(mask, 1 / SCALE) > 0.5)
    return TruePair(_resized(moved, 1 / SCALE), _resized(still, 1 / SCALE), flow_px)


def _composite(
    layers: Sequence[Floats],
    outlines: Sequence[Floats],
    places: Sequence[Floats],
    turn: Floats | None,
) -> tuple[Floats, list[Floats]]:
    """The layers seen at these places of the frame, at twice its size; and their masks."""
    looked_up = []
    for place_px in places:
        where = (place_px + MARGIN_PX + 0.5) * SCALE - 0.5
        if turn is not None:
            turned = np.tensordot(turn[:, :2], where, axes=1) + turn[:, 2, None, None]
            where = turned.astype(np.float32)
        looked_up.append(where)
    picture = _look_up(layers[0], looked_up[0])
    masks = []
    for layer, outline, where in zip(layers[1:], outlines, looked_up[1:], strict=True):
        mask = _look_up(outline, where)
        picture += mask[..., None] * (_look_up(layer, where) - picture)
        masks.append(mask)
    return picture, masks


def _look_up(image: Floats, where: Floats) -> Floats:
    return cv2.remap(image, where[0], where[1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)


def _resized(image: Floats, factor: float) -> Floats:
    kind = cv2.INTER_LINEAR if factor > 1 else cv2.INTER_AREA
    return cv2.resize(image, None, fx=factor, fy=factor, interpolation=kind)


def draw_field(rng: np.random.Generator, size: int, peak_px: float) -> Floats:
    """Bumps, a smooth or an affine field, or two of them: (2, S, S) with this longest vector."""
    kind = int(rng.choice(4, p=[0.3, 0.25, 0.25, 0.2]))
    ground = None
    if kind == 3:
        ground = affine_field(rng, size, peak_px * rng.uniform(0.1, 0.6))
        kind = int(rng.integers(2))
    if kind == 0:
        radii = (max(4.0, 1.2 * peak_px), max(28.0, 4 * peak_px))
        field = local_bumps(rng, size, peak_px, count=int(rng.integers(1, 7)), radii=radii)
    elif kind == 1:
        grain_px = float(np.exp(rng.uniform(np.log(max(24.0, 5 * peak_px)), np.log(160))))
        field = smooth_field(rng, size, peak_px, grain_px=grain_px)
    else:
        field = affine_field(rng, size, peak_px)
    return field if ground is None else scaled_to(ground + field, peak_px)


def local_bumps(
    rng: np.random.Generator, size: int, peak_px: float, *, count: int, radii: tuple[float, float]
) -> Floats:
    """Gaussian bumps with deviations within `radii`, in pixels, and this longest vector."""
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
    """Low-passed noise over the whole frame with this longest vector."""
    cells = max(4, round(size / grain_px) + 3)
    coarse = rng.standard_normal((cells, cells, 2)).astype(np.float32)
    zoom = size / (cells - 3)
    fine = cv2.resize(coarse, None, fx=zoom, fy=zoom, interpolation=cv2.INTER_CUBIC)
    start = (fine.shape[0] - size) // 2
    field = fine[start : start + size, start : start + size].transpose(2, 0, 1)
    return scaled_to(np.ascontiguousarray(field), peak_px)


def affine_field(rng: np.random.Generator, size: int, peak_px: float) -> Floats:
    grid = (pixel_grid(size, size) - size / 2) / (size / 2)
    matrix = rng.normal(0, 1, (2, 2)) * rng.choice([0.0, 0.15, 0.5])
    turn, zoom = rng.normal(0, 1, 2) * rng.choice([0.0, 0.3, 1.0])
    matrix += np.array([[zoom, -turn], [turn, zoom]])
    shift = rng.normal(size=2)
    field = np.tensordot(matrix, grid, axes=1) + shift[:, None, None]
    return scaled_to(field.astype(np.float32), peak_px)


def scaled_to(field: Floats, peak_px: float) -> Floats:
    """The same directions with this longest vector."""
    longest = float(np.hypot(field[0], field[1]).max())
    return field if longest == 0 else (field * np.float32(peak_px / longest)).astype(np.float32)


def face_pictures(seed: int, subjects: Sequence[int]) -> list[Floats]:
    """The neutral pictures of synthetic subjects: each (480, 480, 3) float32, RGB in 0..255."""
    return [neutral_texture(seed, subject) for subject in subjects]


@dataclass(frozen=True)
class FacialPairs:
    """Parts of faces, as of `face_pictures`, that move a little: no layers, no large motion."""

    faces: Sequence[Floats]
    size: int = 128
    motion_px: tuple[float, float] = (0.05, 4.0)

    def __call__(self, rng: np.random.Generator) -> TruePair:
        face = self.faces[int(rng.integers(len(self.faces)))]
        peak_px = float(np.exp(rng.uniform(*np.log(self.motion_px))))
        if rng.random() < 0.5:
            count = int(rng.integers(1, 6))
            field = local_bumps(rng, self.size, peak_px, count=count, radii=(6.0, 40.0))
        else:
            field = draw_field(rng, self.size, peak_px)
        canvas = SCALE * (self.size + 2 * MARGIN_PX)
        top, left = rng.integers(0, face.shape[0] - canvas + 1, 2)
        part = face[top : top + canvas, left : left + canvas]
        part = np.ascontiguousarray(part[:, ::-1] if rng.random() < 0.5 else part)
        return render([part], [], [field])


def moved_face(face: Floats, field: Floats) -> TruePair:
    """A whole face under a field of 224 x 224 pixels."""
    wider = SCALE * MARGIN_PX - (face.shape[0] - SCALE * SIZE_PX) // 2
    canvas = np.pad(face, ((wider, wider), (wider, wider), (0, 0)), mode="reflect")
    return render([canvas], [], [field])


def facial_field(rng: np.random.Generator, kind: str, peak_px: float) -> Floats:
    """A `local` or a `smooth` field over a whole face: (2, 224, 224)."""
    if kind == "local":
        count = int(rng.integers(3, 7))
        return local_bumps(rng, SIZE_PX, peak_px, count=count, radii=(12.0, 32.0))
    return smooth_field(rng, SIZE_PX, peak_px, grain_px=75.0)


def clip_pair(clip: Clip) -> TruePair:
    """Onset and apex of a synthetic clip before the sensor, with their exact flow."""
    frames = clip.frames
    if not isinstance(frames, KnownMotion):
        raise TypeError("only synthetic clips know their exact flow")
    onset, apex = frames.clean(clip.onset), frames.clean(clip.known_apex)
    return TruePair(onset, apex, frames.flow(clip.onset, clip.known_apex))
