"""Multi-Scale Weighted Cross-Entropy (paper 3.4), and the loss of a second task."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hmrm_lab.models.interface import SHARPNESS


def forward_tasks(network: nn.Module, maps: Tensor) -> tuple[Tensor, Tensor | float]:
    """Return the logits (B, scales, K) of any network, and its extra loss, a mean over clips."""
    both = getattr(network, "forward_tasks", None)
    return both(maps) if both else (network(maps), 0.0)


PRESENT, ABSENT, ABSENT_WEIGHT = 0.9, 0.1, 0.5  # Sabour et al., NIPS 2017, equation 4


def margin_loss(lengths: Tensor, target: Tensor) -> Tensor:
    """`sum_k T_k max(0, .9 - v_k)^2 + .5 (1 - T_k) max(0, v_k - .1)^2`.

    Sabour et al., NIPS 2017. Lengths v (..., K) in 0..1 and targets T (..., K) to losses (...).
    """
    present = target * (PRESENT - lengths).clamp_min(0).square()
    absent = (1 - target) * (lengths - ABSENT).clamp_min(0).square()
    return (present + ABSENT_WEIGHT * absent).sum(-1)


class MSWCE(nn.Module):
    """`L = - sum_i sum_s w_s (1 - p_is)^gamma log p_is`, averaged over clips.

    `p_is` is the probability of the true class at scale `s`. Weights are pre-defined or learnt;
    learnt ones keep their sum (softmax), or zero would be optimal. Class weights and smoothing are
    not in the paper. Logits are (B, S, K); labels (B,), or (B, K) probabilities of mixed clips.
    With `margin` the logits are of capsules, and their margin loss takes the place of the entropy.
    With `weights` (B,) of clips it is their sum, in place of the mean.
    """

    def __init__(
        self,
        scale_weights: tuple[float, ...],
        *,
        gamma: float = 0.0,
        learn_scale_weights: bool = False,
        class_weights: Tensor | None = None,
        label_smoothing: float = 0.0,
        margin: bool = False,
    ) -> None:
        super().__init__()
        self.fixed = nn.Buffer(torch.tensor(scale_weights, dtype=torch.float32))
        self.total = float(self.fixed.sum())
        logits = self.fixed.clamp_min(1e-6).log()
        self.learnt = nn.Parameter(logits) if learn_scale_weights else None
        self.class_weights = None if class_weights is None else nn.Buffer(class_weights)
        self.gamma = gamma
        self.label_smoothing = label_smoothing
        self.margin = margin

    @property
    def scale_weights(self) -> Tensor:
        return self.fixed if self.learnt is None else self.total * self.learnt.softmax(0)

    def forward(self, logits: Tensor, labels: Tensor, weights: Tensor | None = None) -> Tensor:
        scales, classes = logits.shape[1:]
        log_p = F.log_softmax(logits, dim=-1)  # (B, S, K)
        target = (F.one_hot(labels, classes) if labels.ndim == 1 else labels).to(log_p)
        smooth = target * (1 - self.label_smoothing) + self.label_smoothing / classes
        if self.margin:
            entropy = margin_loss(logits / SHARPNESS, smooth[:, None])  # (B, S)
        else:
            entropy = -(smooth[:, None] * log_p).sum(-1)
        if self.gamma:
            entropy = entropy * (1 - (target[:, None] * log_p).sum(-1).exp()) ** self.gamma
        if self.class_weights is not None:
            known = labels.ndim == 1
            of_classes = self.class_weights[labels] if known else target @ self.class_weights
            entropy = entropy * of_classes[:, None]
        of_clips = (entropy * self.scale_weights[:scales]).sum(1)
        return of_clips.mean() if weights is None else (of_clips * weights).sum()


def balance_classes(labels: Tensor, classes: int, power: float) -> Tensor | None:
    """Compute class weights `(n / n_c) ** power`, with mean 1 over the clips; None at power 0."""
    if power == 0:
        return None
    counts = torch.bincount(labels, minlength=classes).float()
    weights = torch.where(counts > 0, (len(labels) / counts.clamp_min(1)) ** power, 0.0)
    return weights / weights[labels].mean()
