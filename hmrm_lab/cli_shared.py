"""What the commands have in common: options, and the way a result is shown."""

import json
from typing import Annotated, Any

import typer

Json = Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")]


def show(result: dict[str, Any], text: str, as_json: bool) -> None:
    """The result for a program or for a person."""
    typer.echo(json.dumps(result, indent=2) if as_json else text)
