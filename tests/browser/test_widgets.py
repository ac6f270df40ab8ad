"""Each widget in JupyterLab and in Voila: its controls, its names, its look."""

import pytest

pytest.importorskip("playwright", reason="no playwright; pip install 'hmrm-lab[browser]'")

from collections.abc import Iterator

from pages import BEGUN_MS, WatchedPage, choose_from_menu, keep_screenshot
from playwright.sync_api import expect
from showcase import SHOWCASES
from shown import Shown
from steps import Step

pytest_plugins = ["stage"]
pytestmark = pytest.mark.browser

PAGES = ("lab_page", "voila_page", "phone_page")
FLOWS = [(name, flow) for name, case in SHOWCASES.items() for flow in case.flows]


@pytest.fixture
def watched(request: pytest.FixtureRequest) -> Iterator[WatchedPage]:
    """The page that the test names; it must tell no errors, from its opening on."""
    page: WatchedPage = request.getfixturevalue(request.param)
    yield page
    told, page.errors = page.errors, []
    assert told == []


def on(*pages: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("watched", pages, indirect=True)


every_widget = pytest.mark.parametrize("name", SHOWCASES)


@on("lab_page", "voila_page")
@pytest.mark.parametrize(("name", "flow"), FLOWS)
def test_a_flow(watched: WatchedPage, name: str, flow: str) -> None:
    widget = watched.widget(name)
    for step in SHOWCASES[name].flows[flow]:
        before = widget.pictures()
        take(widget, step)
        expect(widget.root).to_contain_text(step.says, timeout=BEGUN_MS)
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
        control.click()


@on(*PAGES)
@every_widget
def test_its_controls_have_names_and_the_tab_key_reaches_them(
    watched: WatchedPage, name: str
) -> None:
    widget = watched.widget(name)
    assert widget.nameless_controls() == []
    assert widget.unreached_by_tab() == []


@on("lab_page", "phone_page")
@every_widget
def test_no_words_of_a_control_are_cut_off(watched: WatchedPage, name: str) -> None:
    assert watched.widget(name).cut_off() == []


@on(*PAGES)
@every_widget
def test_axe_finds_nothing_serious(watched: WatchedPage, name: str) -> None:
    widget = watched.widget(name)
    keep_screenshot(widget.root, f"{name}-{watched.name}")
    assert widget.axe_findings() == []


@on("phone_page")
@every_widget
def test_it_fits_a_narrow_page(watched: WatchedPage, name: str) -> None:
    widget = watched.widget(name)
    assert widget.too_wide() == []
    page = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert watched.page.evaluate(page) == 0


@pytest.fixture
def dark_page(lab_page: WatchedPage) -> Iterator[WatchedPage]:
    """JupyterLab in its dark theme."""
    body = lab_page.page.locator("body")
    choose_from_menu(lab_page.page, "Settings", "Theme", "JupyterLab Dark")
    expect(body).to_have_attribute("data-jp-theme-light", "false")
    yield lab_page
    choose_from_menu(lab_page.page, "Settings", "Theme", "JupyterLab Light")
    expect(body).to_have_attribute("data-jp-theme-light", "true")


@every_widget
def test_axe_finds_nothing_serious_in_the_dark_theme(dark_page: WatchedPage, name: str) -> None:
    widget = dark_page.widget(name)
    keep_screenshot(widget.root, f"{name}-dark")
    assert widget.axe_findings() == []


@on("lab_page", "voila_page")
def test_a_point_is_chosen_by_click_and_moved_by_key(watched: WatchedPage) -> None:
    widget = watched.widget("FlowExplorer")
    motion = widget.root.get_by_role("application")
    before = widget.pictures()
    motion.click(position={"x": 1, "y": 1})
    expect(widget.root).to_contain_text("Column 0, row 0 of the onset.")
    widget.wait_for_other_pictures(before)
    motion.press("ArrowDown")
    expect(widget.root).to_contain_text("Column 0, row 1 of the onset.")
    motion.press("Shift+ArrowRight")
    expect(widget.root).to_contain_text("Column 10, row 1 of the onset.")
    motion.press("Escape")
    expect(widget.root).not_to_contain_text("of the onset.")
