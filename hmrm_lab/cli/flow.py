"""`hmrm flow`, `flow-eval` and `flow-train`: optical flow, its evaluation, its pre-training."""

from pathlib import Path
from typing import Annotated

import typer

from hmrm_lab.cli.shared import Json, show

Device = Annotated[str, typer.Option(help="cpu or cuda.")]

DRAWN_EVERY = 50  # steps


def flow(
    onset: Annotated[Path, typer.Argument(help="Image of the onset frame.")],
    apex: Annotated[Path, typer.Argument(help="Image of the apex frame.")],
    method: Annotated[
        str, typer.Option(help="tvl1, farneback, dis, deepflow or gru_attention.")
    ] = "gru_attention",
    out: Annotated[
        Path | None, typer.Option(help="Flow file to write: .flo, .pfm or 16-bit .png.")
    ] = None,
    picture: Annotated[
        Path | None, typer.Option(help="Colour-wheel PNG to write (direction as hue).")
    ] = None,
    as_json: Json = False,
) -> None:
    """Optical flow between two frames."""
    from hmrm_lab.studies.flow_pair import flow_between

    result = flow_between(onset, apex, method=method, out=out, picture=picture)
    text = "\n".join(f"{name:>14}  {value}" for name, value in result.items())
    show(result, text, as_json)


def flow_eval(
    folders: Annotated[
        list[Path] | None, typer.Argument(help="Sintel, Middlebury or FlyingChairs folders.")
    ] = None,
    method: Annotated[
        list[str] | None, typer.Option(help="Flow method; repeatable. Else all of them.")
    ] = None,
    sets: Annotated[
        list[str] | None, typer.Option("--set-of-pairs", help="faces or scenes; repeatable.")
    ] = None,
    pairs: Annotated[int, typer.Option(min=1, help="Motion fields in each cell.")] = 10,
    limit: Annotated[int | None, typer.Option(min=1, help="The most pairs of a folder.")] = None,
    weights: Annotated[str, typer.Option(help="Other weights for gru_attention.")] = "",
    as_json: Json = False,
) -> None:
    """End-point and angular error, time and size of every flow method on held-out pairs."""
    from hmrm_lab.flow.endpoint_error import METHODS, TRIALS, evaluate
    from hmrm_lab.runtime.progress import ProgressBars

    chosen_sets = sets if sets is not None else ([] if folders else list(TRIALS))
    with ProgressBars() as bars:
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
    out: Annotated[Path, typer.Argument(help="Folder of checkpoint, curves and weights.")],
    preset: Annotated[str, typer.Option(help="cpu, brief, gpu or paper.")] = "cpu",
    attention: Annotated[str, typer.Option(help="steps or space (3.1.1).")] = "steps",
    seed: Annotated[int, typer.Option(min=0)] = 0,
    chairs: Annotated[Path | None, typer.Option(help="FlyingChairs (preset paper).")] = None,
    things: Annotated[Path | None, typer.Option(help="FlyingThings3D (preset paper).")] = None,
    photographs: Annotated[Path | None, typer.Option(help="Pictures for the scenes.")] = None,
    device: Device = "cpu",
) -> None:
    """Pre-train the learnt flow. Started again, it goes on from its checkpoint.

    OUT/loss.html shows the curves while it runs.
    """
    from hmrm_lab.flow.curriculum import find_preset, sources_for
    from hmrm_lab.flow.pretrain import HISTORY, pretrain
    from hmrm_lab.reporting.report import write_loss_page
    from hmrm_lab.runtime.progress import ProgressBars
    from hmrm_lab.runtime.store import check_writable
    from hmrm_lab.runtime.tensors import PROCEDURAL, UNKNOWN
    from hmrm_lab.studies.places import check_device

    check_device(device)
    check_writable(out)
    schedule = find_preset(preset, attention)
    sources = sources_for(schedule, chairs=chairs, things=things, photographs=photographs)
    with ProgressBars() as bars:

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
