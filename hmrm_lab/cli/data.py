"""`hmrm data`, `prepare` and `doctor`: licensed data sets on your own disk, and this machine."""

import importlib.util
import os
import platform
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from hmrm_lab.cli.shared import (
    FollowLinks,
    Jobs,
    Json,
    Overrides,
    Preset,
    Root,
    SystemNames,
    show,
    split_names,
)

OPTIONAL = {
    "mamba_ssm": "model.scan=mamba_ssm on a GPU; nothing else needs it",
    "dlib": "68 landmarks of recorded faces (extra: faces)",
    "jupyterlab": "notebooks (extra: jupyter)",
    "papermill": "headless notebooks (extra: jupyter)",
    "optuna": "searches over settings (extra: sweep)",
    "distributed": "runs on a cluster (extra: cluster)",
    "tensorboard": "loss curves while a run goes on (extra: curves)",
    "playwright": "browser tests (extra: browser)",
}

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
    from hmrm_lab.reporting.recording_pages import audit_text, write_audit_page
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
    root: Root = None,
    preset: Preset = "default",
    overrides: Overrides = None,
    systems: SystemNames = "",
    follow_links: FollowLinks = False,
    sheet: Annotated[
        Path | None, typer.Option(help="HTML page to write, to look over every clip.")
    ] = None,
    jobs: Jobs = 0,
    as_json: Json = False,
) -> None:
    """Faces, apex frames, flow and strain of your recordings, cached. It may be interrupted.

    Faces and flow are those of the preset. With --systems, what these take of the frames, too.
    """
    from hmrm_lab.config import load_config
    from hmrm_lab.runtime.processes import count_cores
    from hmrm_lab.runtime.progress import ProgressBars
    from hmrm_lab.runtime.store import check_target
    from hmrm_lab.studies.prepare import prepare as make_ready

    check_target(sheet)
    changes = [*(overrides or ()), *(["data.follow_links=true"] if follow_links else [])]
    config = load_config(preset, data=name, overrides=changes)
    shared = [text for text in changes if text.startswith(("faces.", "flow."))]
    others = [
        load_config(preset, system=one, data=name, overrides=shared) for one in split_names(systems)
    ]
    with ProgressBars() as bars:
        facts = make_ready(
            config, root, systems=others, jobs=jobs or count_cores(), sheet=sheet, watch=bars
        )
    show(facts, _as_text(facts), as_json)


def doctor(as_json: Json = False) -> None:
    """Packages and hardware of this machine: found or missing, and what each is needed for."""
    checks = [
        {"name": name, "state": state, "detail": detail} for name, state, detail in _examine()
    ]
    marks = {"ok": "ok     ", "missing": "missing", "failed": "FAILED "}
    lines = [f"{marks[c['state']]}  {c['name']:<24} {c['detail']}" for c in checks]
    show({"checks": checks}, "\n".join(lines), as_json)
    if any(check["state"] == "failed" for check in checks):
        raise typer.Exit(1)


def _examine() -> Iterator[tuple[str, str, str]]:
    """Name, state (ok, missing, failed) and detail of each thing."""
    import torch

    from hmrm_lab.runtime.processes import count_cores
    from hmrm_lab.runtime.store import cache_folder

    python = "ok" if sys.version_info >= (3, 11) else "failed"
    yield "python", python, f"{platform.python_version()} on {platform.machine()}"
    yield "torch", "ok", torch.__version__
    words = "`hmrm run` starts one process of one thread for each"
    yield "cores", "ok", f"{count_cores()}; {words}"
    if torch.cuda.is_available():
        yield "cuda", "ok", torch.cuda.get_device_name(0)
    else:
        yield "cuda", "missing", "nothing needs it; training takes the CPU"
    folder = cache_folder().absolute()
    existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
    if os.access(existing, os.W_OK):
        free_gb = shutil.disk_usage(existing).free / 1e9
        yield "cache", "ok", f"{cache_folder()}, {free_gb:.0f} GB free"
    else:
        yield "cache", "failed", f"{existing} is not writable; set HMRM_CACHE to a folder"
    for name, purpose in OPTIONAL.items():
        found = importlib.util.find_spec(name) is not None
        yield name, "ok" if found else "missing", "" if found else purpose
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    state = "ok" if chromium else "missing"
    yield "chromium", state, chromium or "browser tests and image export"


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
