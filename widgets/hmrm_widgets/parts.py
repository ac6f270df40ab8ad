"""What the widgets are made of: controls, pictures and tables that fit a narrow page, and words."""

import html
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, TypeVar

import ipywidgets as w
from plotly import graph_objects as go

from hmrm_lab.records import Clip, FlowSet
from hmrm_lab.reporting.drawing import Image
from hmrm_lab.reporting.style import apart

DISPLAYS = (("Colour wheel", "colour"), ("Arrows", "quiver"), ("Strain", "strain"))
KEPT_FRAMES = 32  # 150 kB for each frame of a crop
Control = TypeVar("Control", bound=w.Widget)


class Picture(w.Image):
    """A picture, and the words that stand for it where it is not seen (not its state: a caption
    tells that)."""

    def __init__(self, words: str, width: str = "auto", **kwargs: Any) -> None:
        super().__init__(layout=view(width, object_fit="contain"), **kwargs)
        self.words = words
        self.mark = f"hmrm-picture-{self.model_id}"
        self.add_class(self.mark)


def control(
    kind: type[Control], description: str, *, words: str = "8em", width: str = "", **traits: Any
) -> Control:
    """A control with room of `words` for its description."""
    style = {"description_width": words, **traits.pop("style", {})}
    layout = view(width) if width else w.Layout(max_width="100%")
    return kind(description=description, style=style, layout=layout, **traits)


def buttons(description: str, options: Sequence[Any], width: str, **traits: Any) -> w.ToggleButtons:
    """One of several buttons is pressed; `width` is that of each."""
    traits |= {"options": options, "width": "max-content", "style": {"button_width": width}}
    return control(w.ToggleButtons, description, **traits)


def tick(description: str, value: bool = False) -> w.Checkbox:
    layout = w.Layout(width="auto")
    return w.Checkbox(value=value, description=description, indent=False, layout=layout)


def head_motion(taken_away: bool) -> w.Checkbox:
    return tick("Take head motion (the median) away", taken_away)


def choose_clip(names: Sequence[str], description: str = "Clip", **traits: Any) -> w.Dropdown:
    """The clips by their numbers, the first one chosen."""
    options = [(name, number) for number, name in enumerate(names)]
    traits = {"width": "26em", "value": 0 if options else None, **traits}
    return control(w.Dropdown, description, options=options, **traits)


def offer(control: w.Dropdown | w.ToggleButtons, options: Sequence[Any]) -> None:
    """Offer these; what was chosen stays if it still is among them, or else it is the first."""
    if list(control.options) == list(options):
        return
    before = control.value
    control.options = options
    values = [option[1] if isinstance(option, tuple) else option for option in options]
    control.value = before if before in values else values[0]


def row(*children: w.Widget, gap: str = "0") -> w.HBox:
    """Side by side, on further lines where there is no room."""
    layout = w.Layout(flex_flow="row wrap", align_items="center", grid_gap=gap)
    return w.HBox(children, layout=layout)


def view(width: str, **layout: str) -> w.Layout:
    return w.Layout(width=width, max_width="100%", **layout)


def figure_outputs(*figures: go.Figure) -> tuple[dict[str, Any], ...]:
    """Figures and captions for `Output.outputs`; a FigureWidget would leave 5 MB when saved."""
    bundles: list[dict[str, Any]] = []
    for bare, caption in map(apart, figures):
        bundles.append({"application/vnd.plotly.v1+json": bare.to_plotly_json()})
        bundles.append({"text/html": caption})
    return tuple({"output_type": "display_data", "data": of, "metadata": {}} for of in bundles)


def plain(text: object) -> str:
    """Text that no browser takes for markup."""
    return html.escape(str(text))


def named_clips(clips: Sequence[Clip] | Mapping[str, Clip]) -> tuple[list[str], list[Clip]]:
    """The names to show and the clips; those without names of their own have their titles."""
    if isinstance(clips, Mapping):
        return list(clips), list(clips.values())
    titles = [f"{clip.key.subject} · {clip.key.clip} ({clip.expression})" for clip in clips]
    return titles, list(clips)


def map_titles(maps: FlowSet) -> list[str]:
    keys = zip(maps.keys, maps.expressions, strict=True)
    return [f"{key.subject} · {key.clip} ({expression})" for key, expression in keys]


def clips_behind(maps: FlowSet, clips: Sequence[Clip]) -> list[Clip]:
    """The clips, if they are those of the maps in the same order, or none."""
    if clips and tuple(clip.key for clip in clips) != maps.keys:
        raise ValueError("the clips are not those of the maps")
    return list(clips)


def onset_frames(clips: Sequence[Clip]) -> Callable[[int], Image]:
    """The onset of a clip by its number, read once."""
    return lru_cache(KEPT_FRAMES)(lambda number: clips[number].frames[clips[number].onset])


def since_onset(clip: Clip, frame: int) -> str:
    """How long after the onset a frame is: in frames where their rate is not known."""
    count = frame - clip.onset
    return f"{1000 * count / clip.fps:.0f} ms" if clip.fps else f"{count} frames"
