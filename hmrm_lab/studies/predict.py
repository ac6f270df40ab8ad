"""A new recording through a run's system: face, apex, flow, probabilities, regions."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch

from hmrm_lab.config import ExperimentConfig
from hmrm_lab.config.sections import FacesConfig
from hmrm_lab.datasets.recordings.findings import Finding, shown
from hmrm_lab.datasets.recordings.manifest import frame_number
from hmrm_lab.errors import InputError
from hmrm_lab.evaluation.metrics import calibration_words
from hmrm_lab.evaluation.recording_prediction import ELSEWHERE, RecordingPrediction, occlusion_falls
from hmrm_lab.evaluation.summary import collect_predictions, is_smoke, stamp
from hmrm_lab.faces.landmarks import part_masks, reduce_masks
from hmrm_lab.flow.motion_maps import still_outside
from hmrm_lab.preparation import compute_flowset, reads_past_apex, reduce_frames, with_whole_clips
from hmrm_lab.preparation.cache import no_progress
from hmrm_lab.preparation.clip_arrays import MAP_SIDE_PX
from hmrm_lab.preparation.crops import crop_clip, face_provider
from hmrm_lab.records import CHANNELS, PX, Clip, FlowSet, probability_columns
from hmrm_lab.registry import providers
from hmrm_lab.runtime.store import RunFolder
from hmrm_lab.studies.prepare import recording_clip
from hmrm_lab.training.system_inputs import FineTuned
from hmrm_lab.training.trainer import MODEL_NAME, Fitted, load_model

STILL = "Nothing seems to move between onset and offset; the apex is a guess."


class Asked(NamedTuple):
    """Whose answers are asked for, and who finds the faces."""

    config: ExperimentConfig
    run: str
    fitted: Fitted
    faces: FacesConfig


def find_run(path: Path | None = None, runs: Path = Path("runs")) -> RunFolder:
    """The run of this folder, or the newest below `runs` with a model, HMRM's before others.

    Those on ready-made maps, which cannot answer for a recording, come last. Raises `InputError` if
    there is none, or it has no model.
    """
    if path is None:
        known = [RunFolder(file.parent) for file in runs.rglob(MODEL_NAME)]
        usable = [run for run in known if run.config_file.is_file()]
        if not usable:
            hint = "make one with `hmrm demo`, or name a run with --run"
            raise InputError("no run with a model here", where=runs, hint=hint)
        return max(
            usable,
            key=lambda run: (
                not _is_ready_made(run),
                run.config().model.name == "hmrm",
                (run.path / MODEL_NAME).stat().st_mtime_ns,
            ),
        )
    run = RunFolder.open(path)
    if not (run.path / MODEL_NAME).is_file():
        if run.config().evaluation.control != "none":
            raise InputError("a control run keeps no model", where=path, hint="name another run")
        hint = "give its `hmrm run` command again, which adds one; finished folds are kept"
        raise InputError("this run has no model", where=path, hint=hint)
    return run


def predict_recording(
    path: Path,
    run: RunFolder,
    *,
    onset: int = 0,
    apex: int | None = None,
    offset: int | None = None,
    provider: str | None = None,
    follow_links: bool = False,
    face: int = 0,
) -> RecordingPrediction:
    """Class probabilities of a recording with what they rest on and what they are worth.

    Where they would mean nothing, as without a face in the onset, the system is not asked. The apex
    is spotted if not given; with a given one, nothing after it is read unless the system needs it.
    `provider` finds faces, else that of the run; `face` is which one of several, counted from the
    left, from 1; 0 takes the largest nearest the middle.

    Raises `InputError` if the recording, the frame numbers, `face` or the run's model cannot be
    used.
    """
    asked = _ask(run, provider, face)
    whole = reads_past_apex(asked.config) or apex is None
    last = offset if whole else offset or apex
    clip = recording_clip(path, onset=onset, apex=apex, offset=last, follow_links=follow_links)
    seen = _predict(clip, asked, shown(path), clip.offset if whole or offset else None)
    if not seen.answered:
        return seen
    sentences = [
        calibration_words(collect_predictions(run), float(seen.probabilities.max())),
        *_of_run(asked.config, run, seen.classes),
        getattr(clip.frames, "note", ""),
        STILL if seen.apex_is == "guessed" else "",
    ]
    return replace(seen, caveats=tuple(sentence for sentence in sentences if sentence))


def predict_clips(
    clips: Sequence[Clip],
    run: RunFolder,
    *,
    lost: Sequence[Finding] = (),
    provider: str | None = None,
    face: int = 0,
    on_progress: Callable[[int, int], None] = no_progress,
) -> pd.DataFrame:
    """Class probabilities of many clips, with a label or without: one row each.

    Columns: data set, subject, clip, the class of the label, the prediction, `p_*`, the apex (as in
    a manifest) and whether it was given, spotted or guessed, face, warnings, and the problem of
    a clip without an answer. `lost` are clips of the table that could not be read. What the answers
    are worth is in `attrs["caveats"]`.
    """
    asked = _ask(run, provider, face)
    face_provider(asked.faces)
    shares = probability_columns(asked.fitted.classes)
    rows: list[dict[str, Any]] = []
    for done, clip in enumerate(clips, start=1):
        row = {**clip.key._asdict(), "label": clip.expression, "prediction": "", "problem": ""}
        try:
            seen = _predict(replace(clip, label=0), asked, clip.key.clip, clip.offset)
        except InputError as error:
            rows.append(row | {"problem": str(error)})
        else:
            row |= {"prediction": seen.answer if seen.answered else "", "face": seen.face}
            row |= {"apex": frame_number(clip, seen.apex), "apex is": seen.apex_is}
            row["warnings"] = " ".join(warning.sentence for warning in seen.warnings)
            rows.append(row | dict(zip(shares, seen.probabilities, strict=True)))
        on_progress(done, len(clips))
    for finding in lost:
        key = finding.clip._asdict() if finding.clip else {}
        rows.append({**key, "prediction": "", "problem": str(finding)})
    columns = ["dataset", "subject", "clip", "label", "prediction", *shares]
    columns += ["apex", "apex is", "face", "warnings", "problem"]
    table = pd.DataFrame(rows, columns=columns).astype({"apex": "Int64"})
    caveats = _of_run(asked.config, run, asked.fitted.classes)
    table.attrs = {"run": str(run.path), "caveats": caveats}
    return table


def _ask(run: RunFolder, provider: str | None, face: int) -> Asked:
    config = run.config()
    _check_input(config, run)
    fitted = load_model(run.path / MODEL_NAME, config, MAP_SIDE_PX)
    return Asked(config, str(run.path), fitted, _faces(config, provider, face))


def _predict(clip: Clip, asked: Asked, name: str, offset: int | None) -> RecordingPrediction:
    """The prediction for one clip, whose label is not read."""
    config, run, fitted, faces = asked
    crop = crop_clip(clip, faces)
    if not reads_past_apex(config):
        crop = crop.without_offset()
    assert crop.clip is not None
    detected = "detected" if crop.face == "none" else crop.face
    missing = crop.face != "none" and faces.name != "template"
    apex_is = "given" if crop.apex == "annotated" else crop.apex
    seen = RecordingPrediction(
        recording=name,
        run=run,
        classes=fitted.classes,
        probabilities=np.full(len(fitted.classes), np.nan, np.float32),
        frames=len(clip.frames),
        fps=clip.fps,
        onset=clip.onset,
        apex=crop.apex_frame,
        offset=offset,
        face="missing" if missing else detected,
        provider=faces.name,
        apex_is=apex_is,
        onset_image=crop.clip.frames[0],
        apex_image=crop.clip.frames[1],
        motion=np.zeros((len(CHANNELS), MAP_SIDE_PX, MAP_SIDE_PX), np.float32),
        outside_share=crop.outside_share,
        warnings=crop.warnings,
    )
    if not seen.answered:
        return seen
    flowset = compute_flowset([crop.clip], config.flow)
    if config.flow.finetune:
        pairs = reduce_frames([crop.clip], config.flow.finetune_side_px)
        flowset = replace(flowset, frames=pairs)
    marked = replace(clip, apex=crop.apex_frame)
    flowset, _ = with_whole_clips(config, flowset, [marked], faces)
    fitted, flowset = settle_flow(fitted, flowset)
    probabilities, units = np.split(fitted.probabilities(flowset)[0], [len(fitted.classes)])
    parts = part_masks(crop.clip.frames.landmarks(0), *crop.clip.frames[0].shape[:2])  # type: ignore[attr-defined]
    parts[ELSEWHERE] = ~np.any(list(parts.values()), axis=0)
    small = reduce_masks(np.stack(list(parts.values())), MAP_SIDE_PX)
    part_falls = occlusion_falls(fitted.classify, flowset, small)
    return replace(
        seen,
        probabilities=probabilities,
        units=dict(zip((f"AU{n}" for n in fitted.action_units), units.tolist(), strict=True)),
        motion=flowset.maps[0],
        part_falls={name: float(fall) for name, fall in zip(parts, part_falls, strict=True)},
        parts=parts,
        outside_energy=0.0 if flowset.outside_energy is None else float(flowset.outside_energy[0]),
    )


def settle_flow(fitted: Fitted, flowset: FlowSet) -> tuple[Fitted, FlowSet]:
    """A fine-tuned flow is applied once, so that the maps behind the answer can be looked at."""
    if not isinstance(fitted.model, FineTuned) or flowset.frames is None:
        return fitted, flowset
    frames = flowset.frames
    with torch.no_grad():
        maps = fitted.model.motion(torch.from_numpy(frames.images), torch.from_numpy(frames.pixel))
    maps = maps.numpy().astype(np.float32)
    if flowset.inside is not None:
        maps = np.stack([still_outside(*pair) for pair in zip(maps, flowset.inside, strict=True)])
    seen = replace(flowset, maps=maps, frames=None)
    return replace(fitted, model=fitted.model.system), seen


def _check_input(config: ExperimentConfig, run: RunFolder) -> None:
    data = run.data()
    if data["map_size"] != MAP_SIDE_PX:
        problem = f"its maps have {data['map_size']} pixels a side; a recording gives {MAP_SIDE_PX}"
        raise InputError(problem, where=run.path, hint="name another run")
    if _is_ready_made(run) and config.input.reads_flow:
        problem = "it has learnt from ready-made maps, and the flow of a recording is another"
        hint = "name a run on recordings or on the built-in faces with --run"
        raise InputError(problem, where=run.path, hint=hint)


def _is_ready_made(run: RunFolder) -> bool:
    """Whether a run's maps were not computed from frames."""
    return run.data()["unit"] != PX or run.config().data.name == "maps"


def _faces(config: ExperimentConfig, provider: str | None, face: int) -> FacesConfig:
    """The run's settings of faces, or the defaults of another provider."""
    if provider is None or provider == config.faces.name:
        return config.faces.model_copy(update={"apex": "annotated", "face": face})
    options = providers[provider].complete({})
    return FacesConfig.model_validate({"name": provider, "face": face, **options})


def _of_run(config: ExperimentConfig, run: RunFolder, classes: Sequence[str]) -> list[str]:
    """What every answer of a run's system is worth."""
    drawn = "The system has learnt from drawn faces only: the prediction says nothing about people."
    metrics = run.metrics()
    stamped = metrics["peeking"] or is_smoke(metrics) or not metrics["complete"]
    return [
        *([drawn] if config.data.name == "synthetic" else []),
        "The system has seen every subject of the run: on a clip of one of them it is not tested.",
        f"It knows {', '.join(classes)} and no neutral face: it names one of them in any case.",
        *([f"Of the run: {stamp(metrics)}."] if stamped else []),
    ]
