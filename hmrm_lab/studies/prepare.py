"""Recordings made ready: a data set for a run, and one recording of one's own for a system."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from hashlib import blake2b
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hmrm_lab.config import ExperimentConfig
from hmrm_lab.datasets.synthetic import synthetic
from hmrm_lab.datasets.video import check_span, open_recording
from hmrm_lab.errors import InputError
from hmrm_lab.faces.accuracy import clip_curve, reference_track
from hmrm_lab.faces.align import AlignedFrames, FaceTrack, align_clip, find_faces
from hmrm_lab.faces.apex import ApexCurve
from hmrm_lab.faces.face import Face, FaceProvider
from hmrm_lab.faces.landmarks import fit_similarity
from hmrm_lab.preparation import maps
from hmrm_lab.preparation.crops import Crop, count_crops, crop_clips, whole_clips
from hmrm_lab.records import Clip, ClipKey, FlowSet
from hmrm_lab.reporting.recording_pages import write_contact_sheet
from hmrm_lab.runtime.store import cache_folder, check_target, write_atomic_bytes

NAME = "recording"  # in place of a data set
UNKNOWN = "unknown"
SCENE_PX = 420
SCENE_EYES = ((147.0, 185.0), (259.0, 202.0))  # a little tilted, not quite in the middle
DRAWN_NAME = "drawn_face.avi"
QUALITY = 98  # per cent; lower ones leave noise where nothing moves


def prepare(
    config: ExperimentConfig,
    root: Path | None,
    *,
    systems: Sequence[ExperimentConfig] = (),
    jobs: int = 1,
    sheet: Path | None = None,
    watch: Callable[[str, int, int], None] = lambda stage, done, total: None,
) -> dict[str, Any]:
    """Fill the cache for a data set of recordings, and report what was found.

    What is in the cache is not made again. `systems` are settings of systems whose pictures or
    gray clips are to be made as well; a clip that one of them cannot take counts as left out.
    `sheet` is an HTML page to write, with every crop, its landmarks and its motion.

    Raises `InputError` if the data are no recordings, or not one clip is usable.
    """
    clips = maps.recorded_clips(config, root)
    crops = crop_clips(clips, config.faces, jobs=jobs, on_progress=partial(watch, "faces"))
    usable = [replace(c.clip, label=c.clip.label or 0) for c in crops if c.clip]  # none is read
    on_flow = partial(watch, "flow")
    flowset = maps.compute_flowset(usable, config.flow, jobs=jobs, on_progress=on_flow)
    whole, on_clip = whole_clips(clips, crops), partial(watch, "whole clips")
    lost: dict[ClipKey, str] = {}
    for one in (config, *systems):
        _, left_out = maps.with_whole_clips(
            one, flowset, whole, config.faces, jobs=jobs, on_progress=on_clip
        )
        for key, error in left_out.items():
            lost.setdefault(key, f"no {maps.frames_for(one)} of it: {error}")
    crops = [
        replace(crop, clip=None, problem=lost[crop.key]) if crop.key in lost else crop
        for crop in crops
    ]
    if not any(maps.reads_past_apex(one) for one in (config, *systems)):
        crops = [crop.without_offset() for crop in crops]
    if sheet is not None:
        write_contact_sheet(sheet, config.data.name, crops, flowset)
    return {
        "data": config.data.name,
        "subjects": len({crop.key.subject_key for crop in crops if crop.clip is not None}),
        **count_crops(crops),
        **outside(crops, flowset),
        "faces by": config.faces.name,
        "flow by": config.flow.name,
        "left out": [{"clip": "/".join(c.key), "why": c.problem} for c in crops if c.problem],
        "cache": str(cache_folder()),
        **({} if sheet is None else {"contact sheet": str(sheet)}),
    }


def outside(crops: Sequence[Crop], flowset: FlowSet) -> dict[str, float]:
    """Shares of area and of motion energy outside the frames: medians over subjects' means."""
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


@dataclass(frozen=True, eq=False)
class OwnClip:
    recorded: Clip  # unchanged; its apex is the given one, or else the spotted one
    upright: Clip  # cut out to the canonical crop by the onset's face
    track: FaceTrack  # the face of each frame from onset to offset
    curve: ApexCurve  # what the spotted apex was read from
    apex_is: str  # `given`, `spotted`, or `guessed` where nothing seemed to move


def recording_clip(
    path: Path,
    *,
    onset: int = 0,
    apex: int | None = None,
    offset: int | None = None,
    follow_links: bool = False,
) -> Clip:
    """Read a recording as a clip whose subject and class are unknown.

    Onset, apex and offset are frame numbers from 0; the apex may stay open, and the offset is else
    the last frame. Raises `InputError` if the recording cannot be read or the numbers do not fit.
    """
    recording = open_recording(path, follow_links=follow_links)
    count = len(recording.frames)
    last = count - 1 if offset is None else offset
    middle = onset + 1 if apex is None else apex
    if not 0 <= onset < middle <= last < count:
        spoken = "" if apex is None else f", apex {apex}"
        problem = f"onset {onset}{spoken} and offset {last} do not fit {count} frames"
        hint = "count frames from 0, onset before apex, apex not after offset"
        raise InputError(problem, where=path, hint=hint)
    if apex is None:
        check_span(path, last - onset + 1)
    key = ClipKey(NAME, UNKNOWN, path.resolve().stem)
    return Clip(key, 0, recording.frames, onset, apex, last, recording.fps, (UNKNOWN,))


def chosen_recording(
    path: str, folder: str | Path, seed: int, *, onset: int, apex: int, offset: int
) -> tuple[Path, Clip]:
    """Find the recording that a notebook's parameters name; return its path and clip.

    Without a `path`, a drawn face is written below `folder`; `seed` tells which. A negative apex or
    offset is left open. Raises `InputError` as `recording_clip` does.
    """
    for name, value in (("onset", onset), ("apex", apex), ("offset", offset)):
        if not isinstance(value, int):
            raise InputError(f"{name} '{value}' is no frame number", hint="count frames from 0")
    place = Path(path) if path else write_drawn_recording(Path(folder, DRAWN_NAME), seed)
    peak, last = (mark if mark >= 0 else None for mark in (apex, offset))
    return place, recording_clip(place, onset=onset, apex=peak, offset=last)


def find_own_clip(
    clip: Clip, provider: FaceProvider, *, trust: bool = False, face: int = 0
) -> OwnClip:
    """Find the faces of a clip from onset to offset, cut it out, and spot its apex if it has none.

    With `trust` the mean face stands in the middle of the frames where none is found; else that is
    an `InputError`. `face` is which one of several, from the left; 0 takes the largest nearest the
    middle.
    """
    check_span(Path(clip.key.clip), clip.offset - clip.onset + 1)
    numbers = range(clip.onset, clip.offset + 1)
    track = find_faces(clip.frames, provider, only=numbers, number=face)
    if not track.counts()["none"] and not trust:
        problem = f"no face found in any of {len(track.faces)} frames"
        hint = "film the face from the front, or name 'template' if it fills the frames"
        raise InputError(problem, where=clip.key.clip, hint=hint)
    curve = clip_curve(clip, track)
    apex_is = "given" if clip.apex is not None else "spotted" if curve.spotted else "guessed"
    recorded = replace(clip, apex=curve.apex) if clip.apex is None else clip
    return OwnClip(recorded, align_clip(recorded, track), track, curve, apex_is)


def cached_faces(provider: FaceProvider) -> Callable[[NDArray[np.uint8]], Face | None]:
    """Cache the faces that a provider finds, by the content of the frame."""
    known: dict[bytes, Face | None] = {}

    def find(frame: NDArray[np.uint8]) -> Face | None:
        key = blake2b(frame.tobytes()).digest()
        if key not in known:
            known[key] = provider(frame)
        return known[key]

    return find


def write_drawn_recording(path: Path, seed: int = 0) -> Path:
    """Write a video of a drawn face, an .avi of JPEG frames, tilted in a larger picture."""
    check_target(path)
    clip = synthetic(subjects=2, clips=2, seed=seed)[0]
    track = reference_track(clip)
    scene = fit_similarity(track[clip.onset].five()[:2], np.array(SCENE_EYES, dtype=np.float32))
    frames = AlignedFrames(clip.frames, scene, track, SCENE_PX)
    code = cv2.VideoWriter_fourcc(*"MJPG")
    with TemporaryDirectory() as plain:  # OpenCV ends the process at a name that is not UTF-8
        written = Path(plain, path.name)
        writer = cv2.VideoWriter(str(written), code, clip.fps, (SCENE_PX, SCENE_PX))
        writer.set(cv2.VIDEOWRITER_PROP_QUALITY, QUALITY)
        for number in range(len(frames)):
            writer.write(cv2.cvtColor(frames[number], cv2.COLOR_RGB2BGR))
        writer.release()
        write_atomic_bytes(path, written.read_bytes())
    return path
