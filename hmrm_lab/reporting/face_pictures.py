"""A frame with what was found in it drawn over: landmarks, parts, core regions."""

import math
from collections.abc import Collection
from typing import Literal, get_args

import cv2
import numpy as np

from hmrm_lab.faces.face import five_points
from hmrm_lab.faces.landmarks import core_regions, fit_similarity, mean_face, part_masks
from hmrm_lab.records import Floats
from hmrm_lab.reporting.flow_colour import Image
from hmrm_lab.reporting.style import BLUE, GREEN, ORANGE, VERMILLION

Layer = Literal["landmarks", "parts", "core"]
LAYERS: tuple[Layer, ...] = get_args(Layer)

PART_COLOURS = {"brow": ORANGE, "eye": BLUE, "nose": GREEN, "mouth": VERMILLION}
"""By the first word of a part's name."""
POINT_COLOUR, RIM = (255, 214, 64), (20, 20, 20)
CORE_COLOUR = (255, 255, 255)
TINT = 0.35
DOT = 0.013  # radius of a landmark, of the distance between the outer eye corners
SIDE_PX = 448  # small frames are enlarged to this or more, so that lines are fine


def face_picture(frame: Image, landmarks: Floats, layers: Collection[Layer] = LAYERS[:1]) -> Image:
    """Draw what was found over a frame.

    Core regions stand upright in the face, however the head is tilted.

    Shapes
    ------
    frame : (H, W, 3), uint8, RGB
    landmarks : (68, 2), pixels of the frame
    returns : (k H, k W, 3), uint8, RGB, k the smallest whole number that
        makes the longer side 448 or more
    """
    unknown = set(layers) - set(LAYERS)
    if unknown:
        raise ValueError(f"no such layers: {sorted(unknown)}; known are {LAYERS}")
    scale = math.ceil(SIDE_PX / max(frame.shape[:2]))
    picture = np.asarray(
        cv2.resize(frame, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC), dtype=np.uint8
    )
    points = scale * (landmarks + 0.5) - 0.5
    line = max(1, round(max(picture.shape[:2]) / SIDE_PX))
    dot = max(1, round(DOT * float(np.linalg.norm(points[45] - points[36]))))
    if "parts" in layers:
        picture = _with_parts(picture, points, line)
    if "core" in layers:
        for outline in core_outlines(points):
            corners = np.round(outline).astype(np.int32)
            cv2.polylines(picture, [corners], True, RIM, 4 * line, cv2.LINE_AA)
            cv2.polylines(picture, [corners], True, CORE_COLOUR, 2 * line, cv2.LINE_AA)
    if "landmarks" in layers:
        for x, y in np.round(points).astype(int).tolist():
            cv2.circle(picture, (x, y), dot + 1, RIM, -1, cv2.LINE_AA)
            cv2.circle(picture, (x, y), dot, POINT_COLOUR, -1, cv2.LINE_AA)
    return picture


def core_outlines(landmarks: Floats) -> Floats:
    """The corners of the four core regions of a face that may be tilted.

    Shapes
    ------
    landmarks : (68, 2), pixels
    returns : (4, 4, 2), pixels; regions in the order of `core_regions`, corners clockwise
    """
    upright = fit_similarity(five_points(landmarks)[:2], five_points(mean_face())[:2])
    boxes = core_regions(upright.points(landmarks))
    corners = boxes[:, [0, 1, 2, 1, 2, 3, 0, 3]].reshape(-1, 2)
    return upright.inverse().points(corners).reshape(4, 4, 2)


def part_colour(name: str) -> str:
    """The colour of a part, left and right alike."""
    return PART_COLOURS[name.partition("_")[0]]


def _with_parts(picture: Image, points: Floats, line: int) -> Image:
    tinted = picture.astype(np.float32)
    masks = part_masks(points, *picture.shape[:2])
    for name, mask in masks.items():
        tinted[mask] = (1 - TINT) * tinted[mask] + TINT * np.array(_rgb(part_colour(name)))
    drawn = np.rint(tinted).astype(np.uint8)
    for name, mask in masks.items():
        edges, _ = cv2.findContours(
            mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE
        )
        cv2.drawContours(drawn, edges, -1, _rgb(part_colour(name)), 2 * line, cv2.LINE_AA)
    return drawn


def _rgb(colour: str) -> tuple[int, int, int]:
    """`#rrggbb` as three numbers."""
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)
