"""Pictures side by side, and the legends of their colours: what the figures of motion share."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from plotly import graph_objects as go
from plotly.subplots import make_subplots

from hmrm_lab.reporting.drawing import JPEG_QUALITY, Image, image_uri, wheel_picture
from hmrm_lab.reporting.style import finish

WHEEL_PX = 144
HEADING_PX = 38  # two lines above each picture
BAR_PX = 90  # right of the pictures


@dataclass(frozen=True)
class Bar:
    """The legend of a picture by `heat_picture`."""

    title: str
    low: float
    high: float


Legend = Literal["wheel"] | Bar | None


def image_panel(
    picture: Image,
    kind: Literal["png", "jpeg"] = "jpeg",
    scale: int = 1,
    quality: int = JPEG_QUALITY,
) -> go.Image:
    """A picture whose axes count pixels of the frame."""
    step = 1 / scale
    return go.Image(
        source=image_uri(picture, kind, quality),
        x0=step / 2 - 0.5,
        y0=step / 2 - 0.5,
        dx=step,
        dy=step,
        zsmooth="fast",
        hovertemplate="x %{x:.0f} px, y %{y:.0f} px<extra></extra>",
    )


def panel_grid(
    panels: Sequence[go.Image],
    headings: Sequence[str],
    title: str,
    *,
    legend: Legend = None,
    caption: str = "",
    columns: int = 3,
    row_px: int = 220,
) -> go.Figure:
    """Pictures in rows with a heading each; the legend of their colours stands on the right.

    Parameters
    ----------
    headings
        One for each panel, as plotly's markup of two lines at most.
    row_px
        The height of one row with its headings.
    """
    columns = min(columns, len(panels))
    rows = -(-len(panels) // columns)
    wheel = legend == "wheel"
    figure = make_subplots(
        rows=rows,
        cols=columns + wheel,
        column_widths=[1.0] * columns + [0.6] * wheel,
        horizontal_spacing=0.02,
        vertical_spacing=HEADING_PX / (rows * row_px) if rows > 1 else 0.0,
        subplot_titles=_cells(headings, columns) if wheel else list(headings),
    )
    for number, panel in enumerate(panels):
        row, column = divmod(number, columns)
        figure.add_trace(panel, row=row + 1, col=column + 1)
    figure.update_traces(hoverinfo="skip", hovertemplate=None)
    figure.update_xaxes(visible=False, constrain="domain")
    figure.update_yaxes(visible=False, constrain="domain")
    figure.update_annotations(font_size=11)
    if wheel:
        add_wheel(figure, row=1, col=columns + 1)
    elif isinstance(legend, Bar):
        add_bar(figure, legend)
    return finish(
        figure,
        title,
        caption=caption,
        height=row_px * rows,
        least_width=190 * columns,
        most_width=245 * columns,
        left=8,
        right=BAR_PX if isinstance(legend, Bar) else 16,
        top=84,
        bottom=8,
    )


def add_wheel(figure: go.Figure, *, row: int, col: int) -> None:
    """The legend of the colour code, in a cell of its own."""
    wheel = go.Image(source=image_uri(wheel_picture(WHEEL_PX), "png"), hoverinfo="skip")
    figure.add_trace(wheel, row=row, col=col)
    figure.update_xaxes(visible=False, constrain="domain", row=row, col=col)
    figure.update_yaxes(visible=False, constrain="domain", row=row, col=col)


def add_bar(figure: go.Figure, bar: Bar) -> None:
    """A colour bar needs a trace that has colours; this one has a single invisible point."""
    figure.add_scatter(
        x=[None],
        y=[None],
        mode="markers",
        showlegend=False,
        marker={
            "color": [bar.low],
            "cmin": bar.low,
            "cmax": bar.high,
            "colorscale": "Cividis",
            "showscale": True,
            "colorbar": {"title": {"text": bar.title}, "thickness": 14, "len": 0.9},
        },
    )


def _cells(headings: Sequence[str], columns: int) -> list[str]:
    """One heading for each cell of the grid, row by row; the legend's cells have none."""
    cells = list(headings)
    for row in range(-(-len(headings) // columns)):
        cells.insert((row + 1) * columns + row, "")
    return cells
