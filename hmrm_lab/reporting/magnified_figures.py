"""Magnified flow beside the original (AMMSM, Figure 1), and the tokens that its stages keep."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from plotly import graph_objects as go

from hmrm_lab.records import Floats
from hmrm_lab.reporting.flow_colour import Image
from hmrm_lab.reporting.panels import image_panel, panel_grid
from hmrm_lab.reporting.pictures import enlarged_flow, flow_picture, heat_picture, longest_px
from hmrm_lab.reporting.style import plain

SIDE_PX = 224  # a token of every stage has a whole number of pixels
DIMMED = 0.22  # brightness of what a stage does not keep
RIM = (255, 255, 255)
QUALITY = 85
GATE = "Gate: dark blue is closed (0), yellow is open (1)."


@dataclass(frozen=True)
class MagnifiedClip:
    """One clip as a magnifier is given it, and what it makes of it.

    Shapes
    ------
    flow, magnified : (2, S, S), each in units of the map's RMS
    gate : (S, S), 0..1
    face : (H, W, 3), uint8, RGB, the onset; None where there are no frames
    """

    flow: Floats
    magnified: Floats
    gate: Floats
    face: Image | None = None


def magnified_pictures(clip: MagnifiedClip, full: float) -> dict[str, Image]:
    """`original`, `magnified` and `gate`, 224 pixels a side.

    Hue is direction and saturation is length, on one scale for both: full saturation is `full`
    times the longest vector of the original. Longer vectors are darkened.
    """
    top = full * longest_px(clip.flow) or None
    gate = cv2.resize(clip.gate, (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_LINEAR)
    return {
        "original": flow_picture(enlarged_flow(clip.flow, SIDE_PX), "colour", max_px=top),
        "magnified": flow_picture(enlarged_flow(clip.magnified, SIDE_PX), "colour", max_px=top),
        "gate": heat_picture(np.asarray(gate, np.float32), 1.0),
    }


def magnified_figure(
    clips: Mapping[str, MagnifiedClip], alpha: float, *, caption: str = ""
) -> go.Figure:
    """A row for each clip: its face where there is one, the flow, the magnified flow, the gate.

    Parameters
    ----------
    clips
        By what is written above the first picture of a row, such as the name of the class.
    alpha
        The factor; full saturation is so many times the longest vector of the original.
    """
    faces = all(clip.face is not None for clip in clips.values())
    panels, headings = [], []
    for name, clip in clips.items():
        drawn = magnified_pictures(clip, alpha)
        words = {"original": "flow", "magnified": f"magnified, alpha {alpha:g}", "gate": "gate"}
        if faces and clip.face is not None:
            panels.append(image_panel(clip.face, quality=QUALITY))
            headings.append(f"<b>{plain(name)}</b>, onset")
        else:
            words["original"] = f"<b>{plain(name)}</b>, flow"
        panels += [image_panel(picture, quality=QUALITY) for picture in drawn.values()]
        headings += list(words.values())
    said = (
        "Hue is the direction of motion (wheel), saturation its length: full is"
        f" {alpha:g} times the longest vector of the flow before. {GATE}"
    )
    return panel_grid(
        panels,
        headings,
        "Motion magnified where it matters",
        legend="wheel",
        caption=f"{said}\n{caption}",
        columns=len(panels) // len(clips),
        row_px=190,
    )


def survivors_picture(ground: Image, kept: NDArray[np.bool_]) -> Image:
    """The tokens of one stage over a face or a map: those not kept are dark.

    Shapes
    ------
    ground : (H, W, 3), uint8, RGB, square
    kept : (side, side), `side` tokens in a row; at later stages these share the face evenly
    returns : (224, 224, 3), uint8, RGB
    """
    picture = cv2.resize(ground, (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_AREA)
    side = len(kept)
    ends = np.round(np.linspace(0, SIDE_PX, side + 1)).astype(int).tolist()
    lit = cv2.resize(
        kept.astype(np.float32), (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_NEAREST_EXACT
    )
    shown = (picture * (DIMMED + (1 - DIMMED) * lit[..., None])).astype(np.uint8)
    for row, column in np.argwhere(kept).tolist():
        corners = (ends[column], ends[row]), (ends[column + 1] - 1, ends[row + 1] - 1)
        cv2.rectangle(shown, *corners, RIM, 1)
    return np.asarray(shown, dtype=np.uint8)


def survivors_figure(
    ground: Image, rows: Mapping[str, Sequence[NDArray[np.bool_]]], *, caption: str = ""
) -> go.Figure:
    """A row for each choice of ratios, a picture for each stage.

    Parameters
    ----------
    rows
        By what is written above the first picture of a row, the kept tokens of every stage.
    """
    pictures, headings = [], []
    for name, stages in rows.items():
        for number, kept in enumerate(stages, start=1):
            words = f"stage {number}: {kept.sum()} of {kept.size}"
            headings.append(f"<b>{plain(name)}</b><br>{words}" if number == 1 else words)
            pictures.append(survivors_picture(ground, kept))
    return panel_grid(
        [image_panel(picture, quality=QUALITY) for picture in pictures],
        headings,
        "Tokens that survive each stage",
        caption=f"Framed: tokens that the stage keeps; what is dark passes it by.\n{caption}",
        columns=len(pictures) // len(rows),
        row_px=190,
    )
