"""The flow of a clip as particles that go along it, over the clip's frames."""

from pathlib import Path

import anywidget
import cv2
import ipywidgets as w
import numpy as np
import traitlets as t

from hmrm_lab.records import Clip, Floats
from hmrm_lab.reporting.drawing import Image, jpeg_bytes, percentile_99_9

GRID = 56  # cells along the longer side of the field that is sent
FRAME_PX = 160  # the longer side of a frame that is sent
QUALITY = 75  # per cent
MOST_FRAMES = 10
REACH = 0.12  # of the width: how far the fastest particle goes
STILL_PX = 0.01


class FlowParticles(anywidget.AnyWidget):
    """Particles over the frames of a clip, a slider for the frame, and a button that stops them.

    Field and frames are sent once, 25 kB and about 40 kB: what moves is computed in the browser,
    also where no kernel runs any more. The particles rest where they are not seen, and for readers
    who ask their system for less motion, until the button is pressed.

    Parameters
    ----------
    clip
        Its frames from onset to offset are shown, 10 of them at most.
    flow_px
        The motion from the onset on.
    name
        Which flow it is, for the caption.

    Shapes
    ------
    flow_px : (2, H, W), order (u, v), pixels; H and W are those of the frames (`ValueError` if not)
    """

    _esm = Path(__file__).with_name("flow_particles.js")
    _css = Path(__file__).with_name("flow_particles.css")

    frames = t.List(t.Bytes()).tag(sync=True)
    numbers = t.List(t.Int()).tag(sync=True)
    shown = t.Int(0).tag(sync=True)
    field = t.Bytes().tag(sync=True)
    grid = t.Tuple(t.Int(), t.Int()).tag(sync=True)
    span = t.Tuple(t.Int(), t.Int()).tag(sync=True)
    gain = t.Float().tag(sync=True)
    label = t.Unicode().tag(sync=True)
    caption = t.Unicode().tag(sync=True)

    def __init__(self, clip: Clip, flow_px: Floats, name: str = "as given") -> None:
        height, width = clip.frames[clip.onset].shape[:2]
        if flow_px.shape != (2, height, width):
            raise ValueError(
                f"flow must be (2, {height}, {width}) as the frames are, not {flow_px.shape}"
            )
        field = reduced_field(flow_px)
        numbers = shown_frames(clip)
        longest = percentile_99_9(np.hypot(*np.nan_to_num(flow_px)))
        gain = REACH * width / longest if longest > STILL_PX else 0.0
        moves = f"Each particle goes about {gain:.0f} times as far as the skin under it."
        super().__init__(
            frames=[jpeg_bytes(_small(clip.frames[n]), QUALITY) for n in numbers],
            numbers=numbers,
            shown=numbers.index(clip.onset),
            field=field.tobytes(),
            grid=(field.shape[2], field.shape[1]),
            span=(width, height),
            gain=gain,
            label=f"Face with particles that go along the flow, {name}",
            caption=f"Flow: {name}. {moves if gain else 'Nothing moves.'}",
            layout=w.Layout(width="24rem", max_width="100%"),
        )


def reduced_field(flow_px: Floats) -> Floats:
    """Means over cells, 56 of them along the longer side at most; vectors are as long as before.

    Shapes
    ------
    flow_px : (2, H, W), pixels; what is not known is taken for no motion
    returns : (2, rows, columns), little-endian float32, pixels
    """
    height, width = flow_px.shape[1:]
    share = min(1.0, GRID / max(height, width))
    size = max(1, round(share * width)), max(1, round(share * height))
    known = np.nan_to_num(flow_px).astype(np.float32).transpose(1, 2, 0)
    cells = cv2.resize(known, size, interpolation=cv2.INTER_AREA).reshape(size[1], size[0], 2)
    return np.ascontiguousarray(cells.transpose(2, 0, 1), dtype="<f4")


def shown_frames(clip: Clip, most: int = MOST_FRAMES) -> list[int]:
    """Numbers from onset to offset, spread evenly, onset and offset among them."""
    count = min(most, clip.offset - clip.onset + 1)
    return [int(number) for number in np.linspace(clip.onset, clip.offset, count).round()]


def _small(frame: Image) -> Image:
    scale = min(1.0, FRAME_PX / max(frame.shape[:2]))
    small = cv2.resize(frame, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    return np.asarray(small, dtype=np.uint8)
