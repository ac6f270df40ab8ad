"""Notebook files: found, read, and given their parameters.

papermill only warns of a parameter that the notebook does not have: here they are checked before
anything is executed.
"""

import ast
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from hmrm_lab.errors import ConfigError, InputError, check_known, unknown_name

SUFFIX = ".ipynb"
FAILED = ".failed"  # of the copy of a notebook with faults, before the suffix
Value = str | int | float | bool
TAGS = {"parameters", "injected-parameters"}
KINDS = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}
WIDGET = "application/vnd.jupyter.widget-view+json"


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
    """Raise an `InputError` unless what executes notebooks is there."""
    for package in ("papermill", "ipykernel"):
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
        check_known(f"parameter of {notebook.name}", name, defaults)
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
    """Take the state of widgets out of a notebook; what they show as HTML stays, below a line."""
    content.metadata.pop("widgets", None)
    for output in (output for cell in content.cells for output in cell.get("outputs", [])):
        if output.get("data", {}).pop(WIDGET, None):
            name = re.match(r"\w*", output.data.get("text/plain", ""))
            words = f"{name[0] if name and name[0] else 'Widget'}: interactive where a kernel runs"
            output.data["text/plain"] = words
            if "text/html" in output.data:
                output.data["text/html"] = f"<p><i>{words}</i></p>{output.data['text/html']}"


def code_digest(content: Any) -> str:
    """Name the code of a notebook, so that it is seen whether outputs were made by it."""
    sources = [cell.source for cell in content.cells if cell.cell_type == "code"]
    return hashlib.sha256("\0".join(sources).encode()).hexdigest()[:16]
