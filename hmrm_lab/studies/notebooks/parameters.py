"""Values for a notebook's parameters, checked before anything is executed.

papermill itself only warns of a name that the notebook does not have, and runs on without it.
"""

import ast
from collections.abc import Mapping
from pathlib import Path

from hmrm_lab.errors import ConfigError, InputError, unknown_name
from hmrm_lab.studies.notebooks.finding import Notebook

Value = str | int | float | bool
TAGS = {"parameters", "injected-parameters"}
KINDS = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}


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
    defaults = _known(notebook, given)
    return {name: _read(notebook, name, text, defaults[name]) for name, text in given.items()}


def check_parameters(notebook: Notebook, given: Mapping[str, Value]) -> dict[str, Value]:
    """Values as Python has them; a whole number will do for a number. Raises likewise."""
    defaults = _known(notebook, given)
    for name, value in given.items():
        _refuse_other_type(notebook, name, value, defaults[name])
    return dict(given)


def _known(notebook: Notebook, given: Mapping[str, object]) -> dict[str, Value]:
    defaults = parameters_of(notebook)
    for name in given:
        if name not in defaults:
            raise unknown_name(f"parameter of {notebook.name}", name, defaults)
    return defaults


def _assigned(source: str, path: Path) -> dict[str, Value]:
    try:
        nodes = ast.parse(source).body
    except SyntaxError as error:
        raise InputError(
            f"the cell of parameters cannot be read: {error.msg}",
            where=path,
            mend="let it hold plain assignments",
        ) from error
    found = {}
    for node in nodes:
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=written):
                value = _literal(ast.unparse(written))
                if isinstance(value, Value):
                    found[name] = value
    return found


def _read(notebook: Notebook, name: str, text: str, default: Value) -> Value:
    if isinstance(default, str):
        return text
    value = _literal({"true": "True", "false": "False"}.get(text, text))
    _refuse_other_type(notebook, name, text if value is None else value, default)
    assert isinstance(value, Value)
    return value


def _literal(text: str) -> object:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return None


def _refuse_other_type(notebook: Notebook, name: str, value: object, default: Value) -> None:
    allowed = (int, float) if type(default) is float else (type(default),)
    if type(value) not in allowed:
        raise ConfigError(
            f"'{value}' is no value for the parameter '{name}' of {notebook.name}",
            mend=f"it is {KINDS[type(default)]}, such as {default!r}",
        )
