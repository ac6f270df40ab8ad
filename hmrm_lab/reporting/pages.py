"""Pages of HTML from the templates beside this file."""

from typing import Any

import jinja2


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
