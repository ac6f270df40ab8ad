"""What the commands have in common: options, data, and the way a result is shown."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from hmrm_lab.config import ExperimentConfig
    from hmrm_lab.records import FlowSet
    from hmrm_lab.runtime.progress import ProgressBars

Json = Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")]

FollowLinks = Annotated[
    bool, typer.Option("--follow-links", help="Also read what links to other folders lead to.")
]


def show(result: dict[str, Any], text: str, as_json: bool) -> None:
    """The result for a program or for a person."""
    typer.echo(json.dumps(result, indent=2) if as_json else text)


def records(table: Any) -> list[dict[str, Any]]:
    """Rows of a DataFrame as JSON has them: null where there is no figure."""
    return list(json.loads(table.to_json(orient="records")))


def count_processes(jobs: int) -> int:
    """What `--jobs` means on the cores of this machine."""
    from hmrm_lab.runtime.processes import count_jobs

    return count_jobs(jobs)


def load_maps(
    config: "ExperimentConfig", root: Path | None, processes: int, bars: "ProgressBars"
) -> "FlowSet":
    """The maps of these settings, prepared if they are not yet."""
    from hmrm_lab.preparation import load_flowset
    from hmrm_lab.runtime.processes import end_preparation_workers

    flowset = load_flowset(
        config,
        root,
        jobs=processes,
        on_faces=bars.stage("faces"),
        on_progress=bars.stage("flow"),
    )
    end_preparation_workers()
    return flowset
