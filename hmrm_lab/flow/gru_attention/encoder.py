"""The encoders of GRU-AOFE (3.1.1): a small residual network, to 1/4 and to 1/8 of the frame."""

from torch import Tensor, nn
from torch.nn import functional as F


class ResidualBlock(nn.Module):
    """Two convolutions and their input; at the start it is the identity."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)
        for parameter in self.second.parameters():
            nn.init.zeros_(parameter)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.second(F.relu(self.first(x))))


class Encoder(nn.Module):
    """One frame, (B, 3, H, W) of zero mean and unit variance, to features at 1/4 and at 1/8.

    There are no normalisation layers: the features of a frame must not depend on its batch. The
    first convolution reduces to 1/4 at once, since those at full resolution are the slowest.
    """

    def __init__(self, *, widths: tuple[int, int], fine: int, coarse: int) -> None:
        super().__init__()
        quarter, eighth = widths
        self.to_quarter = nn.Conv2d(3, quarter, 12, stride=4, padding=4)
        self.at_quarter = ResidualBlock(quarter)
        self.to_eighth = nn.Conv2d(quarter, eighth, 3, stride=2, padding=1)
        self.at_eighth = ResidualBlock(eighth)
        self.fine = nn.Conv2d(quarter, fine, 1)
        self.coarse = nn.Conv2d(eighth, coarse, 1)

    def forward(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        quarter = self.at_quarter(F.relu(self.to_quarter(frames)))
        eighth = self.at_eighth(F.relu(self.to_eighth(quarter)))
        return self.fine(quarter), self.coarse(eighth)


def convex_upsample(flow: Tensor, weights: Tensor, factor: int) -> Tensor:
    """Every fine pixel of a flow (B, 2, h, w) as a convex combination of the 3 x 3 cells about it.

    Weights, before the softmax, are (B, 9 * factor^2, h, w); flow is in pixels of the full frame.
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
    """Convex upsampling with weights from the hidden state, (B, D, h, w)."""

    def __init__(self, *, hidden: int, factor: int) -> None:
        super().__init__()
        self.factor = factor
        self.weights = nn.Sequential(
            nn.Conv2d(hidden, 32, 3, padding=1), nn.ReLU(), nn.Conv2d(32, 9 * factor**2, 1)
        )

    def forward(self, flow: Tensor, hidden: Tensor) -> Tensor:
        return convex_upsample(flow, self.weights(hidden), self.factor)
