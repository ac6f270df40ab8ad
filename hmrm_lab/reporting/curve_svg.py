"""The apex curve as a small SVG: for a widget that redraws it with every frame.

A plotly figure inside a widget would be redrawn as a whole, or leave its library in every saved
notebook. Ink and colours are those of `style`, readable on light and dark paper.
"""

from hmrm_lab.faces.apex import ApexCurve
from hmrm_lab.reporting.style import BLUE, GREEN, INK, ORANGE, VERMILLION
from hmrm_lab.reporting.svg import line, text

WIDTH, HEIGHT = 460, 200
LEFT, RIGHT, TOP, BOTTOM = 34, 12, 42, 38
MOST_TICKS = 16


def curve_svg(curve: ApexCurve, frame: int, annotated: int | None = None) -> str:
    """Draw the curve with the spotted apex, the annotated one if any, and the present frame."""
    first, last = int(curve.frames[0]), int(curve.frames[-1])
    top = float(curve.curve.max(initial=0)) or 1.0

    def x(number: float) -> float:
        return LEFT + (number - first) / max(last - first, 1) * (WIDTH - LEFT - RIGHT)

    def y(value: float) -> float:
        return HEIGHT - BOTTOM - value / top * (HEIGHT - BOTTOM - TOP)

    points = list(zip(curve.frames.tolist(), curve.curve.tolist(), strict=True))
    path = " ".join(f"{x(number):.1f},{y(value):.1f}" for number, value in points)
    now = dict(points).get(frame, 0.0)
    every = -(-(last - first + 1) // MOST_TICKS)
    parts = [
        line(LEFT, y(0), WIDTH - RIGHT, y(0), INK, 1),
        line(LEFT, TOP, LEFT, y(0), INK, 1),
        *(text(x(n), y(0) + 16, str(n)) for n in range(first, last + 1, every)),
        text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 4, "frame"),
        text(LEFT - 6, TOP + 4, f"{top:.1f}", "end"),
        text(LEFT - 6, y(0) + 4, "0", "end"),
        line(x(curve.apex), TOP, x(curve.apex), y(0), VERMILLION, 2, "6 4"),
    ]
    if annotated is not None:
        parts.append(line(x(annotated), TOP, x(annotated), y(0), GREEN, 2))
    parts += [
        f'<polyline points="{path}" fill="none" stroke="{BLUE}" stroke-width="2"/>',
        f'<circle cx="{x(frame):.1f}" cy="{y(now):.1f}" r="6" fill="{ORANGE}"/>',
        *_legend(curve, frame, annotated),
    ]
    words = f"Apex curve, frame {frame}, spotted apex {curve.apex}"
    words += "" if annotated is None else f", annotated apex {annotated}"
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{words}"'
        f' style="width:100%;max-width:{WIDTH}px" font-family="system-ui, sans-serif"'
        f' font-size="12" fill="{INK}">{"".join(parts)}</svg>'
    )


def _legend(curve: ApexCurve, frame: int, annotated: int | None) -> list[str]:
    entries = [(ORANGE, f"frame {frame}"), (VERMILLION, f"spotted apex {curve.apex}")]
    if annotated is not None:
        entries.append((GREEN, f"annotated apex {annotated}"))
    parts = []
    for place, (colour, words) in enumerate(entries):
        left = LEFT + 130 * place
        parts.append(f'<rect x="{left}" y="9" width="10" height="10" fill="{colour}"/>')
        parts.append(text(left + 15, 18, words, "start"))
    return parts
