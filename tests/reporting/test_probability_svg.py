import re

from hmrm_lab.datasets.classes import MEGC3
from hmrm_lab.reporting.probability_svg import probability_svg


def test_bars_are_as_long_as_probabilities() -> None:
    svg = probability_svg([0.25, 0.5, 0.25], MEGC3.classes, truth=2)
    widths = [float(width) for width in re.findall(r'width="([\d.]+)"', svg)]
    full, bars = widths[0], widths[1::2]
    assert bars == [0.25 * full, 0.5 * full, 0.25 * full]


def test_it_names_the_true_and_the_predicted_class() -> None:
    svg = probability_svg([0.1, 0.2, 0.7], MEGC3.classes, truth=0)
    assert "negative 10% true" in svg
    assert "surprise 70% predicted" in svg
    assert "positive 20%;" in svg
    assert "surprise 90% predicted, true" in probability_svg(
        [0.1, 0.0, 0.9], MEGC3.classes, truth=2
    )
