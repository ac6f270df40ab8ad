"""Recordings made ready for a run: faces, apex frames, flow and strain, and what became of them."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from hmrm_lab.config import ExperimentConfig
from hmrm_lab.preparation.crops import Crop, count_crops, crop_clips, whole_clips
from hmrm_lab.preparation.maps import compute_flowset, recorded_clips
from hmrm_lab.preparation.whole_clips import frames_for, with_whole_clips
from hmrm_lab.records import ClipKey, FlowSet
from hmrm_lab.reporting.recording_pages import write_contact_sheet
from hmrm_lab.runtime.store import cache_folder

Stage = Callable[[str, int, int], None]


def prepare(
    config: ExperimentConfig,
    root: Path | None,
    *,
    systems: Sequence[ExperimentConfig] = (),
    jobs: int = 1,
    sheet: Path | None = None,
    watch: Stage = lambda stage, done, total: None,
) -> dict[str, Any]:
    """Fill the cache for a data set of recordings, and report what was found.

    What is in the cache is not made again, so that an interrupted preparation goes on.

    Parameters
    ----------
    systems
        Settings of systems whose pictures or gray clips are to be made as well, on the same crops.
        A clip that one of them cannot take counts as left out, with what it lacks for a reason.
    sheet
        An HTML page to write, with every crop, its landmarks and its motion.

    Raises
    ------
    InputError
        If the data set is not one of recordings, or not one clip of it is usable.
    """
    clips = recorded_clips(config, root)
    crops = crop_clips(
        clips, config.faces, jobs=jobs, on_progress=lambda *state: watch("faces", *state)
    )
    usable = [crop.clip for crop in crops if crop.clip is not None]
    flowset = compute_flowset(
        usable, config.flow, jobs=jobs, on_progress=lambda *state: watch("flow", *state)
    )
    whole = whole_clips(clips, crops)
    lost: dict[ClipKey, str] = {}
    for one in (config, *systems):
        _, left_out = with_whole_clips(
            one,
            flowset,
            whole,
            config.faces,
            jobs=jobs,
            on_progress=lambda *state: watch("whole clips", *state),
        )
        for key, error in left_out.items():
            lost.setdefault(key, f"no {frames_for(one)} of it: {error}")
    crops = [
        replace(crop, clip=None, problem=lost[crop.key]) if crop.key in lost else crop
        for crop in crops
    ]
    if not any(frames_for(one) for one in (config, *systems)):
        crops = [crop.without_offset() for crop in crops]
    if sheet is not None:
        write_contact_sheet(sheet, config.data.name, crops, flowset)
    return _facts(config, crops, flowset, sheet)


def outside(crops: Sequence[Crop], flowset: FlowSet) -> dict[str, float]:
    """Shares of the crops' area and of the motion's energy that lie outside the frames.

    Medians over subjects, of the means over their clips.
    """
    assert flowset.outside_energy is not None  # of maps that were computed
    energy = dict(zip(flowset.keys, flowset.outside_energy, strict=True))
    rows = [
        (crop.key.subject_key, crop.outside_share, energy[crop.key])
        for crop in crops
        if crop.clip is not None
    ]
    table = pd.DataFrame(rows, columns=["subject", "outside_share", "outside_energy"])
    medians = table.groupby("subject").mean().median()
    return {str(name): round(float(value), 4) for name, value in medians.items()}


def _facts(
    config: ExperimentConfig, crops: list[Crop], flowset: FlowSet, sheet: Path | None
) -> dict[str, Any]:
    subjects = {crop.key.subject_key for crop in crops if crop.clip is not None}
    return {
        "data": config.data.name,
        "subjects": len(subjects),
        **count_crops(crops),
        **outside(crops, flowset),
        "faces by": config.faces.name,
        "flow by": config.flow.name,
        "left out": [{"clip": "/".join(c.key), "why": c.problem} for c in crops if c.problem],
        "cache": str(cache_folder()),
        **({} if sheet is None else {"contact sheet": str(sheet)}),
    }
