"""The interface of optical flow methods, and the classical ones, by OpenCV."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import cv2
import numpy as np
from numpy.typing import NDArray
from torch import nn

from hmrm_lab.errors import InputError
from hmrm_lab.records import Floats
from hmrm_lab.registry import flows

SMALLEST_SIDE = 16


class FlowEstimator(Protocol):
    """Motion from onset to apex.

    Shapes
    ------
    onset, apex : (B, H, W, 3), uint8, RGB
    returns : (B, 2, H, W), float32, pixels, order (u, v); u to the right, v downwards
    """

    def __call__(self, onset: NDArray[np.uint8], apex: NDArray[np.uint8]) -> Floats: ...


@runtime_checkable
class LearntFlow(Protocol):
    """An estimator whose network can be trained further.

    Shapes
    ------
    network : onset and apex, each (B, 3, H, W) float RGB in 0..1, to (B, 2, H, W) pixels
    """

    @property
    def network(self) -> nn.Module: ...


def check_pairs(onset: NDArray[np.uint8], apex: NDArray[np.uint8]) -> None:
    """Raise an `InputError` for frames that no estimator can take."""
    _check_frames(onset)
    _check_frames(apex)
    if len(onset) != len(apex):
        problem = f"{len(onset)} onsets for {len(apex)} apexes"
        raise InputError(problem, hint="give one apex for each onset")
    if onset.shape != apex.shape:
        problem = f"onset {onset.shape[1:3]} and apex {apex.shape[1:3]} differ in size"
        raise InputError(problem, hint="crop both frames alike")


def _check_frames(frames: object) -> None:
    if not isinstance(frames, np.ndarray):
        raise InputError(
            f"frames as {type(frames).__name__}", hint="give (B, H, W, 3) RGB as a numpy array"
        )
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
        raise InputError(
            f"frames of {frames.shape[2]}x{frames.shape[1]} pixels",
            hint=f"give at least {SMALLEST_SIDE}x{SMALLEST_SIDE}",
        )


GreyFlow = Callable[[NDArray[np.uint8], NDArray[np.uint8]], Floats]


@dataclass(frozen=True)
class GreyscaleFlow:
    """A method for a pair of grey images, applied to batches of colour pairs."""

    of_pair: GreyFlow

    def __call__(self, onset: NDArray[np.uint8], apex: NDArray[np.uint8]) -> Floats:
        check_pairs(onset, apex)
        pairs = zip(onset, apex, strict=True)
        grey = ([cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in pair] for pair in pairs)
        fields = [self.of_pair(*pair) for pair in grey]
        return np.stack(fields).transpose(0, 3, 1, 2).astype(np.float32)  # (B, 2, H, W)


@flows.register("tvl1", source="Zach, Pock and Bischof 2007")
def tvl1(
    *, tau: float = 0.25, smoothness: float = 0.15, theta: float = 0.3, warps: int = 5
) -> FlowEstimator:
    """Dual TV-L1 with OpenCV's defaults; `smoothness` is the weight lambda of the data term."""
    method = cv2.optflow.DualTVL1OpticalFlow_create(
        tau=tau, lambda_=smoothness, theta=theta, warps=warps
    )
    return GreyscaleFlow(lambda onset, apex: method.calc(onset, apex, None))


@flows.register("farneback", source="Farneback 2003")
def farneback(
    *, levels: int = 3, window_px: int = 15, iterations: int = 3, neighbourhood_px: int = 5
) -> FlowEstimator:
    """Polynomial expansion."""

    def of_pair(onset: NDArray[np.uint8], apex: NDArray[np.uint8]) -> Floats:
        return cv2.calcOpticalFlowFarneback(
            onset, apex, None, 0.5, levels, window_px, iterations, neighbourhood_px, 1.1, 0
        )

    return GreyscaleFlow(of_pair)


@flows.register("dis", source="Kroeger et al. 2016")
def dis(*, finest_scale: int = 0) -> FlowEstimator:
    """Dense inverse search, medium preset; scale 0 is full resolution, for small motion."""
    method = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    method.setFinestScale(finest_scale)
    return GreyscaleFlow(lambda onset, apex: method.calc(onset, apex, None))


@flows.register("deepflow", source="Weinzaepfel et al. 2013")
def deepflow() -> FlowEstimator:
    """OpenCV's DeepFlow, without deep matching: variational, coarse to fine."""
    method = cv2.optflow.createOptFlow_DeepFlow()
    return GreyscaleFlow(lambda onset, apex: method.calc(onset, apex, None))


def no_motion(onset: NDArray[np.uint8], apex: NDArray[np.uint8]) -> Floats:
    """The zero flow, the baseline of evaluations; not registered, since no run would use it."""
    check_pairs(onset, apex)
    return np.zeros((len(onset), 2, *onset.shape[1:3]), dtype=np.float32)
