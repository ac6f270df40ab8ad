"""`hmrm data`: licensed data sets on your own disk. Nothing is downloaded."""

from pathlib import Path
from typing import Annotated, Any

import typer

from hmrm_lab.cli.shared import FollowLinks, Json, show

app = typer.Typer(
    help="Licensed data sets: are they complete, and what can be used?",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.callback()
def data() -> None:
    """Licensed data sets on your own disk. Nothing is ever downloaded."""


@app.command()
def check(
    name: Annotated[
        str, typer.Argument(help="casme2, smic, samm, composite, casme3, mmew or fourdme.")
    ],
    root: Annotated[Path, typer.Option(help="Folder of the data set.")],
    coding: Annotated[str, typer.Option(help="Coding file below the root, if several.")] = "",
    images: Annotated[str, typer.Option(help="Folder of images below the root.")] = "",
    deep: Annotated[bool, typer.Option("--deep", help="Decode every frame.")] = False,
    follow_links: FollowLinks = False,
    html: Annotated[Path | None, typer.Option(help="HTML page to write.")] = None,
    as_json: Json = False,
) -> None:
    """Clips found against clips expected, all that is wrong with file and row, and the verdict."""
    from hmrm_lab.datasets.audit import as_dict, audit
    from hmrm_lab.reporting.data_audit import audit_text, write_audit_page
    from hmrm_lab.runtime.progress import ProgressBars
    from hmrm_lab.runtime.store import check_target

    check_target(html)
    with ProgressBars() as bars:
        result = audit(
            name,
            root,
            coding=coding,
            images=images,
            follow_links=follow_links,
            deep=deep,
            on_progress=bars.stage("clips"),
        )
    if html:
        write_audit_page(result, html)
    show(as_dict(result), audit_text(result), as_json)


def prepare(
    name: Annotated[
        str, typer.Argument(help="casme2, smic, samm, composite, casme3, mmew, fourdme; synthetic.")
    ],
    root: Annotated[Path | None, typer.Option(help="Folder of the data set.")] = None,
    preset: Annotated[str, typer.Option(help="Whose faces and flow; a run has its own.")] = (
        "default"
    ),
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", help="Setting such as faces.name=mtcnn; repeatable."),
    ] = None,
    systems: Annotated[
        str, typer.Option(help="Names with commas between: what they take of the frames, too.")
    ] = "",
    follow_links: FollowLinks = False,
    sheet: Annotated[
        Path | None, typer.Option(help="HTML page to write, to look over every clip.")
    ] = None,
    jobs: Annotated[int, typer.Option(min=0, help="Processes; 0 takes one per core.")] = 0,
    as_json: Json = False,
) -> None:
    """Faces, apex frames, flow and strain of your recordings, cached. It may be interrupted."""
    from hmrm_lab.config import load_config
    from hmrm_lab.runtime.progress import ProgressBars
    from hmrm_lab.runtime.store import check_target
    from hmrm_lab.studies.places import count_cores
    from hmrm_lab.studies.prepare import prepare as make_ready

    check_target(sheet)
    changes = [*(overrides or ()), *(["data.follow_links=true"] if follow_links else [])]
    config = load_config(preset, data=name, overrides=changes)
    names = [name.strip() for name in systems.split(",") if name.strip()]
    shared = [text for text in changes if text.startswith(("faces.", "flow."))]
    others = [load_config(preset, system=one, data=name, overrides=shared) for one in names]
    with ProgressBars() as bars:
        facts = make_ready(
            config,
            root,
            systems=others,
            jobs=jobs or count_cores(),
            sheet=sheet,
            watch=bars,
        )
    show(facts, _as_text(facts), as_json)


def _as_text(facts: dict[str, Any]) -> str:
    """A line for each fact; clips that were left out below, one line each."""
    shown = {
        name: ", ".join(f"{count} {kind}" for kind, count in value.items()) or "none"
        if isinstance(value, dict)
        else value
        for name, value in facts.items()
        if name != "left out"
    }
    lines = [f"{name:>13}  {value}" for name, value in shown.items()]
    lost = [f"  {one['clip']}: {one['why']}" for one in facts["left out"]]
    return "\n".join([*lines, *(["left out:", *lost] if lost else [])])
