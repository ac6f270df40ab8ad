"""Class probabilities as bars in a small SVG, for a widget that redraws them with every clip."""

from collections.abc import Sequence

from hmrm_lab.reporting.style import CLASS_COLOURS, GRID, INK
from hmrm_lab.reporting.svg import text

WIDTH, BAR_PX, GAP_PX = 420, 22, 10
LEFT, RIGHT = 92, 150  # names of the classes; figures and marks


def probability_svg(probabilities: Sequence[float], classes: Sequence[str], truth: int) -> str:
    """One bar per class, full width for 1; the true and the predicted class are named.

    Shapes
    ------
    probabilities : (K,), in the order of the classes
    """
    full = WIDTH - LEFT - RIGHT
    predicted = max(range(len(classes)), key=lambda label: probabilities[label])
    parts, spoken = [], []
    for row, (name, share, colour) in enumerate(
        zip(classes, probabilities, CLASS_COLOURS, strict=False)
    ):
        top = row * (BAR_PX + GAP_PX)
        marks = [
            word for word, label in (("predicted", predicted), ("true", truth)) if label == row
        ]
        words = f"{share:.0%} {', '.join(marks)}".strip()
        spoken.append(f"{name} {words}")
        place = f'x="{LEFT}" y="{top}" height="{BAR_PX}"'
        parts += [
            text(LEFT - 8, top + 16, name, "end"),
            f'<rect {place} width="{full}" fill="{GRID}"/>',
            f'<rect {place} width="{share * full:.1f}" fill="{colour}"/>',
            text(LEFT + full + 8, top + 16, words, "start"),
        ]
    height = len(classes) * (BAR_PX + GAP_PX)
    return (
        f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{"; ".join(spoken)}"'
        f' style="width:100%;max-width:{WIDTH}px" font-family="system-ui, sans-serif"'
        f' font-size="13" fill="{INK}">{"".join(parts)}</svg>'
    )
