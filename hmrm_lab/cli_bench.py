"""`hmrm bench`: the performance claims, each a ratio that is measured in one run."""

import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

from hmrm_lab.cli_shared import Json
from hmrm_lab.errors import InputError

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


def bench(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME]...", help="Benchmarks; else all.")
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="One round of the smallest shapes.")
    ] = False,
    rounds: Annotated[int | None, typer.Option(min=1, help="Rounds of each side.")] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit status 1 if a bound is missed.")
    ] = False,
    out: Annotated[Path | None, typer.Option(help="JSON file to write.")] = None,
    as_json: Json = False,
) -> None:
    """Speed and memory against what is claimed: sides in turn, medians. Needs a checkout."""
    if not (BENCHMARKS / "__main__.py").is_file():
        raise InputError(
            "the benchmarks belong to a checkout and are not installed with the package",
            mend="run `make bench` in a clone of the repository",
        )
    options: list[str] = []
    for option, given in (("--quick", quick), ("--strict", strict), ("--json", as_json)):
        options += [option] if given else []
    for option, value in (("--rounds", rounds), ("--out", out)):
        options += [] if value is None else [f"{option}={value}"]
    command = [sys.executable, str(BENCHMARKS), *options, "--", *(names or [])]
    status = subprocess.run(command, check=False).returncode
    if status:
        raise typer.Exit(status)
