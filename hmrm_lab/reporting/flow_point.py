"""What flow fields say at one point: as numbers and in words."""

import math
from collections.abc import Mapping

import pandas as pd

from hmrm_lab.errors import InputError
from hmrm_lab.records import Floats

TOWARDS = (
    *("the right", "the upper right", "the top", "the upper left"),
    *("the left", "the lower left", "the bottom", "the lower right"),
)
STILL_PX = 0.005  # a length that is written as 0.00


def point_table(fields_px: Mapping[str, Floats], point: tuple[int, int]) -> pd.DataFrame:
    """u, v, length and direction of each field at a point, one row a field.

    The direction is an angle as seen on the picture: 0 degrees to the right, 90 to the top. It is
    missing where the length is 0 to the second decimal.

    Parameters
    ----------
    point
        Column and row, counted from the upper left.

    Shapes
    ------
    fields_px : (2, H, W) each, order (u, v), pixels

    Raises
    ------
    InputError
        If the point is not in a field.
    """
    rows = {}
    for name, field in fields_px.items():
        u, v = vector_at(field, point)
        length = math.hypot(u, v)
        rows[name] = {
            "u (px)": u,
            "v (px)": v,
            "length (px)": length,
            "direction (degrees)": _angle(u, v) if length >= STILL_PX else math.nan,
        }
    return pd.DataFrame.from_dict(rows, orient="index")


def vector_at(flow_px: Floats, point: tuple[int, int]) -> tuple[float, float]:
    """u and v at column and row.

    Raises
    ------
    InputError
        If the point is not in the field.
    """
    column, row = point
    height, width = flow_px.shape[1:]
    if not (0 <= column < width and 0 <= row < height):
        raise InputError(
            f"point ({column}, {row}) is not in a field of {width} columns and {height} rows",
            mend="count from 0 at the upper left",
        )
    u, v = flow_px[:, row, column].tolist()
    return u, v


def point_words(fields_px: Mapping[str, Floats], point: tuple[int, int]) -> list[str]:
    """The same in sentences, one a field; of two fields also how far they are apart.

    Raises
    ------
    InputError
        If the point is not in a field.
    """
    vectors = {name: vector_at(field, point) for name, field in fields_px.items()}
    words = [f"{name}: {vector_words(u, v)}." for name, (u, v) in vectors.items()]
    if len(vectors) == 2:
        words.append(f"The two are {math.dist(*vectors.values()):.2f} px apart.")
    return words


def vector_words(u: float, v: float) -> str:
    """A vector in a phrase, such as `u +0.52 px, v -0.31 px: 0.61 px to the upper right (31°)`."""
    length = math.hypot(u, v)
    words = f"u {u:+.2f} px, v {v:+.2f} px"
    if not math.isfinite(length):
        return "not known"
    if length < STILL_PX:
        return f"{words}: no motion"
    angle = _angle(u, v)
    towards = TOWARDS[round(angle / 45) % len(TOWARDS)]
    return f"{words}: {length:.2f} px to {towards} ({angle:.0f}°)"


def _angle(u: float, v: float) -> float:
    """Degrees from the right towards the top; v points down."""
    return math.degrees(math.atan2(-v, u)) % 360
