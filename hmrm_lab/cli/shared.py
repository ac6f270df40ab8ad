"""What options.toml says of the options, those of all evaluations, and how a result is shown."""

import inspect
import json
import tomllib
from collections.abc import Callable, Sequence
from functools import wraps
from pathlib import Path
from typing import Annotated, Any

import typer

RUNS = Path("runs")
KEYWORD = inspect.Parameter.POSITIONAL_OR_KEYWORD
SETTINGS = {
    "classes": "data.classes",
    "protocol": "evaluation.protocol",
    "train_on": "evaluation.train_on",
}  # that have options of their own
OPTIONS = tomllib.loads(Path(__file__).with_name("options.toml").read_text(encoding="utf-8"))


def described(command: Callable[..., None]) -> Callable[..., None]:
    """Make arguments and options of a function's parameters, as options.toml describes them.

    Where overrides are taken, there are options for data and protocol beside them.
    """
    table = OPTIONS["all"] | OPTIONS.get(command.__name__, {})
    if "overrides" in inspect.signature(command).parameters:
        command = _with_settings(command, table.get("settings", list(SETTINGS)))
    signature, parameters = inspect.signature(command), []
    for name, parameter in signature.parameters.items():
        words = table[name]
        more = {"help": words} if isinstance(words, str) else dict(words)
        kind: Any = typer.Argument if more.pop("argument", False) else typer.Option
        flag = [f"--{name.replace('_', '-')}"] if parameter.annotation is bool else []
        option = kind(*more.pop("names", flag), **more)
        kind = Annotated[parameter.annotation, option]
        parameters.append(parameter.replace(annotation=kind))
    command.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    return command


def _with_settings(command: Callable[..., None], names: Sequence[str]) -> Callable[..., None]:
    """Give a command options for these settings, which it gets as overrides."""

    @wraps(command)
    def with_settings(**given: Any) -> None:
        asked = {name: text for name in names if (text := given.pop(name))}
        if "protocol" in asked:
            from hmrm_lab.evaluation.protocols import Protocol

            Protocol(asked["protocol"]).check_file()
        changes = [f"{SETTINGS[name]}={json.dumps(text)}" for name, text in asked.items()]
        command(**given | {"overrides": [*(given["overrides"] or []), *changes]})

    signature = inspect.signature(command)
    own = list(signature.parameters.values())
    at = [parameter.name for parameter in own].index("overrides")
    own[at:at] = [inspect.Parameter(n, KEYWORD, default="", annotation=str) for n in names]
    with_settings.__signature__ = signature.replace(parameters=own)  # type: ignore[attr-defined]
    return with_settings


def show(result: dict[str, Any], text: str, as_json: bool) -> None:
    """Print the result, as JSON or as text."""
    typer.echo(json.dumps(result, indent=2) if as_json else text)


def records(table: Any) -> list[dict[str, Any]]:
    """Turn a DataFrame into JSON rows: null where there is no figure."""
    return list(json.loads(table.to_json(orient="records")))


def split_names(text: str) -> list[str]:
    """Split names with commas between."""
    return [name.strip() for name in text.split(",") if name.strip()]


def aligned(facts: dict[str, Any]) -> str:
    """A line for each fact, the names at the right of their column."""
    return "\n".join(f"{name:>14}  {value}" for name, value in facts.items())
