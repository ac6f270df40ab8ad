from pathlib import Path

import pytest

from hmrm_lab.registry import Card, Registry
from hmrm_lab.reporting import report
from hmrm_lab.reporting.report import cards_page

PAGE = Path(__file__).parents[2] / "docs" / "systems.md"


def test_the_page_is_what_the_cards_say() -> None:
    """If this fails, a card has changed: `make cards` prints the page anew."""
    assert PAGE.read_text(encoding="utf-8") == cards_page()


def test_a_changed_card_changes_the_page(monkeypatch: pytest.MonkeyPatch) -> None:
    own = Registry("system", "hmrm_lab.models")
    card = Card("clip", "Me | you 2026", "sketch", ("all of it is a <guess>",))

    @own.register("guess", card=card)
    def guess(channels: int, size: int, classes: int, *, deep: bool = True, rate: float = 0.5):
        """Nothing."""

    @own.register("bare", source="me")
    def bare(channels: int, size: int, classes: int):
        """Nothing."""

    monkeypatch.setattr(report, "systems", own)
    page = cards_page()
    assert "| [`guess`](#guess) | clip | sketch | Me \\| you 2026 |" in page
    assert "`deep=true`, `rate=0.5`" in page
    assert "- all of it is a <guess>\n" in page
    assert "| [`bare`](#bare) |  | no card | me |" in page
    assert "`--set model.NAME=VALUE`: none.\n" in page
