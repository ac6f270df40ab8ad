"""Figures of clips: confusion, every clip of every subject, hard cases, features."""

from collections.abc import Hashable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from plotly import graph_objects as go
from plotly.subplots import make_subplots

from hmrm_lab.evaluation.summary import stamp
from hmrm_lab.flow.motion_maps import without_median
from hmrm_lab.records import ClipKey, Floats, FlowSet, Ints, Predictions
from hmrm_lab.reporting import style
from hmrm_lab.reporting.drawing import enlarged_flow, flow_picture
from hmrm_lab.reporting.plots.kit import image_panels
from hmrm_lab.reporting.style import INK, finish, plain
from hmrm_lab.reporting.tables import ALL, CLIP

SHADES = [[0, "#eaf3fa"], [1, "#62a9dd"]]  # dark letters can be read on all of them

MANY, TALL = 36, 45  # from so many subjects or stacked clips on, squares are small
SQUARE_PX, SMALL_PX = 17, 13
GAP_PX = 80  # between data sets: subject names and the next heading

POINT_PX, RIM_PX = 9, 3
SEEN = 0.55  # opacity of clips that the model was trained on
CARD_PX = 112  # a 28x28 map enlarged fourfold


def confusion_figure(metrics: Mapping[str, Any], part: str = ALL) -> go.Figure:
    """Truth against prediction, pooled over folds and seeds; shaded by share of the true class.

    `part` is `all`, or one of the data sets in `metrics["datasets"]`.
    """
    figures = metrics["all"] if part == ALL else metrics["datasets"][part]
    counts = np.array(figures["confusion"])
    sizes = counts.sum(1, keepdims=True)
    shares = counts / sizes.clip(min=1)
    classes = list(figures["f1"])
    rows = [f"{name} ({size})" for name, size in zip(classes, sizes[:, 0], strict=True)]
    words = [
        [f"<b>{count}</b><br>{share:.0%}" for count, share in zip(*row, strict=True)]
        for row in zip(counts, shares, strict=True)
    ]
    heat = go.Heatmap(z=shares, x=classes, y=rows, customdata=counts, colorscale=SHADES, text=words)
    hover = "true %{y}<br>predicted %{x}<br>%{customdata} (%{z:.0%})<extra></extra>"
    look: dict[str, Any] = {"zmin": 0, "zmax": 1, "xgap": 2, "ygap": 2, "showscale": False}
    look["textfont_color"] = "#10202c"
    figure = go.Figure(heat.update(**look, hovertemplate=hover, texttemplate="%{text}"))
    seeds = len(metrics["seeds"])
    counted = f"Counts are clips times {seeds} seeds. " if seeds > 1 else ""
    title = "Confusion" if part == ALL else f"Confusion, {plain(part)}"
    left, letters_px = max(120, 50 + 7 * max(map(len, rows))), 7 * max(map(len, classes))
    wide = max(600, left + 52 * len(classes))
    slanted = letters_px > (wide - left) / len(classes)
    square = {"ticks": "", "constrain": "domain"}
    x = {"title": "Predicted class", "tickangle": -40 if slanted else 0, **square}
    y = {"title": "True class (clips)", "autorange": "reversed", "scaleanchor": "x", **square}
    caption = f"{counted}Per cent of the true class.\n{stamp({**metrics, 'all': figures})}"
    sizes_px: dict[str, Any] = {"height": max(270, 34 * len(classes)), "widths": (0, wide)}
    sizes_px |= {"left": left, "bottom": 52 + slanted * round(0.65 * letters_px)}
    return finish(figure, title, x, y, caption=caption, **sizes_px)


def subject_strip_figure(predictions: Predictions, *, caption: str = "") -> go.Figure:
    """One column per subject, one square per clip, the best recognised subjects on the left.

    The colour is the true class, the letter the predicted one. A square is filled if all seeds
    are right, pale if some are, and empty if none is.
    """
    clips, classes = _clips(predictions), predictions.classes
    parts = [(str(name), part) for name, part in clips.groupby("dataset")]
    several = len(parts) > 1
    columns = int(clips["column"].max()) + 1
    heights = [int(part["row"].max()) + 1 for _, part in parts]
    square = SMALL_PX if columns >= MANY or sum(heights) >= TALL else SQUARE_PX
    plot_px = (square + 3) * sum(heights) + GAP_PX * (len(parts) - 1)
    gap = GAP_PX / plot_px if several else 0
    titles = [
        f"<b>{plain(name)}</b>: {part['subject'].nunique()} subjects, {len(part)} clips"
        for name, part in parts
        if several
    ]
    figure = make_subplots(
        rows=len(parts), row_heights=heights, vertical_spacing=gap, subplot_titles=titles
    )
    for number, (_, part) in enumerate(parts, start=1):
        cell = {"row": number, "col": 1}
        for label in range(len(classes)):
            squares = _squares(part[part["truth"] == label], label, square, classes)
            figure.add_trace(squares, **cell)
        subjects = part.drop_duplicates("column").sort_values("column")
        names = [plain(subject) for subject in subjects["subject"]]
        figure.update_xaxes(tickvals=subjects["column"].tolist(), ticktext=names, **cell)
        figure.update_yaxes(range=[-0.6, max(heights[number - 1], 2) - 0.4], **cell)
    letters_px = 10 if columns >= MANY else 11
    span = [-0.6, columns - 0.4]
    figure.update_xaxes(tickangle=-90, tickfont_size=letters_px, range=span, showgrid=False)
    figure.update_yaxes(showticklabels=False, showgrid=False, ticks="")
    figure.update_yaxes(title="Clips", row=1, col=1)
    for name, colour in zip(classes, style.CLASS_COLOURS, strict=False):
        marker = {"symbol": "square", "size": square, "color": colour}
        figure.add_scatter(x=[None], y=[None], mode="markers", marker=marker, name=name)
    figure.update_xaxes(title="Subject (held out), best first", row=len(parts), col=1)
    figure.update_annotations(x=0, xanchor="left", font_size=13)
    filled = "Filled: right; empty: wrong."
    if len(predictions.seeds) > 1:
        filled = "Filled: right under all seeds; pale: some; empty: none."
    letters = f"Letter: predicted class ({', '.join(_initials(classes))})."
    caption = f"Colour: true class. {letters} {filled}\n{caption}"
    widths = (columns * (square + 2) + 60, max(columns * 2 * square, 360) + 60)
    top = 52 + style.legend_px(classes, 360) + 24 * several
    margins: dict[str, Any] = {"left": 36, "top": top, "bottom": 84}
    title, height = "Every clip of every subject", max(plot_px, 60)
    figure.update_layout(legend_y=1 + 24 / plot_px if several else 1)
    return finish(figure, title, caption=caption, height=height, widths=widths, **margins)


def feature_figure(
    points: Floats,
    labels: Ints,
    keys: Sequence[ClipKey],
    classes: Sequence[str],
    *,
    held_out: NDArray[np.bool_] | None = None,
    title: str = "Features by t-SNE",
    caption: str = "",
) -> go.Figure:
    """Features (n, 2) of clips by one model (paper, Figure 5), a symbol for each.

    An outline marks clips `held_out`, (n,), whose subjects the model has not seen (default: none).
    """
    unseen = np.zeros(len(labels), dtype=bool) if held_out is None else held_out
    figure = go.Figure()
    for label, name in enumerate(classes):
        for new in (False, True):
            chosen = np.flatnonzero((labels == label) & (unseen == new)).tolist()
            if not chosen:
                continue
            seen = "held out" if new else "trained on"
            words = [(keys[k].subject_key, keys[k].clip, name, seen) for k in chosen]
            look = {
                **style.class_marker(label),
                "size": POINT_PX + RIM_PX * new,
                "opacity": 1.0 if new else SEEN,
                "line": {"width": RIM_PX * new, "color": INK},
            }
            figure.add_scatter(
                x=points[chosen, 0].round(2).tolist(),
                y=points[chosen, 1].round(2).tolist(),
                marker=look,
                name=f"{name}, held out" if new else name,
                hovertext=["<br>".join(map(plain, of_clip)) for of_clip in words],
            )
    figure.update_traces(mode="markers", hoverinfo="text")
    key = "No clip is of a subject that is new to the model."
    if unseen.any():
        key = "Outlined: subjects held out. Pale: clips that the model was trained on."
    caption = f"{key} Only distances between near clips have a meaning.\n{caption}"
    axis = {"showticklabels": False, "ticks": "", "title": "t-SNE (no unit)"}
    return finish(figure, title, axis, axis, caption=caption, height=380, widths=(0, 720))


class HardCase(NamedTuple):
    """A wrong clip with its class probabilities, averaged over seeds."""

    key: ClipKey
    truth: int
    prediction: int
    probability: float
    flow: Floats  # (2, H, W), the median motion taken away


def hard_cases(predictions: Predictions, flowset: FlowSet, count: int = 8) -> list[HardCase]:
    """The clips most confidently wrong: mean probability over seeds, the worst first.

    `ValueError` if the maps are of other clips than the predictions.
    """
    columns = predictions.probabilities
    table = predictions.table.dropna(subset=columns)
    means = table.groupby(CLIP)[["truth", *columns]].mean()
    places = {key: place for place, key in enumerate(flowset.keys)}
    cases = []
    rows = zip(means.index, means["truth"], means[columns].to_numpy(), strict=True)
    for clip, truth, shares in rows:
        key, guess = ClipKey(*clip), int(shares.argmax())
        if guess == truth:
            continue
        if key not in places:
            raise ValueError(f"the flow maps hold no clip {'/'.join(key)}")
        flow = without_median(flowset.maps[places[key], :2])
        cases.append(HardCase(key, int(truth), guess, float(shares.max()), flow))
    return sorted(cases, key=lambda case: (-case.probability, case.key))[:count]


def hard_cases_figure(
    predictions: Predictions, flowset: FlowSet, count: int = 8, *, caption: str = ""
) -> go.Figure:
    """The flow maps of the clips most confidently wrong, each on a colour scale of its own."""
    title = "Most confidently wrong"
    cases = hard_cases(predictions, flowset, count)
    if not cases:
        words = "No clip is wrong, or the log holds no probabilities."
        return style.message_figure(title, words, caption=caption)
    panels = []
    for key, truth, guess, probability, flow in cases:
        true, named = plain(predictions.classes[truth]), plain(predictions.classes[guess])
        words = f"{true} → <b>{named}</b>"
        clip = key.clip if key.clip.startswith(key.subject) else f"{key.subject} {key.clip}"
        heading = f"{words} {probability:.0%}<br>{plain(clip)}"
        panels.append((heading, flow_picture(enlarged_flow(flow, CARD_PX), "colour")))
    scale = (
        "Onset-to-apex flow: hue is direction (wheel), saturation is length. The median motion"
        " (the head's) is taken away; the longest vector of each map has full saturation."
        " Per cent: mean probability of the wrong class."
    )
    caption = f"{scale}\n{caption}"
    return image_panels(panels, title, legend="wheel", caption=caption, columns=4)


def _clips(predictions: Predictions) -> pd.DataFrame:
    """One row per clip, with its place: columns by accuracy, right clips at the bottom."""
    table = predictions.table
    table = table.assign(right=table["truth"] == table["prediction"])
    subject = ["dataset", "subject"]
    clips = table.groupby(CLIP, as_index=False).agg(
        truth=("truth", "first"),
        prediction=("prediction", lambda votes: votes.mode().iloc[0]),
        right=("right", "mean"),
        seeds=("seed", "nunique"),
    )
    subjects = clips.groupby(subject, as_index=False).agg(
        accuracy=("right", "mean"), clips=("right", "size")
    )
    order = ["dataset", "accuracy", "clips", "subject"]
    subjects = subjects.sort_values(order, ascending=[True, False, False, True])
    subjects["column"] = subjects.groupby("dataset").cumcount()
    order = ["dataset", "column", "right", "truth", "clip"]
    clips = clips.merge(subjects, on=subject)
    clips = clips.sort_values(order, ascending=[True, True, False, True, True])
    clips["row"] = clips.groupby(["dataset", "column"]).cumcount()
    return clips


def _squares(clips: pd.DataFrame, label: int, size: int, classes: Sequence[str]) -> go.Scatter:
    """Solid squares if every seed is right, a tint if some are, clear if none is."""
    colour, letters = style.CLASS_COLOURS[label], _initials(classes)
    fills = {True: f"{colour}40", False: "rgba(0,0,0,0)"}
    shares = clips["right"].tolist()
    inks = ["#000000" if share == 1 else style.LETTERS for share in shares]
    paints = [colour if share == 1 else fills[share > 0] for share in shares]
    return go.Scatter(
        x=clips["column"].tolist(),
        y=clips["row"].tolist(),
        mode="markers+text",
        marker={"symbol": "square", "size": size, "color": paints},
        marker_line={"color": colour, "width": 2},
        text=[letters[guess] for guess in clips["prediction"]],
        textfont={"size": size * 0.66, "color": inks},
        hovertext=[_clip_words(clip, classes) for clip in clips.to_dict("records")],
        hoverinfo="text",
        showlegend=False,
    )


def _clip_words(clip: Mapping[Hashable, Any], classes: Sequence[str]) -> str:
    lines = [
        "/".join((clip["dataset"], clip["subject"], clip["clip"])),
        f"true {classes[clip['truth']]}, predicted {classes[clip['prediction']]}",
        f"right under {round(clip['right'] * clip['seeds'])} of {clip['seeds']} seeds",
        f"this subject: {clip['accuracy']:.0%} of {clip['clips']} clip(s)",
    ]
    return "<br>".join(map(plain, lines))


def _initials(classes: Sequence[str]) -> list[str]:
    """The shortest prefixes that tell the names apart."""
    for length in range(1, max(map(len, classes)) + 1):
        found = [name[:length].upper() for name in classes]
        if len(set(found)) == len(found):
            break
    return found
