"""Take the pictures of README's block: three widgets, a notebook in JupyterLab; and of a report.

`make picture` runs this, after `make demo`, whose report it shows. Needs chromium. JupyterLab
serves copies of the notebooks from a folder of its own.
"""

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.error import URLError
from urllib.request import urlopen

import nbformat.v4 as new
from PIL import Image
from playwright.sync_api import Locator, Page, sync_playwright

DOCS = Path(__file__).parent
OUT = DOCS / "images"
REPORTS = DOCS.parent / "runs" / "demo"
REPORT_WIDTH, REPORT_ENDS = 1280, "Confusion"  # px, and its last figure
PORT = 18_888
PATIENCE_MS = 900_000
SETTLED_MS = 3000
WIDTH = 860  # px of a picture
NOTEBOOK, HEADING, FIGURES = "00_quickstart", "2. Its optical flow", 3
DRAWN = """[...document.querySelectorAll(".shows-FlowExplorer canvas")].every(
    (canvas) => canvas.getContext("2d").getImageData(0, 0, 1, 1).data[3] > 0
)"""
MAKING = """
import hmrm_lab as lab
clips = lab.load("synthetic", preset="smoke")
maps = clips.maps()
"""
WIDGETS = {
    "FlowExplorer": (
        "widget = FlowExplorer(clips, methods=('dis', 'farneback'))\nwidget.magnification.value = 6"
    ),
    "MotionMixStudio": "widget = MotionMixStudio(maps, clips)",
    "ScanPlayground": "widget = ScanPlayground()",
}


def main() -> None:
    with TemporaryDirectory() as home, serving(Path(home)) as address, sync_playwright() as started:
        options = {"executable_path": shutil.which("chromium"), "args": ["--no-sandbox"]}
        browser = started.chromium.launch(**options)
        page = browser.new_page(viewport={"width": 1280, "height": 800}, color_scheme="light")
        page.set_default_timeout(PATIENCE_MS)
        run(page, address, "widgets", f".shows-{list(WIDGETS)[-1]}")
        page.set_viewport_size({"width": 1280, "height": 2000})
        page.locator(".shows-FlowExplorer canvas").nth(1).wait_for()
        page.wait_for_function(DRAWN)
        for name in WIDGETS:
            keep(page.locator(f".shows-{name}"), name)
        page.set_viewport_size({"width": 1280, "height": 800})
        run(page, address, NOTEBOOK, f":nth-match(.figure-of-pictures, {FIGURES})")
        page.get_by_role("heading", name=re.compile(HEADING)).scroll_into_view_if_needed()
        keep(page.locator("#jp-main-content-panel"), NOTEBOOK)
        keep_report(page)
        browser.close()


def keep_report(page: Page) -> None:
    """The newest report of `make demo`, as far as its confusion matrix."""
    newest = max(REPORTS.glob("hmrm-*/report.html"), key=lambda path: path.stat().st_mtime)
    page.set_viewport_size({"width": REPORT_WIDTH, "height": 2400})
    page.goto(newest.as_uri())
    page.wait_for_timeout(SETTLED_MS)
    box = page.locator(".js-plotly-plot", has_text=REPORT_ENDS).first.bounding_box()
    height = box["y"] + box["height"] if box else 1700
    shot = page.screenshot(clip={"x": 0, "y": 0, "width": REPORT_WIDTH, "height": height})
    picture = Image.open(BytesIO(shot)).convert("P", palette=Image.Palette.ADAPTIVE)
    picture.save(OUT / "report.png", optimize=True)


@contextmanager
def serving(home: Path) -> Iterator[str]:
    """Serve the quickstart and a notebook of the widgets; the address."""
    shutil.copy(DOCS.parent / "notebooks" / f"{NOTEBOOK}.ipynb", home)
    cells = [MAKING] + [
        f"from hmrm_widgets import {name}\n{code}\nwidget.add_class('shows-{name}')\nwidget"
        for name, code in WIDGETS.items()
    ]
    book = new.new_notebook(cells=[new.new_code_cell(text) for text in cells])
    book.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3"}
    (home / "widgets.ipynb").write_text(new.writes(book), encoding="utf-8")
    settings = home / "settings" / "@jupyterlab" / "apputils-extension"
    settings.mkdir(parents=True)
    quiet = '{"fetchNews": "false", "checkForUpdates": false}'
    (settings / "notification.jupyterlab-settings").write_text(quiet, encoding="utf-8")
    command = [sys.executable, "-m", "jupyterlab", "--allow-root", f"--ServerApp.root_dir={home}"]
    command += [f"--ServerApp.port={PORT}", "--ServerApp.open_browser=False"]
    command += ["--IdentityProvider.token=", "--ServerApp.ip=127.0.0.1"]
    places = {"JUPYTER_CONFIG_DIR": "config", "JUPYTERLAB_WORKSPACES_DIR": "workspaces"}
    places["JUPYTERLAB_SETTINGS_DIR"] = "settings"
    env = {**os.environ, **{name: str(home / of) for name, of in places.items()}}
    server = subprocess.Popen(command, env=env)
    try:
        wait_for(f"http://127.0.0.1:{PORT}/api", server)
        yield f"http://127.0.0.1:{PORT}"
    finally:
        server.terminate()
        server.wait()


def wait_for(url: str, server: "subprocess.Popen[bytes]") -> None:
    while server.poll() is None:
        try:
            urlopen(url, timeout=5)  # noqa: S310  the server above
        except (URLError, TimeoutError):
            time.sleep(0.5)
        else:
            return
    raise RuntimeError("JupyterLab did not start")


def run(page: Page, address: str, notebook: str, shows: str) -> None:
    """Open a notebook and run its cells, until it shows what is named by a selector of CSS."""
    page.goto(f"{address}/lab/tree/{notebook}.ipynb?reset")
    page.get_by_text(re.compile(r"^Python 3 .* \| Idle$")).wait_for()
    for item in ("Run", "Run All Cells"):
        labels = page.locator(".lm-MenuBar-itemLabel, .lm-Menu-itemLabel")
        labels.filter(has_text=re.compile(f"^{item}$"), visible=True).click()
    page.locator(shows).last.wait_for(state="attached")


def keep(what: Locator, name: str) -> None:
    what.page.wait_for_timeout(SETTLED_MS)
    picture = Image.open(BytesIO(what.screenshot())).convert("RGB")
    picture.thumbnail((WIDTH, WIDTH), Image.Resampling.LANCZOS)
    picture.save(OUT / f"{name}.webp", quality=82, method=6)


if __name__ == "__main__":
    main()
