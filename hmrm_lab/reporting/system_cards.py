"""The cards of all systems as a page: `python -m hmrm_lab.reporting.system_cards` prints it."""

import sys
from collections.abc import Iterator

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
        told = (card.takes, card.fidelity, card.citation) if card else ("", "no card", entry.source)
        yield _row([f"[`{entry.name}`](#{entry.name})", *told])
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
    """As it is written in TOML, nearly: what `--set` takes."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _row(cells: list[str] | tuple[str, ...]) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


if __name__ == "__main__":
    sys.stdout.write(cards_page())
