"""One widget on a page: what it shows, who can reach it, how it fits."""

import importlib.resources
import re
from dataclasses import dataclass
from functools import cache
from typing import Any

from playwright.sync_api import Locator, Page

SERIOUS = ("serious", "critical")

FINGERPRINT = """async (root) => {
  const digest = async (bytes) => {
    const hash = await crypto.subtle.digest("SHA-256", bytes);
    return Array.from(new Uint8Array(hash).slice(0, 8), (b) => b.toString(16)).join("");
  };
  const words = (text) => digest(new TextEncoder().encode(text));
  const shown = [];
  for (const part of root.querySelectorAll("img, canvas, svg")) {
    if (!part.getClientRects().length) continue;
    if (part.tagName === "IMG") {
      const answer = await fetch(part.src).catch(() => null);
      shown.push(answer ? await digest(await answer.arrayBuffer()) : "empty");
    } else if (part.tagName === "CANVAS") shown.push(await words(part.toDataURL()));
    else shown.push(await words(part.outerHTML));
  }
  return shown.join(" ");
}"""

CHANGED = f"async ([root, before]) => (await ({FINGERPRINT})(root)) !== before"

REACHABLE = """(root) => Array.from(
  root.querySelectorAll("select, input, button, textarea, [role=slider]"),
).filter((e) => e.checkVisibility() && !e.disabled && !e.closest(".js-plotly-plot"))"""

NAMELESS = f"""(root) => ({REACHABLE})(root).filter((e) => {{
  const label = e.getAttribute("aria-label") || e.labels?.[0]?.textContent || e.textContent;
  return !(label || e.title || "").trim();
}}).map((e) => e.outerHTML)"""

UNREACHED = f"""(root) => ({REACHABLE})(root).filter(
  (e) => !root.reached?.has(e)).map((e) => e.outerHTML.slice(0, 200))"""

REACH = """(root) => {
  root.reached ??= new Set();
  const here = document.activeElement;
  if (root.contains(here)) root.reached.add(here);
  return root.contains(here);
}"""

TOO_WIDE = """(root) => {
  const scrolls = (e) => e !== root && (
    ["auto", "scroll"].includes(getComputedStyle(e).overflowX) || scrolls(e.parentElement));
  return Array.from(root.querySelectorAll("*")).filter((e) => {
    const box = e.getBoundingClientRect();
    return box.width && box.right > document.documentElement.clientWidth + 1
      && !scrolls(e.parentElement);
  }).map((e) => e.outerHTML.slice(0, 150));
}"""

CUT_OFF = """(root) => Array.from(root.querySelectorAll("label, button")).filter((e) => {
  const words = document.createRange(), style = getComputedStyle(e);
  words.selectNodeContents(e);
  const room = e.clientWidth - parseFloat(style.paddingLeft) - parseFloat(style.paddingRight);
  return e.clientWidth && e.checkVisibility() && words.getBoundingClientRect().width > room + 1;
}).map((e) => e.textContent)"""


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
        return str(self.root.evaluate(FINGERPRINT))

    def wait_for_other_pictures(self, before: str) -> None:
        handle = self.root.element_handle()
        self.page.wait_for_function(CHANGED, arg=[handle, before], polling=100)

    def those(self, script: str) -> list[str]:
        """Its parts that are `NAMELESS`, `CUT_OFF`, `TOO_WIDE`."""
        return list(self.root.evaluate(script))

    def unreached_by_tab(self) -> list[str]:
        """The controls that the Tab key passes by on its way through the widget."""
        self.root.evaluate(f"(root) => ({REACHABLE})(root)[0]?.focus()")
        while self.root.evaluate(REACH):
            self.page.keyboard.press("Tab")
        return self.those(UNREACHED)

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
