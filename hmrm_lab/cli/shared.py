"""What options.toml says of the options, and the way a result is shown."""

import inspect
import json
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

RUNS = Path("runs")
OPTIONS = tomllib.loads(Path(__file__).with_name("options.toml").read_text(encoding="utf-8"))


def described(command: Callable[..., None]) -> Callable[..., None]:
    """Make arguments and options of a function's parameters, as options.toml describes them."""
    table = OPTIONS["all"] | OPTIONS.get(command.__name__, {})
    for name, parameter in inspect.signature(command).parameters.items():
        words = table[name]
        more = {"help": words} if isinstance(words, str) else dict(words)
        kind: Any = typer.Argument if more.pop("argument", False) else typer.Option
        flag = [f"--{name.replace('_', '-')}"] if parameter.annotation is bool else []
        option = kind(*more.pop("names", flag), **more)
        command.__annotations__[name] = Annotated[parameter.annotation, option]
    return command


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
