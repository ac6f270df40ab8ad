"""The skin: a height map of the face, its lighting, and the pigment on it."""

import cv2
import numpy as np

from hmrm_lab.datasets.synthetic.motion import CENTRE_PX, EYE, JAW, MIRROR, Floats, floats
from hmrm_lab.datasets.synthetic.painting import (
    AXIS_PX,
    SCALE,
    SIDE,
    blob,
    colour,
    curve,
    dots,
    noise,
    stroke,
)
from hmrm_lab.datasets.synthetic.recipes import Traits

SIDES = (np.arange(68), MIRROR)
"""Index maps: a part is painted with the first, and again with the second on the other side."""


def head_outline(landmarks: Floats) -> Floats:
    """Jaw and skull as one closed curve: (n, 2)."""
    left, right = landmarks[0], landmarks[16]
    skull = [
        (right[0] - 1, right[1] - 24),
        (right[0] - 12, 26),
        (right[0] - 46, -4),
        (left[0] + 46, -4),
        (left[0] + 12, 26),
        (left[0] + 1, left[1] - 24),
    ]
    return curve(np.concatenate([landmarks[JAW], floats(skull)]), 160, closed=True)


def lit_skin(landmarks: Floats, head: Floats, traits: Traits, rng: np.random.Generator) -> Floats:
    """Skin over the whole canvas, as the lamp shows it: (S, S, 3) in 0..1."""
    grain = 0.5 * noise(rng, 0.9) + 0.5 * noise(rng, 1.7) + 0.6 * noise(rng, 3.5)
    relief = _height(landmarks, head) + 0.048 * traits.roughness * grain
    diffuse, gloss = _lighting(relief, traits.light)
    albedo = _pigment(landmarks, traits, rng)
    shade = 0.30 + 0.78 * diffuse
    # Light that enters the skin comes back redder, so that shadows turn warm and not grey.
    warm = np.stack([shade**0.86, shade, shade**1.08], axis=-1)
    oil = gloss * (0.05 + 0.10 * _oily(landmarks)) * (1 + 0.25 * grain)
    return floats(albedo * warm + oil[..., None].clip(0) * colour(255, 246, 236))


def _height(landmarks: Floats, head: Floats) -> Floats:
    """The relief of the face in pixels towards the camera: (S, S)."""
    small = cv2.resize(head, (SIDE // 4, SIDE // 4), interpolation=cv2.INTER_AREA)
    rim = cv2.GaussianBlur(small, (0, 0), 13 * SCALE / 4)
    rim = cv2.resize(rim, (SIDE, SIDE), interpolation=cv2.INTER_LINEAR)
    rim = cv2.GaussianBlur(rim, (0, 0), 4)  # or the light would show the grid of the small one
    x, y = AXIS_PX[None, :], AXIS_PX[:, None]
    height = 40 * np.sqrt(np.clip(rim, 0.02, 1)) - (x - CENTRE_PX) ** 2 / 520 - (y - 112) ** 2 / 760
    nose, tip_y = landmarks[27:31], float(landmarks[33, 1]) - 6
    for share, width in ((0.15, 9.0), (0.55, 9.0), (0.9, 10.5)):
        ridge_y = nose[0, 1] + share * (tip_y - nose[0, 1])
        height += (2.6 + 4.8 * share) * blob(CENTRE_PX, float(ridge_y), width, 11)
    height += 4.2 * blob(CENTRE_PX, tip_y, 8.0, 6.5)
    chin, lip = landmarks[8], landmarks[57]
    height += 4.0 * blob(float(chin[0]), float(chin[1]) - 9, 15, 9)
    height -= 2.6 * blob(float(lip[0]), float(lip[1]) + 5, 17, 4.0)
    height -= 0.8 * blob(CENTRE_PX, float(landmarks[51, 1]) - 7, 2.4, 6.5)
    height += 1.9 * blob(CENTRE_PX, float(landmarks[62, 1]) - 4, 20, 4.6)
    height += 2.8 * blob(CENTRE_PX, float(landmarks[66, 1]) + 5, 17, 5.0)
    for side in SIDES:
        height += _height_of_side(landmarks[side])
    return floats(height)


def _height_of_side(points: Floats) -> Floats:
    """What the relief has on both sides: sockets, brow ridge, cheekbone, nostril wing."""
    eye_x, eye_y = map(float, points[EYE].mean(axis=0))
    outward = np.sign(eye_x - CENTRE_PX)
    brow_x, brow_y = map(float, points[19])
    wing_x, wing_y = map(float, points[31])
    corner_x, corner_y = map(float, points[48])
    height = 3.4 * blob(brow_x - 6 * outward, brow_y + 1, 22, 7)
    height -= 6.2 * blob(eye_x - 5 * outward, eye_y - 1, 19, 9.5)
    height += 5.0 * blob(eye_x, eye_y, 10, 7.5)
    height -= 1.2 * blob(eye_x - 5 * outward, eye_y + 12, 15, 4)
    height += 5.2 * blob(eye_x + 6 * outward, eye_y + 33, 21, 15)
    height += 3.6 * blob(wing_x - 1.5 * outward, wing_y - 3, 5.0, 5.0)
    height -= 1.4 * blob(wing_x + 5 * outward, wing_y + 1, 4.5, 7)
    height -= 1.1 * blob(corner_x + 3 * outward, corner_y + 1, 5, 6)
    return height


def _lighting(height: Floats, light: Floats) -> tuple[Floats, Floats]:
    """Diffuse and glossy light on a relief: two (S, S), the first about 0..1."""
    slope_x = cv2.Sobel(height, cv2.CV_32F, 1, 0, ksize=3, scale=SCALE / 8)
    slope_y = cv2.Sobel(height, cv2.CV_32F, 0, 1, ksize=3, scale=SCALE / 8)
    length = np.sqrt(slope_x**2 + slope_y**2 + 1)
    facing = (light[2] - light[0] * slope_x - light[1] * slope_y) / length
    halfway = light + floats([0, 0, 1])
    halfway /= np.linalg.norm(halfway)
    shine = (halfway[2] - halfway[0] * slope_x - halfway[1] * slope_y) / length
    return np.clip((facing + 0.25) / 1.25, 0, 1), np.clip(shine, 0, 1) ** 24


def _oily(landmarks: Floats) -> Floats:
    """Where skin shines: forehead, nose, cheekbones."""
    oily = 0.7 * blob(CENTRE_PX, 48, 34, 14) + blob(CENTRE_PX, float(landmarks[33, 1]) - 12, 7, 16)
    for side in SIDES:
        x, y = map(float, landmarks[side][EYE].mean(axis=0))
        oily += 0.6 * blob(x + 5 * np.sign(x - CENTRE_PX), y + 28, 15, 9)
    return np.asarray(oily, dtype=np.float32)


def _pigment(landmarks: Floats, traits: Traits, rng: np.random.Generator) -> Floats:
    """The colour of the skin itself: (S, S, 3)."""
    mottle = 0.020 * noise(rng, 28) + 0.020 * noise(rng, 9) + 0.015 * noise(rng, 3.2)
    mottle += 0.020 * traits.roughness * noise(rng, 1.2)
    albedo = traits.complexion * (1 + mottle[..., None])
    redness = _redness(landmarks) * traits.blush * (1 + 0.22 * noise(rng, 12))
    albedo *= 1 - redness[..., None].clip(0) * floats([0.02, 0.13, 0.11])
    shadow = np.zeros((SIDE, SIDE), dtype=np.float32)
    for side in SIDES:
        points = landmarks[side]
        x, y = map(float, points[EYE].mean(axis=0))
        shadow += 0.8 * blob(x, y + 2, 17, 9)
        fold = curve([points[31] + (0, -4), (points[31] + points[48]) / 2, points[48] + (0, 3)])
        outward = np.sign(x - CENTRE_PX)
        shadow += 0.5 * stroke(fold + floats([5.5 * outward, 0]), 1.5, 2.2)
    albedo *= 1 - shadow[..., None] * floats([0.11, 0.14, 0.12])
    _freckle(albedo, landmarks, traits, rng)
    _stubble(albedo, landmarks, traits, rng)
    return np.asarray(albedo, dtype=np.float32)


def _redness(landmarks: Floats) -> Floats:
    red = 0.8 * blob(CENTRE_PX, float(landmarks[33, 1]) - 5, 11, 9)
    red += 0.5 * blob(float(landmarks[8, 0]), float(landmarks[8, 1]) - 8, 16, 9)
    for side in SIDES:
        x, y = map(float, landmarks[side][EYE].mean(axis=0))
        red += blob(x + 4 * np.sign(x - CENTRE_PX), y + 38, 19, 15)
        red += 0.5 * blob(x, y - 3, 16, 5)
    return np.asarray(red, dtype=np.float32)


def _freckle(albedo: Floats, landmarks: Floats, traits: Traits, rng: np.random.Generator) -> None:
    everywhere = np.full((SIDE, SIDE), 0.25, dtype=np.float32)
    nose_y = float(landmarks[30, 1]) - 8
    cheeks = np.clip(blob(CENTRE_PX, nose_y, 48, 16) + 0.12, 0, 1)
    moles = dots(rng, everywhere, 26, 0.8)
    pores = dots(rng, everywhere * 2, 2600, 0.38)
    spots = dots(rng, cheeks, int(1500 * traits.freckles), 0.75)
    alpha = 0.42 * moles + 0.16 * pores + 0.30 * spots
    albedo *= 1 - alpha[..., None] * floats([0.5, 0.66, 0.75])


def _stubble(albedo: Floats, landmarks: Floats, traits: Traits, rng: np.random.Generator) -> None:
    if traits.stubble == 0:
        return
    chin_x, chin_y = map(float, landmarks[8])
    beard = blob(chin_x, chin_y - 4, 52, 19) + 0.9 * blob(CENTRE_PX, landmarks[51, 1] - 5, 24, 5)
    for side in SIDES:
        beard += 0.8 * blob(float(landmarks[side][3, 0]), float(landmarks[side][3, 1]), 14, 26)
    beard = np.clip(beard, 0, 1) * traits.stubble
    points = dots(rng, np.clip(beard, 0, 1), 9000, 0.35)
    alpha = 0.22 * beard + 0.4 * points
    albedo *= 1 - alpha[..., None] * floats([0.75, 0.68, 0.6])
