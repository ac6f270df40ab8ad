"""Draw a small picture of each notebook from one figure of its page on the site (`make picture`).

Needs the site (`make docs`) and chromium.
"""

import shutil
from io import BytesIO
from pathlib import Path

from PIL import Image, ImageOps
from playwright.sync_api import sync_playwright

DOCS = Path(__file__).parent
PAGES = DOCS.parent / "build" / "site" / "notebooks"
OUT = DOCS / "images" / "notebooks"
SIZE = (480, 300)  # px
SETTLED_MS = 1500
WHOLE = """(figure) => {
    document.querySelectorAll("#pst-back-to-top").forEach((button) => button.remove());
    if (figure.scrollWidth > figure.clientWidth) {
        document.querySelectorAll("[class*=bd-sidebar]").forEach((bar) => bar.remove());
        figure.style.width = `${figure.scrollWidth}px`;
    }
}"""  # a figure wider than the column of the page scrolls there
MARGIN = 12  # px
FIGURES = {  # the number of the figure, from 0
    "00_quickstart": 1,
    "01_faces_and_apex": 4,
    "02_flow": 2,
    "03_motionmix": 1,
    "04_grained_mamba": 6,
    "05_loso": 1,
    "06_ablations": 0,
    "07_heatmap": 0,
    "08_results": 1,
    "09_honest_numbers": 1,
    "10_your_own_clip": 8,
    "11_ammsm": 1,
    "12_mesti_meganet": 0,
}


def main() -> None:
    OUT.mkdir(exist_ok=True)
    with sync_playwright() as started:
        options = {"executable_path": shutil.which("chromium"), "args": ["--no-sandbox"]}
        browser = started.chromium.launch(**options)
        page = browser.new_page(viewport={"width": 1000, "height": 800}, color_scheme="light")
        for name, number in FIGURES.items():
            page.goto((PAGES / f"{name}.html").as_uri())
            figure = page.locator(".figure-of-plotly, .figure-of-pictures").nth(number)
            figure.scroll_into_view_if_needed()
            figure.evaluate(WHOLE)
            page.wait_for_timeout(SETTLED_MS)
            picture = Image.open(BytesIO(figure.screenshot(timeout=120_000))).convert("RGB")
            picture = ImageOps.expand(picture, MARGIN, "white")
            fitted = ImageOps.pad(picture, SIZE, Image.Resampling.LANCZOS, color="white")
            fitted.save(OUT / f"{name}.webp", quality=80)
        browser.close()


if __name__ == "__main__":
    main()
