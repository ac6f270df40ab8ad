"""The classical estimators, by OpenCV: TV-L1, Farneback, DIS and DeepFlow; and no motion at all."""

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from hmrm_lab.flow.estimator import FlowEstimator, check_pairs
from hmrm_lab.records import Floats
from hmrm_lab.registry import flows

GreyFlow = Callable[[NDArray[np.uint8], NDArray[np.uint8]], Floats]


@dataclass(frozen=True)
class GreyscaleFlow:
    """A method for one pair of grey images, applied to batches of colour pairs."""

    of_pair: GreyFlow

    def __call__(self, onset: NDArray[np.uint8], apex: NDArray[np.uint8]) -> Floats:
        check_pairs(onset, apex)
        pairs = zip(onset, apex, strict=True)
        fields = [self.of_pair(_grey(first), _grey(second)) for first, second in pairs]
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
    """Dense inverse search, medium preset; scale 0 is full resolution, as small motion wants it."""
    method = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    method.setFinestScale(finest_scale)
    return GreyscaleFlow(lambda onset, apex: method.calc(onset, apex, None))


@flows.register("deepflow", source="Weinzaepfel et al. 2013")
def deepflow() -> FlowEstimator:
    """DeepFlow as OpenCV has it, which is without deep matching: variational, coarse to fine."""
    method = cv2.optflow.createOptFlow_DeepFlow()
    return GreyscaleFlow(lambda onset, apex: method.calc(onset, apex, None))


def no_motion(onset: NDArray[np.uint8], apex: NDArray[np.uint8]) -> Floats:
    """The estimator that every other must beat; not registered, since no pipeline wants it."""
    check_pairs(onset, apex)
    return np.zeros((len(onset), 2, *onset.shape[1:3]), dtype=np.float32)


def _grey(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
