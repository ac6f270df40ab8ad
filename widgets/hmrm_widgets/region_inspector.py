"""Look at the regions of a face: their tokens, the order of the scan, the motion inside."""

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import ipywidgets as w

from hmrm_lab.models.hmrm.region_fusion import region_boxes, region_motion, region_names
from hmrm_lab.records import RELATIVE, Clip, Floats, FlowSet
from hmrm_lab.reporting.drawing import Image, flow_picture, jpeg_bytes, longest_px, png_bytes
from hmrm_lab.reporting.plots.region_tokens import region_picture, scan_path, token_order
from hmrm_lab.reporting.svg import token_grid_html
from hmrm_lab.training.augment.warps import steadied
from hmrm_widgets.accessible import Picture
from hmrm_widgets.legends import legend_bytes
from hmrm_widgets.parts import plain, row
from hmrm_widgets.viewer import Viewer

GRAINS = (("4 core regions", "core"), ("16 sub-regions", "sub"))
TOKENS = (("Whole regions", "windows"), ("Its pixels", "pixels"))
GROUNDS = (("Face", "face"), ("Motion map", "map"))
KEPT_FRAMES = 32
ENLARGED = 16  # picture pixels for each cell of a region
WIDE = {"description_width": "7em"}


class Views(NamedTuple):
    face: bytes
    motion: bytes
    order: str
    caption: str


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
        if clips and tuple(clip.key for clip in clips) != flowset.keys:
            raise ValueError("the clips are not those of the maps")
        self._flowset, self._clips = flowset, list(clips)
        self._onset = lru_cache(KEPT_FRAMES)(self._read_onset)
        self.clip = w.Dropdown(
            options=[(self._title(number), number) for number in range(len(flowset))],
            value=0,
            description="Clip",
            style=WIDE,
            layout=w.Layout(width="26em"),
        )
        self.grain = _buttons(GRAINS, "Grain")
        self.tokens = _buttons(TOKENS, "Tokens are")
        self.region = w.Dropdown(
            description="Region", style=WIDE, layout=w.Layout(width="24em", max_width="100%")
        )
        self.ground = _buttons(GROUNDS if clips else GROUNDS[1:], "Draw over")
        self.steady = w.Checkbox(
            value=True, description="Take head motion (the median) away", indent=False
        )
        self.steady.layout = w.Layout(width="auto")
        layout = w.Layout(width="20rem", max_width="100%", object_fit="contain")
        self.face = Picture("The regions, and the order of the scan", format="jpeg", layout=layout)
        self.motion = Picture(
            "The motion inside the region",
            format="png",
            layout=w.Layout(width="14rem", max_width="100%", object_fit="contain"),
        )
        self.legend = Picture(
            "The colours of the motion",
            format="png",
            value=legend_bytes("colour"),
            layout=w.Layout(object_fit="contain"),
        )
        self.order, self.caption = w.HTML(), w.HTML()
        rows = [
            row(self.clip, self.ground),
            row(self.grain, self.tokens, gap="1em"),
            row(self.region, self.steady, gap="1em"),
            row(self.face, self.motion, self.legend, self.order, gap="1em"),
            self.caption,
        ]
        choices = (self.clip, self.grain, self.tokens, self.region, self.ground)
        super().__init__(rows, [*choices, self.steady])

    def fit(self, changed: w.Widget | None) -> None:
        """Offer the regions of the grain, the first one first."""
        if changed is None or changed is self.grain:
            names = region_names(self.grain.value)
            self.region.options = [(name, number) for number, name in enumerate(names)]
            self.region.value = 0

    def render(self) -> Views:
        grain, tokens, region = self.grain.value, self.tokens.value, self.region.value
        motion = self._motion()
        path = scan_path(grain, tokens, region)
        face = region_picture(self._ground(motion), grain, region, path)
        left, top, right, bottom = region_boxes(grain)[region].astype(int).tolist()
        inside = motion[:2, top:bottom, left:right]
        shown = flow_picture(inside, "colour", max_px=longest_px(motion[:2]) or None)
        enlarged = shown.repeat(ENLARGED, axis=0).repeat(ENLARGED, axis=1)
        chosen = region if tokens == "windows" else None
        order = token_grid_html(token_order(grain, tokens, region), chosen)
        words = "Position of each token in the forward scan:"
        return Views(
            jpeg_bytes(face),
            png_bytes(enlarged),
            f"<p>{words}</p>{order}",
            plain(f"{self._token_words()} {self._motion_words(motion)}"),
        )

    def show(self, views: Views | None) -> None:
        shown = views or Views(b"", b"", "", "")
        self.face.value, self.motion.value, self.order.value, self.caption.value = shown
        self.legend.layout.display = "" if views else "none"

    def _token_words(self) -> str:
        grain, region = self.grain.value, self.region.value
        count = len(region_names(grain))
        cells = "2x2 cells" if grain == "core" else "one cell"
        if self.tokens.value == "windows":
            words = f"The region is token {region} of {count} (counted from 0)."
            if grain == "core":
                return f"{words} Its sub-regions are tokens {4 * region} to {4 * region + 3} of 16."
            return f"{words} It belongs to the core region {region_names('core')[region // 4]}."
        return f"The region is a sequence of 49 tokens, each of {cells}, row by row."

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

    def _motion(self) -> Floats:
        motion = self._flowset.maps[self.clip.value]
        return steadied(motion) if self.steady.value else motion

    def _ground(self, motion: Floats) -> Image:
        if self.ground.value == "face":
            return self._onset(self.clip.value)
        return flow_picture(motion[:2], "colour")

    def _read_onset(self, number: int) -> Image:
        clip = self._clips[number]
        return clip.frames[clip.onset]

    def _title(self, number: int) -> str:
        key = self._flowset.keys[number]
        return f"{key.subject} · {key.clip} ({self._flowset.expressions[number]})"


def _buttons(options: Sequence[tuple[str, str]], description: str) -> w.ToggleButtons:
    buttons = w.ToggleButtons(
        options=options, description=description, style={**WIDE, "button_width": "9em"}
    )
    buttons.layout = w.Layout(width="max-content", max_width="100%")
    return buttons
