"""Pages of JupyterLab and Voila, and the errors that their consoles tell."""

import os
import re
from dataclasses import dataclass, field
from pathlib import Path

from playwright.sync_api import (
    Browser,
    ConsoleMessage,
    Error,
    Locator,
    Page,
    ViewportSize,
    expect,
)
from shown import Shown

ANSWER_MS = 60_000  # a redraw, on a slow machine with other work
BEGUN_MS = 120_000  # a kernel starts and imports everything
expect.set_options(timeout=ANSWER_MS)
ELSEWHERE = re.compile(r"^https?://(?!127\.0\.0\.1)")

NOISE = {
    r"cdn\.jsdelivr\.net": "Voila's page asks for an icon font that nobody serves in tests",
}
"""Console errors that are not ours, each with its reason."""


@dataclass
class WatchedPage:
    """A page, and the errors that its console told."""

    page: Page
    name: str
    errors: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.set_default_timeout(ANSWER_MS)
        self.page.on("console", self._on_console)
        self.page.on("pageerror", self._on_error)

    def widget(self, name: str) -> "Shown":
        root = self.page.locator(f".shows-{name}")
        expect(root).to_be_visible()
        return Shown(root)

    def _on_console(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self._note(f"{message.text} {message.location.get('url', '')}")

    def _on_error(self, error: Error) -> None:
        self._note(str(error))

    def _note(self, text: str) -> None:
        if not any(re.search(pattern, text) for pattern in NOISE):
            self.errors.append(text)


def open_page(browser: Browser, size: ViewportSize, name: str) -> WatchedPage:
    """A page that asks nobody but this machine."""
    page = browser.new_page(viewport=size, reduced_motion="reduce")
    page.route(ELSEWHERE, lambda route: route.abort())
    return WatchedPage(page, name)


def open_in_lab(page: Page, lab: str, notebook: str) -> None:
    page.goto(f"{lab}/lab/tree/{notebook}.ipynb?reset", timeout=BEGUN_MS)
    wait_idle(page)


def open_in_voila(page: Page, voila: str, notebook: str, theme: str) -> None:
    page.goto(f"{voila}/voila/render/{notebook}.ipynb?theme={theme}", timeout=BEGUN_MS)


def run_all(page: Page) -> None:
    choose_from_menu(page, "Run", "Run All Cells")
    prompt = page.locator(".jp-CodeCell .jp-InputPrompt").first
    expect(prompt).to_have_text(re.compile(r"\[(\*|\d+)\]"))
    wait_idle(page)


def choose_from_menu(page: Page, *path: str) -> None:
    for item in path:
        labels = page.locator(".lm-MenuBar-itemLabel, .lm-Menu-itemLabel")
        labels.filter(has_text=re.compile(f"^{item}$"), visible=True).click()


def wait_idle(page: Page) -> None:
    """By the status bar: the notebook calls itself idle before it has a kernel."""
    page.get_by_text(re.compile(r"^Python 3 .* \| Idle$")).wait_for(timeout=BEGUN_MS)


def keep_screenshot(what: Locator, name: str) -> None:
    """Where HMRM_SCREENSHOTS names a folder; on a page so high that nothing is cut off."""
    folder, size = os.environ.get("HMRM_SCREENSHOTS"), what.page.viewport_size
    if not folder or not size:
        return
    what.page.set_viewport_size({"width": size["width"], "height": 2400})
    what.screenshot(path=Path(folder) / f"{name}.png")
    what.page.set_viewport_size(size)
