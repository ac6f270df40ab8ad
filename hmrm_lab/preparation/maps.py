"""The flow set of a data set: read from the cache, or computed clip by clip."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from hmrm_lab.config import ExperimentConfig
from hmrm_lab.config.sections import FacesConfig, FlowConfig, check_sets
from hmrm_lab.datasets.classes import scheme
from hmrm_lab.errors import InputError
from hmrm_lab.faces.align import align_known
from hmrm_lab.flow.motion_maps import learnt_network
from hmrm_lab.preparation import cache, clip_arrays
from hmrm_lab.preparation.cache import Outcome, Progress, no_progress
from hmrm_lab.preparation.clip_arrays import Recipe
from hmrm_lab.preparation.crops import crop_clips, whole_clips
from hmrm_lab.preparation.quality import count_warnings
from hmrm_lab.records import (
    PICTURES,
    Clip,
    ClipKey,
    FlowSet,
    FramePairs,
    LandmarkedFrames,
    unit_columns,
)
from hmrm_lab.registry import datasets, systems
from hmrm_lab.runtime.progress import UNWATCHED, Watcher

log = logging.getLogger(__name__)


def load_flowset(
    config: ExperimentConfig, root: Path | None = None, *, jobs: int = 1, watch: Watcher = UNWATCHED
) -> FlowSet:
    """The motion maps of the settings' data set, from the cache or computed.

    Subjects that the settings declare one person get one name. Clips that are unusable for these
    settings are left out, with a message in the log.
    """
    flowset = _load(config, root, jobs, watch)
    return flowset.with_same_person(config.evaluation.same_person)


def _load(config: ExperimentConfig, root: Path | None, jobs: int, watch: Watcher) -> FlowSet:
    if config.flow.finetune:
        learnt_network(config.flow)  # refuses a flow that cannot be fine-tuned
    source = _open(config, root)
    if isinstance(source, FlowSet):
        if config.flow.finetune:
            require_frames(config, source)
        if frames_for(config):
            raise _no_frames(config)
        return source
    labelled = [clip for clip in source if clip.label is not None]
    if len(labelled) < len(source):
        name, without = config.data.name, len(source) - len(labelled)
        log.warning("%s: clips without a label, left out: %d (`hmrm predict`)", name, without)
    if not labelled:
        problem = f"no clip of data set '{config.data.name}' has a label to learn from"
        raise InputError(problem, hint="label some, or ask a finished run with `hmrm predict`")
    evaluation, sets = config.evaluation, {clip.key.dataset for clip in labelled}
    check_sets(evaluation.protocol, evaluation.train_on, sets)  # before the faces, which take long
    on_faces = partial(watch, "faces")
    clips, whole = _with_faces(labelled, config, jobs, on_faces)
    flowset = compute_flowset(clips, config.flow, jobs=jobs, on_progress=partial(watch, "flow"))
    if config.flow.finetune:
        pairs = reduce_frames(clips, config.flow.finetune_side_px, jobs=jobs)
        flowset = replace(flowset, frames=pairs)
    flowset = replace(flowset, action_units=unit_columns(clips))
    if not frames_for(config):
        return flowset
    faces = None if _landmarked(source) else config.faces
    flowset, lost = with_whole_clips(config, flowset, whole, faces, jobs=jobs, on_progress=on_faces)
    for key, error in lost.items():
        log.warning("%s: left out, no %s of it: %s", "/".join(key), frames_for(config), error)
    return flowset


def load_clips(config: ExperimentConfig, root: Path | None = None) -> list[Clip] | None:
    """The clips behind the maps, or None if the data set consists of maps."""
    source = _open(config, root)
    return None if isinstance(source, FlowSet) else source


def recorded_clips(config: ExperimentConfig, root: Path | None) -> list[Clip]:
    """The clips of a data set of recordings; an `InputError` for other data sets."""
    source = _open(config, root)
    if isinstance(source, FlowSet) or _landmarked(source):
        problem = f"data set '{config.data.name}' needs no preparation"
        raise InputError(problem, hint="run it directly")
    return source


def require_clips(config: ExperimentConfig, root: Path | None = None) -> list[Clip]:
    """The clips of the data set, or an `InputError` if it has none."""
    clips = load_clips(config, root)
    if not clips:
        problem = f"data set '{config.data.name}' has no clips"
        raise InputError(problem, hint="take 'synthetic' or a data set of recordings")
    return clips


def compute_flowset(
    clips: Sequence[Clip], flow: FlowConfig, *, jobs: int = 1, on_progress: Progress = no_progress
) -> FlowSet:
    """Flow, strain and masks of every clip, by `jobs` processes. Every clip must have its apex."""
    recipe = clip_arrays.motion(flow)
    outcomes = clip_arrays.make_all(recipe, clips, None, jobs=jobs, on_progress=on_progress)
    motions = _require_all(outcomes)
    known = [motion["masks"] for motion in motions if "masks" in motion]
    inside = np.stack([motion["inside"] for motion in motions])
    return FlowSet(
        np.stack([motion["maps"] for motion in motions]),
        np.array([clip.label for clip in clips], dtype=np.int64),
        tuple(clip.key for clip in clips),
        clips[0].classes,
        masks=np.stack(known) if len(known) == len(clips) else None,
        inside=None if inside.all() else inside,
        outside_energy=np.stack([motion["outside_energy"] for motion in motions]),
    )


def _open(config: ExperimentConfig, root: Path | None) -> FlowSet | list[Clip]:
    """Ready-made maps, or clips; those with landmarks are aligned to the canonical crop."""
    entry = datasets[config.data.name]
    if entry.needs_root and root is None:
        raise InputError(f"data set '{entry.name}' lies in a folder", hint="name it with --root")
    if root is not None and not entry.needs_root:
        raise InputError(f"data set '{entry.name}' takes no --root", hint="leave --root out")
    where: dict[str, Any] = {"root": root} if entry.needs_root else {}
    classes = scheme(config.data.classes)
    source: FlowSet | list[Clip] = entry.build(**where, scheme=classes, **config.data.options)
    if isinstance(source, FlowSet) or not _landmarked(source):
        return source
    return [align_known(clip) for clip in source]


def _with_faces(
    clips: list[Clip], config: ExperimentConfig, jobs: int, on_progress: Progress
) -> tuple[list[Clip], list[Clip]]:
    """The usable clips, in the canonical crop (onset and apex) and whole, with a known apex."""
    if _landmarked(clips):
        return clips, clips
    crops = crop_clips(clips, config.faces, jobs=jobs, on_progress=on_progress)
    lost, name = sum(crop.clip is None for crop in crops), config.data.name
    if lost:
        log.warning("%s: clips left out: %d; `hmrm prepare %s` says why", name, lost, name)
    used = crops if reads_past_apex(config) else [crop.without_offset() for crop in crops]
    warned = count_warnings(crop.warnings for crop in used)
    if warned:
        counts = ", ".join(f"{count} {code}" for code, count in warned.items())
        sheet = f"the sheet of `hmrm prepare {name} --sheet` shows them"
        log.warning("%s: clips used with a warning: %s; %s", name, counts, sheet)
    return [crop.clip for crop in crops if crop.clip is not None], whole_clips(clips, crops)


def _landmarked(clips: Sequence[Clip]) -> bool:
    """Whether the clips come with landmarks, so that no face has to be detected."""
    return all(isinstance(clip.frames, LandmarkedFrames) for clip in clips)


def reduce_frames(clips: Sequence[Clip], side_px: int, *, jobs: int = 1) -> FramePairs:
    """Onset and apex of every clip, resized to squares of `side_px`."""
    pairs = _require_all(clip_arrays.make_all(clip_arrays.pair(side_px), clips, None, jobs=jobs))
    images, pixel = (np.stack([one[name] for one in pairs]) for name in ("images", "pixel"))
    return FramePairs(images, pixel)


def _require_all(outcomes: Sequence[Outcome]) -> list[cache.Arrays]:
    """The arrays of all clips, or the first error."""
    arrays = []
    for outcome in outcomes:
        if isinstance(outcome, InputError):
            raise outcome
        arrays.append(outcome)
    return arrays


def require_frames(config: ExperimentConfig, flowset: FlowSet) -> FramePairs:
    """The frames for fine-tuning the flow, or an `InputError`."""
    if flowset.frames is None:
        problem = f"data set '{config.data.name}' has no frames to fine-tune a flow on"
        hint = "set flow.finetune=false, or take a data set of recordings"
        raise InputError(problem, hint=hint)
    return flowset.frames


def _wants_gray(config: ExperimentConfig) -> bool:
    return systems[config.model.name].takes == "clip"


def frames_for(config: ExperimentConfig) -> str:
    """The inputs of these settings that need more frames than onset and apex; may be empty."""
    needs = ["clips"] if _wants_gray(config) else []
    needs += [name for name in config.input.channels if name in PICTURES]
    needs += ["flow from apex to offset"] if config.flow.joins_phases else []
    frames, until = config.input.frames, config.input.until
    needs += [f"flow to {frames} frames up to the {until}"] if frames > 1 else []
    return ", ".join(needs)


def reads_past_apex(config: ExperimentConfig) -> bool:
    """Whether frames after the apex are among the inputs of these settings."""
    to_apex = config.input.frames > 1 and config.input.until == "apex"
    single = config.input.model_copy(update={"frames": 1}) if to_apex else config.input
    return bool(frames_for(config.model_copy(update={"input": single})))


def require_frames_for(config: ExperimentConfig, flowset: FlowSet) -> None:
    """Raise an `InputError` if the flow set lacks what these settings need of all frames."""
    if lacks_frames(config, flowset):
        raise _no_frames(config)


def lacks_frames(config: ExperimentConfig, flowset: FlowSet) -> bool:
    """Whether the flow set lacks the gray clips, pictures or sequences of these settings."""
    lacks_gray = _wants_gray(config) and flowset.clips is None
    asked = (config.input.frames, config.input.until)
    lacks_sequence = asked[0] > 1 and asked != (flowset.times, flowset.until)
    return lacks_gray or lacks_sequence or (config.input.has_pictures and flowset.pictures is None)


def _no_frames(config: ExperimentConfig) -> InputError:
    """The error for settings that need frames, on data that consist of maps."""
    usable = [name for name in systems if systems[name].takes == "flow maps"]
    hint = f"take one of the systems for flow maps ({', '.join(usable)}), or data with frames"
    if config.model.name in usable:  # then it is a setting that needs them
        asked = ["input.channels"] if config.input.has_pictures else []
        asked += ["flow.phases"] if config.flow.joins_phases else []
        asked += ["input.frames"] if config.input.frames > 1 else []
        hint = f"leave {' and '.join(asked)} out, or take data with frames"
    who = f"data set '{config.data.name}' has no frames, and system '{config.model.name}'"
    return InputError(f"{who} takes {frames_for(config)}", hint=hint)


def with_whole_clips(
    config: ExperimentConfig,
    flowset: FlowSet,
    clips: Sequence[Clip],
    faces: FacesConfig | None,
    *,
    jobs: int = 1,
    on_progress: Progress = no_progress,
) -> tuple[FlowSet, dict[ClipKey, InputError]]:
    """The flow set with the inputs that need all frames; and which clips were left out, and why.

    The clips have all their frames and a known apex; without `faces` they are in the canonical
    crop. Raises an `InputError` if not one is usable.
    """
    recipes: list[Recipe] = []
    if config.flow.joins_phases:
        recipes.append(clip_arrays.both_phases(config.flow))
    if _wants_gray(config):
        recipes.append(clip_arrays.GRAY)
    if config.input.has_pictures:
        recipes.append(clip_arrays.PICTURED)
    if config.input.frames > 1:
        recipes.append(clip_arrays.sequence(config.flow, config.input))
    found: list[cache.Arrays] = [{} for _ in clips]  # by field of the flow set
    lost: dict[ClipKey, InputError] = {}
    for recipe in recipes:
        made = clip_arrays.make_all(recipe, clips, faces, jobs=jobs, on_progress=on_progress)
        for key, arrays, outcome in zip(flowset.keys, found, made, strict=True):
            if isinstance(outcome, InputError):
                lost.setdefault(key, outcome)
            else:
                arrays.update(outcome)
    if len(lost) == len(flowset):
        first = next(iter(lost.values()))
        if len(lost) == 1:
            raise first
        problem = f"not one of {len(lost)} clips is usable for {frames_for(config)}"
        raise InputError(f"{problem}; the first: {first}", hint="see `hmrm data check`")
    kept = [row for row, key in enumerate(flowset.keys) if key not in lost]
    fields: dict[str, Any] = {"until": config.input.until} if config.input.frames > 1 else {}
    for name in found[kept[0]]:
        fields[name] = np.stack([found[row][name] for row in kept])
    return replace(flowset.take(kept) if lost else flowset, **fields), lost
