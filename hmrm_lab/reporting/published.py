"""Numbers that papers claim, read from `data/published.csv`: shown as claimed, never computed with.

They come from other data, flow and epoch rules than ours, so nothing may be subtracted from them
but another claim of the same table.
"""

from functools import cache
from pathlib import Path

import pandas as pd

_INSTALLED = Path(__file__).parent / "published.csv"
_CHECKOUT = Path(__file__).parents[2] / "data" / "published.csv"
FULL = "full"


@cache
def _claims() -> pd.DataFrame:
    file = _CHECKOUT if _CHECKOUT.is_file() else _INSTALLED
    return pd.read_csv(file, keep_default_na=False)


def published() -> pd.DataFrame:
    """Every claim: columns system, variant, data, metric, value, note, source.

    `variant` is `full`, or a model of an ablation; `data` is a data set, or `all` for the composite
    of MEGC 2019; `note` says what is known to stand behind a number, such as its epoch rule.
    """
    return _claims().copy()


def claimed(system: str, variant: str = FULL, data: str = "all") -> dict[str, float]:
    """What is claimed, by metric; empty where nothing is."""
    table = _claims()
    chosen = (table["system"] == system) & (table["variant"] == variant) & (table["data"] == data)
    rows = table[chosen]
    return dict(zip(rows["metric"], rows["value"].astype(float), strict=True))


def claims_of(system: str, variant: str = FULL) -> pd.DataFrame:
    """Every claim for a system, on whatever data, with its note and source."""
    table = _claims()
    chosen = (table["system"] == system) & (table["variant"] == variant)
    return table[chosen].reset_index(drop=True)
