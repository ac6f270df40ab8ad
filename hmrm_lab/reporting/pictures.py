"""Frames and flow as plain RGB arrays: what figures, the report and widgets show."""

import base64
from typing import Literal

import cv2
import numpy as np

from hmrm_lab.flow.motion_maps import optical_strain
from hmrm_lab.records import RELATIVE, Floats
from hmrm_lab.reporting.flow_colour import UNKNOWN, Image, flow_to_rgb

Mode = Literal["colour", "quiver", "strain"]

ARROW_STEP_PX = 12
ARROW_ROWS = 11  # at least, however small the field is
ARROW_REACH = 1.6  # the longest arrow, in steps
ARROW_COLOUR, ARROW_RIM = (255, 214, 64), (20, 20, 20)
JPEG_QUALITY = 92
BLANK = 232  # the grey behind arrows without a frame
OUTERMOST = 0.999  # a share of the pixels ends the scale of strain and error
MID_GREY = 128  # no difference
INVERSIONS = 6  # fixed-point steps from flow of the onset to flow seen from the moved place


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
    """Draw a flow field.

    Parameters
    ----------
    mode
        `colour` is the Middlebury code, `quiver` arrows on the frame, `strain` the magnitude of
        optical strain.
    max_px, max_strain
        The flow or strain at the end of the colour scale (and of the longest arrow); the largest
        of the field if not given.
    scale
        Pixels of the picture per pixel of the flow.
    arrow_step_px
        From arrow to arrow, in pixels of the flow; a small field has them closer.

    Shapes
    ------
    flow_px : (2, H, W), pixels
    frame : (H, W, 3), uint8, RGB
    returns : (scale H, scale W, 3), uint8, RGB
    """
    known = np.nan_to_num(flow_px).astype(np.float32)
    if mode == "colour":
        return _enlarged(flow_to_rgb(flow_px, max_px=max_px), scale)
    if mode == "strain":
        top = max_strain or strain_peak(known)
        return _enlarged(heat_picture(optical_strain(known[None])[0], top), scale)
    top = max_px or longest_px(known)
    ground = np.full((*flow_px.shape[1:], 3), BLANK, np.uint8) if frame is None else frame
    return _with_arrows(_enlarged(ground, scale), known, top, scale, arrow_step_px)


def longest_px(flow_px: Floats) -> float:
    """The length of the longest vector."""
    return float(np.hypot(*np.nan_to_num(flow_px)).max(initial=0.0))


def unit_words(unit: str) -> str:
    """The unit behind a length; of published maps also what their colours do not show."""
    if unit != RELATIVE:
        return unit
    return "of the map's own units (u and v have one each: hue and length are not the face's)"


def strain_peak(flow_px: Floats) -> float:
    """The largest optical strain, outliers left out."""
    return outermost(optical_strain(np.nan_to_num(flow_px)[None])[0])


def outermost(values: Floats) -> float:
    """The largest of these, one in a thousand left out; what is not known does not count."""
    return float(np.nanquantile(values, OUTERMOST))


def error_px(estimate_px: Floats, truth_px: Floats) -> Floats:
    """The end-point error of every pixel: the distance between two fields, (H, W), pixels."""
    return np.asarray(np.hypot(*(estimate_px - truth_px)), dtype=np.float32)


def heat_picture(values: Floats, high: float, low: float = 0.0) -> Image:
    """Numbers as colours from dark blue (`low`) to yellow (`high`); what is not finite is grey.

    Shapes
    ------
    values : (H, W)
    returns : (H, W, 3), uint8, RGB
    """
    known = np.isfinite(values)
    share = (np.where(known, values, low) - low) / ((high - low) or 1.0)
    levels = (255 * share.clip(0, 1)).astype(np.uint8)
    coloured = cv2.cvtColor(cv2.applyColorMap(levels, cv2.COLORMAP_CIVIDIS), cv2.COLOR_BGR2RGB)
    picture: Image = np.where(known[..., None], coloured, np.uint8(UNKNOWN))
    return picture


def difference_picture(onset: Image, apex: Image, gain: float) -> Image:
    """Apex minus onset, `gain` times as strong: mid-grey is no change, brighter is brighter.

    Shapes
    ------
    onset, apex : (H, W, 3), uint8, RGB
    returns : (H, W, 3), uint8, grey
    """
    change = (apex.astype(np.float32) - onset.astype(np.float32)).mean(axis=2)
    levels = np.clip(np.rint(MID_GREY + gain * change), 0, 255).astype(np.uint8)
    return np.repeat(levels[..., None], 3, axis=2)


def magnified(onset: Image, flow_px: Floats, factor: float) -> Image:
    """The onset frame moved along the flow, `factor` times as far.

    Shapes
    ------
    onset : (H, W, 3), uint8, RGB
    flow_px : (2, H, W), pixels, from the onset on
    """
    rows, columns = np.indices(flow_px.shape[1:], dtype=np.float32)
    stretched = factor * np.nan_to_num(flow_px).transpose(1, 2, 0).astype(np.float32)  # (H, W, 2)
    here = np.dstack([columns, rows])
    origin = here
    for _ in range(INVERSIONS):  # origin + stretched(origin) = here
        origin = here - cv2.remap(
            stretched, origin, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )
    moved = cv2.remap(onset, origin, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(moved, dtype=np.uint8)


def enlarged_flow(flow_px: Floats, side: int) -> Floats:
    """A small flow map interpolated to (2, side, side), its vectors as long as before."""
    large = cv2.resize(flow_px.transpose(1, 2, 0), (side, side), interpolation=cv2.INTER_CUBIC)
    return np.asarray(large.transpose(2, 0, 1), dtype=np.float32)


def png_bytes(image: Image) -> bytes:
    """An RGB image, or RGBA where it has four channels, as PNG."""
    code = cv2.COLOR_RGB2BGR if image.shape[2] == 3 else cv2.COLOR_RGBA2BGRA
    return bytes(cv2.imencode(".png", cv2.cvtColor(image, code))[1].tobytes())


def jpeg_bytes(image: Image, quality: int = JPEG_QUALITY) -> bytes:
    """An RGB image as JPEG: a noisy frame takes a fifth of its PNG."""
    options = [cv2.IMWRITE_JPEG_QUALITY, quality]
    return bytes(cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), options)[1].tobytes())


def image_uri(image: Image, kind: Literal["png", "jpeg"], quality: int = JPEG_QUALITY) -> str:
    """An image as a `data:` address."""
    content = png_bytes(image) if kind == "png" else jpeg_bytes(image, quality)
    return f"data:image/{kind};base64,{base64.b64encode(content).decode('ascii')}"


def _enlarged(image: Image, scale: int) -> Image:
    if scale == 1:
        return image
    large = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
    return np.asarray(large, dtype=np.uint8)


def _with_arrows(ground: Image, flow_px: Floats, top: float, scale: int, step_px: int) -> Image:
    """Arrows on a grid, each the mean motion of its cell; motion below 5 % of `top` is a dot."""
    picture = ground.copy()
    if top <= 0:
        return picture
    height, width = flow_px.shape[1:]
    step = min(step_px, max(height // ARROW_ROWS, 1))
    cells = cv2.resize(
        flow_px.transpose(1, 2, 0), (width // step, height // step), interpolation=cv2.INTER_AREA
    )
    reach = ARROW_REACH * step * scale / top
    for (row, column), motion in zip(
        np.ndindex(cells.shape[:2]), cells.reshape(-1, 2), strict=True
    ):
        if np.hypot(*motion) < 0.05 * top:
            continue
        tail = np.array([column + 0.5, row + 0.5]) * step * scale
        ends = [tuple(map(round, point.tolist())) for point in (tail, tail + reach * motion)]
        for colour, thickness in ((ARROW_RIM, 3), (ARROW_COLOUR, 1)):
            cv2.arrowedLine(picture, *ends, colour, thickness, cv2.LINE_AA, tipLength=0.35)
    return picture
