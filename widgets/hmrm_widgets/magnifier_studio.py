"""Turn AMMSM's factor and ratios by hand: what is magnified, and which tokens are kept."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import ipywidgets as w
import numpy as np

from hmrm_lab.api.system import System
from hmrm_lab.errors import InputError
from hmrm_lab.evaluation.magnification import growth_of, moving_region
from hmrm_lab.models.ammsm.ammsm import AMMSM, magnified, surviving_tokens
from hmrm_lab.models.ammsm.sparse_activation import make_choice
from hmrm_lab.records import Clip, FlowSet, KnownMotion
from hmrm_lab.reporting.drawing import jpeg_bytes, png_bytes
from hmrm_lab.reporting.plots.input_pictures import (
    GATE,
    MagnifiedClip,
    magnified_pictures,
    survivors_picture,
)
from hmrm_lab.reporting.svg import legend_html
from hmrm_widgets.parts import (
    Picture,
    buttons,
    choose_clip,
    clips_behind,
    control,
    map_titles,
    onset_frames,
    plain,
    row,
    tick,
)
from hmrm_widgets.viewer import Viewer

HEADINGS = {"original": "Flow", "magnified": "Magnified flow", "gate": "Gate"}
SCALES = (("1×", 1.0), ("4×", 4.0), ("16×", 16.0))
GROUNDS = (("Magnified flow", "flow"), ("Face", "face"))
OCTAVES = 4  # of the factor's slider: 1 to 16, unless the model has more
LEAST = 0.05  # ratio of a slider, likewise


class MagnifierStudio(Viewer):
    """Sliders for the factor and for every stage's ratio above flow, magnified flow and tokens.

    Nothing is trained: a trained network is asked under one choice after another.

    Parameters
    ----------
    system
        A fitted AMMSM with a magnifier (`InputError` otherwise).
    maps
        The clips to choose from, as it was trained on such.
    clips
        The clips behind the maps, in the same order. With them tokens can be drawn over the face;
        where their exact flow is known, growth is told inside and outside what moves.

    Raises
    ------
    ValueError
        If there is no map, or the clips are not those of the maps.
    """

    def __init__(self, system: System, maps: FlowSet, clips: Sequence[Clip] = ()) -> None:
        fitted = system.fitted
        if not isinstance(fitted.model, AMMSM) or fitted.model.magnifier is None:
            raise InputError(
                f"this '{fitted.config.model.name}' magnifies nothing",
                hint="give the studio an AMMSM with model.magnifier=unet",
            )
        if not len(maps):
            raise ValueError("the studio needs a map")
        self._model, self._clips = fitted.model, clips_behind(maps, clips)
        self._maps = system.inputs(maps)  # (n, C, S, S)
        self._onset = onset_frames(self._clips)
        alpha, ratios = self._model.choice.alpha, self._model.choice.ratios
        self.clip = choose_clip(map_titles(maps))
        self.alpha = control(
            w.FloatLogSlider,
            "Factor alpha",
            value=alpha,
            base=2,
            min=0,
            max=max(OCTAVES, math.ceil(math.log2(alpha))),
            step=0.25,
            readout_format=".2f",
            width="24em",
        )
        self.scale = buttons("Full colour at", SCALES, "4em", value=4.0)
        self.together = tick("One ratio for all stages", len(set(ratios)) == 1)
        limits = dict[str, Any](min=min(LEAST, *ratios), max=1, step=0.05, width="24em")
        self.ratios = [
            control(w.FloatSlider, f"Ratio, stage {number}", value=ratio, **limits)
            for number, ratio in enumerate(ratios, start=1)
        ]
        self.ground = buttons("Tokens over", GROUNDS if clips else GROUNDS[:1], "9em")
        self.pictures = {
            name: Picture(words, "10rem", format="png") for name, words in HEADINGS.items()
        }
        self.stages = [
            Picture(f"Tokens that stage {number} keeps", "10rem", format="jpeg")
            for number in range(1, len(ratios) + 1)
        ]
        self.counts = [w.HTML() for _ in self.stages]
        self.legend, self.caption = w.HTML(), w.HTML()
        flows = [
            w.VBox([w.HTML(f"<b>{HEADINGS[name]}</b>"), picture])
            for name, picture in self.pictures.items()
        ]
        tokens = [w.VBox(pair) for pair in zip(self.counts, self.stages, strict=True)]
        rows = [
            row(self.clip, self.alpha, gap="0 1em"),
            self.scale,
            row(*flows, self.legend, gap="0.5em"),
            row(self.together, self.ground, gap="0 2em"),
            row(*self.ratios, gap="0 1em"),
            row(*tokens, gap="0.5em"),
            self.caption,
        ]
        controls = (self.clip, self.alpha, self.scale, self.together, self.ground, *self.ratios)
        views = {**self.pictures, "legend": self.legend, "caption": self.caption}
        for number, (picture, count) in enumerate(zip(self.stages, self.counts, strict=True)):
            views |= {f"stage {number}": picture, f"count {number}": count}
        super().__init__(rows, controls, views)

    def fit(self, changed: w.Widget | None) -> None:
        """With one ratio for all, the first slider moves the others."""
        for slider in self.ratios[1:]:
            slider.disabled = self.together.value
            if self.together.value:
                slider.value = self.ratios[0].value

    def render(self) -> Mapping[str, Any]:
        number = self.clip.value
        choice = make_choice(self.alpha.value, [slider.value for slider in self.ratios])
        maps = self._maps[number : number + 1]
        seen = magnified(self._model, maps, choice.alpha)
        clip = MagnifiedClip(maps[0, :2].numpy(), seen.flow[0].numpy(), seen.gate[0, 0].numpy())
        drawn = magnified_pictures(clip, self.scale.value)
        ground = drawn["magnified"] if self.ground.value == "flow" else self._onset(number)
        views: dict[str, Any] = {name: png_bytes(picture) for name, picture in drawn.items()}
        for stage, masks in enumerate(surviving_tokens(self._model, maps, choice)):
            mask = masks[0].numpy()
            views[f"stage {stage}"] = jpeg_bytes(survivors_picture(ground, mask))
            views[f"count {stage}"] = f"<b>Stage {stage + 1}</b>: {mask.sum()} of {mask.size}"
        words = (
            f"With alpha {choice.alpha:.2f} motion grows"
            f" {self._growth_words(number, clip, choice.alpha)} Full colour is"
            f" {self.scale.value:.0f}× the longest vector of the flow; longer ones are darkened."
            f" {GATE} Framed: tokens that a stage keeps."
        )
        legend = legend_html("colour", f"{self.scale.value:.0f} times the longest")
        return {**views, "legend": legend, "caption": plain(words)}

    def _growth_words(self, number: int, clip: MagnifiedClip, alpha: float) -> str:
        """How many times motion grows: where the face moves and elsewhere, if that is known."""
        if not self._clips or not isinstance(self._clips[number].frames, KnownMotion):
            before, after = (np.hypot(*flow).mean() for flow in (clip.flow, clip.magnified))
            return f"{after / before:.2f} times on average."
        moving = moving_region(self._clips[number], clip.flow.shape[-1])
        growth = growth_of(clip.flow[None], clip.magnified[None], moving[None])
        return (
            f"{growth.inside:.2f} times where the face moves by itself ({moving.mean():.0%} of it,"
            f" by the exact flow), and {growth.outside:.2f} times elsewhere: a ratio of"
            f" {growth.ratio:.2f}."
        )
