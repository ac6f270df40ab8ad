"""One widget on a page: what it shows, who can reach it, how it fits."""

import importlib.resources
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from playwright.sync_api import Locator, Page

PATIENCE_S = 300.0  # nothing takes so long; what waits in vain ends the test
SERIOUS = ("serious", "critical")
SCRIPT = Path(__file__).with_name("shown.js").read_text(encoding="utf-8")


def script(name: str) -> str:
    """A function of `shown.js` as an expression."""
    return f"(given) => {{ {SCRIPT}\nreturn {name}(given); }}"


@dataclass
class Shown:
    """One widget on a page."""

    root: Locator

    @property
    def page(self) -> Page:
        return self.root.page

    def control(self, role: Any, name: str) -> Locator:
        if not name:
            return self.root.get_by_role(role)
        icon = r"\W*"  # a letter of the icon font
        return self.root.get_by_role(role, name=re.compile(f"^{icon}{re.escape(name)}$"))

    def pictures(self) -> str:
        """A fingerprint of all that is drawn."""
        return str(self.root.evaluate(script("fingerprint")))

    def wait_for_other_pictures(self, before: str) -> None:
        given = [self.root.element_handle(), before, PATIENCE_S]
        self.page.evaluate(script("otherPictures"), given)

    def those(self, fault: str) -> list[str]:
        """Its parts that are `nameless`, `cutOff`, `tooWide`, `shortSliders`."""
        return list(self.root.evaluate(script(fault)))

    def unreached_by_tab(self) -> list[str]:
        """The controls that the Tab key passes by on its way through the widget."""
        self.root.evaluate(script("focusFirst"))
        while self.root.evaluate(script("reach")):
            self.page.keyboard.press("Tab")
        return self.those("unreached")

    def axe_findings(self) -> list[str]:
        """Serious and critical findings of axe-core in the widget."""
        self.root.scroll_into_view_if_needed()
        if not self.page.evaluate("'axe' in window"):
            self.page.evaluate(axe_source())
        found = self.root.evaluate("(root) => axe.run(root, {resultTypes: ['violations']})")
        return [
            f"{rule['id']}: {node['html'][:200]} {node['failureSummary']}"
            for rule in found["violations"]
            if rule["impact"] in SERIOUS
            for node in rule["nodes"]
        ]


@cache
def axe_source() -> str:
    """axe-core by Deque Systems (MPL-2.0), as axe-playwright-python brings it."""
    script = importlib.resources.files("axe_playwright_python") / "axe.min.js"
    return script.read_text(encoding="utf-8")
