"""JupyterLab and Voila on a folder of notebooks, their pages, and the errors they tell."""

import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import pytest
from playwright.sync_api import Locator, Page, expect
from shown import PATIENCE_S, Shown

TESTS = Path(__file__).parents[1]
expect.set_options(timeout=1000 * PATIENCE_S)
ELSEWHERE = re.compile(r"^https?://(?!127\.0\.0\.1)")
NOISE = re.compile(r"cdn\.jsdelivr|cdnjs\.cloudflare|^\[anywidget\] Failed to initialize model\.")
"""Voila's page asks for an icon font and for MathJax, which nobody serves in tests. anywidget 0.11
complains of a model that takes two seconds to load, as on a busy machine, and goes on loading it;
a widget that then no longer follows its kernel fails the test by what it shows."""
HOMES = {
    "JUPYTER_CONFIG_DIR": "config",
    "JUPYTER_DATA_DIR": "data",
    "JUPYTER_RUNTIME_DIR": "runtime",
    "JUPYTERLAB_SETTINGS_DIR": "settings",
    "JUPYTERLAB_WORKSPACES_DIR": "workspaces",
    "IPYTHONDIR": "ipython",
    "HMRM_CACHE": "cache",
}
"""Nothing of the user's settings, and no place but these to write to."""


@dataclass
class WatchedPage:
    """A page that asks nobody but this machine, and the errors that its console told."""

    page: Page
    errors: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.route(ELSEWHERE, lambda route: route.abort())
        self.page.set_default_timeout(1000 * PATIENCE_S)
        self.page.set_default_navigation_timeout(1000 * PATIENCE_S)
        self.page.on("pageerror", lambda error: self._note("error", str(error)))
        self.page.on("console", lambda m: self._note(m.type, f"{m.text} {m.location['url']}"))

    def widget(self, name: str) -> Shown:
        root = self.page.locator(f".shows-{name}")
        expect(root).to_be_visible()
        return Shown(root)

    def _note(self, kind: str, text: str) -> None:
        if kind == "error" and not NOISE.search(text):
            self.errors.append(text)


def open_in_lab(page: Page, lab: str, notebook: str) -> None:
    """Until the status bar says idle: the notebook does so before it has a kernel."""
    page.goto(f"{lab}/lab/tree/{notebook}.ipynb?reset")
    page.get_by_text(re.compile(r"^Python 3 .* \| Idle$")).wait_for()


def run_all(page: Page) -> None:
    choose_from_menu(page, "Run", "Run All Cells")
    last = page.locator(".jp-CodeCell .jp-InputPrompt").last
    expect(last).to_have_text(re.compile(r"\[\d+\]"))


def choose_from_menu(page: Page, *path: str) -> None:
    for item in path:
        labels = page.locator(".lm-MenuBar-itemLabel, .lm-Menu-itemLabel")
        labels.filter(has_text=re.compile(f"^{item}$"), visible=True).click()


def keep_screenshot(what: Locator, name: str) -> None:
    """Where HMRM_SCREENSHOTS names a folder; on a page so high that nothing is cut off."""
    folder, size = os.environ.get("HMRM_SCREENSHOTS"), what.page.viewport_size
    if not folder or not size:
        return
    what.page.set_viewport_size({"width": size["width"], "height": 2400})
    what.screenshot(path=Path(folder) / f"{name}.png")
    what.page.set_viewport_size(size)


@contextmanager
def serving(home: Path) -> Iterator[str]:
    """The address of JupyterLab and Voila on `home/notebooks`, with all of their files there."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    notebooks, log = home / "notebooks", home / "server.log"
    command = (
        *(sys.executable, "-m", "jupyterlab", "--allow-root", "--ServerApp.ip=127.0.0.1"),
        *(f"--ServerApp.root_dir={notebooks}", f"--ServerApp.port={port}"),
        *("--ServerApp.open_browser=False", "--VoilaConfiguration.show_tracebacks=True"),
        "--IdentityProvider.token=",  # in tests only: no password on this machine's own address
    )
    path = os.pathsep.join([str(TESTS), os.environ.get("PYTHONPATH", "")])  # for made-up runs
    places = {name: str(home / folder) for name, folder in HOMES.items()}
    env = {**os.environ, **places, "PYTHONPATH": path}
    with log.open("w") as out:
        server = subprocess.Popen(
            command, cwd=notebooks, env=env, stdout=out, stderr=subprocess.STDOUT
        )
    try:
        wait_for(f"http://127.0.0.1:{port}/api", server, log)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        try:
            server.wait(60)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def wait_for(url: str, server: "subprocess.Popen[bytes]", log: Path) -> None:
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until and server.poll() is None:
        try:
            with urlopen(url, timeout=5):
                return
        except (URLError, TimeoutError):
            time.sleep(0.2)
    pytest.fail(f"no answer from {url}:\n{log.read_text()[-2000:]}")
