import numpy as np
import pytest

from hmrm_lab.errors import InputError
from hmrm_lab.reporting.plots.optical_flow import point_table, point_words, vector_at, vector_words


def field(u: float, v: float, at: tuple[int, int] = (3, 1)) -> np.ndarray:
    """Still but at one point; 4 rows of 5 columns."""
    flow = np.zeros((2, 4, 5), np.float32)
    flow[:, at[1], at[0]] = u, v
    return flow


@pytest.mark.parametrize(
    ("u", "v", "angle", "towards"),
    [
        (2.0, 0.0, 0, "the right"),
        (1.0, -1.0, 45, "the upper right"),
        (0.0, -3.0, 90, "the top"),
        (-1.0, -1.0, 135, "the upper left"),
        (-0.5, 0.0, 180, "the left"),
        (-1.0, 1.0, 225, "the lower left"),
        (0.0, 1.0, 270, "the bottom"),
        (1.0, 1.0, 315, "the lower right"),
        (1.0, 0.01, 359, "the right"),
    ],
)
def test_the_direction_is_that_of_the_picture(
    u: float, v: float, angle: float, towards: str
) -> None:
    row = point_table({"dis": field(u, v)}, (3, 1)).loc["dis"]
    assert row["direction (degrees)"] == pytest.approx(angle, abs=0.6)
    assert row["length (px)"] == pytest.approx(np.hypot(u, v))
    assert f"to {towards} ({angle}°)" in vector_words(u, v)


def test_each_field_has_its_row() -> None:
    table = point_table({"dis": field(0.5, -0.25), "exact": field(1, 0)}, (3, 1))
    assert table.index.tolist() == ["dis", "exact"]
    assert table["u (px)"].tolist() == [0.5, 1.0]
    assert table["v (px)"].tolist() == [-0.25, 0.0]


def test_two_fields_are_compared() -> None:
    words = point_words({"dis": field(3, 0), "exact": field(0, 4)}, (3, 1))
    assert words[0].startswith("dis: u +3.00 px")
    assert words[-1] == "The two are 5.00 px apart."
    assert len(point_words({"dis": field(3, 0)}, (3, 1))) == 1


def test_what_does_not_move_has_no_direction() -> None:
    assert np.isnan(point_table({"dis": field(1, 1)}, (0, 0)).loc["dis", "direction (degrees)"])
    assert vector_words(0.0, 0.004).endswith("no motion")
    assert vector_words(float("nan"), 0.0) == "not known"


@pytest.mark.parametrize("point", [(5, 0), (0, 4), (-1, 0)])
def test_a_point_outside_is_refused(point: tuple[int, int]) -> None:
    with pytest.raises(InputError, match="5 columns and 4 rows"):
        vector_at(field(1, 1), point)
