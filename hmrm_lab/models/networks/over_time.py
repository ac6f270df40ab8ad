"""Networks that read the motion to each frame of a clip: TSFmicro and ATM-GCN."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hmrm_lab.models.interface import Features, system
from hmrm_lab.models.layers import Dropout, Linear, transformer, width_of_heads
from hmrm_lab.models.networks.resnet import residual_encoder
from hmrm_lab.models.networks.transformers import PatchEncoder, as_sequence

HEADS, DEPTH, DROPOUT = 4, 2, 0.1


@system("tsfmicro")
class TSFmicro(nn.Module):
    """Where the face moves, beside how over time, and both fused (Liu et al., arXiv 2505.16372).

    Where: a shallow transformer over patches of the last map. How: retention over the features of
    what changes from map to map. A sequence (B, T, C, H, H), H = `size`, a multiple of 4, to
    (B, 1, K); of one map (B, C, H, H), the shares of `as_sequence`.
    """

    def __init__(self, channels: int, size: int, classes: int, *, width: Features = 64) -> None:
        super().__init__()
        self.where = PatchEncoder(channels, size, width, DEPTH, heads=HEADS, dropout=DROPOUT)
        self.encode = residual_encoder(channels, width)
        retention = (Retention(width) for _ in range(DEPTH))
        self.how = nn.Sequential(*retention, nn.LayerNorm(width))
        self.dropout = Dropout(DROPOUT)
        self.head = nn.Linear(3 * width, classes)

    def forward(self, maps: Tensor) -> Tensor:
        sequence = as_sequence(maps)
        changes = torch.diff(sequence, dim=1, prepend=torch.zeros_like(sequence[:, :1]))
        features = self.encode(changes.flatten(0, 1)).mean((2, 3))  # (B T, D)
        over_time = self.how(features.unflatten(0, changes.shape[:2]))  # (B, T, D)
        where, how = self.where(sequence[:, -1]), over_time[:, -1]
        return self.head(self.dropout(torch.cat([where, how, where * how], dim=1)))[:, None]


class Retention(nn.Module):
    """Gated retention (RetNet, Sun et al. 2023): what came before fades with time. (B, T, D).

    Head h of those counted from 0 keeps 1 - 2^(-5 - h) from step to step.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        inner = width_of_heads(width, HEADS)
        self.norm = nn.LayerNorm(width)
        self.project_in = Linear(width, 4 * inner)
        self.project_out = Linear(inner, width)
        self.dropout = Dropout(DROPOUT)
        self.keeps = nn.Buffer(1 - 2.0 ** (-5 - torch.arange(HEADS)), persistent=False)

    def forward(self, tokens: Tensor) -> Tensor:
        split = self.project_in(self.norm(tokens)).unflatten(-1, (4, HEADS, -1))
        queries, keys, values, gate = split.permute(2, 0, 3, 1, 4)  # each (B, heads, T, D / heads)
        steps = torch.arange(tokens.shape[1], device=tokens.device)
        kept = (self.keeps[:, None, None] ** (steps[:, None] - steps).clamp_min(0)).tril()
        retained = (queries @ keys.mT / queries.shape[-1] ** 0.5 * kept) @ values
        retained = F.layer_norm(retained, retained.shape[-1:]) * F.silu(gate)
        return tokens + self.dropout(self.project_out(retained.transpose(1, 2).flatten(2)))


@system("atm_gcn")
class ATMGCN(nn.Module):
    """A graph of the motions from the onset to each frame (Zhang et al., arXiv 2406.08997).

    A global node, the mean of all, is linked with the local ones; self-attention reads it in the
    end. A sequence (B, T, C, H, H) of any `size` to (B, 1, K); of one map (B, C, H, H), the shares
    of `as_sequence`.
    """

    def __init__(self, channels: int, size: int, classes: int, *, width: Features = 64) -> None:
        super().__init__()
        self.encode, self.time = residual_encoder(channels, width), nn.Linear(1, width)
        self.layers = nn.ModuleList(MotionLayer(width) for _ in range(DEPTH))
        self.attention = transformer(width, 1, heads=HEADS, dropout=DROPOUT)
        self.head = nn.Linear(width, classes)

    def forward(self, maps: Tensor) -> Tensor:
        sequence = as_sequence(maps)
        batch, frames = sequence.shape[:2]
        features = self.encode(sequence.flatten(0, 1)).mean((2, 3)).unflatten(0, (batch, frames))
        times = torch.arange(1, frames + 1, device=maps.device)[:, None] / frames
        local = features + self.time(times)  # (B, T, D)
        nodes = torch.cat([local.mean(1, keepdim=True), local], dim=1)  # (B, 1 + T, D)
        links = torch.full_like(nodes @ nodes.mT, 1 / (1 + frames))
        for layer in self.layers:
            nodes, links = layer(nodes, links)
        return self.head(self.attention(nodes)[:, :1])


class MotionLayer(nn.Module):
    """Graph convolution with links that adapt to the motions: nodes (B, N, D), links (B, N, N).

    New links are as strong as nodes are alike; of the old ones a learnt share is kept. Rows of
    links add up to one.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.compare = Linear(width, 2 * width)
        self.change = Linear(width, width)
        self.keep = nn.Parameter(torch.zeros(()))  # in front of a sigmoid
        self.dropout = Dropout(DROPOUT)

    def forward(self, nodes: Tensor, links: Tensor) -> tuple[Tensor, Tensor]:
        normal = self.norm(nodes)
        queries, keys = self.compare(normal).chunk(2, dim=-1)
        alike = (queries @ keys.mT / queries.shape[-1] ** 0.5).softmax(-1)
        links = torch.lerp(alike, links, torch.sigmoid(self.keep))
        return nodes + self.dropout(F.relu(self.change(links @ normal))), links
