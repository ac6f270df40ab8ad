"""Fixtures: the browser, the servers, and the pages that show all widgets."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pages import WatchedPage
    from playwright.sync_api import Browser

CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
WIDE = {"width": 1280, "height": 1000}
NARROW = {"width": 390, "height": 844}
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def browser() -> "Iterator[Browser]":
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="no playwright; pip install 'hmrm-lab[browser]'"
    )
    for extra in ("jupyterlab", "voila", "axe_playwright_python"):
        pytest.importorskip(extra, reason=f"no {extra}; make .venv/dev.stamp")
    chromium = next(filter(None, map(shutil.which, CHROMIUM)), None)
    if chromium is None:
        pytest.skip("no chromium; apt-get install chromium")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=chromium, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the servers and their kernels keep everything."""
    return tmp_path_factory.mktemp("jupyter")


@pytest.fixture(scope="session")
def notebooks(home: Path) -> Path:
    """A folder with the notebook of all widgets, and copies of ours."""
    import nbformat.v4 as new
    from showcase import cells

    folder = home / "notebooks"
    shutil.copytree(ROOT / "notebooks", folder)
    written = new.new_notebook(cells=[new.new_code_cell(text) for text in cells()])
    for cell in written.cells:
        cell.metadata["tags"] = ["raises-exception"]  # the others are shown all the same
    written.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3"}
    (folder / "widgets.ipynb").write_text(new.writes(written), encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def lab(browser: "Browser", notebooks: Path, home: Path) -> Iterator[str]:
    from servers import LAB, quiet_lab, serving

    quiet_lab(home)
    with serving(LAB, notebooks, home, "/api") as address:
        yield address


@pytest.fixture(scope="session")
def voila(browser: "Browser", notebooks: Path, home: Path) -> Iterator[str]:
    from servers import VOILA, serving

    with serving(VOILA, notebooks, home, "/") as address:
        yield address


@pytest.fixture(scope="session")
def lab_page(browser: "Browser", lab: str) -> "Iterator[WatchedPage]":
    """All widgets in JupyterLab."""
    from pages import open_in_lab, open_page, run_all

    watched = open_page(browser, WIDE, "lab")
    open_in_lab(watched.page, lab, "widgets")
    run_all(watched.page)
    yield watched
    watched.page.close()


@pytest.fixture(scope="session")
def voila_page(browser: "Browser", voila: str) -> "Iterator[WatchedPage]":
    """All widgets in Voila, on a light page as wide as a desk's."""
    yield from shown_by_voila(browser, voila, "light", WIDE, "voila")


@pytest.fixture(scope="session")
def phone_page(browser: "Browser", voila: str) -> "Iterator[WatchedPage]":
    """All widgets in Voila, on a dark page as narrow as a telephone's."""
    yield from shown_by_voila(browser, voila, "dark", NARROW, "phone")


def shown_by_voila(
    browser: "Browser", voila: str, theme: str, size: dict[str, int], name: str
) -> "Iterator[WatchedPage]":
    from pages import open_in_voila, open_page
    from showcase import SHOWCASES

    watched = open_page(browser, size, name)
    open_in_voila(watched.page, voila, "widgets", theme)
    watched.widget(list(SHOWCASES)[-1])
    yield watched
    watched.page.close()
