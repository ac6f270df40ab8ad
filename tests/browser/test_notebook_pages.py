"""Whole notebooks in JupyterLab, as a reader runs them."""

import pytest

pytest.importorskip("playwright", reason="no playwright; pip install 'hmrm-lab[browser]'")
pytest.importorskip("nbformat", reason="the extra 'jupyter' is not installed")

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import nbformat.v4 as new
from conftest import quick_config
from pages import BEGUN_MS, WatchedPage, open_in_lab, open_page, run_all
from playwright.sync_api import expect

from hmrm_lab.runtime.store import RunFolder
from hmrm_lab.studies.jobs import Job

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytest_plugins = ["stage"]
pytestmark = pytest.mark.browser

ENDLESS = ("training.epochs=100000", "data.subjects=2", "data.clips=6", "flow.name=farneback")
ERRORS = '[data-mime-type="application/vnd.jupyter.error"]'
COMPLAINTS = '[data-mime-type="application/vnd.jupyter.stderr"]'
WATCHING = """
from pathlib import Path
from conftest import quick_config
from hmrm_lab.api.result import Result
from hmrm_lab.runtime.store import RunFolder
from hmrm_widgets import LosoMonitor
config = quick_config("hmrm", *{overrides!r})
monitor = LosoMonitor(Result(RunFolder.of(config, Path({out!r})), config=config))
monitor.add_class("shows-LosoMonitor")
monitor
"""


@pytest.fixture
def page(browser: "Browser") -> Iterator[WatchedPage]:
    watched = open_page(browser, {"width": 1280, "height": 1000}, "lab")
    yield watched
    watched.page.close()
    assert watched.errors == []


def test_the_first_notebook_runs_from_top_to_bottom(page: WatchedPage, lab: str) -> None:
    open_in_lab(page.page, lab, "00_quickstart")
    run_all(page.page)
    last = page.page.locator(".jp-CodeCell .jp-InputPrompt").last
    expect(last).not_to_have_text("[ ]:")
    expect(page.page.locator(ERRORS)).to_have_count(0)
    expect(page.page.locator(COMPLAINTS)).to_have_count(0)
    expect(page.page.locator(".js-plotly-plot")).not_to_have_count(0)


@pytest.fixture
def endless(tmp_path: Path) -> Iterator[Path]:
    """The folder of a run that takes a day; nobody works on it after the test."""
    yield tmp_path
    job = Job.of(RunFolder.of(quick_config("hmrm", *ENDLESS), tmp_path))
    if job.state().going:
        job.stop()
        job.wait(60)


def test_a_run_goes_on_while_its_page_is_loaded_again(
    page: WatchedPage, lab: str, notebooks: Path, endless: Path
) -> None:
    code = WATCHING.format(overrides=ENDLESS, out=str(endless))
    written = new.new_notebook(cells=[new.new_code_cell(code)])
    written.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3"}
    (notebooks / "reload.ipynb").write_text(new.writes(written), encoding="utf-8")

    open_in_lab(page.page, lab, "reload")
    run_all(page.page)
    monitor = page.widget("LosoMonitor")
    monitor.control("button", "Start").click()
    expect(monitor.root).to_contain_text("Running: 0 of 2 folds", timeout=BEGUN_MS)

    page.page.reload()
    open_in_lab(page.page, lab, "reload")
    run_all(page.page)
    monitor = page.widget("LosoMonitor")
    expect(monitor.root).to_contain_text("Running: 0 of 2 folds")
    monitor.control("button", "Stop").click()
    expect(monitor.root).to_contain_text("Stopped; what is finished is kept", timeout=BEGUN_MS)
    expect(monitor.control("button", "Resume")).to_be_enabled()
