"""Mix two clips by hand: regions, strength, and what comes out."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import ipywidgets as w
import numpy as np
from numpy.typing import NDArray

from hmrm_lab.errors import InputError
from hmrm_lab.flow.estimator import FlowEstimator
from hmrm_lab.records import MASKS, RELATIVE, Clip, Floats, FlowSet
from hmrm_lab.registry import flows
from hmrm_lab.reporting.drawing import Image, Mode, jpeg_bytes
from hmrm_lab.reporting.plots.motion_fields import (
    Scale,
    mask_picture,
    motion_picture,
    outlined,
    scale_of,
    scale_words,
)
from hmrm_lab.reporting.svg import legend_html
from hmrm_lab.training.augmentation import template_masks
from hmrm_lab.training.mixing import crop_motion, join_masks, mix_pair, steadied
from hmrm_widgets.parts import (
    DISPLAYS,
    Picture,
    buttons,
    choose_clip,
    clips_behind,
    control,
    head_motion,
    map_titles,
    plain,
    row,
)
from hmrm_widgets.viewer import Viewer

REGIONS = (("Eyes", ("eyes",)), ("Mouth", ("mouth",)), ("Both", MASKS))
MAP, CROP = "map", "crop"
HEADINGS = {"A": "Clip A", "B": "Clip B", "mask": "Mask M of A", "mixture": "Mixture"}
KEPT_STILLS = 8
KEPT_CROPS = 32  # 800 kB for each at 224x224


class Motion(NamedTuple):
    """Shapes: map (3, h, h), masks (2, h, h), frame (h, h, 3)."""

    map: Floats
    masks: NDArray[np.bool_]
    frame: Image | None


class Still(NamedTuple):
    """Both clips and their pictures, without the mixture."""

    own: Motion
    partner: Motion
    mask: NDArray[np.bool_]
    scale: Scale
    pictures: dict[str, bytes]


class MotionMixStudio(Viewer):
    """Controls for two clips of one class, regions and lambda above A, B, mask and mixture.

    The mask is that of clip A, whose label and face the mixture keeps.

    Parameters
    ----------
    flowset
        The motion maps to choose from, as they were computed.
    clips
        The clips behind the maps, in the same order. With them the mixture can also be shown at
        crop resolution, arrows over the face.
    estimator
        The flow at crop resolution; DIS if not given.

    Raises
    ------
    ValueError
        If no two clips are of one class, or the clips are not those of the maps.
    """

    def __init__(
        self,
        flowset: FlowSet,
        clips: Sequence[Clip] = (),
        estimator: FlowEstimator | None = None,
    ) -> None:
        if len(np.unique(flowset.labels)) == len(flowset):
            raise ValueError("the studio needs two clips of one class")
        self._flowset, self._clips = flowset, clips_behind(flowset, clips)
        self._titles, same = map_titles(flowset), flowset.labels[:, None] == flowset.labels
        self._partners = same & ~np.eye(len(flowset), dtype=bool)
        self._estimator = estimator or flows["dis"].build()
        self._crop = lru_cache(KEPT_CROPS)(self._read_crop)
        self._still = lru_cache(KEPT_STILLS)(self._draw_still)
        opening = int(self._partners.any(axis=1).argmax())
        self.first = choose_clip(self._titles, "Clip A", value=opening)
        self.second = choose_clip((), "Clip B")
        self.regions = buttons("Regions", REGIONS, "6em", value=MASKS)
        self.strength = control(w.FloatSlider, "Share λ", value=1.0, min=0.0, max=1.0, step=0.05)
        self.display = buttons("Show", DISPLAYS, "9em")
        grains = [("map that a system sees", MAP), *([("crop", CROP)] if clips else [])]
        self.grain = control(w.Dropdown, "Resolution", options=grains)
        self.steady = head_motion(taken_away=True)
        self.pictures = {
            name: Picture(words, "14rem", format="jpeg") for name, words in HEADINGS.items()
        }
        self.legend, self.caption = w.HTML(), w.HTML()
        cards = [
            w.VBox([w.HTML(f"<b>{HEADINGS[name]}</b>"), picture])
            for name, picture in self.pictures.items()
        ]
        rows = [
            row(self.first, self.second),
            row(self.regions, self.strength, gap="1em"),
            row(self.display, self.grain, gap="1em"),
            self.steady,
            row(*cards, self.legend, gap="0.5em"),
            self.caption,
        ]
        choices = (self.first, self.second, self.regions, self.display, self.grain)
        views = {**self.pictures, "legend": self.legend, "caption": self.caption}
        super().__init__(rows, [*choices, self.strength, self.steady], views)

    def fit(self, changed: w.Widget | None) -> None:
        """Offer as B the other clips of A's class; keep B where it still is one."""
        if changed is not None and changed is not self.first:
            return
        before = self.second.value
        partners = np.flatnonzero(self._partners[self.first.value]).tolist()
        self.second.options = [(self._titles[number], number) for number in partners]
        if partners:
            self.second.value = before if before in partners else partners[0]
        self.second.disabled = not partners

    def render(self) -> Mapping[str, Any]:
        if self.second.value is None:
            raise InputError(
                f"{self._titles[self.first.value]} is the only clip of its class, so MotionMix"
                " leaves it unchanged",
                hint="choose another clip A",
            )
        mode, strength = self.display.value, self.strength.value
        state = (self.first.value, self.second.value, self.regions.value, mode)
        own, partner, mask, scale, still = self._still(*state, self.grain.value, self.steady.value)
        mixed = mix_pair(own.map, partner.map, mask, strength)
        mixture = outlined(motion_picture(mixed, mode, scale, own.frame), mask)
        pixels = self._flowset.unit != RELATIVE
        most = f"{scale.longest:.2f}{' px' if pixels else ''}"
        if mode == "strain":
            most = f"{100 * scale.strain:.1f} %" if pixels else f"{scale.strain:.3g}"
        words = [
            f"λ = {strength:.2f}: inside the mask ({mask.mean():.0%} of the map) the"
            f" mixture holds {strength:.0%} of B's motion, outside it is A.",
            f"Label: {self._flowset.expressions[self.first.value]}.",
            scale_words(mode, scale, self._flowset.unit),
        ]
        return {
            **still,
            "mixture": jpeg_bytes(mixture),
            "legend": legend_html(mode, most),
            "caption": plain(" ".join(words)),
        }

    def _draw_still(
        self,
        first: int,
        second: int,
        regions: tuple[str, ...],
        mode: Mode,
        grain: str,
        steady: bool,
    ) -> Still:
        """All that lambda does not change."""
        motions = [self._crop(n) if grain == CROP else self._map(n) for n in (first, second)]
        if steady:
            motions = [motion._replace(map=steadied(motion.map)) for motion in motions]
        own, partner = motions
        mask, scale = join_masks(own.masks, regions), scale_of(own.map, partner.map)
        pictures = {
            name: outlined(motion_picture(motion.map, mode, scale, motion.frame), mask)
            for name, motion in (("A", own), ("B", partner))
        }
        pictures["mask"] = mask_picture(mask, own.frame)
        drawn = {name: jpeg_bytes(picture) for name, picture in pictures.items()}
        return Still(own, partner, mask, scale, drawn)

    def _map(self, number: int) -> Motion:
        masks, maps = self._flowset.masks, self._flowset.maps
        template = template_masks(maps.shape[-1])
        return Motion(maps[number], template if masks is None else masks[number], None)

    def _read_crop(self, number: int) -> Motion:
        return Motion(*crop_motion(self._clips[number], self._estimator))
