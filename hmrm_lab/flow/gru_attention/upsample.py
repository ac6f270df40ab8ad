"""Learnt convex upsampling (Teed and Deng 2020): each pixel is a mean of nine coarse ones."""

from torch import Tensor, nn
from torch.nn import functional as F


def convex_upsample(flow: Tensor, weights: Tensor, factor: int) -> Tensor:
    """Every fine pixel as a convex combination of the 3 x 3 cells about it.

    Flow is in pixels of the full frame at every scale, so that nothing is multiplied.

    Shapes
    ------
    flow : (B, 2, h, w)
    weights : (B, 9 * factor^2, h, w), before the softmax
    returns : (B, 2, factor h, factor w)
    """
    batch, _, height, width = flow.shape
    share = weights.view(batch, 9, factor * factor, height, width).softmax(dim=1)
    padded = F.pad(flow, (1, 1, 1, 1), mode="replicate")
    mixed = flow.new_zeros(batch, 2, factor * factor, height, width)
    for cell in range(9):
        down, across = divmod(cell, 3)
        neighbour = padded[:, :, None, down : down + height, across : across + width]
        mixed.addcmul_(share[:, None, cell], neighbour)
    return F.pixel_shuffle(mixed.flatten(1, 2), factor)


class ConvexUpsampler(nn.Module):
    """Weights from the hidden state, and the upsampling by them.

    Shapes
    ------
    flow : (B, 2, h, w)
    hidden : (B, D, h, w)
    returns : (B, 2, factor h, factor w)
    """

    def __init__(self, *, hidden: int, factor: int) -> None:
        super().__init__()
        self.factor = factor
        self.weights = nn.Sequential(
            nn.Conv2d(hidden, 32, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(32, 9 * factor**2, 1),
        )

    def forward(self, flow: Tensor, hidden: Tensor) -> Tensor:
        return convex_upsample(flow, self.weights(hidden), self.factor)
