"""Formulas of notebooks on their pages."""

import pytest

pytest.importorskip("latex2mathml", reason="the extra 'jupyter' is not installed")

from hmrm_lab.studies.notebooks.pages import with_mathml


def test_formulas_in_a_line_and_on_their_own() -> None:
    text = with_mathml("With $\\lambda = 1$ it is\n\n$$y_t = C_t\n h_t$$\n\nand so on.")
    assert "$" not in text
    assert text.startswith(
        'With <math xmlns="http://www.w3.org/1998/Math/MathML" display="inline">'
    )
    assert "<msub><mi>y</mi><mi>t</mi></msub>" in text
    assert 'display="block"' in text
    assert text.endswith("and so on.")


def test_what_is_no_formula_stays() -> None:
    for text in (
        "it costs 5 $ here and 6 $ there",
        "`$HOME` and `a $ b $ c`",
        "```\n$x$\n```",
        "an escaped \\$x\\$",
        "US$5 and US$6",
    ):
        assert with_mathml(text) == text


def test_signs_of_markup_are_escaped() -> None:
    assert "<mo>&#x0003C;</mo>" in with_mathml("$0 < 1$")
