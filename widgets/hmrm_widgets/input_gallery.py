"""See what each input keeps of a clip while noise and drifting light are laid upon it."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

import ipywidgets as w

from hmrm_lab.flow.estimator import FlowEstimator
from hmrm_lab.preparation.network_inputs import INPUTS, disturbed, kept_of, look_at, remembering
from hmrm_lab.records import Clip
from hmrm_lab.registry import flows
from hmrm_lab.reporting.drawing import jpeg_bytes
from hmrm_lab.reporting.plots.input_pictures import INPUT_COLOURS, gallery_pictures
from hmrm_widgets.accessible import Picture
from hmrm_widgets.legends import legend_bytes
from hmrm_widgets.parts import named_clips, plain, row
from hmrm_widgets.viewer import Viewer

KEPT_CLIPS = 4  # their frames in memory: 150 kB for each frame of a crop
WIDE = {"description_width": "11em"}
SLIDER = {"width": "28em", "max_width": "100%"}


class Views(NamedTuple):
    pictures: dict[str, bytes]
    headings: dict[str, str]
    caption: str


class InputGallery(Viewer):
    """Controls for clip, noise and drift above the five inputs, each with what it keeps.

    Parameters
    ----------
    clips
        The clips to choose from in the canonical crop, one at least; or clips by the names to
        show. Only of drawn faces is it known where they move.
    estimator
        The flow; DIS if not given.

    Raises
    ------
    ValueError
        If there is no clip.
    """

    def __init__(
        self,
        clips: Sequence[Clip] | Mapping[str, Clip],
        estimator: FlowEstimator | None = None,
    ) -> None:
        titles, self._clips = named_clips(clips)
        if not self._clips:
            raise ValueError("the gallery needs a clip")
        self._estimator = estimator or flows["dis"].build()
        self._read = lru_cache(KEPT_CLIPS)(lambda number: remembering(self._clips[number]))
        self.clip = w.Dropdown(
            options=[(name, number) for number, name in enumerate(titles)],
            description="Clip",
            style=WIDE,
            layout=w.Layout(**SLIDER),
        )
        self.noise = _slider("Noise (8-bit levels)", 6.0, 0.5)
        self.drift = _slider("Light drifts by (%)", 10.0, 1.0)
        self.cards = {name: _card(given.words) for name, given in INPUTS.items()}
        self.headings = {name: w.HTML() for name in INPUTS}
        self.legend = Picture(
            "The colours of flow",
            format="png",
            value=legend_bytes("colour"),
            layout=w.Layout(object_fit="contain"),
        )
        self.caption = w.HTML()
        cards = [w.VBox([self.headings[name], self.cards[name]]) for name in INPUTS]
        rows = [
            row(w.VBox([self.clip, self.noise, self.drift]), self.legend, gap="2em"),
            row(*cards, gap="0.5em"),
            self.caption,
        ]
        super().__init__(rows, [self.clip, self.noise, self.drift])

    def render(self) -> Views:
        clip = self._read(self.clip.value)
        seen = look_at(
            disturbed(clip, noise=self.noise.value, drift=self.drift.value / 100), self._estimator
        )
        kept = kept_of(seen, self._clips[self.clip.value])
        headings = {
            name: f"<b>{given.words}</b>{f'<br>{kept[name]:.1f} times' if kept else ''}"
            for name, given in INPUTS.items()
        }
        pictures = {name: jpeg_bytes(picture) for name, picture in gallery_pictures(seen).items()}
        return Views(pictures, headings, plain(f"{self._words(kept)} {INPUT_COLOURS}"))

    def show(self, views: Views | None) -> None:
        for name in INPUTS:
            self.cards[name].value = views.pictures[name] if views else b""
            self.headings[name].value = views.headings[name] if views else ""
        self.caption.value = views.caption if views else ""
        self.legend.layout.display = "" if views else "none"

    def _words(self, kept: Mapping[str, float]) -> str:
        laid = (
            f"Noise of {self.noise.value:g} levels and light that drifts by"
            f" {self.drift.value:g} % are laid upon the clip."
        )
        if not kept:
            return f"{laid} Where this face moves is not known, so nothing can be counted."
        best = max(kept, key=lambda name: kept[name])
        return (
            f"{laid} Times: how much stronger an input is where the face moves than elsewhere;"
            f" 1 shows nothing of the movement. Most keeps the {INPUTS[best].words}, MESTI"
            f" {kept['mesti'] / kept['dynamic_image']:.1f} times as much as the dynamic image."
        )


def _card(words: str) -> Picture:
    layout = w.Layout(width="9.75rem", max_width="100%", object_fit="contain")
    return Picture(f"The clip as {words}", format="jpeg", layout=layout)


def _slider(description: str, most: float, step: float) -> w.FloatSlider:
    return w.FloatSlider(
        value=0.0,
        min=0.0,
        max=most,
        step=step,
        description=description,
        readout_format=".1f",
        style=WIDE,
        layout=w.Layout(**SLIDER),
    )
