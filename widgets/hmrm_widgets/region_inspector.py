"""Look at the regions of a face: their tokens, the order of the scan, the motion inside."""

from collections.abc import Mapping, Sequence
from typing import Any

import ipywidgets as w

from hmrm_lab.models.hmrm.region_fusion import region_boxes, region_motion, region_names
from hmrm_lab.records import RELATIVE, Clip, Floats, FlowSet
from hmrm_lab.reporting.drawing import flow_picture, jpeg_bytes, longest_px, png_bytes
from hmrm_lab.reporting.plots.region_tokens import region_picture, scan_path, token_order
from hmrm_lab.reporting.svg import legend_html, token_grid_html
from hmrm_lab.training.mixing import steadied
from hmrm_widgets.parts import (
    Picture,
    buttons,
    choose_clip,
    clips_behind,
    control,
    head_motion,
    map_titles,
    onset_frames,
    plain,
    row,
)
from hmrm_widgets.viewer import Viewer

GRAINS = (("4 core regions", "core"), ("16 sub-regions", "sub"))
TOKENS = (("Whole regions", "windows"), ("Its pixels", "pixels"))
GROUNDS = (("Face", "face"), ("Motion map", "map"))
ENLARGED = 16  # picture pixels for each cell of a region
WORDS = "7em"


class RegionInspector(Viewer):
    """Controls for clip, grain, tokens and region above the face, the motion and the order.

    Parameters
    ----------
    flowset
        The motion maps to choose from, of 28x28 cells, as they were computed.
    clips
        The clips behind the maps, in the same order; with them the regions lie over the face.

    Raises
    ------
    ValueError
        If there is no map, maps have another size, or the clips are not those of the maps.
    """

    def __init__(self, flowset: FlowSet, clips: Sequence[Clip] = ()) -> None:
        if not len(flowset) or flowset.maps.shape[-2:] != (28, 28):
            raise ValueError("the inspector needs a map, and maps of 28x28 cells")
        self._flowset, self._onset = flowset, onset_frames(clips_behind(flowset, clips))
        self.clip = choose_clip(map_titles(flowset), words=WORDS)
        self.grain = buttons("Grain", GRAINS, "9em", words=WORDS)
        self.tokens = buttons("Tokens are", TOKENS, "9em", words=WORDS)
        self.region = control(w.Dropdown, "Region", words=WORDS, width="24em")
        self.ground = buttons("Draw over", GROUNDS if clips else GROUNDS[1:], "9em", words=WORDS)
        self.steady = head_motion(taken_away=True)
        self.face = Picture("The regions, and the order of the scan", "20rem", format="jpeg")
        self.motion = Picture("The motion inside the region", "14rem", format="png")
        self.legend, self.order, self.caption = w.HTML(), w.HTML(), w.HTML()
        rows = [
            row(self.clip, self.ground),
            row(self.grain, self.tokens, gap="1em"),
            row(self.region, self.steady, gap="1em"),
            row(self.face, self.motion, self.legend, self.order, gap="1em"),
            self.caption,
        ]
        choices = (self.clip, self.grain, self.tokens, self.region, self.ground, self.steady)
        views = {"face": self.face, "motion": self.motion, "legend": self.legend}
        super().__init__(rows, choices, {**views, "order": self.order, "caption": self.caption})

    def fit(self, changed: w.Widget | None) -> None:
        """Offer the regions of the grain, the first one first."""
        if changed is None or changed is self.grain:
            names = region_names(self.grain.value)
            self.region.options = [(name, number) for number, name in enumerate(names)]
            self.region.value = 0

    def render(self) -> Mapping[str, Any]:
        grain, tokens, region = self.grain.value, self.tokens.value, self.region.value
        motion = self._flowset.maps[self.clip.value]
        motion = steadied(motion) if self.steady.value else motion
        over_face = self.ground.value == "face"
        ground = self._onset(self.clip.value) if over_face else flow_picture(motion[:2], "colour")
        face = region_picture(ground, grain, region, scan_path(grain, tokens, region))
        left, top, right, bottom = region_boxes(grain)[region].astype(int).tolist()
        inside = motion[:2, top:bottom, left:right]
        shown = flow_picture(inside, "colour", max_px=longest_px(motion[:2]) or None)
        enlarged = shown.repeat(ENLARGED, axis=0).repeat(ENLARGED, axis=1)
        chosen = region if tokens == "windows" else None
        order = token_grid_html(token_order(grain, tokens, region), chosen)
        pixels = "" if self._flowset.unit == RELATIVE else " px"
        return {
            "face": jpeg_bytes(face),
            "motion": png_bytes(enlarged),
            "legend": legend_html("colour", f"{longest_px(motion[:2]):.2f}{pixels}"),
            "order": f"<p>Position of each token in the forward scan:</p>{order}",
            "caption": plain(f"{self._token_words()} {self._motion_words(motion)}"),
        }

    def _token_words(self) -> str:
        grain, region = self.grain.value, self.region.value
        if self.tokens.value == "pixels":
            cells = "2x2 cells" if grain == "core" else "one cell"
            return f"The region is a sequence of 49 tokens, each of {cells}, row by row."
        words = f"The region is token {region} of {len(region_names(grain))} (counted from 0)."
        if grain == "core":
            return f"{words} Its sub-regions are tokens {4 * region} to {4 * region + 3} of 16."
        return f"{words} It belongs to the core region {region_names('core')[region // 4]}."

    def _motion_words(self, motion: Floats) -> str:
        moved = region_motion(motion, self.grain.value, self.region.value)
        if self._flowset.unit == RELATIVE:
            return (
                f"Motion inside: u is {moved.u:+.2f} and v {moved.v:+.2f} in the mean, each in its"
                " own unit. Published maps have no directions and no lengths: the colours show"
                " where something moves, and not whereto."
            )
        return (
            f"Motion inside: the mean vector has {moved.length:.2f} px and points"
            f" {moved.words} ({moved.direction:.0f}° clockwise from the right); the mean length"
            f" is {moved.mean_length:.2f}. Full saturation is the longest vector of the map,"
            f" {longest_px(motion[:2]):.2f} px."
        )
