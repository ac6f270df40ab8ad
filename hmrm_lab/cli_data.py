"""`hmrm data`: licensed data sets on your own disk. Nothing is downloaded."""

from pathlib import Path
from typing import Annotated

import typer

from hmrm_lab.cli_shared import FollowLinks, Json, show

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
    from hmrm_lab.progress import ProgressBars
    from hmrm_lab.reporting.data_audit import audit_text, write_audit_page
    from hmrm_lab.store import check_target

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
