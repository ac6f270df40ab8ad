"""What needs more frames than onset and apex: gray clips, pictures, motion of both phases."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from hmrm_lab.config import ExperimentConfig
from hmrm_lab.config.sections import FacesConfig, FlowConfig
from hmrm_lab.errors import InputError
from hmrm_lab.preparation.cache import Progress, no_progress
from hmrm_lab.preparation.clipwise import Outcome, Recipe, load_all
from hmrm_lab.preparation.gray import GRAY_FORMAT, GRAY_SIDE_PX, LENGTH, resample
from hmrm_lab.preparation.motion import FORMAT as MAP_FORMAT
from hmrm_lab.preparation.motion import MAP_SIDE_PX, dual_phase_maps, flow_identity
from hmrm_lab.preparation.pictures import PICTURE_FORMAT, clip_pictures
from hmrm_lab.config.sections import PICTURE_SIDE_PX
from hmrm_lab.records import CHANNELS, PICTURES, Clip, ClipKey, FlowSet
from hmrm_lab.registry import systems

Lost = dict[ClipKey, InputError]
"""Clips that are left out, and why."""

FORMAT = 2  # raise it when the same frames give other motion of both phases


GRAY = Recipe("gray", (LENGTH, GRAY_SIDE_PX, GRAY_SIDE_PX), (GRAY_FORMAT, LENGTH, GRAY_SIDE_PX), resample)
PICTURED = Recipe(
    "pictures",
    (len(PICTURES), PICTURE_SIDE_PX, PICTURE_SIDE_PX),
    (PICTURE_FORMAT, GRAY_FORMAT, LENGTH, PICTURE_SIDE_PX),
    clip_pictures,
)


def wants_gray(config: ExperimentConfig) -> bool:
    """Whether the system of the settings is given clips."""
    return systems[config.model.name].takes == "clip"


def frames_for(config: ExperimentConfig) -> str:
    """What these settings need more frames for than onset and apex; empty if nothing."""
    needs = ["clips"] if wants_gray(config) else []
    needs += [name for name in config.input.channels if name in PICTURES]
    needs += ["flow from apex to offset"] if config.flow.phases == "both" else []
    return ", ".join(needs)


def require_frames_for(config: ExperimentConfig, flowset: FlowSet) -> None:
    """An `InputError` if the flow set lacks what these settings need frames for.

    Ready-made maps do; of which phases maps are that came from frames they do not tell.
    """
    lacks_gray = wants_gray(config) and flowset.clips is None
    lacks_pictures = config.input.has_pictures and flowset.pictures is None
    if lacks_gray or lacks_pictures:
        raise no_frames(config)


def no_frames(config: ExperimentConfig) -> InputError:
    """The error for settings that need frames, on data that have maps alone."""
    usable = [name for name in systems if systems[name].takes == "flow maps"]
    mend = f"take one of the systems for flow maps ({', '.join(usable)}), or data with frames"
    if config.model.name in usable:  # then it is a setting that needs them
        asked = ["input.channels"] if config.input.has_pictures else []
        asked += ["flow.phases"] if config.flow.phases == "both" else []
        mend = f"leave {' and '.join(asked)} out, or take data with frames"
    return InputError(
        f"data set '{config.data.name}' has no frames, and system '{config.model.name}' takes"
        f" {frames_for(config)}",
        mend=mend,
    )


def with_whole_clips(
    config: ExperimentConfig,
    flowset: FlowSet,
    clips: Sequence[Clip],
    faces: FacesConfig | None,
    *,
    jobs: int = 1,
    on_progress: Progress = no_progress,
) -> tuple[FlowSet, Lost]:
    """The flow set with all that these settings ask for beside onset-apex flow.

    A clip of which a frame that this takes cannot be read is left out.

    Parameters
    ----------
    clips
        The clips of the flow set with all their frames and a known apex.
    faces
        How faces are found in recordings; None for clips that are in the canonical crop already.

    Raises
    ------
    InputError
        If not one clip is usable.
    """
    made: dict[str, list[Any]] = {}  # outcomes by field
    found = partial(load_all, jobs=jobs, on_progress=on_progress)
    if config.flow.phases == "both":
        made["maps"] = found(_of_both_phases(config.flow), config.data, clips, faces)
    if wants_gray(config):
        made["clips"] = found(GRAY, config.data, clips, faces)
    if config.input.has_pictures:
        made["pictures"] = found(PICTURED, config.data, clips, faces)
    lost = _lost(flowset, made)
    if len(lost) == len(flowset):
        raise _none_usable(list(lost.values()), frames_for(config))
    kept = [row for row, key in enumerate(flowset.keys) if key not in lost]
    arrays: dict[str, Any] = {
        name: np.stack([of[row] for row in kept]) for name, of in made.items()
    }
    return replace(flowset.take(kept) if lost else flowset, **arrays), lost


def _lost(flowset: FlowSet, made: Mapping[str, Sequence[Outcome]]) -> Lost:
    """The clips of which not all could be made; of several reasons the first."""
    lost: Lost = {}
    for outcomes in made.values():
        for key, outcome in zip(flowset.keys, outcomes, strict=True):
            if isinstance(outcome, InputError):
                lost.setdefault(key, outcome)
    return lost


def _none_usable(errors: Sequence[InputError], needs: str) -> InputError:
    if len(errors) == 1:
        return errors[0]
    return InputError(
        f"not one of {len(errors)} clips is usable for {needs}; the first: {errors[0]}",
        mend="see `hmrm data check`",
    )


def _of_both_phases(flow: FlowConfig) -> Recipe:
    return Recipe(
        "phases",
        (len(CHANNELS), MAP_SIDE_PX, MAP_SIDE_PX),
        (FORMAT, MAP_FORMAT, flow_identity(flow)),
        partial(dual_phase_maps, flow=flow),
    )
