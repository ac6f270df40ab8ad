"""`hmrm data`, `prepare`, `doctor`, `flow`: your data sets, this machine, optical flow."""

import importlib.util
import os
import platform
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from hmrm_lab.cli.shared import OPTIONS, aligned, described, show, split_names
from hmrm_lab.errors import InputError

DRAWN_EVERY = 50  # steps

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def data() -> None:
    """Check, list and export recordings. Nothing is downloaded."""


@app.command()
@described
def check(
    name: str,
    root: Path,
    classes: str = "megc3",
    coding: str = "",
    images: str = "",
    table: str = "",
    deep: bool = False,
    follow_links: bool = False,
    html: Path | None = None,
    as_json: bool = False,
) -> None:
    """Check a data set: clips found, clips expected, what is wrong."""
    from hmrm_lab.datasets.audit import as_dict, audit
    from hmrm_lab.reporting.recording_pages import audit_text, write_audit_page
    from hmrm_lab.runtime.progress import progress_bars
    from hmrm_lab.runtime.store import check_target

    check_target(html)
    with progress_bars() as bars:
        result = audit(
            name,
            root,
            classes=classes,
            coding=coding,
            images=images,
            table=table,
            follow_links=follow_links,
            deep=deep,
            on_progress=bars.stage("clips"),
        )
    if html:
        write_audit_page(result, html)
    show(as_dict(result), audit_text(result), as_json)


@app.command()
@described
def template(file: Path = Path("clips.csv")) -> None:
    """Write a commented table to list your own recordings in."""
    from hmrm_lab.datasets.recordings.manifest import write_template

    write_template(file)
    typer.echo(f"{file}  change its rows, then `hmrm data check manifest --root FOLDER`")


@app.command()
@described
def export(
    name: str,
    file: Path,
    root: Path | None = None,
    overrides: list[str] | None = None,
    as_json: bool = False,
) -> None:
    """Write a data set as a table of clips, a manifest."""
    import hmrm_lab as lab
    from hmrm_lab.config import load_config
    from hmrm_lab.preparation import require_clips

    config = load_config("default", data=name, overrides=overrides or ())
    clips = lab.Clips(config, root, require_clips(config, root))
    clips.export(file)
    options = f"--root {root or file.parent} --table {file.resolve()}"
    facts = {"clips": len(clips), "read it with": f"hmrm data check manifest {options}"}
    show(facts, aligned(facts), as_json)


def prepare(
    name: str,
    root: Path | None = None,
    preset: str = "default",
    overrides: list[str] | None = None,
    systems: str = "",
    follow_links: bool = False,
    sheet: Path | None = None,
    jobs: int = 0,
    as_json: bool = False,
) -> None:
    """Compute faces, apex frames, flow and strain of recordings."""
    import hmrm_lab as lab
    from hmrm_lab.config import load_config
    from hmrm_lab.runtime.store import check_target

    check_target(sheet)
    changes = [*(overrides or ()), *(["data.follow_links=true"] if follow_links else [])]
    clips = lab.Clips(load_config(preset, data=name, overrides=changes), root)
    shared = [text for text in changes if text.startswith(("faces.", "flow."))]
    others = [
        load_config(preset, system=one, data=name, overrides=shared) for one in split_names(systems)
    ]
    facts: Any = lab.prepare(clips, systems=others, sheet=sheet, jobs=jobs).to_dict()
    shown = dict(facts)
    lost = [f"  {one['clip']}: {one['why']}" for one in shown.pop("left out")]
    for fact, value in facts.items():
        if isinstance(value, dict):
            shown[fact] = ", ".join(f"{count} {kind}" for kind, count in value.items()) or "none"
    text = "\n".join([aligned(shown), *(["left out:", *lost] if lost else [])])
    show(facts, text, as_json)


def doctor(gpu: bool = False, as_json: bool = False) -> None:
    """Check the packages and the hardware of this machine."""
    every = _examine()
    if gpu:
        from hmrm_lab.studies.gpu_checks import examine

        every = examine("cuda:0")
    checks = [dict(zip(("name", "state", "detail"), found, strict=True)) for found in every]
    marks = {"ok": "ok     ", "missing": "missing", "failed": "FAILED "}
    lines = [f"{marks[c['state']]}  {c['name']:<12} {c['detail']}".rstrip() for c in checks]
    show({"checks": checks}, "\n".join(lines), as_json)
    if any(check["state"] == "failed" for check in checks):
        raise typer.Exit(1)


def _examine() -> Iterator[tuple[str, str, str]]:
    """Name, state (ok, missing, failed) and detail of each thing."""
    import torch

    from hmrm_lab.runtime.processes import count_cores
    from hmrm_lab.runtime.store import cache_folder, nearest_folder

    yield "python", "ok", f"{platform.python_version()} on {platform.machine()}"
    yield "torch", "ok", torch.__version__
    yield "cores", "ok", f"{count_cores()}; `hmrm run` starts one process of one thread for each"
    device = torch.cuda.get_device_name(0) if torch.cuda.is_available() else ""
    words = "nothing needs it; training takes the CPU"
    yield "cuda", "ok" if device else "missing", device or words
    existing = nearest_folder(cache_folder())
    if os.access(existing, os.W_OK):
        free_gb = shutil.disk_usage(existing).free / 1e9
        yield "cache", "ok", f"{cache_folder()}, {free_gb:.0f} GB free"
    else:
        yield "cache", "failed", f"{existing} is not writable; set HMRM_CACHE to a folder"
    for name, purpose in OPTIONS["packages"].items():
        found = importlib.util.find_spec(name) is not None
        yield name, "ok" if found else "missing", "" if found else purpose
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    words = "browser tests and image export"
    yield "chromium", "ok" if chromium else "missing", chromium or words


def flow(
    onset: Path,
    apex: Path,
    method: str = "gru_attention",
    out: Path | None = None,
    picture: Path | None = None,
    as_json: bool = False,
) -> None:
    """Compute the optical flow between two images."""
    import numpy as np

    from hmrm_lab.datasets.flow_pairs.stored import check_suffix, write_flow
    from hmrm_lab.datasets.images import read_image
    from hmrm_lab.flow.estimator import SMALLEST_SIDE
    from hmrm_lab.registry import flows
    from hmrm_lab.reporting.drawing import flow_to_rgb, png_bytes
    from hmrm_lab.runtime.store import check_target, write_atomic_bytes

    estimator = flows[method]
    if out is not None:
        check_suffix(out)
    if picture is not None and picture.suffix != ".png":
        raise InputError(f"picture '{picture.name}' is not .png", hint="name a .png file")
    check_target(out, picture)
    first, second = read_image(onset), read_image(apex)
    sizes = [f"{frame.shape[1]}x{frame.shape[0]}" for frame in (first, second)]
    if min(first.shape[:2]) < SMALLEST_SIDE:
        hint = f"give at least {SMALLEST_SIDE}x{SMALLEST_SIDE}"
        raise InputError(f"a frame of {sizes[0]} pixels", where=onset, hint=hint)
    if first.shape != second.shape:
        problem = f"onset ({sizes[0]} pixels) and apex ({sizes[1]}) differ in size"
        raise InputError(problem, where=apex, hint="crop both frames alike")
    flow_px = estimator.build()(first[None], second[None])[0]
    length = np.hypot(*flow_px)
    result = {
        "method": method,
        "size": f"{flow_px.shape[2]}x{flow_px.shape[1]} px",
        "mean_px": round(float(length.mean()), 4),
        "largest_px": round(float(length.max()), 4),
    }
    if out is not None:
        write_flow(out, flow_px)
        result["flow"] = str(out)
    if picture is not None:
        write_atomic_bytes(picture, png_bytes(flow_to_rgb(flow_px)))
        result["picture"] = str(picture)
    show(result, aligned(result), as_json)


def flow_eval(
    folders: list[Path] | None = None,
    method: list[str] | None = None,
    sets: list[str] | None = None,
    pairs: int = 10,
    limit: int | None = None,
    weights: str = "",
    as_json: bool = False,
) -> None:
    """Measure error and time of the flow methods."""
    from hmrm_lab.flow.endpoint_error import METHODS, TRIALS, evaluate
    from hmrm_lab.runtime.progress import progress_bars

    chosen_sets = sets if sets is not None else ([] if folders else list(TRIALS))
    with progress_bars() as bars:
        measured = evaluate(
            methods=method or METHODS,
            sets=chosen_sets,
            folders=folders or [],
            pairs=pairs,
            limit=limit,
            weights=weights,
            on_trial=lambda done: bars("pairs", done, 0),
        )
    show(measured.as_json(), measured.as_text(), as_json)


def flow_train(
    out: Path,
    preset: str = "cpu",
    attention: str = "steps",
    seed: int = 0,
    chairs: Path | None = None,
    things: Path | None = None,
    photographs: Path | None = None,
    device: str = "cpu",
) -> None:
    """Train the learnt flow estimator."""
    from hmrm_lab.flow.pretrain import HISTORY, find_preset, pretrain, sources_for
    from hmrm_lab.reporting.report import write_loss_page
    from hmrm_lab.runtime.processes import check_device
    from hmrm_lab.runtime.progress import progress_bars
    from hmrm_lab.runtime.store import PROCEDURAL, UNKNOWN, check_writable

    check_device(device)
    check_writable(out)
    schedule = find_preset(preset, attention)
    sources = sources_for(schedule, chairs=chairs, things=things, photographs=photographs)
    with progress_bars() as bars:

        def tell(step: int, steps: int, loss: float) -> None:
            bars("steps", step, steps)
            if step % DRAWN_EVERY == 0 or step == steps:
                write_loss_page(out / HISTORY, out / "loss.html", steps)

        weights = pretrain(
            schedule,
            out,
            sources,
            seed=seed,
            device=device,
            subjects=[PROCEDURAL, *([UNKNOWN] if photographs else [])],
            on_step=tell,
        )
    typer.echo(f"weights  {weights}")
