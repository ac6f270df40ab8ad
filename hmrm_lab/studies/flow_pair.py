"""Flow between two image files, for the command line."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hmrm_lab.datasets.images import read_image
from hmrm_lab.errors import InputError
from hmrm_lab.flow.estimator import SMALLEST_SIDE
from hmrm_lab.flow.files import check_suffix, write_flow
from hmrm_lab.registry import flows
from hmrm_lab.reporting.flow_colour import flow_to_rgb
from hmrm_lab.reporting.pictures import png_bytes
from hmrm_lab.runtime.store import check_target, write_atomic_bytes


def flow_between(
    onset: Path, apex: Path, *, method: str, out: Path | None, picture: Path | None
) -> dict[str, Any]:
    """Estimate, write what was asked for, and say how much moved."""
    estimator = flows[method]
    if out is not None:
        check_suffix(out)
    if picture is not None and picture.suffix != ".png":
        raise InputError(f"picture '{picture.name}' is not .png", mend="name a .png file")
    check_target(out, picture)
    first, second = read_image(onset), read_image(apex)
    _check_sizes(onset, first, apex, second)
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


def _check_sizes(
    onset: Path, first: NDArray[np.uint8], apex: Path, second: NDArray[np.uint8]
) -> None:
    """The complaints of `check_pairs`, with the name of the file."""
    if min(first.shape[:2]) < SMALLEST_SIDE:
        raise InputError(
            f"a frame of {_size(first)} pixels",
            where=onset,
            mend=f"give at least {SMALLEST_SIDE}x{SMALLEST_SIDE}",
        )
    if first.shape != second.shape:
        raise InputError(
            f"onset ({_size(first)} pixels) and apex ({_size(second)}) differ in size",
            where=apex,
            mend="crop both frames alike",
        )


def _size(image: NDArray[np.uint8]) -> str:
    return f"{image.shape[1]}x{image.shape[0]}"
