"""`hmrm flow`, `flow-eval` and `flow-train`: optical flow, its evaluation, its pre-training."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hmrm_lab.cli.shared import Json, show
from hmrm_lab.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Frame = NDArray[np.uint8]

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
    import numpy as np

    from hmrm_lab.datasets.flow_pairs.stored import check_suffix, write_flow
    from hmrm_lab.datasets.images import read_image
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
    _check_sizes(onset, first, apex, second)
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
    from hmrm_lab.flow.pretrain import HISTORY, find_preset, pretrain, sources_for
    from hmrm_lab.reporting.report import write_loss_page
    from hmrm_lab.runtime.processes import check_device
    from hmrm_lab.runtime.progress import ProgressBars
    from hmrm_lab.runtime.store import PROCEDURAL, UNKNOWN, check_writable

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


def _check_sizes(onset: Path, first: "Frame", apex: Path, second: "Frame") -> None:
    """Refuse frames that are too small or differ in size, with the name of the file."""
    from hmrm_lab.flow.estimator import SMALLEST_SIDE

    sizes = [f"{frame.shape[1]}x{frame.shape[0]}" for frame in (first, second)]
    if min(first.shape[:2]) < SMALLEST_SIDE:
        hint = f"give at least {SMALLEST_SIDE}x{SMALLEST_SIDE}"
        raise InputError(f"a frame of {sizes[0]} pixels", where=onset, hint=hint)
    if first.shape != second.shape:
        problem = f"onset ({sizes[0]} pixels) and apex ({sizes[1]}) differ in size"
        raise InputError(problem, where=apex, hint="crop both frames alike")
