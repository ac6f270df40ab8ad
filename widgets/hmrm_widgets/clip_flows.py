"""Frames of clips and the flow in them, each computed once and kept for a while."""

from collections.abc import Mapping, Sequence
from functools import lru_cache

from hmrm_lab.flow.estimator import FlowEstimator
from hmrm_lab.flow.gru_attention import FrozenFlow, flow_steps, update_names
from hmrm_lab.records import Clip, Floats, KnownMotion
from hmrm_lab.registry import flows
from hmrm_lab.reporting.drawing import Image

EXACT = "exact"
NO_UPDATES = "none"  # of a method that answers at once
KEPT_FLOWS = 64  # 400 kB for each field at 224x224
KEPT_FRAMES = 64


class ClipFlows:
    """What a viewer of motion asks of its clips, which it names by their number.

    Parameters
    ----------
    methods
        Names of registered flow estimators, or estimators by the names to show.

    Attributes
    ----------
    clips, estimators
    image(number, frame)
        A frame: (H, W, 3), uint8, RGB.
    fields(number, frame, method)
        The flow from the onset to a frame after each update of the method: (T, 2, H, W), pixels;
        T = 1 for a method without updates, and for the exact flow.
    """

    def __init__(
        self, clips: Sequence[Clip], methods: Sequence[str] | Mapping[str, FlowEstimator]
    ) -> None:
        self.clips = list(clips)
        self.estimators: dict[str, FlowEstimator] = (
            dict(methods)
            if isinstance(methods, Mapping)
            else {name: flows[name].build() for name in methods}
        )
        self.image = lru_cache(KEPT_FRAMES)(self._image)
        self.fields = lru_cache(KEPT_FLOWS)(self._fields)

    def knows_motion(self, number: int) -> bool:
        return isinstance(self.clips[number].frames, KnownMotion)

    def methods(self, number: int) -> list[str]:
        """What can tell the flow of a clip."""
        return [*self.estimators, *([EXACT] if self.knows_motion(number) else [])]

    def updates(self, method: str) -> tuple[str, ...]:
        """The names of a method's updates."""
        estimator = self.estimators.get(method)
        return (
            tuple(update_names(estimator)) if isinstance(estimator, FrozenFlow) else (NO_UPDATES,)
        )

    def exact(self, number: int, frame: int) -> Floats:
        """The exact flow to a frame of a clip that knows it: (2, H, W), pixels."""
        field: Floats = self.fields(number, frame, EXACT)[0]
        return field

    def _fields(self, number: int, frame: int, method: str) -> Floats:
        clip = self.clips[number]
        if method == EXACT and isinstance(clip.frames, KnownMotion):
            return clip.frames.flow(clip.onset, frame)[None]
        estimator = self.estimators[method]
        first, second = self.image(number, clip.onset), self.image(number, frame)
        if isinstance(estimator, FrozenFlow):
            return flow_steps(estimator, first, second).flows_px
        return estimator(first[None], second[None])

    def _image(self, number: int, frame: int) -> Image:
        return self.clips[number].frames[frame]
