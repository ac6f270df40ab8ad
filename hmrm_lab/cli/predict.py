"""`hmrm predict`: one recording of one's own, and what a run's system makes of it."""

from pathlib import Path
from typing import Annotated

import typer

from hmrm_lab.cli.shared import FollowLinks, Json, show

Frame = typer.Option(min=0, help="Frame number, counted from 0.")


def predict(
    clip: Annotated[Path, typer.Argument(help="Folder of frames, or a video file.")],
    run: Annotated[
        Path | None,
        typer.Option(
            help="Run folder; else the newest of HMRM below runs/ with a model, else of any system."
        ),
    ] = None,
    onset: Annotated[int, Frame] = 0,
    apex: Annotated[int | None, typer.Option(min=0, help="Else it is spotted.")] = None,
    offset: Annotated[int | None, typer.Option(min=0, help="Else the last frame.")] = None,
    faces: Annotated[
        str | None, typer.Option(help="dlib, mtcnn, or template for clips cropped to the face.")
    ] = None,
    face: Annotated[
        int | None,
        typer.Option(
            min=1, help="Which of several, from the left; else the largest in the middle."
        ),
    ] = None,
    picture: Annotated[
        Path | None, typer.Option(help="PNG to write; else NAME.hmrm.png where you are.")
    ] = None,
    follow_links: FollowLinks = False,
    as_json: Json = False,
) -> None:
    """Class probabilities of one recording, what they are worth, and the regions behind them.

    Exit status 1: no answer, as where onset or apex shows no face.
    """
    from hmrm_lab.reporting.recording_pages import check_png, prediction_text, write_prediction
    from hmrm_lab.runtime.store import check_target
    from hmrm_lab.studies.predict import find_run, predict_recording

    target = check_png(picture or Path(f"{clip.resolve().stem}.hmrm.png"))
    check_target(target)
    result = predict_recording(
        clip,
        find_run(run),
        onset=onset,
        apex=apex,
        offset=offset,
        provider=faces,
        follow_links=follow_links,
        face=face or 0,
    )
    written = write_prediction(result, target)
    facts = {**result.as_dict(), "picture": str(written)}
    show(facts, prediction_text(result, written), as_json)
    if not result.answered:
        raise typer.Exit(1)
