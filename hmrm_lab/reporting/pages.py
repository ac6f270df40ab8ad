"""Pages of HTML from the templates beside this file."""

import json
from typing import Any

import jinja2
from markupsafe import Markup
from plotly import graph_objects as go


def render_page(template: str, **values: Any) -> str:
    """A template with its values; text is escaped, and a value that is missing is an error."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("hmrm_lab.reporting", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template).render(**values)


def figure_box(figure: go.Figure) -> Markup:
    """A figure as a box with its JSON, which the script of the page draws."""
    meta = figure.layout.meta
    widths = f"min-width:{meta['least_width']}px;" if meta["least_width"] else ""
    widths += f"max-width:{meta['most_width']}px;" if meta["most_width"] else ""
    content = json.dumps(json.loads(figure.to_json())).replace("<", "\\u003c")
    title = figure.layout.title.text
    return Markup(
        '<div class="scroll" tabindex="0" role="group" aria-label="{}">'
        '<div class="plot" style="height:{}px;{}">'
        '<script type="application/json">{}</script></div></div>'
    ).format(title, figure.layout.height, widths, Markup(content))  # noqa: S704  "<" is escaped above
