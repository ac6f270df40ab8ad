from dataclasses import replace
from pathlib import Path

import pytest

from hmrm_lab.registry import Card, Registry, systems
from hmrm_lab.reporting import system_cards
from hmrm_lab.reporting.system_cards import cards_page

PAGE = Path(__file__).parents[2] / "docs" / "systems.md"


def test_the_page_is_what_the_cards_say() -> None:
    """If this fails, a card has changed: `make cards` prints the page anew."""
    assert PAGE.read_text(encoding="utf-8") == cards_page()


def test_every_system_has_a_row_and_its_departures() -> None:
    page = cards_page()
    for name in systems:
        card = systems[name].card
        assert card is not None
        row = next(line for line in page.splitlines() if line.startswith(f"| [`{name}`]"))
        assert f"| {card.takes} | {card.fidelity} | {card.citation} |" in row
        section = page.partition(f"\n## {name}\n")[2].partition("\n## ")[0]
        assert all(f"- {departure}\n" in section for departure in card.departures)


def test_a_changed_card_changes_the_page(monkeypatch: pytest.MonkeyPatch) -> None:
    own = Registry("system", "hmrm_lab.models")
    card = Card("clip", "Me | you 2026", "sketch", ("all of it is a guess",))

    @own.register("guess", card=card)
    def guess(
        channels: int, size: int, classes: int, *, deep: bool = True, rate: float = 0.5
    ) -> None:
        """Nothing."""

    monkeypatch.setattr(system_cards, "systems", own)
    page = cards_page()
    assert "| [`guess`](#guess) | clip | sketch | Me \\| you 2026 |" in page
    assert "`deep=true`, `rate=0.5`" in page
    assert "- all of it is a guess\n" in page
    monkeypatch.setitem(own._entries, "guess", replace(own["guess"], card=None, source="me"))
    assert "| [`guess`](#guess) |  | no card | me |" in cards_page()
