"""An executed notebook as a page of HTML, and the index of a folder of them.

Nothing is loaded from a network. plotly's program, 5 MB, lies beside the pages once.
"""

import html
import json
import re
from collections.abc import Iterator
from copy import deepcopy
from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2

from hmrm_lab.runtime.store import write_atomic, write_atomic_bytes
from hmrm_lab.studies.notebooks.finding import FAILED, SUFFIX, Notebook
from hmrm_lab.studies.notebooks.formulas import with_mathml
from hmrm_lab.studies.notebooks.parameters import parameters_of

FIGURE = "application/vnd.plotly.v1+json"
WIDGET = "application/vnd.jupyter.widget-view+json"
PLOTLY = "plotly.min.js"
INDEX = "index.html"
CONFIG = {"responsive": True, "displayModeBar": False}
TEMPLATES = Path(__file__).parent
_LINK = re.compile(r"(?<!!)\[([^\]]+)\]\((?!\w+:|#)([^)\s]+)\)")


def strip_widgets(content: Any) -> None:
    """Take the state of widgets out of a notebook; a line says where one was."""
    content.metadata.pop("widgets", None)
    for output in _outputs(content):
        if WIDGET in output.get("data", {}):
            name = re.match(r"\w*", output.data.get("text/plain", ""))
            shown = name[0] if name and name[0] else "Widget"
            output.data = {"text/plain": f"{shown}: interactive where a kernel runs"}


def write_page(content: Any, page: Path, *, title: str) -> Path:
    """Write an executed notebook as HTML, and plotly's program beside it if it has figures.

    Links to other notebooks lead to their pages; links to files that are not there become text;
    formulas become MathML.
    """
    from nbconvert import HTMLExporter

    shown = deepcopy(content)
    figures = [output for output in _outputs(shown) if FIGURE in output.get("data", {})]
    for number, output in enumerate(figures):
        output.data = {"text/html": _figure(output.data[FIGURE], f"figure-{number}")}
    for cell in shown.cells:
        if cell.cell_type == "markdown":
            cell.source = with_mathml(_LINK.sub(_relinked, cell.source))
    shown.metadata["title"] = title
    exporter = HTMLExporter(template_file=str(TEMPLATES / "executed.html.j2"))
    text, _ = exporter.from_notebook_node(shown, {"plotly": PLOTLY if figures else ""})
    if figures:
        _write_program(page.parent / PLOTLY)
    write_atomic(page, text)
    return page


def write_index(folder: Path) -> Path:
    """A page that lists the executed notebooks of a folder in reading order."""
    copies = [Notebook(path) for path in sorted(folder.glob(f"*{SUFFIX}"))]
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
    )
    entries = [_entry(copy) for copy in copies]
    text = environment.get_template("gallery.html.j2").render(entries=entries)
    write_atomic(folder / INDEX, text)
    return folder / INDEX


def _entry(copy: Notebook) -> dict[str, Any]:
    number = re.match(r"\d+", copy.name)
    told = copy.content.metadata.get("papermill", {})
    return {
        "number": number[0] if number else "",
        "title": copy.title,
        "promise": copy.promise,
        "seconds": told.get("duration") or 0.0,
        "profile": parameters_of(copy).get("profile", ""),
        "failed": copy.name.endswith(FAILED),
        "page": f"{copy.name}.html",
        "notebook": copy.path.name,
    }


def _figure(figure: dict[str, Any], name: str) -> str:
    """What draws a figure. `<` is written in another way, so that no text can end the script."""
    layout = figure.get("layout", {})
    meta = layout.get("meta") or {}
    style = f"height:{layout.get('height', 450)}px;"
    style += f"min-width:{meta['least_width']}px;" if meta.get("least_width") else ""
    style += f"max-width:{meta['most_width']}px;" if meta.get("most_width") else ""
    given = json.dumps([figure["data"], layout]).replace("<", "\\u003c")
    title = (layout.get("title") or {}).get("text") or "Figure"
    return (
        f'<div style="overflow-x:auto" role="group" aria-label="{html.escape(title)}">'
        f'<div id="{name}" style="{style}"></div></div>'
        f'<script>Plotly.newPlot("{name}", ...{given}, {json.dumps(CONFIG)})</script>'
    )


def _write_program(file: Path) -> None:
    """plotly's program, unless it is there already from the same version."""
    program = files("plotly").joinpath("package_data", PLOTLY).read_bytes()
    if not file.exists() or file.read_bytes() != program:
        write_atomic_bytes(file, program)


def _relinked(link: re.Match[str]) -> str:
    text, target = link.groups()
    path, mark, anchor = target.partition("#")
    if path.endswith(SUFFIX) and "/" not in path:
        return f"[{text}]({path.removesuffix(SUFFIX)}.html{mark}{anchor})"
    return text


def _outputs(content: Any) -> Iterator[Any]:
    for cell in content.cells:
        yield from cell.get("outputs", [])
