"""What is computed of one clip in the canonical crop, and kept: motion, gray frames, pictures.

Pictures of a clip, dynamic image and MESTI, are made of gray frames (T, H, W), uint8 or float32:
(H, W) float32, signed, RMS 1, or all zero.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from hmrm_lab.config.sections import PICTURE_SIDE_PX, FacesConfig, FlowConfig, InputConfig
from hmrm_lab.faces.align import FramesWithin
from hmrm_lab.faces.landmarks import reduce_masks, region_masks
from hmrm_lab.flow.estimator import LearntFlow, estimator
from hmrm_lab.flow.motion_maps import dual_phase, head_motion, motion_map, still_outside
from hmrm_lab.preparation import cache
from hmrm_lab.preparation.cache import Outcome, Progress, no_progress
from hmrm_lab.preparation.crops import aligned_frames, crop_identity, require_provider
from hmrm_lab.records import Clip, Floats, LandmarkedFrames

MAP_SIDE_PX = 28  # as published flow maps have it
MAP_FORMAT = 3  # raise it when the same frames and settings give other maps
GRAY_FORMAT = 4  # raise it when the same frames give other gray clips, pictures or pairs
LENGTH = 16  # frames
GRAY_SIDE_PX = 112
ROUNDING = 1e-6  # of the largest possible sum; below it are rounding errors of float32


def clip_motion(clip: Clip, flow: FlowConfig) -> cache.Arrays:
    """Motion map and region masks of one clip; there is no motion outside its recording.

    `maps` (3, 28, 28), order (u, v, strain); `masks` (2, 28, 28) of eyes and mouth, if known;
    `inside`, (28, 28), are the cells within the recording, `outside_energy` the share beyond.
    """
    onset, apex = clip.frames[clip.onset], clip.frames[clip.known_apex]
    flow_px = estimator(flow.name, **flow.options)(onset[None], apex[None])
    inside = _inside_of(clip)
    arrays: cache.Arrays = {
        "maps": motion_map(flow_px, MAP_SIDE_PX, inside)[0],
        "inside": reduce_masks(inside[None], MAP_SIDE_PX)[0],
        "outside_energy": np.float32(_outside_energy(flow_px[0], inside)),
    }
    if isinstance(clip.frames, LandmarkedFrames):
        masks = region_masks(clip.frames.landmarks(clip.onset), *onset.shape[:2])
        arrays["masks"] = reduce_masks(masks, MAP_SIDE_PX)
    return arrays


def _inside_of(clip: Clip) -> NDArray[np.bool_]:
    """The pixels of a clip's frames within its recording: (H, W)."""
    if isinstance(clip.frames, FramesWithin):
        return clip.frames.inside()
    return np.ones(clip.frames[clip.onset].shape[:2], dtype=bool)


def _outside_energy(flow_px: Floats, inside: NDArray[np.bool_]) -> float:
    """The share of a flow's energy, less that of the head's motion, that lies outside."""
    if inside.all():
        return 0.0
    energy = np.square(flow_px - head_motion(flow_px, inside)).sum(0)
    return float(energy[~inside].sum() / max(float(energy.sum()), 1e-12))


def _dual_phase_maps(clip: Clip, flow: FlowConfig) -> cache.Arrays:
    """A clip's motion map (3, 28, 28) of both phases, joined as `flow.phases` says."""
    marks = (clip.onset, clip.known_apex, clip.offset)
    onset, apex, offset = (clip.frames[number][None] for number in marks)
    estimate = estimator(flow.name, **flow.options)
    inside = _inside_of(clip)
    phases = (estimate(onset, apex)[0], estimate(apex, offset)[0])
    joined = dual_phase(*(still_outside(one, inside) for one in phases), phases=flow.phases)
    return {"maps": motion_map(joined[None], MAP_SIDE_PX, inside)[0]}


def _sequence_maps(clip: Clip, flow: FlowConfig, frames: int, until: str) -> cache.Arrays:
    """The motion maps from the onset to each of `sequence_frames`: (T, 3, 28, 28)."""
    estimate, inside = estimator(flow.name, **flow.options), _inside_of(clip)
    onset, numbers = clip.frames[clip.onset][None], sequence_frames(clip, frames, until)
    maps = {
        number: motion_map(estimate(onset, clip.frames[number][None]), MAP_SIDE_PX, inside)[0]
        for number in dict.fromkeys(numbers)
    }
    return {"sequence": np.stack([maps[number] for number in numbers])}


def sequence_frames(clip: Clip, frames: int, until: str) -> list[int]:
    """The numbers of frames, evenly from the one after the onset to the apex, or to the offset.

    A clip of fewer frames has some of them repeatedly: every map is of two recorded frames.
    """
    last = clip.known_apex if until == "apex" else clip.offset
    evenly = np.linspace(min(clip.onset + 1, last), last, frames)
    return [int(number) for number in evenly.round()]


def flow_identity(flow: FlowConfig) -> str:
    """Digest of the flow's options and, if it is learnt, its weights."""
    settings = json.dumps(flow.choice, sort_keys=True)
    estimate = estimator(flow.name, **flow.options)
    if not isinstance(estimate, LearntFlow):
        return settings
    state = estimate.network.state_dict()
    return settings + cache.digest_of(
        *(value.cpu().numpy().tobytes().hex() for value in state.values())
    )


def dynamic_image(frames: NDArray[np.generic]) -> Floats:
    """Approximate rank pooling over the running means of two frames or more (Bilen et al. 2016)."""
    return pool(frames, rank_weights(len(frames)))


def rank_weights(length: int) -> NDArray[np.float64]:
    """The weight of each frame, (T,): 2 (T - t + 1) - (T + 1) (H_T - H_{t-1}), t = 1..T.

    H_t is the t-th harmonic number. It is the sum of (2 i - T - 1) / i over i = t..T: frame t is
    part of the running means from the t-th on.
    """
    time = np.arange(1, length + 1, dtype=np.float64)
    summands = (2 * time - length - 1) / time
    return summands[::-1].cumsum()[::-1]


def slope_weights(length: int) -> NDArray[np.float64]:
    """The weights without running means: 2 t - T - 1, the slope of a line through the frames."""
    return 2 * np.arange(1, length + 1, dtype=np.float64) - length - 1


def pool(frames: NDArray[np.generic], weights: NDArray[np.float64]) -> Floats:
    """Sum of weight times frame over time, divided by its RMS; the weights sum to zero.

    The first frame is subtracted before, so that the picture of a still clip is exactly zero.
    """
    if frames.ndim != 3:
        raise ValueError(f"frames must be (T, H, W), gray, not {frames.shape}")
    if len(frames) < 2:
        raise ValueError(f"a picture of a clip needs two frames or more, not {len(frames)}")
    moved = frames.astype(np.float64) - frames[0].astype(np.float64)
    picture = np.tensordot(weights, moved, axes=1)
    largest = np.abs(picture).max()
    if largest <= ROUNDING * np.abs(weights).sum() * np.abs(moved).max():
        return np.zeros(picture.shape, np.float32)
    scaled = picture / largest
    return (scaled / np.sqrt(np.mean(scaled**2))).astype(np.float32)


def mesti(frames: NDArray[np.generic], apex: float) -> Floats:
    """Approximate rank pooling whose order rises to the apex and falls after it (MESTI).

    The apex is a place in the frames, which may lie between two. Without frames before or after it
    they are taken twice, to the last and back. See decision 0018.
    """
    if not 0 < apex < len(frames) - 1:
        apex, frames = len(frames) - 1, np.concatenate([frames, frames[-2::-1]])
    return pool(frames, apex_weights(len(frames), apex))


def apex_weights(length: int, apex: float) -> NDArray[np.float64]:
    """The weight of each frame, (T,): `apex_order` less its drift; 0 < apex < T - 1."""
    return without_drift(apex_order(length, apex))


def apex_order(length: int, apex: float) -> NDArray[np.float64]:
    """The order of the frames, (T,): evenly from 0 to 1 at the apex, and back to 0."""
    return np.interp(np.arange(length), [0, apex, length - 1], [0, 1, 0])


def without_drift(course: NDArray[np.float64]) -> NDArray[np.float64]:
    """A course (T,) less its least-squares line; orthogonal to constants and even drifts."""
    time = slope_weights(len(course))
    return course - course.mean() - time * (time @ course) / (time @ time)


def still_head(frames: Floats) -> Floats:
    """Frames (T, S, S), gray levels 0 to 255, moved by their median flow onto the first."""
    estimator = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)
    estimator.setFinestScale(1)
    levels = frames.round().astype(np.uint8)
    moved = [frames[0]]
    for frame, gray in zip(frames[1:], levels[1:], strict=True):
        shift = np.median(estimator.calc(levels[0], gray, None), axis=(0, 1))
        motion = np.column_stack([np.eye(2), shift])
        how = {"flags": cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP, "borderMode": cv2.BORDER_REPLICATE}
        moved.append(cv2.warpAffine(frame, motion, frame.shape[::-1], **how))
    return np.stack(moved)


def even_frames(clip: Clip, length: int, side_px: int) -> Floats:
    """The frames from onset to offset, interpolated: (length, side, side), gray levels 0 to 255."""
    frame = lru_cache(None)(lambda number: gray_frame(clip, number, side_px))
    pictures = []
    for time in np.linspace(clip.onset, clip.offset, length):
        before = int(time)
        part = np.float32(time - before)
        picture = frame(before)
        if part > 0:
            picture = (1 - part) * picture + part * frame(before + 1)
        pictures.append(picture)
    return np.stack(pictures)


def gray_frame(clip: Clip, number: int, side_px: int) -> Floats:
    """One frame as (side, side), gray levels 0 to 255; the onset outside its recording."""
    frame = clip.frames[number]
    inside = clip.frames.inside() if isinstance(clip.frames, FramesWithin) else None
    if inside is not None and number != clip.onset and not inside.all():
        frame = np.where(inside[..., None], frame, clip.frames[clip.onset])
    gray = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY).astype(np.float32)
    return cv2.resize(gray, (side_px, side_px), interpolation=cv2.INTER_AREA)


def gray_clip(clip: Clip) -> cache.Arrays:
    """`even_frames` of a clip in whole gray levels: (16, 112, 112) uint8."""
    return {"clips": even_frames(clip, LENGTH, GRAY_SIDE_PX).round().astype(np.uint8)}


def clip_pictures(clip: Clip) -> cache.Arrays:
    """The pictures of a clip in the canonical crop, (4, side, side), RMS 1, order `PICTURES`."""
    large = still_head(even_frames(clip, LENGTH, GRAY_SIDE_PX))
    size = (PICTURE_SIDE_PX, PICTURE_SIDE_PX)
    frames = np.stack([cv2.resize(one, size, interpolation=cv2.INTER_AREA) for one in large])
    onset, apex = (
        standardise(gray_frame(clip, number, PICTURE_SIDE_PX))
        for number in (clip.onset, clip.known_apex)
    )
    pooled = dynamic_image(frames), mesti(frames, apex_place(clip, LENGTH))
    return {"pictures": np.stack([onset, apex, *pooled]).astype(np.float32)}


def frame_pair(clip: Clip, side_px: int) -> cache.Arrays:
    """Onset and apex as `images` (2, side, side, 3) uint8, RGB.

    `pixel`, (2,), is the width and height of a pixel of theirs in pixels of the clip's frames.
    """
    pair = [clip.frames[clip.onset], clip.frames[clip.known_apex]]
    height, width = pair[0].shape[:2]
    size = (side_px, side_px)
    images = [cv2.resize(frame, size, interpolation=cv2.INTER_AREA) for frame in pair]
    pixel = np.array([width / side_px, height / side_px], dtype=np.float32)
    return {"images": np.stack(images), "pixel": pixel}


def apex_place(clip: Clip, length: int) -> float:
    """Where the apex lies among `even_frames`: 0 is the onset, length - 1 the offset."""
    whole = clip.offset - clip.onset
    return (length - 1) * ((clip.known_apex - clip.onset) / whole if whole else 1.0)


def standardise(picture: Floats) -> Floats:
    """Scale a picture to mean 0 and RMS 1; a uniform one becomes 0."""
    centred = picture - picture.mean()
    deviation = float(np.sqrt((centred**2).mean()))
    return np.asarray(centred / deviation if deviation > 0 else centred, dtype=np.float32)


@dataclass(frozen=True)
class Recipe:
    """The computation of arrays from a clip in the canonical crop; picklable.

    `depends_on` is what they depend on beside the frames, the marks and the crop.
    """

    kind: str
    depends_on: tuple[object, ...]
    make: Callable[[Clip], cache.Arrays]


GRAY = Recipe("gray", (GRAY_FORMAT, LENGTH, GRAY_SIDE_PX), gray_clip)
PICTURED = Recipe("pictures", (GRAY_FORMAT, LENGTH, PICTURE_SIDE_PX), clip_pictures)


def motion(flow: FlowConfig) -> Recipe:
    """The recipe of motion maps from onset to apex by this flow, and of their masks."""
    return Recipe("motion", (MAP_FORMAT, flow_identity(flow)), partial(clip_motion, flow=flow))


def pair(side_px: int) -> Recipe:
    """The recipe of onset and apex, reduced."""
    return Recipe("pairs", (GRAY_FORMAT, side_px), partial(frame_pair, side_px=side_px))


def both_phases(flow: FlowConfig) -> Recipe:
    """The recipe of motion maps of both phases by this flow, joined as it says."""
    depends_on = (MAP_FORMAT, flow.phases, flow_identity(flow))
    return Recipe("phases", depends_on, partial(_dual_phase_maps, flow=flow))


def sequence(flow: FlowConfig, settings: InputConfig) -> Recipe:
    """The recipe of a sequence of motion maps by this flow."""
    frames, until = settings.frames, settings.until
    depends_on = (MAP_FORMAT, frames, until, flow_identity(flow))
    make = partial(_sequence_maps, flow=flow, frames=frames, until=until)
    return Recipe("sequence", depends_on, make)


def make_all(
    recipe: Recipe,
    clips: Sequence[Clip],
    faces: FacesConfig | None,
    *,
    jobs: int = 1,
    on_progress: Progress = no_progress,
) -> list[Outcome]:
    """The arrays of each clip, by `jobs` processes, or the error; without `faces` they are cropped.

    They are cached clip by clip.
    """
    files = [file_of(recipe, clip, faces) for clip in clips]
    if faces is not None:
        require_provider(faces, files)
    make = partial(_make, recipe, faces)
    return cache.make_all(make, clips, files, jobs=jobs, on_progress=on_progress)


def file_of(recipe: Recipe, clip: Clip, faces: FacesConfig | None) -> Path:
    """The cache file, named by all that a result depends on: every frame, the crop, the recipe."""
    crop = crop_identity(faces) if faces else "uncropped"
    return cache.clip_file(recipe.kind, clip, *recipe.depends_on, crop)


def _make(recipe: Recipe, faces: FacesConfig | None, clip: Clip) -> cache.Arrays:
    return recipe.make(clip if faces is None else aligned_frames(clip, faces))
