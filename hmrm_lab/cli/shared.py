"""Options that mean the same in every command, and the way a result is shown."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

RUNS = Path("runs")

Preset = Annotated[str, typer.Option(help="smoke, demo, default, paper, or a TOML file.")]
Data = Annotated[str | None, typer.Option(help="Data set: synthetic, flowmaps, or recordings.")]
Root = Annotated[Path | None, typer.Option(help="Folder of the data set.")]
Overrides = Annotated[
    list[str] | None, typer.Option("--set", help="Setting, key=value; repeatable.")
]
SystemNames = Annotated[
    str, typer.Option("--systems", help="Names with commas between (default: see above).")
]
Variants = Annotated[
    list[str] | None,
    typer.Option("--variant", help="NAME:key=value,key=value; repeatable (default: see above)."),
]
Seeds = Annotated[
    int | None, typer.Option(min=1, help="Number of seeds (default: from the preset).")
]
Rule = Annotated[
    str | None, typer.Option(help="last, inner_subjects, or oracle_test (peeks; stamped).")
]
Unseal = Annotated[
    bool,
    typer.Option(
        help="Then run the best setting, and the recipe unchanged, on all subjects. These"
        " evaluations of the test set are counted."
    ),
]
Out = Annotated[Path, typer.Option(help="Folder for run folders.")]
Jobs = Annotated[
    int, typer.Option(min=0, help="Processes of one thread; 0: one per core, or CUDA device.")
]
FollowLinks = Annotated[
    bool, typer.Option("--follow-links", help="Also read what links to other folders lead to.")
]
Json = Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")]


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
