"""GRU-AOFE: gated recurrent units with attention that estimate optical flow (3.1.1)."""

import inspect
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hmrm_lab.errors import InputError
from hmrm_lab.flow.gru_attention.correlation import CorrelationKind, LookUp, Warped, correlation
from hmrm_lab.flow.gru_attention.encoder import ConvexUpsampler, Encoder
from hmrm_lab.flow.gru_attention.gradients import CELL, GradientSteps, noise_level, smoothed
from hmrm_lab.flow.gru_attention.update import AttentionKind, Update, tanh

COARSE, FINE = 8, 4  # pixels of the frame to a cell of the flow
FAINTEST = 2 / 255  # a frame of less contrast than this shows nothing


class Scale(NamedTuple):
    """Inputs of the updates at one scale; details are (B, 1, 4 h, 4 w), context is (B, C, h, w)."""

    details: tuple[Tensor, ...]
    context: Tensor
    look_up: LookUp
    noise: Tensor
    detail_px: int  # pixels of the frame to a pixel of the details


class Unrolled(NamedTuple):
    """A flow (B, 2, H, W) for each update; the last attention (B, J, h, w), at 1/4 of the frame."""

    flows: list[Tensor]
    attention: Tensor


class GRUFlow(nn.Module):
    """Motion from onset to apex, by updates at 1/8 and then at 1/4 of the resolution.

    Frames (B, 3, H, W), float, RGB in 0..1, of any size, to (B, 2, H, W), pixels, order (u, v).
    """

    def __init__(
        self,
        *,
        features: tuple[int, int] = (16, 32),
        contexts: tuple[int, int] = (16, 32),
        hidden: tuple[int, int] = (32, 16),
        context: int = 8,
        motion: int = 24,
        levels: int = 4,
        coarse_radius: int = 2,
        fine_radius: int = 1,
        windows: tuple[int, ...] = (1,),
        smooth: int = 2,
        iterations: tuple[int, int] = (2, 2),
        attention: AttentionKind = "steps",
        volume: CorrelationKind = "all_pairs",
    ) -> None:
        super().__init__()
        settings = locals()
        names = inspect.signature(GRUFlow).parameters
        self.settings: dict[str, Any] = {name: settings[name] for name in names}
        if iterations[0] < 0 or iterations[1] < 1:
            raise InputError(f"iterations {iterations}", hint="give (0 or more, 1 or more)")
        at_coarse, at_fine = hidden
        self.iterations, self.volume, self.context = iterations, volume, context
        self.levels, self.coarse_radius, self.fine_radius = levels, coarse_radius, fine_radius
        self.feature_encoder = Encoder(widths=features, fine=16, coarse=32)
        self.context_encoder = Encoder(
            widths=contexts, fine=context + at_fine, coarse=context + at_coarse
        )
        self.coarse_gradients = GradientSteps(windows=windows, smooth=smooth)
        self.fine_gradients = GradientSteps(windows=windows, smooth=smooth)
        update = partial(
            Update,
            context=context,
            motion=motion,
            steps=self.fine_gradients.steps,
            smooth=smooth,
            evidence=self.fine_gradients.features + 1,
            attention=attention,
        )
        self.coarse_update = update(
            hidden=at_coarse, correlation=levels * (2 * coarse_radius + 1) ** 2
        )
        self.fine_update = update(hidden=at_fine, correlation=(2 * fine_radius + 1) ** 2)
        self.pass_up = nn.Conv2d(at_coarse + at_fine, at_fine, 1)
        self.upsampler = ConvexUpsampler(hidden=at_fine, factor=FINE)

    def forward(self, onset: Tensor, apex: Tensor) -> Tensor:
        return self.unroll(onset, apex, keep=False).flows[-1]

    def unroll(self, onset: Tensor, apex: Tensor, *, keep: bool = True) -> Unrolled:
        """The flow after every update (if `keep`, else the last), and the last attention."""
        at_coarse, at_fine = self.iterations
        height, width = onset.shape[-2:]
        coarse, fine, state, fine_state = self._describe(padded(onset), padded(apex))
        flow = torch.zeros_like(state[:, :2])
        flows: list[Tensor] = []
        history = [tanh(state)]
        for _ in range(at_coarse):
            flow, attention = _refine(
                self.coarse_update, self.coarse_gradients, coarse, flow, history
            )
            if keep:
                flows.append(_enlarged(flow, COARSE)[..., :height, :width])
        flow, passed = _enlarged(flow, 2), _enlarged(history[-1], 2)
        history = [tanh(self.pass_up(torch.cat([passed, fine_state], dim=1)))]
        for number in range(at_fine):
            flow, attention = _refine(self.fine_update, self.fine_gradients, fine, flow, history)
            if keep or number == at_fine - 1:
                flows.append(self.upsampler(flow, history[-1])[..., :height, :width])
        return Unrolled(flows, attention)

    def _describe(self, onset: Tensor, apex: Tensor) -> tuple[Scale, Scale, Tensor, Tensor]:
        """Both scales, which do not change from update to update, and their first states."""
        frames = normalised(torch.cat([onset, apex]))
        grey = frames.mean(dim=1, keepdim=True)  # of three channels it has the least noise
        noise = noise_level(grey).view(2, -1, 1, 1, 1).mean(dim=0)
        fine_features, coarse_features = (f.chunk(2) for f in self.feature_encoder(frames))
        fine_context, coarse_context = self.context_encoder(frames[: len(onset)])
        of_coarse, coarse_state = coarse_context.tensor_split([self.context], dim=1)
        of_fine, fine_state = fine_context.tensor_split([self.context], dim=1)
        coarse = Scale(
            details=smoothed(F.avg_pool2d(grey, 2)).chunk(2),
            context=F.relu(of_coarse),
            look_up=correlation(
                self.volume, *coarse_features, levels=self.levels, radius=self.coarse_radius
            ),
            noise=noise / 2,  # a mean of four pixels
            detail_px=COARSE // CELL,
        )
        fine = Scale(
            details=smoothed(grey).chunk(2),
            context=F.relu(of_fine),
            look_up=Warped(*fine_features, radius=self.fine_radius),
            noise=noise,
            detail_px=FINE // CELL,
        )
        return coarse, fine, coarse_state, fine_state


def _refine(
    update: Update, gradients: GradientSteps, scale: Scale, flow: Tensor, history: list[Tensor]
) -> tuple[Tensor, Tensor]:
    """One update at one scale; the new state joins the history.

    The update counts in pixels of the scale's details, flow in pixels of the frame.
    """
    here = flow / scale.detail_px
    stiffness = update.stiffness(history[-1])
    steps, evidence = gradients(*scale.details, here, scale.noise, stiffness)
    loudness = torch.log(scale.noise + 1e-3).expand(-1, -1, *flow.shape[2:])
    evidence, found = torch.cat([evidence, loudness], dim=1), scale.look_up(here / CELL)
    state, change, attention = update(history, scale.context, found, here, steps, evidence)
    history.append(state)
    return flow + change * scale.detail_px, attention


def normalised(frames: Tensor) -> Tensor:
    """Each frame at zero mean and unit variance, so that exposure is no motion."""
    centred = frames - frames.mean(dim=(1, 2, 3), keepdim=True)
    spread = centred.square().mean(dim=(1, 2, 3), keepdim=True).sqrt()
    return centred.div_(spread + FAINTEST)


def padded(frames: Tensor) -> Tensor:
    """The last row and column repeated until both sides are whole cells."""
    right, below = (-side % COARSE for side in (frames.shape[3], frames.shape[2]))
    return F.pad(frames, (0, right, 0, below), mode="replicate")


def _enlarged(values: Tensor, factor: int) -> Tensor:
    return F.interpolate(values, scale_factor=factor, mode="bilinear", align_corners=False)
