"""What options.toml says of the options, those of all evaluations, and how a result is shown."""

import inspect
import json
import re
import sys
import textwrap
import tomllib
from collections.abc import Callable, Sequence
from functools import wraps
from pathlib import Path
from typing import Annotated, Any

import typer

RUNS = Path("runs")
METAVARS = {"Path": "PATH", "str": "TEXT", "int": "NUMBER", "float": "NUMBER"}
OPTIONS = tomllib.loads(Path(__file__).with_name("options.toml").read_text(encoding="utf-8"))


def described(command: Callable[..., None]) -> Callable[..., None]:
    """Make arguments and options of a function's parameters, as options.toml describes them.

    A command that takes overrides gets the options for settings as well, which become some.
    """
    table = OPTIONS["all"] | OPTIONS.get(command.__name__, {})
    signature = inspect.signature(command)
    added = table["settings"] if "overrides" in signature.parameters else []
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    more = [inspect.Parameter(name, kind, default="", annotation=str) for name in added]

    @wraps(command)
    def call(**given: Any) -> None:
        if "overrides" in given and command.__name__ != "settings" and sys.stderr.isatty():
            typer.echo("loading PyTorch, then the data ...", err=True)
        command(**_with_overrides(given, added))

    every = [*signature.parameters.values()]
    at = [*signature.parameters, "overrides"].index("overrides")
    parameters = [_option(one, table[one.name]) for one in (*every[:at], *more, *every[at:])]
    call.__doc__ = f"{command.__doc__}\n\n{table.get('more', '')}"
    call.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    return call


def _option(parameter: inspect.Parameter, words: Any) -> inspect.Parameter:
    more = {"help": words} if isinstance(words, str) else dict(words)
    kind: Any = typer.Argument if more.pop("argument", False) else typer.Option
    flag = [f"--{parameter.name.replace('_', '-')}"] if parameter.annotation is bool else []
    named = [kind for kind in METAVARS if kind in str(parameter.annotation)]
    if kind is typer.Option and named:
        more = {"metavar": METAVARS[named[0]], **more}
    option = kind(*more.pop("names", flag), **more)
    return parameter.replace(annotation=Annotated[parameter.annotation, option])


def _with_overrides(given: dict[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """Turn the options of these settings into overrides; a wrong split file is refused at once."""
    asked = {name: text for name in names if (text := given.pop(name))}
    if "protocol" in asked:
        from hmrm_lab.evaluation.protocols import Protocol

        Protocol(asked["protocol"]).check()
    changes = [f"{OPTIONS['places'][name]}={json.dumps(text)}" for name, text in asked.items()]
    return given | ({"overrides": [*(given["overrides"] or []), *changes]} if changes else {})


def show(result: dict[str, Any], text: str, as_json: bool) -> None:
    """Print the result, as JSON or as text in lines for a terminal."""
    lines = json.dumps(result, indent=2) if as_json else "\n".join(map(_wrapped, text.split("\n")))
    typer.echo(lines)


def _wrapped(line: str) -> str:
    """A longer line goes on below its last column; a command and a row of numbers stay whole."""
    *before, last = re.split(r"(?<=  )(?=\S)", line)  # a column is two blanks from the one before
    wrap = textwrap.TextWrapper(80, "", " " * len("".join(before)), break_on_hyphens=False)
    wrap.break_long_words = False
    whole = len(line) <= wrap.width or " " not in last or last.startswith("hmrm ")
    return line if whole else wrap.fill(line)


def records(table: Any) -> list[dict[str, Any]]:
    """Turn a DataFrame into JSON rows: null where there is no figure."""
    return list(json.loads(table.to_json(orient="records")))


def split_names(text: str) -> list[str]:
    """Split names with commas between."""
    return [name.strip() for name in text.split(",") if name.strip()]


def aligned(facts: dict[str, Any]) -> str:
    """A line for each fact, the names at the right of their column."""
    return "\n".join(f"{name:>14}  {value}" for name, value in facts.items())
