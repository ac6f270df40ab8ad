"""The site, built by Sphinx from Markdown, executed notebooks and docstrings (`make docs`).

Sources keep their places in the repository, so that a link leads to the same page here and there.
Nothing is loaded from a network: formulas are MathML, and plotly's program lies beside the pages.
"""

import json
import re
import sys
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any

import nbformat
from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.application import Sphinx

import hmrm_lab

ROOT = Path(__file__).parents[1]
EXECUTED = ROOT / "build" / "notebooks"
FIGURE, MARKDOWN = "application/vnd.plotly.v1+json", "text/markdown"
LOADS_PLOTLY = '<script src="../_static/plotly.min.js"></script>'
ARRAY = re.compile(r"[~.\w]*ndarray\[tuple\[[~.\w]*Any, \.\.\.\], [~.\w]*dtype\[[^\]]*\]\]")
INTERVAL = re.compile(r"(\S) \[([-+]?\.\d+), ([-+]?\.\d+)\]")
CONFIG = {"responsive": True, "displayModeBar": False}

project, author, copyright = "hmrm-lab", "The hmrm-lab maintainers", "the hmrm-lab maintainers"
release = hmrm_lab.__version__
root_doc = "docs/index"
include_patterns = [
    *("docs/**", "notebooks/*.ipynb", "data/README.md", "benchmarks/README.md"),
    *("CONTRIBUTING.md", "CHANGELOG.md", "hmrm_lab/*/weights/*.md"),
]
exclude_patterns = [".*", "build", "runs", "**/.ipynb_checkpoints", "**/__pycache__"]
extensions = [
    *("myst_nb", "sphinx_design", "sphinx.ext.autodoc", "sphinx.ext.napoleon"),
    "sphinx.ext.viewcode",
]

myst_heading_anchors = 4
myst_enable_extensions = ["colon_fence", "dollarmath"]
nb_execution_mode = "off"
nb_ipywidgets_js: dict[str, Any] = {}

default_role = "code"
add_module_names = False
autodoc_class_signature = "separated"  # the nouns are made by verbs
autodoc_default_options = {"exclude-members": "__init__"}
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
napoleon_custom_sections = [("Shapes", "params_style")]

html_theme = "pydata_sphinx_theme"
html_title = "hmrm-lab"
html_math_renderer = "mathml"
html_static_path = ["site.css", str(files("plotly") / "package_data" / "plotly.min.js")]
html_css_files = ["site.css"]
html_extra_path = ["to_start"]
html_show_sourcelink = False
html_copy_source = False
html_context = {"default_mode": "auto"}  # without which the theme complains in the console
html_theme_options = {
    "navbar_align": "left",
    "show_toc_level": 2,
    "secondary_sidebar_items": {"docs/**": ["page-toc"]},
    "footer_start": ["copyright"],
    "footer_end": [],
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}


def show_executed(app: Sphinx, docname: str, content: list[str]) -> None:
    """Take the executed copy of a notebook, with its figures as HTML that needs no extension."""
    if not docname.startswith("notebooks/"):
        return
    path = EXECUTED / f"{Path(docname).name}.ipynb"
    if not path.is_file():
        raise FileNotFoundError(f"{path}: `make docs` executes the notebooks first")
    app.env.note_dependency(path)
    book = nbformat.read(path, as_version=4)
    outputs = [output for cell in book.cells for output in cell.get("outputs", [])]
    for output in outputs:
        if MARKDOWN in output.get("data", {}):
            output.data[MARKDOWN] = without_links(output.data[MARKDOWN])
    figures = [output for output in outputs if FIGURE in output.get("data", {})]
    for number, output in enumerate(figures):
        drawn = figure_html(output.data[FIGURE], f"figure-{number}")
        output.data = {"text/html": drawn if number else LOADS_PLOTLY + drawn}
    content[0] = nbformat.writes(book)


def join_intervals(app: Sphinx, docname: str, content: list[str]) -> None:
    """Keep a figure of a table and its interval on one line."""
    lines = content[0].split("\n")
    joined = (INTERVAL.sub("\\1\u00a0[\\2,\u00a0\\3]", one) for one in lines)
    content[0] = "\n".join(
        new if old.startswith("|") else old for old, new in zip(lines, joined, strict=True)
    )


def without_links(markdown: str) -> str:
    """Name the files of a run, which are where the notebook was executed and nowhere else."""
    return re.sub(r"\[(.+?)\]\((.+?)\)", r"\1: `\2`", markdown)


def figure_html(figure: dict[str, Any], name: str) -> str:
    """Write what draws a figure. `<` has another spelling, so that no text ends the script."""
    layout, style = figure.get("layout", {}), figure_style(figure)
    given = json.dumps([figure["data"], layout]).replace("<", "\\u003c")
    title = escape((layout.get("title") or {}).get("text") or "Figure")
    return (
        f'<div class="figure-of-plotly" tabindex="0" role="group" aria-label="{title}">'
        f'<div id="{name}" style="{style}"></div></div>'
        f'<script>Plotly.newPlot("{name}", ...{given}, {json.dumps(CONFIG)})</script>'
    )


def figure_style(figure: dict[str, Any]) -> str:
    """Height and wishes for the width of a figure, as CSS."""
    layout = figure.get("layout", {})
    meta = layout.get("meta") or {}
    widths = {"min-width": meta.get("least_width"), "max-width": meta.get("most_width")}
    style = f"height:{layout.get('height', 450)}px;"
    return style + "".join(f"{key}:{px}px;" for key, px in widths.items() if px)


def shorten_arrays(
    app: Sphinx, what: str, name: str, value: Any, options: Any, given: str | None, back: str | None
) -> tuple[str | None, str | None]:
    """Write the types of arrays as a person would."""
    short = [text and ARRAY.sub("ndarray", text) for text in (given, back)]
    return short[0], short[1]


def head_examples(
    app: Sphinx, what: str, name: str, value: Any, options: Any, lines: list[str]
) -> None:
    """Give the examples of a docstring the heading that Napoleon knows them by."""
    first = next((number for number, line in enumerate(lines) if line.startswith(">>>")), None)
    if first is not None:
        lines[first:first] = ["Examples", "--------"]


def write_formula(self: Any, node: nodes.math | nodes.math_block) -> None:
    self.body.append(tex2mathml(node.astext(), as_block=isinstance(node, nodes.math_block)))
    raise nodes.SkipNode


def setup(app: Sphinx) -> None:
    for name in ("plot", "stats", "steps"):  # attributes of the face that autodoc takes for modules
        sys.modules[f"hmrm_lab.{name}"] = getattr(hmrm_lab, name)
    app.add_html_math_renderer("mathml", (write_formula, None), (write_formula, None))
    app.connect("source-read", show_executed)
    app.connect("source-read", join_intervals)
    app.connect("autodoc-process-docstring", head_examples, priority=400)  # before Napoleon
    app.connect("autodoc-process-signature", shorten_arrays)
