"""Store what executed notebooks show in the notebooks themselves (`make notebooks`).

Figures, and what holds pictures, become images, which every page shows without running a script;
tables and text stay. Needs executed copies in build/notebooks, and chromium.

    python docs/store_outputs.py [NAME ...]
"""

import re
import shutil
import sys
from base64 import b64encode
from html import unescape
from importlib.resources import files
from io import BytesIO
from typing import Any

import cv2
import nbformat
import numpy as np
from conf import CONFIG, EXECUTED, FIGURE, MARKDOWN, figure_style, without_links
from nbformat.v4 import new_output
from PIL import Image
from playwright.sync_api import Page, sync_playwright
from scipy.spatial import cKDTree

from hmrm_lab.studies.notebooks.notebook import Notebook, all_notebooks, code_digest

WIDTH_PX = 760
MOST_BYTES = 50_000  # of an image: a notebook holds a score of them
PICTURED = re.compile("<(img|svg|button)")
SAMPLE = 20_000  # pixels
COLOURS, QUALITIES = (256, 160), (85, 75, 65, 50, 35)  # of PNG and, for many faces, of JPEG
STYLE = f"""
    #shown {{ width: max-content; max-width: {WIDTH_PX}px; padding: 4px; box-sizing: border-box;
        font: 13px system-ui, 'DejaVu Sans', sans-serif; color: #747b86; }}
    #shown img {{ max-width: 100%; }}
"""


def main(names: list[str]) -> None:
    with sync_playwright() as started:
        options = {"executable_path": shutil.which("chromium"), "args": ["--no-sandbox"]}
        browser = started.chromium.launch(**options)
        page = browser.new_page(viewport={"width": 1000, "height": 800}, color_scheme="light")
        page.set_content(f"<!doctype html><style>{STYLE}</style><div id='shown'></div>")
        page.add_script_tag(path=str(files("plotly") / "package_data" / "plotly.min.js"))
        for notebook in all_notebooks():
            if not names or notebook.name in names:
                store(notebook, page)
        browser.close()


def store(notebook: Notebook, page: Page) -> None:
    """Put the outputs of the executed copy into the notebook, and the name of its code."""
    book, copy = notebook.content, Notebook(EXECUTED / notebook.path.name).content
    if code_digest(book) != code_digest(copy):
        raise SystemExit(f"{notebook.name} has changed: hmrm notebooks run --out {EXECUTED}")
    cells, done = ([cell for cell in one.cells if cell.cell_type == "code"] for one in (book, copy))
    for cell, executed in zip(cells, done, strict=True):
        outputs = [output for output in executed.outputs if not is_progress(output)]
        cell.outputs = [shown(output, page) for output in outputs]
        cell.execution_count = executed.execution_count
    book.metadata["hmrm"] = {"outputs_of": code_digest(book)}
    notebook.path.write_text(nbformat.writes(book) + "\n", encoding="utf-8")


def is_progress(output: Any) -> bool:
    return output.get("data", {}).get("text/html", "").startswith("<progress")


def shown(output: Any, page: Page) -> Any:
    """The output as text, table or image."""
    data = output.get("data", {})
    drawn = data.get("text/html", "")
    if FIGURE in data:
        words = data[FIGURE]["layout"].get("title", {}).get("text", "Figure")
        image = draw(page, data[FIGURE])
    elif PICTURED.search(drawn):
        words, image = data["text/plain"], photograph(page, drawn)
    else:
        if MARKDOWN in data:
            data[MARKDOWN] = without_links(data[MARKDOWN])
        return output
    kind, content = image
    pictured = {kind: b64encode(content).decode("ascii"), "text/plain": unescape(words)}
    return new_output("display_data", pictured)


def draw(page: Page, figure: dict[str, Any]) -> tuple[str, bytes]:
    """A figure of plotly as an image, with its type."""
    style = f"width:{WIDTH_PX}px;box-sizing:border-box;{figure_style(figure)}"
    page.evaluate("style => { shown.style = style; shown.replaceChildren() }", style)
    given = [figure["data"], figure["layout"], CONFIG]
    page.evaluate("given => Plotly.newPlot(shown, ...given)", given)
    image = photographed(page)
    page.evaluate("Plotly.purge(shown)")
    return image


def photograph(page: Page, html: str) -> tuple[str, bytes]:
    """HTML with pictures in it as an image, with its type."""
    page.evaluate("html => { shown.style = ''; shown.innerHTML = html }", html)
    return photographed(page)


def photographed(page: Page) -> tuple[str, bytes]:
    page.wait_for_timeout(150)
    taken = page.locator("#shown").screenshot(omit_background=True, timeout=120_000)
    image = Image.open(BytesIO(taken)).convert("RGBA")
    for colours in COLOURS:
        file = BytesIO()
        reduced(image, colours).save(file, "png", optimize=True)
        if file.tell() <= MOST_BYTES:
            return "image/png", file.getvalue()
    paper = Image.new("RGBA", image.size, "white")
    paper.alpha_composite(image)
    for quality in QUALITIES:
        file = BytesIO()
        paper.convert("RGB").save(file, "jpeg", quality=quality, optimize=True)
        if file.tell() <= MOST_BYTES:
            break
    return "image/jpeg", file.getvalue()


def reduced(image: Image.Image, colours: int) -> Image.Image:
    """The image with a palette that serves rare colours, such as a wheel's, as well as common ones.

    Pillow's own palettes are of common colours, or know no transparency.
    """
    pixels = np.asarray(image).view(np.uint32)
    seen, places, counts = np.unique(pixels, return_inverse=True, return_counts=True)
    seen, chances = seen[:, None].view(np.uint8), counts**0.5 / (counts**0.5).sum()
    sample = seen[np.random.default_rng(0).choice(len(seen), SAMPLE, p=chances)].astype(np.float32)
    cv2.setRNGSeed(0)
    how = (cv2.TERM_CRITERIA_MAX_ITER, 10, 0), 1, cv2.KMEANS_PP_CENTERS
    palette = cv2.kmeans(sample, min(colours, len(seen)), None, *how)[2]
    palette[palette[:, 3] < 8] = 0
    palette[palette[:, 3] > 247, 3] = 255
    nearest = cKDTree(palette).query(seen)[1].astype(np.uint8)
    joined = Image.fromarray(nearest[places].reshape(pixels.shape[:2]), "P")
    joined.putpalette(np.rint(palette).astype(np.uint8).tobytes(), "RGBA")
    return joined


if __name__ == "__main__":
    main(sys.argv[1:])
