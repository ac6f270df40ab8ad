"""The interface of optical flow methods, the classical ones by OpenCV, and the flow of one clip."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol, runtime_checkable

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from torch import nn

from hmrm_lab.errors import InputError
from hmrm_lab.records import Clip, Floats, KnownMotion
from hmrm_lab.registry import flows as methods

SMALLEST_SIDE = 16
EXACT = "exact"  # the motion of drawn clips, in place of a method


class FlowEstimator(Protocol):
    """Motion from onset to apex, both (B, H, W, 3) uint8, RGB.

    Returns (B, 2, H, W) float32, pixels, order (u, v); u to the right, v downwards.
    """

    def __call__(self, onset: NDArray[np.uint8], apex: NDArray[np.uint8]) -> Floats: ...


@runtime_checkable
class LearntFlow(Protocol):
    """An estimator whose network can be trained further.

    The network takes onset and apex, each (B, 3, H, W) float RGB in 0..1, to (B, 2, H, W) pixels.
    """

    @property
    def network(self) -> nn.Module: ...


def check_pairs(onset: NDArray[np.uint8], apex: NDArray[np.uint8]) -> None:
    """Raise an `InputError` for frames that no estimator can take."""
    for frames in (onset, apex):
        _check_frames(frames)
    if len(onset) != len(apex):
        problem = f"{len(onset)} onsets for {len(apex)} apexes"
        raise InputError(problem, hint="give one apex for each onset")
    if onset.shape != apex.shape:
        problem = f"onset {onset.shape[1:3]} and apex {apex.shape[1:3]} differ in size"
        raise InputError(problem, hint="crop both frames alike")


def _check_frames(frames: object) -> None:
    if not isinstance(frames, np.ndarray):
        hint = "give (B, H, W, 3) RGB as a numpy array"
        raise InputError(f"frames as {type(frames).__name__}", hint=hint)
    shape, wanted = frames.shape, "give (B, H, W, 3) RGB images"
    if frames.ndim == 3 and shape[-1] in (1, 3, 4):
        raise InputError("one frame without a batch", hint=f"{wanted}: frame[None]")
    if frames.ndim != 4 or shape[-1] != 3:
        kinds = {1: "grey frames (one channel)", 4: "frames with an alpha channel"}
        channels = {2: 1, 3: 1, 4: shape[-1]}.get(frames.ndim, 0)  # no last axis: grey
        raise InputError(kinds.get(channels, f"frames of shape {shape}"), hint=wanted)
    if np.issubdtype(frames.dtype, np.floating):
        finite = np.isfinite(frames).all()
        problem = "floating-point frames" if finite else "frames with levels that are not finite"
        raise InputError(problem, hint="scale them to 0..255 and convert them to 8 bit (uint8)")
    if frames.dtype != np.uint8:
        raise InputError(f"frames of type {frames.dtype}", hint="convert them to 8 bit (uint8)")
    if len(frames) == 0:
        raise InputError("no frames at all", hint="give at least one pair")
    if min(frames.shape[1:3]) < SMALLEST_SIDE:
        hint = f"give at least {SMALLEST_SIDE}x{SMALLEST_SIDE}"
        raise InputError(f"frames of {shape[2]}x{shape[1]} pixels", hint=hint)


@dataclass(frozen=True)
class GreyscaleFlow:
    """OpenCV's method for a pair of grey images, applied to batches of colour pairs."""

    method: Any

    def __call__(self, onset: NDArray[np.uint8], apex: NDArray[np.uint8]) -> Floats:
        check_pairs(onset, apex)
        pairs = zip(onset, apex, strict=True)
        grey = ([cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in pair] for pair in pairs)
        fields = [self.method.calc(*pair, None) for pair in grey]
        return np.stack(fields).transpose(0, 3, 1, 2).astype(np.float32)  # (B, 2, H, W)


@methods.register("tvl1", source="Zach, Pock and Bischof 2007")
def tvl1(
    *, tau: float = 0.25, smoothness: float = 0.15, theta: float = 0.3, warps: int = 5
) -> FlowEstimator:
    """Dual TV-L1 with OpenCV's defaults; `smoothness` is the weight lambda of the data term."""
    create = cv2.optflow.DualTVL1OpticalFlow_create
    return GreyscaleFlow(create(tau=tau, lambda_=smoothness, theta=theta, warps=warps))


@methods.register("farneback", source="Farneback 2003")
def farneback(
    *, levels: int = 3, window_px: int = 15, iterations: int = 3, neighbourhood_px: int = 5
) -> FlowEstimator:
    """Polynomial expansion."""
    size = {"winSize": window_px, "polyN": neighbourhood_px, "polySigma": 1.1}
    return GreyscaleFlow(
        cv2.FarnebackOpticalFlow_create(numLevels=levels, numIters=iterations, **size)
    )


@methods.register("dis", source="Kroeger et al. 2016")
def dis(*, finest_scale: int = 0) -> FlowEstimator:
    """Dense inverse search, medium preset; scale 0 is full resolution, for small motion."""
    method = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    method.setFinestScale(finest_scale)
    return GreyscaleFlow(method)


@methods.register("deepflow", source="Weinzaepfel et al. 2013")
def deepflow() -> FlowEstimator:
    """OpenCV's DeepFlow, without deep matching: variational, coarse to fine."""
    return GreyscaleFlow(cv2.optflow.createOptFlow_DeepFlow())


def no_motion(onset: NDArray[np.uint8], apex: NDArray[np.uint8]) -> Floats:
    """The zero flow, the baseline of evaluations; not registered, since no run would use it."""
    check_pairs(onset, apex)
    return np.zeros((len(onset), 2, *onset.shape[1:3]), dtype=np.float32)


def flow(
    clip: Clip,
    method: str | FlowEstimator = "gru_attention",
    *,
    start: int | None = None,
    end: int | None = None,
    **options: Any,
) -> Floats:
    """Optical flow of a clip from onset to apex, or from frame `start` to frame `end`.

    The method is a name of `lab.flows()` (with its options, such as `weights="mine.safetensors"`),
    an estimator of your own, or `exact`, the true motion of drawn clips. Returns (2, H, W) float32,
    pixels, order (u, v); u to the right, v downwards. Raises a `ConfigError` for a method or option
    that does not exist, and an `InputError` if the clip has no apex, or its motion is not known.

    >>> clip = lab.load("synthetic", preset="smoke")[0]
    >>> lab.flow(clip, "dis").shape
    (2, 224, 224)
    """
    first = clip.onset if start is None else start
    last = clip.known_apex if end is None else end
    if method == EXACT:
        if not isinstance(clip.frames, KnownMotion):
            problem = f"the exact motion of {'/'.join(clip.key)} is not known"
            raise InputError(problem, hint="take a drawn clip")
        return clip.frames.flow(first, last)
    estimate = estimator(method, **options) if isinstance(method, str) else method
    return estimate(clip.frames[first][None], clip.frames[last][None])[0]


def flows() -> pd.DataFrame:
    """List the flow estimators: one row each, with source and options.

    >>> lab.flows().index.tolist()
    ['deepflow', 'dis', 'farneback', 'gru_attention', 'tvl1']
    """
    return methods.table(source=lambda entry: entry.source)


@lru_cache(maxsize=8)
def estimator(name: str, **options: Any) -> FlowEstimator:
    """Build a flow estimator by its name, once: onsets and apexes (B, H, W, 3) to (B, 2, H, W)."""
    methods[name].complete(options)
    return methods[name].build(**options)
