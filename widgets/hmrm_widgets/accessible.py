"""What ipywidgets leaves undone for those who use a keyboard or a screen reader."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import anywidget
import ipywidgets as w
import traitlets

VIEWER = "hmrm-viewer"  # the class of the page element in which names are given


class Picture(w.Image):
    """A picture and the words that stand for it where it is not seen.

    Parameters
    ----------
    words
        What the picture shows, without its state, which the caption tells.
    """

    def __init__(self, words: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.words = words
        self.mark = f"hmrm-picture-{self.model_id}"
        self.add_class(self.mark)


class Names(anywidget.AnyWidget):
    """Unseen part of a viewer that names its sliders by their labels and its pictures by words.

    A pressed toggle button is told as pressed, and the arrow keys stay with lists and sliders where
    JupyterLab would take them. Nothing is sent when a control changes.
    """

    _esm = Path(__file__).with_name("accessible.js")
    pictures = traitlets.Dict().tag(sync=True)  # words, by the class of the picture

    def __init__(self, pictures: Iterable[Picture]) -> None:
        super().__init__(pictures={picture.mark: picture.words for picture in pictures})
        self.layout.display = "none"


def pictures_in(rows: Iterable[w.Widget]) -> list[Picture]:
    """All pictures in these widgets, at any depth."""
    found: list[Picture] = []
    for item in rows:
        if isinstance(item, Picture):
            found.append(item)
        elif isinstance(item, w.Box):
            found += pictures_in(item.children)
    return found
