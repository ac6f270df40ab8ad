"""The picture of a face: the lit skin, and what lies on it and behind it.

(S, S) stands for the canvas of `painting`; masks and reliefs are that, pictures (S, S, 3).
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from hmrm_lab.datasets.synthetic.motion import (
    CENTRE_PX,
    EYE,
    INNER_LIP,
    JAW,
    MIRROR,
    Floats,
    floats,
)
from hmrm_lab.datasets.synthetic.painting import (
    AXIS_PX,
    SCALE,
    SIDE,
    Traits,
    blend,
    blob,
    colour,
    curve,
    dots,
    hairs,
    noise,
    region,
    spot,
    stroke,
    window,
)

BLACK = colour(24, 16, 14)
Sides = list[tuple[Floats, float, float, float]]
"""For each half the landmarks that bring it to the left, its eye (x, y), and 1 or -1 outward; a
part is painted with the first, and again with the second on the other side."""


def paint_face(landmarks: Floats, traits: Traits, rng: np.random.Generator) -> Floats:
    """The neutral picture, painted from the back to the front: RGB in 0..255."""
    sides: Sides = []
    for points in (landmarks, landmarks[MIRROR]):
        x, y = map(float, points[EYE].mean(axis=0))
        sides.append((points, x, y, np.sign(x - CENTRE_PX)))
    (left_x, left_y), (right_x, right_y) = landmarks[0], landmarks[16]
    skull = [(right_x - 1, right_y - 24), (right_x - 12, 26), (right_x - 46, -4)]
    skull += [(left_x + 46, -4), (left_x + 12, 26), (left_x + 1, left_y - 24)]
    outline = np.concatenate([landmarks[JAW], floats(skull)])
    head = region(curve(outline, 160, closed=True), 0.5)
    glow = 0.62 + 0.5 * blob(112 + 160 * float(traits.light[0]), 40, 120, 110)
    glow = glow + 0.03 * noise(rng, 40)
    picture = np.ascontiguousarray(glow[..., None] * traits.background, dtype=np.float32)
    hair = strands(traits, rng)
    flesh = lit_skin(landmarks, sides, head, traits, rng)
    left, right = landmarks[0], landmarks[16]
    if traits.long_hair:  # behind the neck
        edge = [(-20, 250), (-20, -20), (244, -20), (244, 250), right + (-4, 160), left + (4, 160)]
        blend(picture, hair * np.float32(0.55), region(floats(edge), 2.0))
    left, right = landmarks[4] + (9, -6), landmarks[12] + (-9, -6)
    edge = [left, right, right + (-5, 30), right + (2, 90), left + (-2, 90), left + (5, 30)]
    blend(picture, flesh * 0.55, region(floats(edge), 1.0))  # neck
    if not traits.long_hair:
        angle = np.linspace(0, 2 * np.pi, 40)
        ring = np.stack([8 * np.cos(angle), 24 * np.sin(angle) - 3], axis=1)
        rings = [region(points[1].astype(float) + ring, 0.5) for points, *_ in sides]
        blend(picture, flesh * 0.80, np.maximum(*rings))  # ears
    overhang = np.roll(hair_mask(landmarks, traits, 4.0), (8, 0), axis=(0, 1))
    blend(picture, flesh * (1 - 0.45 * overhang[..., None]), head)
    paint_nostrils(picture, landmarks, sides, traits)
    paint_mouth(picture, landmarks, traits, rng)
    paint_eyes(picture, sides, traits, rng)
    paint_brows(picture, sides, traits, rng)
    blend(picture, hair, front_hair(landmarks, traits, rng))
    picture *= 1 + 0.012 * noise(rng, 0.5)[..., None]
    picture = cv2.GaussianBlur(picture, (0, 0), 0.7)  # the lens; also keeps the warp free of alias
    return floats(np.clip(picture * 255, 0, 255))


def lit_skin(
    landmarks: Floats, sides: Sides, head: Floats, traits: Traits, rng: np.random.Generator
) -> Floats:
    """Skin over the whole canvas, as the lamp shows it, in 0..1."""
    grain = 0.5 * noise(rng, 0.9) + 0.5 * noise(rng, 1.7) + 0.6 * noise(rng, 3.5)
    relief = _relief(landmarks, sides, head) + 0.048 * traits.roughness * grain
    slope_x, slope_y = (
        cv2.Sobel(relief, cv2.CV_32F, *order, ksize=3, scale=SCALE / 8)
        for order in ((1, 0), (0, 1))
    )
    length = np.sqrt(slope_x**2 + slope_y**2 + 1)
    halfway = traits.light + floats([0, 0, 1])
    halfway /= np.linalg.norm(halfway)
    facing, shine = (
        (lamp[2] - lamp[0] * slope_x - lamp[1] * slope_y) / length
        for lamp in (traits.light, halfway)
    )
    gloss = np.clip(shine, 0, 1) ** 24
    albedo = _pigment(landmarks, sides, traits, rng)
    shade = 0.30 + 0.78 * np.clip((facing + 0.25) / 1.25, 0, 1)
    # Light that enters the skin comes back redder, so that shadows turn warm and not grey.
    warm = np.stack([shade**0.86, shade, shade**1.08], axis=-1)
    oily = 0.7 * blob(CENTRE_PX, 48, 34, 14) + blob(CENTRE_PX, float(landmarks[33, 1]) - 12, 7, 16)
    for _, x, y, outward in sides:
        oily += 0.6 * blob(x + 5 * outward, y + 28, 15, 9)
    oil = gloss * (0.05 + 0.10 * floats(oily)) * (1 + 0.25 * grain)
    return floats(albedo * warm + oil[..., None].clip(0) * colour(255, 246, 236))


def _relief(landmarks: Floats, sides: Sides, head: Floats) -> Floats:
    """The height of the face in pixels towards the camera."""
    small = cv2.resize(head, (SIDE // 4, SIDE // 4), interpolation=cv2.INTER_AREA)
    rim = cv2.GaussianBlur(small, (0, 0), 13 * SCALE / 4)
    rim = cv2.resize(rim, (SIDE, SIDE), interpolation=cv2.INTER_LINEAR)
    rim = cv2.GaussianBlur(rim, (0, 0), 4)  # or the light would show the grid of the small one
    x, y = AXIS_PX[None, :], AXIS_PX[:, None]
    height = 40 * np.sqrt(np.clip(rim, 0.02, 1)) - (x - CENTRE_PX) ** 2 / 520 - (y - 112) ** 2 / 760
    top_y, tip_y = landmarks[27, 1], float(landmarks[33, 1]) - 6
    for share, width in ((0.15, 9.0), (0.55, 9.0), (0.9, 10.5)):  # the ridge of the nose
        ridge_y = float(top_y + share * (tip_y - top_y))
        height += (2.6 + 4.8 * share) * blob(CENTRE_PX, ridge_y, width, 11)
    height += 4.2 * blob(CENTRE_PX, tip_y, 8.0, 6.5)
    height += 4.0 * spot(landmarks[8], 15, 9, down=-9)  # chin
    height -= 2.6 * spot(landmarks[57], 17, 4.0, down=5)
    height -= 0.8 * blob(CENTRE_PX, float(landmarks[51, 1]) - 7, 2.4, 6.5)
    height += 1.9 * blob(CENTRE_PX, float(landmarks[62, 1]) - 4, 20, 4.6)  # lips
    height += 2.8 * blob(CENTRE_PX, float(landmarks[66, 1]) + 5, 17, 5.0)
    for points, eye_x, eye_y, outward in sides:
        brow, wing, corner = points[19], points[31], points[48]
        side = 3.4 * spot(brow, 22, 7, across=-6 * outward, down=1)
        side -= 6.2 * blob(eye_x - 5 * outward, eye_y - 1, 19, 9.5)  # socket
        side += 5.0 * blob(eye_x, eye_y, 10, 7.5)
        side -= 1.2 * blob(eye_x - 5 * outward, eye_y + 12, 15, 4)
        side += 5.2 * blob(eye_x + 6 * outward, eye_y + 33, 21, 15)  # cheekbone
        side += 3.6 * spot(wing, 5.0, 5.0, across=-1.5 * outward, down=-3)
        side -= 1.4 * spot(wing, 4.5, 7, across=5 * outward, down=1)
        side -= 1.1 * spot(corner, 5, 6, across=3 * outward, down=1)
        height += side
    return floats(height)


def _pigment(landmarks: Floats, sides: Sides, traits: Traits, rng: np.random.Generator) -> Floats:
    mottle = 0.020 * noise(rng, 28) + 0.020 * noise(rng, 9) + 0.015 * noise(rng, 3.2)
    mottle += 0.020 * traits.roughness * noise(rng, 1.2)
    albedo = traits.complexion * (1 + mottle[..., None])
    red = 0.8 * blob(CENTRE_PX, float(landmarks[33, 1]) - 5, 11, 9)
    red += 0.5 * spot(landmarks[8], 16, 9, down=-8)
    shadow = np.zeros((SIDE, SIDE), dtype=np.float32)
    for points, x, y, outward in sides:
        red += blob(x + 4 * outward, y + 38, 19, 15)
        red += 0.5 * blob(x, y - 3, 16, 5)
        shadow += 0.8 * blob(x, y + 2, 17, 9)
        fold = curve([points[31] + (0, -4), (points[31] + points[48]) / 2, points[48] + (0, 3)])
        shadow += 0.5 * stroke(fold + floats([5.5 * outward, 0]), 1.5, 2.2)
    redness = floats(red) * traits.blush * (1 + 0.22 * noise(rng, 12))
    albedo *= 1 - redness[..., None].clip(0) * floats([0.02, 0.13, 0.11])
    albedo *= 1 - shadow[..., None] * floats([0.11, 0.14, 0.12])
    everywhere = np.full((SIDE, SIDE), 0.25, dtype=np.float32)
    cheeks = np.clip(blob(CENTRE_PX, float(landmarks[30, 1]) - 8, 48, 16) + 0.12, 0, 1)
    moles = dots(rng, everywhere, 26, 0.8)
    pores = dots(rng, everywhere * 2, 2600, 0.38)
    freckles = dots(rng, cheeks, int(1500 * traits.freckles), 0.75)
    alpha = 0.42 * moles + 0.16 * pores + 0.30 * freckles
    albedo *= 1 - alpha[..., None] * floats([0.5, 0.66, 0.75])
    if traits.stubble:
        beard = spot(landmarks[8], 52, 19, down=-4)
        beard = beard + 0.9 * blob(CENTRE_PX, landmarks[51, 1] - 5, 24, 5)
        for points, *_ in sides:
            beard += 0.8 * spot(points[3], 14, 26)
        beard = np.clip(beard, 0, 1) * traits.stubble
        alpha = 0.22 * beard + 0.4 * dots(rng, np.clip(beard, 0, 1), 9000, 0.35)
        albedo *= 1 - alpha[..., None] * floats([0.75, 0.68, 0.6])
    return floats(albedo)


def paint_nostrils(picture: Floats, landmarks: Floats, sides: Sides, traits: Traits) -> None:
    dark = traits.complexion * floats([0.30, 0.20, 0.18])
    for points, _, _, outward in sides:
        wing, inner = points[31], points[32]
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
    creases = floats(cv2.GaussianBlur(noise(rng, 0.7), (0, 0), sigmaX=0.7, sigmaY=6)) * 2
    upper_lip, lower_lip = region(upper, 0.7), region(lower, 0.8)
    x, low_y = float(outer[3, 0] + outer[9, 0]) / 2, float(outer[9, 1])
    lamp = float(traits.light[0])
    sheen = 0.20 * blob(x + 8 * lamp, low_y - 5.2, 11, 2.2) * (1 + 0.3 * creases)
    blend(picture, rose * 0.80 * (1 + 0.06 * creases[..., None]), 0.85 * upper_lip)
    blend(picture, rose * (1 + 0.07 * creases[..., None]) + sheen[..., None], 0.82 * lower_lip)
    line = curve(seam, 50)
    blend(picture, rose * 0.30, 0.55 * stroke(line, 0.9, 1.1))
    blend(picture, rose * 0.14, 0.80 * stroke(line[3:-3], 0.5, 0.4))
    for corner in (outer[0], outer[6]):
        blend(picture, rose * 0.35, 0.5 * spot(corner, 2.2, 1.6))
    blend(picture, traits.complexion * 0.45, 0.28 * blob(x, low_y + 2.5, 13, 2.2))


def paint_eyes(picture: Floats, sides: Sides, traits: Traits, rng: np.random.Generator) -> None:
    lash = BLACK + 0.25 * (traits.hair - BLACK)
    shade = traits.complexion * floats([0.42, 0.30, 0.27])
    phases = rng.uniform(0, 2 * np.pi, 5)
    for points, _, _, outward in sides:
        eye = points[EYE]
        upper, lower = curve(eye[:4], 40), curve(eye[[3, 4, 5, 0]], 40)
        opening = region(np.concatenate([upper, lower]), 0.45)
        _paint_eyeball(picture, opening, eye, traits, phases)
        crease = upper[2:-1] + floats([0.6 * outward, -4.6])
        blend(picture, shade, 0.50 * stroke(crease, 0.8, 0.8))
        blend(picture, shade, 0.35 * stroke(lower, 0.8, 0.7))
        blend(picture, lash, 0.55 * stroke(upper, 1.3, 0.8))
        blend(picture, lash, 0.90 * stroke(upper[:32] - floats([0, 0.2]), 0.8, 0.45))
        for line, count, length, alpha in ((upper, 34, 3.4, 0.75), (lower, 18, 1.6, 0.35)):
            roots = line[rng.integers(1, len(line) - 4, count)]
            away = np.sign(line[:, 1].mean() - roots[:, 1].mean() + (-1 if line is upper else 1))
            across = outward * rng.uniform(0.1, 0.8, count)
            sweep = np.stack([across, away * np.ones(count)], axis=1)
            reach = length * rng.uniform(0.5, 1.0, (count, 1))
            blend(picture, lash, alpha * hairs(roots, roots + sweep * reach, np.ones(count)))
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


def paint_brows(picture: Floats, sides: Sides, traits: Traits, rng: np.random.Generator) -> None:
    tint = traits.hair * 0.72
    for points, *_ in sides:
        line = curve(points[17:22], 60)  # from the temple to the nose
        thick = np.interp(np.linspace(0, 1, 60), [0, 0.3, 0.8, 1], [0.9, 2.6, 3.6, 2.9])
        edges = [
            line - np.stack([0 * thick, thick], 1),
            line + np.stack([0 * thick, 0.8 * thick], 1),
        ]
        shape = np.concatenate([edges[0], edges[1][::-1]])
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


def front_hair(landmarks: Floats, traits: Traits, rng: np.random.Generator) -> Floats:
    """Hair over the forehead, with wisps below its edge."""
    line = hairline(landmarks, traits)
    count = 500
    roots = line[rng.integers(6, len(line) - 6, count)] + rng.normal(0, 1.2, (count, 2)) - (0, 2)
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
    return floats(np.stack([x, y], axis=1))


def hair_mask(landmarks: Floats, traits: Traits, soft_px: float) -> Floats:
    right = [(1, 14), (4, 14), (9, -12), (6, -50), (-10, -84), (-26, -140)]
    if traits.long_hair:
        right = [(0, 25), (3, 70), (-3, 110), (-8, 170), (40, 170), (40, -140)]
    left = [(-x, y) for x, y in reversed(right)]
    ends = [landmarks[16] + floats(right), landmarks[0] + floats(left)]
    line = hairline(landmarks, traits)
    return region(np.concatenate([line, *(curve(end, 40) for end in ends)]), soft_px)


def strands(traits: Traits, rng: np.random.Generator) -> Floats:
    """Hair that is combed from the parting to both sides: a picture."""
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
    return floats(np.clip(level, 0.15, 2.2)[..., None] * traits.hair + gloss[..., None])
