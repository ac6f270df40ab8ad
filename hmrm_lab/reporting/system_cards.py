"""Cards of the systems, and scores that papers claim for them.

`python -m hmrm_lab.reporting.system_cards` prints the cards of all systems as a page. Claims are
read from `data/published.csv`: shown as claimed, never computed with. They come from other data,
flow and epoch rules than ours, so nothing may be subtracted from them but another claim of the
same table.
"""

import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pandas as pd

from hmrm_lab.registry import Entry, systems

HEAD = """\
# Systems

Printed by `make cards` from what each system says of itself; change its card, not this page.

All are trained and tested on the same folds, by the same rules. How near each is to what was
published:

- **faithful**: every layer and setting as published
- **adapted**: the published design, changed where its departures say
- **sketch**: the publication leaves so much open that a result is never its authors'

Options have the values of the preset `paper`; `default`, `demo` and `smoke` change some of them
(`hmrm_lab/presets/`).
"""
_INSTALLED = Path(__file__).parent / "published.csv"
_CHECKOUT = Path(__file__).parents[2] / "data" / "published.csv"
FULL = "full"
COLUMNS = ("System", "Takes", "How near", "Published as")


def cards_page() -> str:
    """Markdown: what the words mean, one row per system, then its options and departures."""

    entries = [systems[name] for name in systems]
    return "\n".join([HEAD, *_table(entries), *(line for e in entries for line in _section(e))])


def _table(entries: list[Entry]) -> Iterator[str]:
    yield _row(COLUMNS)
    yield _row(["---"] * len(COLUMNS))
    for entry in entries:
        card = entry.card
        cells = (
            (card.takes, card.fidelity, card.citation) if card else ("", "no card", entry.source)
        )
        yield _row([f"[`{entry.name}`](#{entry.name})", *cells])
    yield ""


def _section(entry: Entry) -> Iterator[str]:
    yield f"## {entry.name}"
    yield ""
    defaults = [f"`{name}={_plain(value)}`" for name, value in entry.complete({}).items()]
    yield f"Options, `--set model.NAME=VALUE`: {', '.join(defaults) or 'none'}."
    yield ""
    if entry.card and entry.card.departures:
        yield from (f"- {departure}" for departure in entry.card.departures)
        yield ""


def _plain(value: object) -> str:
    """A value as `--set` takes it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _row(cells: list[str] | tuple[str, ...]) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


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
    """Claimed scores by metric; empty where there are none."""
    table = _claims()
    chosen = (table["system"] == system) & (table["variant"] == variant) & (table["data"] == data)
    rows = table[chosen]
    return dict(zip(rows["metric"], rows["value"].astype(float), strict=True))


def claims_of(system: str, variant: str = FULL) -> pd.DataFrame:
    """Every claim for a system, on whatever data, with its note and source."""
    table = _claims()
    chosen = (table["system"] == system) & (table["variant"] == variant)
    return table[chosen].reset_index(drop=True)


if __name__ == "__main__":
    sys.stdout.write(cards_page())
