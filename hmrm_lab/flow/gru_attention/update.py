"""The recurrent update of GRU-AOFE (3.1.1): motion encoder, ConvGRU, additive attention, output."""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hmrm_lab.flow.gru_attention.gradients import squash

AttentionKind = Literal["steps", "space"]


def tanh(values: Tensor) -> Tensor:
    """tanh by the logistic function, which torch computes six times as fast as its tanh."""
    return 2 * torch.sigmoid(2 * values) - 1


class ConvGRU(nn.Module):
    """A gated recurrent unit whose gates are 3 x 3 convolutions.

    Hidden (B, D, h, w) and inputs (B, C, h, w) to hidden.
    """

    def __init__(self, *, hidden: int, inputs: int) -> None:
        super().__init__()
        self.gates = nn.Conv2d(hidden + inputs, 2 * hidden, 3, padding=1)
        self.candidate = nn.Conv2d(hidden + inputs, hidden, 3, padding=1)

    def forward(self, hidden: Tensor, inputs: Tensor) -> Tensor:
        gates = torch.sigmoid(self.gates(torch.cat([hidden, inputs], dim=1)))
        renew, reset = gates.chunk(2, dim=1)
        proposal = tanh(self.candidate(torch.cat([reset * hidden, inputs], dim=1)))
        return torch.lerp(hidden, proposal, renew)


class AdditiveAttention(nn.Module):
    """`e_j = v^T tanh(W_s s + W_h h_j)`, `alpha = softmax(e)`, `sum_j alpha_j h_j`.

    The paper attends "between each time step" and also weighs "the importance of each region":
    `steps` attends, at every pixel, over the hidden states so far, `space` over the regions of the
    present one, its means on a grid. T tensors (B, D, h, w) to one and alpha (B, J, h, w).
    """

    GRID = 7

    def __init__(self, *, hidden: int, width: int, kind: AttentionKind) -> None:
        super().__init__()
        self.kind = kind
        self.of_state = nn.Conv2d(hidden, width, 1)
        self.of_key = nn.Conv2d(hidden, width, 1, bias=False)
        self.score = nn.Parameter(torch.randn(width) / width**0.5)

    def forward(self, history: list[Tensor]) -> tuple[Tensor, Tensor]:
        return self._over_steps(history) if self.kind == "steps" else self._over_space(history[-1])

    def _over_steps(self, history: list[Tensor]) -> tuple[Tensor, Tensor]:
        query = self.of_state(history[-1])
        score = self.score.view(1, -1, 1, 1)
        keys = self.of_key(torch.cat(history)).unflatten(0, (len(history), -1))
        energies = F.conv2d(tanh(query + keys).flatten(0, 1), score)
        alpha = torch.cat(energies.chunk(len(history)), dim=1).softmax(dim=1)  # (B, T, h, w)
        attended = alpha[:, :1] * history[0]
        for j, key in enumerate(history[1:], start=1):
            attended = torch.addcmul(attended, alpha[:, j : j + 1], key)
        return attended, alpha

    def _over_space(self, state: Tensor) -> tuple[Tensor, Tensor]:
        regions = F.adaptive_avg_pool2d(state, self.GRID)
        query = self.of_state(state).flatten(2).transpose(1, 2)[:, :, None]  # (B, N, 1, A)
        key = self.of_key(regions).flatten(2).transpose(1, 2)[:, None]  # (B, 1, J, A)
        alpha = (tanh(query + key) @ self.score).softmax(dim=-1)  # (B, N, J)
        context = alpha @ regions.flatten(2).transpose(1, 2)
        shape = state.shape[2:]
        return context.mT.unflatten(2, shape), alpha.mT.unflatten(2, shape)


class MotionEncoder(nn.Module):
    """Correlation, flow and gradient evidence to motion features."""

    def __init__(self, *, correlation: int, evidence: int, width: int) -> None:
        super().__init__()
        self.of_correlation = nn.Conv2d(correlation, 16, 1)
        self.joint = nn.Conv2d(16 + 2 + evidence, width, 3, padding=1)

    def forward(self, correlation: Tensor, flow: Tensor, evidence: Tensor) -> Tensor:
        found = F.relu(self.of_correlation(correlation))
        return F.relu(self.joint(torch.cat([found, squash(flow), evidence], dim=1)))


class Update(nn.Module):
    """One step at one scale: a new hidden state and a change of the flow.

    The change is a mixture of the Lucas-Kanade steps (no motion among them) and a learnt residual;
    both are read from the state and the attended context, `W_o [s; v] + b_o`. History are hidden
    states (B, D, h, w); steps (B, K, 2, h, w), flow and change (B, 2, h, w) have the same pixels.
    """

    def __init__(
        self,
        *,
        hidden: int,
        context: int,
        motion: int,
        correlation: int,
        steps: int,
        smooth: int,
        evidence: int,
        attention: AttentionKind,
    ) -> None:
        super().__init__()
        self.motion = MotionEncoder(correlation=correlation, evidence=evidence, width=motion)
        self.gru = ConvGRU(hidden=hidden, inputs=context + motion)
        self.attention = AdditiveAttention(hidden=hidden, width=hidden // 2, kind=attention)
        self.output = nn.Conv2d(2 * hidden, 2 + steps + 1, 3, padding=1)
        self.stiffness = nn.Conv2d(hidden, smooth, 1)
        for parameter in [*self.output.parameters(), *self.stiffness.parameters()]:
            nn.init.zeros_(parameter)  # begins as the mean of the steps, equally smooth everywhere
        nn.init.normal_(self.output.weight, std=1e-3)

    def forward(
        self,
        history: list[Tensor],
        context: Tensor,
        correlation: Tensor,
        flow: Tensor,
        steps: Tensor,
        evidence: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor]:
        motion = self.motion(correlation, flow, evidence)
        state = self.gru(history[-1], torch.cat([context, motion], dim=1))
        attended, alpha = self.attention([*history, state])
        output = self.output(torch.cat([state, attended], dim=1))
        share = output[:, 2:].softmax(dim=1)[:, :-1, None]  # the last share is that of no motion
        return state, output[:, :2] + (share * steps).sum(dim=1), alpha
