"""Turn AMMSM's factor and ratios by hand: what is magnified, and which tokens are kept."""

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import ipywidgets as w
import torch

from hmrm_lab.api.system import System
from hmrm_lab.errors import InputError
from hmrm_lab.evaluation.magnification import growth_of, moving_region
from hmrm_lab.models.ammsm.ammsm import AMMSM, magnified, surviving_tokens
from hmrm_lab.models.ammsm.sparse_activation import Choice, make_choice
from hmrm_lab.records import Clip, FlowSet, KnownMotion
from hmrm_lab.reporting.drawing import Image, jpeg_bytes, png_bytes
from hmrm_lab.reporting.plots.input_pictures import (
    GATE,
    MagnifiedClip,
    magnified_pictures,
    survivors_picture,
)
from hmrm_widgets.accessible import Picture
from hmrm_widgets.legends import legend_bytes
from hmrm_widgets.parts import plain, row
from hmrm_widgets.viewer import Viewer

HEADINGS = {"original": "Flow", "magnified": "Magnified flow", "gate": "Gate"}
SCALES = (("1×", 1.0), ("4×", 4.0), ("16×", 16.0))
GROUNDS = (("Magnified flow", "flow"), ("Face", "face"))
OCTAVES = 4  # of the factor's slider: 1 to 16, unless the model has more
LEAST = 0.05  # ratio of a slider, likewise
KEPT_FACES = 32
WIDE = {"description_width": "8em"}
SLIDER = {"width": "24em", "max_width": "100%"}


class Views(NamedTuple):
    pictures: dict[str, bytes]
    stages: list[bytes]
    counts: list[str]
    caption: str


class MagnifierStudio(Viewer):
    """Sliders for the factor and for every stage's ratio above flow, magnified flow and tokens.

    Nothing is trained: a trained network is asked under one choice after another.

    Parameters
    ----------
    system
        A fitted AMMSM with a magnifier.
    maps
        The clips to choose from, as it was trained on such.
    clips
        The clips behind the maps, in the same order. With them tokens can be drawn over the face;
        where their exact flow is known, growth is told inside and outside what moves.

    Raises
    ------
    InputError
        For another system, and for an AMMSM without magnifier.
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
        if not len(maps) or (clips and tuple(clip.key for clip in clips) != maps.keys):
            raise ValueError("the studio needs a map, and the clips of its maps or none")
        self._model, self._clips = fitted.model, list(clips)
        self._maps = system.inputs(maps)  # (n, C, S, S)
        self._onset = lru_cache(KEPT_FACES)(self._read_onset)
        self.clip = w.Dropdown(
            options=[
                (f"{key.subject} · {key.clip} ({name})", number)
                for number, (key, name) in enumerate(zip(maps.keys, maps.expressions, strict=True))
            ],
            value=0,
            description="Clip",
            style=WIDE,
            layout=w.Layout(width="26em", max_width="100%"),
        )
        alpha, ratios = self._model.choice.alpha, self._model.choice.ratios
        self.alpha = w.FloatLogSlider(
            value=alpha,
            base=2,
            min=0,
            max=max(OCTAVES, math.ceil(math.log2(alpha))),
            step=0.25,
            description="Factor alpha",
            readout_format=".2f",
            style=WIDE,
            layout=w.Layout(**SLIDER),
        )
        self.scale = _buttons(SCALES, "Full colour at", "4em")
        self.scale.value = 4.0
        self.together = w.Checkbox(
            value=len(set(ratios)) == 1, description="One ratio for all stages", indent=False
        )
        self.together.layout = w.Layout(width="auto")
        self.ratios = [
            w.FloatSlider(
                value=ratio,
                min=min(LEAST, *ratios),
                max=1,
                step=0.05,
                description=f"Ratio, stage {number}",
                style=WIDE,
                layout=w.Layout(**SLIDER),
            )
            for number, ratio in enumerate(ratios, start=1)
        ]
        self.ground = _buttons(GROUNDS if clips else GROUNDS[:1], "Tokens over", "9em")
        self.pictures = {
            name: Picture(words, format="png", layout=_sized("10rem"))
            for name, words in HEADINGS.items()
        }
        self.legend = Picture(
            "The colours of the motion", format="png", layout=w.Layout(object_fit="contain")
        )
        self.stages = [
            Picture(f"Tokens that stage {number} keeps", format="jpeg", layout=_sized("10rem"))
            for number in range(1, len(ratios) + 1)
        ]
        self.counts = [w.HTML() for _ in self.stages]
        self.caption = w.HTML()
        flows = [
            w.VBox([w.HTML(f"<b>{HEADINGS[name]}</b>"), picture])
            for name, picture in self.pictures.items()
        ]
        tokens = [
            w.VBox([count, picture])
            for count, picture in zip(self.counts, self.stages, strict=True)
        ]
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
        super().__init__(rows, controls)

    def fit(self, changed: w.Widget | None) -> None:
        """With one ratio for all, the first slider moves the others."""
        for slider in self.ratios[1:]:
            slider.disabled = self.together.value
            if self.together.value:
                slider.value = self.ratios[0].value

    def render(self) -> Views:
        number = self.clip.value
        choice = make_choice(self.alpha.value, [slider.value for slider in self.ratios])
        maps = self._maps[number : number + 1]
        seen = magnified(self._model, maps, choice.alpha)
        clip = MagnifiedClip(maps[0, :2].numpy(), seen.flow[0].numpy(), seen.gate[0, 0].numpy())
        drawn = magnified_pictures(clip, self.scale.value)
        ground = drawn["magnified"] if self.ground.value == "flow" else self._onset(number)
        kept = [mask[0].numpy() for mask in surviving_tokens(self._model, maps, choice)]
        counts = [
            f"<b>Stage {stage}</b>: {mask.sum()} of {mask.size}"
            for stage, mask in enumerate(kept, start=1)
        ]
        return Views(
            {name: png_bytes(picture) for name, picture in drawn.items()},
            [jpeg_bytes(survivors_picture(ground, mask)) for mask in kept],
            counts,
            plain(f"{self._growth_words(number, clip, choice)} {self._scale_words()}"),
        )

    def show(self, views: Views | None) -> None:
        shown = views or Views({}, [b""] * len(self.stages), [""] * len(self.stages), "")
        for name, picture in self.pictures.items():
            picture.value = shown.pictures.get(name, b"")
        for picture, value in zip(self.stages, shown.stages, strict=True):
            picture.value = value
        for heading, words in zip(self.counts, shown.counts, strict=True):
            heading.value = words
        self.caption.value = shown.caption
        self.legend.value = legend_bytes("colour") if views else b""
        self.legend.layout.display = "" if views else "none"

    def _growth_words(self, number: int, clip: MagnifiedClip, choice: Choice) -> str:
        """How many times motion grows: where the face moves and elsewhere, if that is known."""
        if not self._clips or not isinstance(self._clips[number].frames, KnownMotion):
            times = torch.from_numpy(clip.gate).mean() * choice.alpha
            return f"With alpha {choice.alpha:.2f} motion grows {times:.2f} times on average."
        moving = moving_region(self._clips[number], clip.flow.shape[-1])
        growth = growth_of(clip.flow[None], clip.magnified[None], moving[None])
        return (
            f"With alpha {choice.alpha:.2f} motion grows {growth.inside:.2f} times where the face"
            f" moves by itself ({moving.mean():.0%} of it, by the exact flow), and"
            f" {growth.outside:.2f} times elsewhere: a ratio of {growth.ratio:.2f}."
        )

    def _scale_words(self) -> str:
        return (
            f"Full colour is {self.scale.value:.0f}× the longest vector of the flow; longer ones"
            f" are darkened. {GATE} Framed: tokens that a stage keeps."
        )

    def _read_onset(self, number: int) -> Image:
        clip = self._clips[number]
        return clip.frames[clip.onset]


def _buttons(
    options: Sequence[tuple[str, object]], description: str, width: str
) -> w.ToggleButtons:
    buttons = w.ToggleButtons(
        options=options, description=description, style={**WIDE, "button_width": width}
    )
    buttons.layout = w.Layout(width="max-content", max_width="100%")
    return buttons


def _sized(width: str) -> w.Layout:
    return w.Layout(width=width, max_width="100%", object_fit="contain")
