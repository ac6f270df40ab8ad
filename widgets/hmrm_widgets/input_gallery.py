"""See what each input keeps of a clip while noise and drifting light are added."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache, lru_cache
from typing import Any

import ipywidgets as w
import numpy as np
from numpy.typing import NDArray

from hmrm_lab.flow.estimator import FlowEstimator
from hmrm_lab.preparation.network_inputs import INPUTS, disturbed, kept_of, look_at
from hmrm_lab.records import Clip, Frames
from hmrm_lab.registry import flows
from hmrm_lab.reporting.drawing import jpeg_bytes
from hmrm_lab.reporting.plots.input_pictures import INPUT_COLOURS, gallery_pictures
from hmrm_lab.reporting.svg import legend_html
from hmrm_widgets.parts import (
    Picture,
    choose_clip,
    control,
    named_clips,
    plain,
    row,
)
from hmrm_widgets.viewer import Viewer

KEPT_CLIPS = 4  # their frames in memory: 150 kB for each frame of a crop
SIZES: dict[str, Any] = {"words": "11em", "width": "28em"}


class RememberedFrames:
    """Frames kept in memory once read, to be disturbed repeatedly."""

    def __init__(self, frames: Frames) -> None:
        self._frames, self._read = frames, cache(frames.__getitem__)

    def __len__(self) -> int:
        return len(self._frames)

    def __getitem__(self, index: int, /) -> NDArray[np.uint8]:
        return self._read(index)


class InputGallery(Viewer):
    """Controls for clip, noise and drift above all inputs, each with what it keeps.

    Parameters
    ----------
    clips
        The clips to choose from in the canonical crop, one at least (`ValueError` otherwise); or
        clips by the names to show. Only of drawn faces is it known where they move.
    estimator
        The flow; DIS if not given.
    """

    def __init__(
        self, clips: Sequence[Clip] | Mapping[str, Clip], estimator: FlowEstimator | None = None
    ) -> None:
        titles, self._clips = named_clips(clips)
        if not self._clips:
            raise ValueError("the gallery needs a clip")
        self._estimator = estimator or flows["dis"].build()
        self._read = lru_cache(KEPT_CLIPS)(self._remember)
        self.clip = choose_clip(titles, **SIZES)
        self.noise, self.drift = (
            control(w.FloatSlider, words, max=most, step=step, readout_format=".1f", **SIZES)
            for words, most, step in (
                ("Noise (8-bit levels)", 6.0, 0.5),
                ("Light drifts by (%)", 10.0, 1.0),
            )
        )
        self.cards = {
            name: Picture(f"The clip as {given.words}", "9.75rem", format="jpeg")
            for name, given in INPUTS.items()
        }
        self.headings = {name: w.HTML() for name in INPUTS}
        self.legend, self.caption = w.HTML(), w.HTML()
        cards = [w.VBox([self.headings[name], self.cards[name]]) for name in INPUTS]
        rows = [
            row(w.VBox([self.clip, self.noise, self.drift]), self.legend, gap="2em"),
            row(*cards, gap="0.5em"),
            self.caption,
        ]
        headings = {f"{name} heading": heading for name, heading in self.headings.items()}
        views = {**self.cards, **headings, "legend": self.legend, "caption": self.caption}
        super().__init__(rows, [self.clip, self.noise, self.drift], views)

    def render(self) -> Mapping[str, Any]:
        clip = self._read(self.clip.value)
        laid = disturbed(clip, noise=self.noise.value, drift=self.drift.value / 100)
        seen = look_at(laid, self._estimator)
        kept = kept_of(seen, self._clips[self.clip.value])
        headings = {
            f"{name} heading": f"<b>{given.words}</b>"
            f"{f'<br>{kept[name]:.1f} times' if kept else ''}"
            for name, given in INPUTS.items()
        }
        pictures = {name: jpeg_bytes(picture) for name, picture in gallery_pictures(seen).items()}
        caption = plain(f"{self._words(kept)} {INPUT_COLOURS}")
        legend = legend_html("colour", "the longest of all")
        return {**pictures, **headings, "legend": legend, "caption": caption}

    def _remember(self, number: int) -> Clip:
        clip = self._clips[number]
        return replace(clip, frames=RememberedFrames(clip.frames))

    def _words(self, kept: Mapping[str, float]) -> str:
        laid = (
            f"Added to the clip: noise of {self.noise.value:g} levels and a drift of light by"
            f" {self.drift.value:g} %."
        )
        if not kept:
            return f"{laid} Where this face moves is not known, so nothing can be counted."
        best = max(kept, key=lambda name: kept[name])
        return (
            f"{laid} Times: how much stronger an input is where the face moves than elsewhere;"
            f" at 1 it shows nothing of the movement. The highest: {INPUTS[best].words}. MESTI has"
            f" {kept['mesti'] / kept['dynamic_image']:.1f} times the figure of the dynamic image."
        )
