"""Frames, faces and flow as RGB arrays: what figures, the report and widgets show.

Flow has the Middlebury colour code (Baker et al. 2011): hue is direction, saturation is strength,
white is rest.
"""

import base64
import math
from collections.abc import Collection
from typing import Literal, get_args

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from hmrm_lab.faces.align import FramesWithin
from hmrm_lab.faces.face import five_points
from hmrm_lab.faces.landmarks import core_regions, fit_similarity, mean_face, part_masks
from hmrm_lab.flow.motion_maps import optical_strain
from hmrm_lab.records import RELATIVE, Floats, Frames
from hmrm_lab.reporting.style import PART_COLOURS

Image = NDArray[np.uint8]
Mode = Literal["colour", "quiver", "strain"]
Layer = Literal["landmarks", "parts", "core"]
LAYERS: tuple[Layer, ...] = get_args(Layer)

# Baker et al. 2011: the pure colours around the wheel, and the number of steps from each to the
# next; the eye tells some hues apart better than others.
WHEEL = (
    *((255, 0, 0, 15), (255, 255, 0, 6), (0, 255, 0, 4)),
    *((0, 255, 255, 11), (0, 0, 255, 13), (255, 0, 255, 6)),
)
BEYOND = 0.75  # flow longer than the scale is darkened by this factor
WHEEL_REACH = 1.25  # radius of the wheel, of that of full saturation; beyond lies a dark rim
UNKNOWN = 128  # grey of a pixel whose flow is not known, or that was not recorded
ARROW_STEP_PX = 12
ARROW_ROWS = 11  # at least, however small the field is
ARROW_REACH = 1.6  # the longest arrow, in steps
YELLOW, RIM, WHITE = (255, 214, 64), (20, 20, 20), (255, 255, 255)
JPEG_QUALITY = 92
BLANK = 232  # the grey behind arrows without a frame
MID_GREY = 128  # no difference
INVERSIONS = 6  # fixed-point steps from flow of the onset to flow seen from the moved place
PART_TINT = 0.35
LANDMARK = 0.013  # radius, of the distance between the outer eye corners
FACE_PX = 448  # small frames are enlarged to this or more, so that lines are fine


def frame_picture(frames: Frames, index: int) -> Image:
    """A frame as it is shown, (H, W, 3): gray where its crop reaches beyond the recording."""
    frame = frames[index]
    if not isinstance(frames, FramesWithin):
        return frame
    return np.where(frames.inside()[..., None], frame, np.uint8(UNKNOWN))


def flow_picture(
    flow_px: Floats,
    mode: Mode,
    *,
    frame: Image | None = None,
    max_px: float | None = None,
    max_strain: float | None = None,
    scale: int = 1,
    arrow_step_px: int = ARROW_STEP_PX,
) -> Image:
    """Draw a flow field (2, H, W), pixels, as (scale H, scale W, 3), uint8, RGB.

    `mode` is `colour`, the Middlebury code; `quiver`, arrows on the frame (H, W, 3); or `strain`,
    the magnitude of optical strain. Colours and arrows end at `max_px` or `max_strain` (default:
    the largest of the field). Arrows are `arrow_step_px` apart, closer in a small field.
    """
    known = np.nan_to_num(flow_px).astype(np.float32)
    if mode == "colour":
        return _enlarged(flow_to_rgb(flow_px, max_px=max_px), scale)
    if mode == "strain":
        top = max_strain or strain_peak(known)
        return _enlarged(heat_picture(optical_strain(known[None])[0], top), scale)
    ground = np.full((*flow_px.shape[1:], 3), BLANK, np.uint8) if frame is None else frame
    top = max_px or longest_px(known)
    return _with_arrows(_enlarged(ground, scale), known, top, scale, arrow_step_px)


def flow_to_rgb(flow_px: Floats, *, max_px: float | None = None) -> Image:
    """Colour a flow field (2, H, W), pixels: u to the right, v downwards.

    A pixel that is not finite becomes grey. The length `max_px` (default: the longest vector of the
    field) gets full saturation; longer vectors are darkened, so that they can be told from it.
    """
    known = np.isfinite(flow_px).all(0)
    u, v = np.where(known, flow_px, 0.0).astype(np.float64)
    length = np.hypot(u, v)
    largest = float(length.max(initial=0.0)) if max_px is None else max_px
    strength = (length / largest if largest > 0 else np.zeros_like(length))[..., None]
    hue = _hue(u, v)
    colour = np.where(strength <= 1 + 1e-5, 1 - strength.clip(max=1) * (1 - hue), BEYOND * hue)
    image: Image = np.round(255 * colour).astype(np.uint8)
    image[~known] = UNKNOWN
    return image


def wheel_picture(size: int) -> Image:
    """Draw the legend of the colour code: a disc on a clear ground, (size, size, 4), RGBA.

    Each point has the colour of the flow from the centre to that point; the dark rim is of flow
    that is longer than full saturation.
    """
    span = np.linspace(-WHEEL_REACH, WHEEL_REACH, size, dtype=np.float32)
    flow = np.stack(np.meshgrid(span, span))  # (2, size, size)
    inside = np.where(np.hypot(*flow) > WHEEL_REACH, 0, 255).astype(np.uint8)
    return np.dstack([flow_to_rgb(flow, max_px=1.0), inside])


def longest_px(flow_px: Floats) -> float:
    """The length of the longest vector."""
    return float(np.hypot(*np.nan_to_num(flow_px)).max(initial=0.0))


def unit_words(unit: str) -> str:
    """The unit behind a length; of published maps also what their colours do not show."""
    if unit != RELATIVE:
        return unit
    return "of the map's own units (u and v have one each: hue and length are not the face's)"


def strain_peak(flow_px: Floats) -> float:
    return percentile_99_9(optical_strain(np.nan_to_num(flow_px)[None])[0])


def percentile_99_9(values: Floats) -> float:
    """The end of a scale of colours: one value in a thousand lies above; NaN does not count."""
    return float(np.nanquantile(values, 0.999))


def error_px(estimate_px: Floats, truth_px: Floats) -> Floats:
    """The end-point error of every pixel: the distance between two fields, (H, W), pixels."""
    return np.asarray(np.hypot(*(estimate_px - truth_px)), dtype=np.float32)


def heat_picture(values: Floats, high: float, low: float = 0.0) -> Image:
    """Numbers (H, W) as colours from dark blue (`low`) to yellow (`high`): (H, W, 3), uint8, RGB.

    What is not finite is grey.
    """
    known = np.isfinite(values)
    share = (np.where(known, values, low) - low) / ((high - low) or 1.0)
    levels = (255 * share.clip(0, 1)).astype(np.uint8)
    coloured = cv2.applyColorMap(levels, cv2.COLORMAP_CIVIDIS)[..., ::-1]
    picture: Image = np.where(known[..., None], coloured, np.uint8(UNKNOWN))
    return picture


def difference_picture(onset: Image, apex: Image, gain: float) -> Image:
    """Apex minus onset, `gain` times as strong: mid-grey is no change, brighter is brighter.

    Both frames and the picture are (H, W, 3), uint8.
    """
    change = (apex.astype(np.float32) - onset.astype(np.float32)).mean(axis=2)
    levels = np.clip(np.rint(MID_GREY + gain * change), 0, 255).astype(np.uint8)
    return np.repeat(levels[..., None], 3, axis=2)


def magnified(onset: Image, flow_px: Floats, factor: float) -> Image:
    """The onset (H, W, 3) moved along its flow, (2, H, W) in pixels, `factor` times as far."""
    rows, columns = np.indices(flow_px.shape[1:], dtype=np.float32)
    stretched = factor * np.nan_to_num(flow_px).transpose(1, 2, 0).astype(np.float32)  # (H, W, 2)
    here = np.dstack([columns, rows])
    origin = here
    how = {"interpolation": cv2.INTER_LINEAR, "borderMode": cv2.BORDER_REPLICATE}
    for _ in range(INVERSIONS):  # origin + stretched(origin) = here
        origin = here - cv2.remap(stretched, origin, None, **how)
    return np.asarray(cv2.remap(onset, origin, None, **how), dtype=np.uint8)


def enlarged_flow(flow_px: Floats, side: int) -> Floats:
    """A small flow map interpolated to (2, side, side), its vectors as long as before."""
    large = cv2.resize(flow_px.transpose(1, 2, 0), (side, side), interpolation=cv2.INTER_CUBIC)
    return np.asarray(large.transpose(2, 0, 1), dtype=np.float32)


def resized(picture: Image, side: int, how: int = cv2.INTER_CUBIC) -> Image:
    """A picture of (side, side, 3); `how` is one of OpenCV's interpolations."""
    return np.asarray(cv2.resize(picture, (side, side), interpolation=how), dtype=np.uint8)


def blended(ground: Image, colour: ArrayLike, share: float) -> Image:
    """The ground with that share of a colour, or of another picture, laid over it."""
    mixed = (1 - share) * ground.astype(np.float32) + share * np.asarray(colour)
    return np.rint(mixed).astype(np.uint8)


def rgb(colour: str) -> tuple[int, int, int]:
    red, green, blue = bytes.fromhex(colour.removeprefix("#"))
    return red, green, blue


def mark_points(picture: Image, points: ArrayLike, radius: int) -> None:
    """Draw yellow dots with a dark rim into a picture; points are (n, 2), its pixels."""
    for x, y in np.asarray(points).round().astype(int).tolist():
        cv2.circle(picture, (x, y), radius + 1, RIM, -1, cv2.LINE_AA)
        cv2.circle(picture, (x, y), radius, YELLOW, -1, cv2.LINE_AA)


def face_picture(frame: Image, landmarks: Floats, layers: Collection[Layer] = LAYERS[:1]) -> Image:
    """Draw over a frame (H, W, 3) what was found in it: landmarks (68, 2), parts, core regions.

    Core regions stand upright in the face, however the head is tilted. The picture is larger by the
    smallest whole number that makes its longer side 448 or more.
    """
    unknown = set(layers) - set(LAYERS)
    if unknown:
        raise ValueError(f"no such layers: {sorted(unknown)}; known are {LAYERS}")
    scale = math.ceil(FACE_PX / max(frame.shape[:2]))
    picture = _enlarged(frame, scale).copy()
    points = scale * (landmarks + 0.5) - 0.5
    line = max(1, round(max(picture.shape[:2]) / FACE_PX))
    if "parts" in layers:
        picture = _with_parts(picture, points, line)
    if "core" in layers:
        for outline in core_outlines(points):
            for colour, width in ((RIM, 4 * line), (WHITE, 2 * line)):
                corners = [np.round(outline).astype(np.int32)]
                cv2.polylines(picture, corners, True, colour, width, cv2.LINE_AA)
    if "landmarks" in layers:
        eyes = float(np.linalg.norm(points[45] - points[36]))
        mark_points(picture, points, max(1, round(LANDMARK * eyes)))
    return picture


def core_outlines(landmarks: Floats) -> Floats:
    """The corners, clockwise, of the `core_regions` of a face that may be tilted: (4, 4, 2)."""
    upright = fit_similarity(five_points(landmarks)[:2], five_points(mean_face())[:2])
    boxes = core_regions(upright.points(landmarks))
    corners = boxes[:, [0, 1, 2, 1, 2, 3, 0, 3]].reshape(-1, 2)
    return upright.inverse().points(corners).reshape(4, 4, 2)


def part_colour(name: str) -> str:
    """The colour of a part, left and right alike."""
    return PART_COLOURS[name.partition("_")[0]]


def png_bytes(image: Image) -> bytes:
    code = cv2.COLOR_RGB2BGR if image.shape[2] == 3 else cv2.COLOR_RGBA2BGRA
    return bytes(cv2.imencode(".png", cv2.cvtColor(image, code))[1].tobytes())


def jpeg_bytes(image: Image, quality: int = JPEG_QUALITY) -> bytes:
    """An RGB image as JPEG: a noisy frame takes a fifth of its PNG."""
    options = [cv2.IMWRITE_JPEG_QUALITY, quality]
    return bytes(cv2.imencode(".jpg", image[..., ::-1], options)[1].tobytes())


def image_uri(image: Image, kind: Literal["png", "jpeg"], quality: int = JPEG_QUALITY) -> str:
    """An image as a `data:` address."""
    content = png_bytes(image) if kind == "png" else jpeg_bytes(image, quality)
    return f"data:image/{kind};base64,{base64.b64encode(content).decode('ascii')}"


def _hue(u: NDArray[np.float64], v: NDArray[np.float64]) -> NDArray[np.float64]:
    """The fully saturated colour of each direction. (H, W) twice to (H, W, 3), 0..1."""
    pure = np.array(WHEEL, dtype=np.float64)
    starts = np.cumsum([0, *pure[:, 3]])
    position = (np.arctan2(-v, -u) / np.pi + 1) / 2 * (starts[-1] - 1)
    channels = [np.interp(position, starts, [*c, c[0]]) for c in pure[:, :3].T / 255]
    return np.stack(channels, axis=-1)


def _enlarged(image: Image, scale: int) -> Image:
    if scale == 1:
        return image
    large = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
    return np.asarray(large, dtype=np.uint8)


def _with_arrows(ground: Image, flow_px: Floats, top: float, scale: int, step_px: int) -> Image:
    """Arrows on a grid, each the mean motion of its cell; motion below 5 % of `top` is left out."""
    picture = ground.copy()
    if top <= 0:
        return picture
    height, width = flow_px.shape[1:]
    step = min(step_px, max(height // ARROW_ROWS, 1))
    size = (width // step, height // step)
    cells = cv2.resize(flow_px.transpose(1, 2, 0), size, interpolation=cv2.INTER_AREA)
    reach = ARROW_REACH * step * scale / top
    for row, column in np.ndindex(cells.shape[:2]):
        motion = cells[row, column]
        if np.hypot(*motion) < 0.05 * top:
            continue
        tail = np.array([column + 0.5, row + 0.5]) * step * scale
        ends = [tuple(map(round, point.tolist())) for point in (tail, tail + reach * motion)]
        for colour, thickness in ((RIM, 3), (YELLOW, 1)):
            cv2.arrowedLine(picture, *ends, colour, thickness, cv2.LINE_AA, tipLength=0.35)
    return picture


def _with_parts(picture: Image, points: Floats, line: int) -> Image:
    masks = part_masks(points, *picture.shape[:2])
    drawn = picture.copy()
    for name, mask in masks.items():
        drawn[mask] = blended(drawn[mask], rgb(part_colour(name)), PART_TINT)
    for name, mask in masks.items():
        edges = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
        cv2.drawContours(drawn, edges[0], -1, rgb(part_colour(name)), 2 * line, cv2.LINE_AA)
    return drawn
