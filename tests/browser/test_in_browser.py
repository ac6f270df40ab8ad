"""Each widget in JupyterLab and in Voila: its controls, its names, its look."""

import pytest

pytest.importorskip("playwright", reason="no playwright; pip install 'hmrm-lab[browser]'")
pytest.importorskip("voila", reason="the extra 'jupyter' is not installed")

import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

import nbformat.v4 as new
from conftest import quick_config
from pages import WatchedPage, choose_from_menu, keep_screenshot, open_in_lab, run_all, serving
from playwright.sync_api import Browser, ViewportSize, expect, sync_playwright
from showcase import SHOWCASES, Step, cells
from shown import Shown

from hmrm_lab.runtime.store import RunFolder
from hmrm_lab.studies.jobs import Job

pytestmark = [pytest.mark.browser, pytest.mark.slow]

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
WIDE: ViewportSize = {"width": 1280, "height": 1000}
NARROW: ViewportSize = {"width": 390, "height": 844}
ROOT = Path(__file__).parents[2]
ENDLESS = ("training.epochs=100000", "data.subjects=2", "data.clips=6", "flow.name=farneback")
FAULTS = "[data-mime-type='application/vnd.jupyter.error'], [data-mime-type$=stderr]"
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


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    chromium = next(filter(None, map(shutil.which, CHROMIUM)), None)
    if chromium is None:
        pytest.skip("no chromium; apt-get install chromium")
    with sync_playwright() as started:
        browser = started.chromium.launch(executable_path=chromium, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the server and its kernels keep everything, with the notebook of all widgets."""
    home = tmp_path_factory.mktemp("jupyter")
    settings = home / "settings" / "@jupyterlab" / "apputils-extension"
    settings.mkdir(parents=True)
    quiet = '{"fetchNews": "false", "checkForUpdates": false}'  # no question on the first page
    (settings / "notification.jupyterlab-settings").write_text(quiet)
    shutil.copytree(ROOT / "notebooks", home / "notebooks")
    write_notebook(home, "widgets", *cells())
    return home


def write_notebook(home: Path, name: str, *sources: str) -> None:
    """Each cell may fail, and the others are run all the same."""
    made = [new.new_code_cell(text, metadata={"tags": ["raises-exception"]}) for text in sources]
    written = new.new_notebook(cells=made)
    written.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3"}
    (home / "notebooks" / f"{name}.ipynb").write_text(new.writes(written), encoding="utf-8")


@pytest.fixture(scope="session")
def lab(browser: Browser, home: Path) -> Iterator[str]:
    with serving(home) as address:
        yield address


@pytest.fixture
def page(browser: Browser) -> Iterator[WatchedPage]:
    """A wide page; it must tell no errors, from its opening on."""
    watched = WatchedPage(browser.new_page(viewport=WIDE, reduced_motion="reduce"))
    yield watched
    watched.page.close()
    assert watched.errors == []


@pytest.mark.parametrize(
    ("dark", "size", "theme"),
    [(False, NARROW, "dark"), pytest.param(True, WIDE, "light", marks=pytest.mark.full)],
)
def test_every_widget_in_jupyterlab_and_in_voila(
    page: WatchedPage,
    lab: str,
    dark: bool,
    size: ViewportSize,
    theme: str,
    subtests: pytest.Subtests,
) -> None:
    open_in_lab(page.page, lab, "widgets")
    if dark:
        choose_from_menu(page.page, "Settings", "Theme", "JupyterLab Dark")
        expect(page.page.locator("body")).to_have_attribute("data-jp-theme-light", "false")
    run_all(page.page)
    for name, showcase in SHOWCASES.items():
        with subtests.test(f"{name} in JupyterLab"):
            widget = page.widget(name)
            use(widget, [] if dark else showcase.steps)
            keep_screenshot(widget.root, f"{name}-lab{'-dark' * dark}")
            look_over(widget)

    page.page.goto("about:blank")  # plotly tells errors where JupyterLab is squeezed
    page.page.set_viewport_size(size)
    page.page.goto(f"{lab}/voila/render/widgets.ipynb?theme={theme}")
    page.widget(list(SHOWCASES)[-1])
    for name, showcase in SHOWCASES.items():
        with subtests.test(f"{name} in Voila"):
            widget = page.widget(name)
            if dark or name == "FlowExplorer":
                use(widget, showcase.steps)
            keep_screenshot(widget.root, f"{name}-voila-{theme}")
            look_over(widget)
            assert widget.those("tooWide") == []
    beyond = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert page.page.evaluate(beyond) == 0


def use(widget: Shown, steps: Iterable[Step]) -> None:
    """Take steps; after each the widget shows what it should."""
    for step in steps:
        before = widget.pictures()
        take(widget, step)
        expect(widget.root).to_contain_text(step.says)
        if step.draws:
            widget.wait_for_other_pictures(before)
    expect(widget.root.get_by_role("alert")).to_have_count(0)


def take(widget: Shown, step: Step) -> None:
    control = widget.control(step.role, step.name)
    if step.key:
        control.press(step.key)
    elif step.option:
        control.select_option(step.option)
    else:
        control.click(position={"x": 1, "y": 1} if step.corner else None)


def look_over(widget: Shown) -> None:
    """Its controls have names, the Tab key reaches them, no words are cut off, axe is content."""
    assert widget.those("nameless") == []
    assert widget.unreached_by_tab() == []
    assert widget.those("cutOff") == []
    assert widget.those("shortSliders") == []
    assert widget.axe_findings() == []


@pytest.mark.full
def test_the_first_notebook_runs_from_top_to_bottom(page: WatchedPage, lab: str) -> None:
    open_in_lab(page.page, lab, "00_quickstart")
    run_all(page.page)
    expect(page.page.locator(FAULTS)).to_have_count(0)
    expect(page.page.locator(".js-plotly-plot")).not_to_have_count(0)


@pytest.mark.full
def test_a_run_goes_on_while_its_page_is_loaded_again(
    page: WatchedPage, lab: str, home: Path, tmp_path: Path
) -> None:
    write_notebook(home, "reload", WATCHING.format(overrides=ENDLESS, out=str(tmp_path)))
    try:
        for _ in range(2):
            open_in_lab(page.page, lab, "reload")
            run_all(page.page)
            monitor = page.widget("LosoMonitor")
            if monitor.control("button", "Start").is_enabled():
                monitor.control("button", "Start").click()
            expect(monitor.root).to_contain_text("Running: 0 of 2 folds")
        monitor.control("button", "Stop").click()
        expect(monitor.root).to_contain_text("Stopped; what is finished is kept")
        expect(monitor.control("button", "Resume")).to_be_enabled()
    finally:
        run = Job.of(RunFolder.of(quick_config("hmrm", *ENDLESS), tmp_path))
        if run.state().going:
            run.stop()
            run.wait(600)
