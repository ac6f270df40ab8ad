"""Notebook files: found, given their parameters, and shown as pages of HTML with an index.

papermill only warns of a parameter that the notebook does not have: here they are checked before
anything is executed. A page loads nothing from a network: plotly's program, 5 MB, lies beside the
pages once, and formulas are MathML.
"""

import ast
import html
import json
import re
from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import jinja2

from hmrm_lab.errors import ConfigError, InputError, unknown_name
from hmrm_lab.runtime.store import write_atomic, write_atomic_bytes

TEMPLATES = Path(__file__).parent
SUFFIX = ".ipynb"
FAILED = ".failed"  # of the copy of a notebook with faults, before the suffix
Value = str | int | float | bool
TAGS = {"parameters", "injected-parameters"}
KINDS = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}
FIGURE = "application/vnd.plotly.v1+json"
WIDGET = "application/vnd.jupyter.widget-view+json"
PLOTLY = "plotly.min.js"
INDEX = "index.html"
CONFIG = {"responsive": True, "displayModeBar": False}
_LINK = re.compile(r"(?<!!)\[([^\]]+)\]\((?!\w+:|#)([^)\s]+)\)")
_FORMULA = re.compile(
    r"(?P<code>```.*?```|`[^`\n]*`)"
    r"|\$\$(?P<block>.+?)\$\$"
    r"|(?<![\\\w$])\$(?=[^\s$])(?P<inline>[^$\n]*?[^\s$\\])\$(?![\w$])",
    re.DOTALL,
)


@dataclass(frozen=True)
class Notebook:
    """A notebook file, read when it is asked for something."""

    path: Path

    @property
    def name(self) -> str:
        return self.path.stem

    @cached_property
    def content(self) -> Any:
        """The notebook as nbformat reads it. Raises `InputError` if it is none."""
        _require_package("nbformat")
        import nbformat

        try:
            return nbformat.read(self.path, as_version=4)
        except (ValueError, KeyError, AttributeError, nbformat.ValidationError) as error:
            hint = "open it in JupyterLab to see why"
            raise InputError("this is no notebook", where=self.path, hint=hint) from error

    @property
    def title(self) -> str:
        found = re.search(r"^# +(.+)$", self._opening, re.MULTILINE)
        return found[1].strip() if found else self.name

    @property
    def promise(self) -> str:
        """The sentence that says what the reader will see, or nothing."""
        found = re.search(r"^You will see .*?[.!](?=\s|$)", self._opening, re.MULTILINE | re.DOTALL)
        return " ".join(found[0].split()) if found else ""

    @property
    def _opening(self) -> str:
        return "\n".join(
            cell.source for cell in self.content.cells[:4] if cell.cell_type == "markdown"
        )


def all_notebooks() -> list[Notebook]:
    """The notebooks installed with the package, or those of the checkout, in reading order."""
    installed, checkout = (Path(__file__).parents[up] / "notebooks" for up in (2, 3))
    folder = installed if installed.is_dir() else checkout
    return [Notebook(path) for path in sorted(folder.glob(f"*{SUFFIX}"))]


def find_notebooks(names: list[str]) -> list[Notebook]:
    """Find notebooks by name, each once; all of them if none is named.

    A name is a number (`05`, `5`), a name (`05_loso`), a file's name, or a path to any notebook.
    Raises `ConfigError` for a name that there is not, and `InputError` for a path.
    """
    known = {notebook.name: notebook for notebook in all_notebooks()}
    found = {found.path.resolve(): found for found in (_find(name, known) for name in names)}
    return list(found.values()) if names else list(known.values())


def require_extra() -> None:
    """Raise an `InputError` unless what executes and shows notebooks is there."""
    for package in ("papermill", "nbconvert", "ipykernel", "latex2mathml"):
        _require_package(package)


def _require_package(package: str) -> None:
    if find_spec(package) is None:
        hint = "pip install 'hmrm-lab[jupyter]'"
        raise InputError(f"the package '{package}' is not installed", hint=hint)


def _find(name: str, known: dict[str, Notebook]) -> Notebook:
    stem = name.removesuffix(SUFFIX)
    if stem in known:
        return known[stem]
    for key, notebook in known.items():
        if stem.isdecimal() and key.startswith(f"{int(stem):02d}_"):
            return notebook
    if Path(name).is_file() and name.endswith(SUFFIX):
        return Notebook(Path(name))
    if Path(name).name != name:
        raise InputError("there is no such notebook", where=name, hint="`hmrm notebooks list`")
    raise unknown_name("notebook", name, known)


def parameters_of(notebook: Notebook) -> dict[str, Value]:
    """Names and values of the parameters; in an executed copy, those that it was given."""
    values: dict[str, Value] = {}
    for cell in notebook.content.cells:
        if TAGS & set(cell.metadata.get("tags", [])):
            values |= _assigned(cell.source, notebook.path)
    return values


def read_parameters(notebook: Notebook, given: Mapping[str, str]) -> dict[str, Value]:
    """Values as they are typed on a command line, each read as its default's type is written.

    Raises `ConfigError` for an unknown name, or a value of another type.
    """
    defaults = parameters_of(notebook)
    values: dict[str, Value] = {}
    for name, text in given.items():
        if name not in defaults:
            raise unknown_name(f"parameter of {notebook.name}", name, defaults)
        default, value = defaults[name], text
        if not isinstance(default, str):
            value = _literal({"true": "True", "false": "False"}.get(text, text))
        allowed = (int, float) if type(default) is float else (type(default),)
        if type(value) not in allowed:
            problem = f"'{text}' is no value for the parameter '{name}' of {notebook.name}"
            raise ConfigError(problem, hint=f"it is {KINDS[type(default)]}, such as {default!r}")
        values[name] = value
    return values


def _assigned(source: str, path: Path) -> dict[str, Value]:
    try:
        nodes = ast.parse(source).body
    except SyntaxError as error:
        problem = f"the cell of parameters cannot be read: {error.msg}"
        raise InputError(problem, where=path, hint="let it hold plain assignments") from error
    written = {
        node.targets[0].id: _literal(ast.unparse(node.value))
        for node in nodes
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
    }
    return {name: value for name, value in written.items() if isinstance(value, Value)}


def _literal(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return None


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

    Links to other notebooks lead to their pages; links to other files become text.
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
        program = files("plotly").joinpath("package_data", PLOTLY).read_bytes()
        beside = page.parent / PLOTLY
        if not beside.exists() or beside.read_bytes() != program:  # or of another version
            write_atomic_bytes(beside, program)
    write_atomic(page, text)
    return page


def write_index(folder: Path) -> Path:
    """Write the page that lists the executed notebooks of a folder in reading order."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES), autoescape=True, undefined=jinja2.StrictUndefined
    )
    entries = [
        {
            "number": "".join(re.findall(r"^\d+", copy.name)),
            "book": copy,
            "seconds": copy.content.metadata.get("papermill", {}).get("duration") or 0.0,
            "profile": parameters_of(copy).get("profile", ""),
            "failed": copy.name.endswith(FAILED),
        }
        for copy in map(Notebook, sorted(folder.glob(f"*{SUFFIX}")))
    ]
    text = environment.get_template("gallery.html.j2").render(entries=entries)
    write_atomic(folder / INDEX, text)
    return folder / INDEX


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


def _relinked(link: re.Match[str]) -> str:
    text, target = link.groups()
    path, mark, anchor = target.partition("#")
    if path.endswith(SUFFIX) and "/" not in path:
        return f"[{text}]({path.removesuffix(SUFFIX)}.html{mark}{anchor})"
    return text


def _outputs(content: Any) -> Iterator[Any]:
    for cell in content.cells:
        yield from cell.get("outputs", [])


def with_mathml(markdown: str) -> str:
    """The text with `$...$` and `$$...$$` as MathML; code, and a lone dollar, stay as they are."""
    return _FORMULA.sub(_converted, markdown)


def _converted(found: re.Match[str]) -> str:
    from latex2mathml.converter import convert

    if found["code"]:
        return found[0]
    if found["block"]:
        return str(convert(found["block"].strip(), display="block"))
    return str(convert(found["inline"]))
