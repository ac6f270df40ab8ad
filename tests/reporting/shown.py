"""What a figure shows: its pictures and its words."""

from base64 import b64decode

import cv2
import numpy as np
from plotly import graph_objects as go


def words_of(figure: go.Figure) -> str:
    return " ".join(note.text.replace("<br>", " ") for note in figure.layout.annotations)


def pixels(content: bytes) -> np.ndarray:
    """A picture in RGB, from its file."""
    return cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]


def pictures_of(figure: go.Figure) -> list[np.ndarray]:
    sources = [trace.source for trace in figure.data if trace.type == "image"]
    return [pixels(b64decode(uri.partition(",")[2])) for uri in sources]


def bar_of(figure: go.Figure) -> go.scatter.Marker:
    (bar,) = [trace.marker for trace in figure.data if trace.type == "scatter"]
    return bar


def by_name(figure: go.Figure) -> dict[str, go.Scatter]:
    return {trace.name: trace for trace in figure.data if trace.name}


def uniform(u: float, v: float = 0.0, side: int = 32) -> np.ndarray:
    return np.stack([np.full((side, side), u), np.full((side, side), v)]).astype(np.float32)
