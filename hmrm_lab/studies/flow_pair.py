"""Flow between two image files, for the command line."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

import hmrm_lab.flow  # noqa: F401  registers the estimators
from hmrm_lab.errors import InputError
from hmrm_lab.flow.files import check_suffix, write_flow
from hmrm_lab.registry import flows
from hmrm_lab.reporting.flow_colour import flow_to_rgb
from hmrm_lab.reporting.pictures import png_bytes
from hmrm_lab.store import write_atomic_bytes


def flow_between(
    onset: Path, apex: Path, *, method: str, out: Path | None, picture: Path | None
) -> dict[str, Any]:
    """Estimate, write what was asked for, and say how much moved."""
    estimator = flows[method]
    if out is not None:
        check_suffix(out)
    if picture is not None and picture.suffix != ".png":
        raise InputError(f"picture '{picture.name}' is not .png", mend="name a .png file")
    first, second = read_image(onset), read_image(apex)
    flow_px = estimator.build()(first[None], second[None])[0]
    length = np.hypot(*flow_px)
    written = {}
    if out is not None:
        write_flow(out, flow_px)
        written["flow"] = str(out)
    if picture is not None:
        write_atomic_bytes(picture, png_bytes(flow_to_rgb(flow_px)))
        written["picture"] = str(picture)
    return {
        "method": method,
        "size": f"{flow_px.shape[2]}x{flow_px.shape[1]} px",
        "mean_px": round(float(length.mean()), 4),
        "largest_px": round(float(length.max()), 4),
        **written,
    }


def read_image(path: Path) -> NDArray[np.uint8]:
    """An 8-bit image as (H, W, 3) RGB, or an `InputError`."""
    if not path.is_file():
        raise InputError("no such image", where=path, mend="check the path")
    image = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_UNCHANGED)
    if image is None:
        raise InputError("not a readable image", where=path, mend="give a PNG, JPEG or BMP file")
    if image.dtype != np.uint8:
        raise InputError(f"image of type {image.dtype}", where=path, mend="convert it to 8 bit")
    if image.ndim != 3 or image.shape[2] != 3:
        raise InputError("not a colour image of three channels", where=path, mend="save it as RGB")
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
