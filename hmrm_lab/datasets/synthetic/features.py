"""What lies on the skin: eyes, brows, mouth, nostrils, hair, and the neck and ears behind."""

import cv2
import numpy as np
from numpy.typing import NDArray

from hmrm_lab.datasets.synthetic.motion import CENTRE_PX, EYE, INNER_LIP, Floats, floats
from hmrm_lab.datasets.synthetic.painting import (
    AXIS_PX,
    SIDE,
    blend,
    blob,
    colour,
    curve,
    hairs,
    noise,
    region,
    spot,
    stroke,
    window,
)
from hmrm_lab.datasets.synthetic.recipes import Traits
from hmrm_lab.datasets.synthetic.skin import SIDES

_BLACK = colour(24, 16, 14)


def neck(landmarks: Floats) -> Floats:
    left, right = landmarks[4] + (9, -6), landmarks[12] + (-9, -6)
    sides = [left, right, right + (-5, 30), right + (2, 90), left + (-2, 90), left + (5, 30)]
    return region(floats(sides), 1.0)


def ears(landmarks: Floats) -> Floats:
    alpha = np.zeros_like(blob(0, 0, 1, 1))
    for side in SIDES:
        x, y = map(float, landmarks[side][1])
        angle = np.linspace(0, 2 * np.pi, 40)
        ring = np.stack([x + 8 * np.cos(angle), y - 3 + 24 * np.sin(angle)], axis=1)
        alpha = np.maximum(alpha, region(ring, 0.5))
    return alpha


def paint_nostrils(picture: Floats, landmarks: Floats, traits: Traits) -> None:
    dark = traits.complexion * floats([0.30, 0.20, 0.18])
    for side in SIDES:
        wing, inner = landmarks[side][31], landmarks[side][32]
        outward = np.sign(float(wing[0]) - CENTRE_PX)
        hole = (wing + inner) / 2 + (-1.0 * outward, 0.6)
        blend(picture, dark, 0.85 * np.clip(1.5 * spot(hole, 2.7, 1.35), 0, 1))
        crease = curve([wing + (1 * outward, -9), wing + (3.2 * outward, -4), wing + (0, 1.5)], 20)
        blend(picture, dark, 0.30 * stroke(crease, 0.9, 0.8))
    base = curve(landmarks[31:36] + floats([0, 2.0]), 30)
    blend(picture, dark, 0.30 * stroke(base, 1.6, 1.4))


def paint_mouth(
    picture: Floats, landmarks: Floats, traits: Traits, rng: np.random.Generator
) -> None:
    outer, inner = landmarks[48:60], landmarks[INNER_LIP]
    seam = np.concatenate([outer[:1], (inner[1:4] + inner[:4:-1]) / 2, outer[6:7]])
    upper = np.concatenate([curve(outer[:7], 40), curve(seam, 30)[::-1]])
    lower = np.concatenate([curve(seam, 30), curve(np.roll(outer, -6, axis=0)[:7], 30)])
    rose = traits.complexion * floats([0.86, 0.58, 0.58])
    rose = rose + traits.lip_tint * 0.5 * (colour(176, 82, 84) * (1.05 - 0.5 * traits.tone) - rose)
    creases = _across(rng)
    upper_lip, lower_lip = region(upper, 0.7), region(lower, 0.8)
    x = float(outer[3, 0] + outer[9, 0]) / 2
    lamp = float(traits.light[0])
    sheen = 0.20 * blob(x + 8 * lamp, float(outer[9, 1]) - 5.2, 11, 2.2) * (1 + 0.3 * creases)
    blend(picture, rose * 0.80 * (1 + 0.06 * creases[..., None]), 0.85 * upper_lip)
    blend(picture, rose * (1 + 0.07 * creases[..., None]) + sheen[..., None], 0.82 * lower_lip)
    line = curve(seam, 50)
    blend(picture, rose * 0.30, 0.55 * stroke(line, 0.9, 1.1))
    blend(picture, rose * 0.14, 0.80 * stroke(line[3:-3], 0.5, 0.4))
    for corner in (outer[0], outer[6]):
        blend(picture, rose * 0.35, 0.5 * spot(corner, 2.2, 1.6))
    shadow_y = float(outer[9, 1]) + 2.5
    blend(picture, traits.complexion * 0.45, 0.28 * blob(x, shadow_y, 13, 2.2))


def _across(rng: np.random.Generator) -> Floats:
    """Fine vertical streaks, as lips have them: (S, S)."""
    return floats(cv2.GaussianBlur(noise(rng, 0.7), (0, 0), sigmaX=0.7, sigmaY=6)) * 2


def paint_eyes(
    picture: Floats, landmarks: Floats, traits: Traits, rng: np.random.Generator
) -> None:
    lash = _BLACK + 0.25 * (traits.hair - _BLACK)
    shade = traits.complexion * floats([0.42, 0.30, 0.27])
    phases = rng.uniform(0, 2 * np.pi, 5)
    for side in SIDES:
        eye = landmarks[side][EYE]
        upper, lower = curve(eye[:4], 40), curve(eye[[3, 4, 5, 0]], 40)
        opening = region(np.concatenate([upper, lower]), 0.45)
        _paint_eyeball(picture, opening, eye, traits, phases)
        outward = float(np.sign(eye[0, 0] - CENTRE_PX))
        crease = upper[2:-1] + floats([0.6 * outward, -4.6])
        blend(picture, shade, 0.50 * stroke(crease, 0.8, 0.8))
        blend(picture, shade, 0.35 * stroke(lower, 0.8, 0.7))
        blend(picture, lash, 0.55 * stroke(upper, 1.3, 0.8))
        blend(picture, lash, 0.90 * stroke(upper[:32] - floats([0, 0.2]), 0.8, 0.45))
        _paint_lashes(picture, upper, lower, outward, lash, rng)
        blend(picture, colour(214, 140, 128), 0.6 * spot(eye[3], 1.6, 1.1))


def _paint_eyeball(
    picture: Floats, opening: Floats, eye: Floats, traits: Traits, phases: NDArray[np.float64]
) -> None:
    """White, iris, pupil and reflections, in a window around one eye."""
    x, y = map(float, eye.mean(axis=0) - (0, 0.9))
    rows, columns = window(x, y, 26)
    right, down = AXIS_PX[None, columns] - x, AXIS_PX[rows, None] - y
    view, inside = picture[rows, columns], opening[rows, columns]
    lid_shadow = np.exp(-0.5 * ((down + y - float(eye[1:3, 1].mean())) / 2.8) ** 2)

    ball = 0.72 + 0.22 * np.exp(-0.5 * ((right / 11) ** 2 + ((down - 1.5) / 7) ** 2))
    blend(view, (ball - 0.40 * lid_shadow)[..., None] * colour(250, 242, 236), inside)

    radius = 0.205 * float(np.linalg.norm(eye[3] - eye[0]))
    distance = np.hypot(right, down) / radius
    disc = np.clip((1 - distance) * radius * 1.3 + 0.5, 0, 1) * inside
    angle = np.arctan2(down, right)
    waves = [np.sin(k * angle + p) for k, p in zip((7, 13, 19, 29, 41), phases, strict=True)]
    glow = 1.05 + 0.10 * np.sum(waves, axis=0) * np.clip(distance, 0.3, 1)
    glow += 0.45 * np.clip(down, -1, 6) / 6 - 0.75 * np.clip(distance - 0.72, 0, 1)
    iris = (glow - 0.45 * lid_shadow)[..., None] * traits.iris * 1.15
    blend(view, np.clip(iris, 0, 1), disc)
    blend(view, traits.iris * 0.25, 0.7 * disc * np.exp(-(((distance - 0.97) / 0.13) ** 2)))
    blend(view, colour(10, 8, 8), np.clip((0.42 - distance) * radius * 1.5 + 0.5, 0, 1) * inside)

    lamp = float(np.sign(traits.light[0]))
    glint = 1.4 * np.exp(-0.7 * ((right - 1.9 * lamp) ** 2 + (down + 2.2) ** 2))
    glint += 0.25 * np.exp(-0.5 * ((right + 2 * lamp) ** 2 + (down - 2) ** 2))
    blend(view, colour(255, 255, 255), np.clip(glint, 0, 0.95) * inside)


def _paint_lashes(
    picture: Floats,
    upper: Floats,
    lower: Floats,
    outward: float,
    lash: Floats,
    rng: np.random.Generator,
) -> None:
    for line, count, length, alpha in ((upper, 34, 3.4, 0.75), (lower, 18, 1.6, 0.35)):
        where = rng.integers(1, len(line) - 4, count)
        roots = line[where]
        away = np.sign(line[:, 1].mean() - roots[:, 1].mean() + (-1 if line is upper else 1))
        sweep = np.stack([outward * rng.uniform(0.1, 0.8, count), away * np.ones(count)], axis=1)
        reach = length * rng.uniform(0.5, 1.0, (count, 1))
        blend(picture, lash, alpha * hairs(roots, roots + sweep * reach, np.ones(count)))


def paint_brows(
    picture: Floats, landmarks: Floats, traits: Traits, rng: np.random.Generator
) -> None:
    tint = traits.hair * 0.72
    for side in SIDES:
        line = curve(landmarks[side][17:22], 60)  # from the temple to the nose
        thick = np.interp(np.linspace(0, 1, 60), [0, 0.3, 0.8, 1], [0.9, 2.6, 3.6, 2.9])
        band = np.concatenate([line - np.stack([0 * thick, thick], 1)])
        shape = np.concatenate([band, (line + np.stack([0 * thick, thick * 0.8], 1))[::-1]])
        blend(picture, tint, 0.42 * traits.brow_density * region(shape, 1.3))
        count = int(230 * traits.brow_density)
        at = np.clip((rng.beta(1.1, 1.0, count) * 59).astype(int), 0, 59)
        offset = np.clip(rng.normal(0, 0.5, count), -1, 1) * thick[at]
        roots = line[at] + np.stack([np.zeros(count), offset + 0.8], axis=1)
        outward = float(np.sign(line[0, 0] - line[-1, 0]))
        rise = np.interp(at, [0, 25, 59], [0.5, -0.35, -1.3]) + rng.normal(0, 0.15, count)
        sweep = np.stack([outward * np.ones(count), rise], axis=1)
        sweep /= np.linalg.norm(sweep, axis=1, keepdims=True)
        tips = roots + sweep * rng.uniform(2.5, 5.0, (count, 1))
        opacity = rng.uniform(0.35, 0.95, count)
        blend(picture, tint, 0.75 * hairs(roots, tips, opacity))


def back_hair(landmarks: Floats) -> Floats:
    """Long hair behind the neck: (S, S)."""
    left, right = landmarks[0], landmarks[16]
    edge = [(-20, 250), (-20, -20), (244, -20), (244, 250), right + (-4, 160), left + (4, 160)]
    return region(floats(edge), 2.0)


def front_hair(landmarks: Floats, traits: Traits, rng: np.random.Generator) -> Floats:
    """Hair over the forehead, with wisps below its edge: (S, S)."""
    line = hairline(landmarks, traits)
    count = 500
    at = rng.integers(6, len(line) - 6, count)
    roots = line[at] + rng.normal(0, 1.2, (count, 2)) - (0, 2)
    aside = np.sign(roots[:, 0] - CENTRE_PX - traits.parting_px)
    tips = roots + np.stack([aside, 0.5 + 0 * aside], axis=1) * rng.uniform(1, 5, (count, 1))
    wisps = 0.8 * hairs(roots, tips, rng.uniform(0.2, 0.9, count))
    return floats(np.maximum(hair_mask(landmarks, traits, 1.1), wisps))


def hairline(landmarks: Floats, traits: Traits) -> Floats:
    """Where the hair begins, from one temple over the forehead to the other: (n, 2)."""
    left, right = float(landmarks[0, 0]), float(landmarks[16, 0])
    x = np.linspace(left, right, 120)
    across = np.abs(2 * (x - left) / (right - left) - 1)
    y = traits.hairline_px + (88 - traits.hairline_px) * across**3.2
    y -= 7 * np.exp(-(((x - CENTRE_PX - traits.parting_px) / 12) ** 2))
    return np.stack([x, y], axis=1).astype(np.float32)


def hair_mask(landmarks: Floats, traits: Traits, soft_px: float) -> Floats:
    """Where hair covers the head: (S, S)."""
    line = hairline(landmarks, traits)
    if traits.long_hair:
        right = [(0, 25), (3, 70), (-3, 110), (-8, 170), (40, 170), (40, -140)]
    else:
        right = [(1, 14), (4, 14), (9, -12), (6, -50), (-10, -84), (-26, -140)]
    left = [(-x, y) for x, y in reversed(right)]
    end = landmarks[16] + floats(right), landmarks[0] + floats(left)
    return region(np.concatenate([line, curve(end[0], 40), curve(end[1], 40)]), soft_px)


def strands(traits: Traits, rng: np.random.Generator) -> Floats:
    """Hair that is combed from the parting to both sides: (S, S, 3)."""
    x = AXIS_PX[None, :] - np.float32(CENTRE_PX + traits.parting_px)
    y = AXIS_PX[:, None] + np.float32(34)
    around = np.arctan2(np.abs(x), y * np.float32(1.1)) + 0.04 * noise(rng, 30)
    along = np.hypot(x, y)
    locks = rng.standard_normal((SIDE, SIDE), dtype=np.float32)
    columns = np.mod(around * 210 + 90 * (x > 0), SIDE - 10).astype(np.float32)
    rows = np.mod(along * np.float32(0.12), SIDE - 10)
    fine = cv2.remap(locks, columns, rows, cv2.INTER_CUBIC)
    broad = cv2.remap(cv2.GaussianBlur(locks, (0, 0), 3) * 6, columns, rows, cv2.INTER_LINEAR)
    shine = np.exp(-(((along - 78) / 26) ** 2)) * (0.6 + np.sign(traits.light[0]) * x / 280)
    level = 0.80 + 0.12 * fine + 0.16 * broad + 0.45 * np.clip(shine, 0, 1.2)
    level *= np.clip(0.55 + np.abs(x) / 16, 0.6, 1)
    gloss = 0.06 * np.clip(shine * (0.5 + 0.5 * fine), 0, 1)
    tint = np.clip(level, 0.15, 2.2)[..., None] * traits.hair + gloss[..., None]
    return np.asarray(tint, dtype=np.float32)
