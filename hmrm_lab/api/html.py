"""How nouns show themselves in a notebook: a heading, facts, pictures."""

from collections.abc import Iterable, Mapping
from html import escape

import numpy as np
from numpy.typing import NDArray

from hmrm_lab.reporting.drawing import image_uri

STRIP = 8  # pictures in a row


def card(kind: str, facts: Mapping[str, object], *below: str) -> str:
    """A heading and a table of facts, with whatever HTML comes below."""
    rows = "".join(
        f"<tr><th style='text-align:left'>{escape(name)}</th>"
        f"<td style='text-align:left'>{escape(str(value))}</td></tr>"
        for name, value in facts.items()
    )
    return f"<div><b>{escape(kind)}</b><table>{rows}</table>{''.join(below)}</div>"


def strip(pictures: Iterable[tuple[str, NDArray[np.uint8]]], width_px: int = 96) -> str:
    """Small pictures in a row, each with its name: (H, W, 3) uint8, RGB."""
    style = "display:inline-block;margin:2px"
    return "".join(
        f"<figure style='{style}'><img width={width_px} alt='{escape(name)}'"
        f" src='{image_uri(picture, 'jpeg')}'><figcaption>{escape(name)}</figcaption></figure>"
        for name, picture in pictures
    )
