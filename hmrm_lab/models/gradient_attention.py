"""Gradient attention: a map of where features change, by which they are multiplied.

After MEGANet (arXiv 2509.00056), whose block is known in words alone; decision 0019 derives this
one.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import convert_conv2d_weight_memory_format

KERNEL = 7  # pixels that one weight of the map looks at, along a side
TINY = 1e-6  # under the root, whose slope at zero is not finite; and where nothing changes


class GradientAttention(nn.Module):
    """Features times 1 + A, where A in 0..1 is read from the size of their gradient.

    That size is divided by its mean over the map, so that a weak picture gets the attention of a
    strong one.

    Shapes
    ------
    features, returns : (B, D, H, W)
    """

    def __init__(self) -> None:
        super().__init__()
        self.weigh = nn.Conv2d(1, 1, KERNEL, padding=KERNEL // 2)
        # In this order of memory torch computes it in half the time.
        convert_conv2d_weight_memory_format(self.weigh, torch.channels_last)

    def forward(self, features: Tensor) -> Tensor:
        return features * (1 + self.weights(features))

    def weights(self, features: Tensor) -> Tensor:
        """The attention map A, (B, 1, H, W)."""
        size = gradient_size(features)
        relative = size / (size.mean((2, 3), keepdim=True) + TINY)
        return torch.sigmoid(self.weigh(relative))


def gradient_size(maps: Tensor) -> Tensor:
    """The length of Sobel's gradient at each pixel, over all maps together (root mean square).

    Borders are continued by their own values, so that the edge of a map is no edge of the face.

    Shapes
    ------
    maps : (B, D, H, W)
    returns : (B, 1, H, W), change per pixel
    """
    padded = F.pad(maps, (1, 1, 1, 1), mode="replicate")
    across = (padded[..., 2:] - padded[..., :-2]) / 2  # (B, D, H + 2, W)
    down = (padded[..., 2:, :] - padded[..., :-2, :]) / 2  # (B, D, H, W + 2)
    across = (across[..., :-2, :] + 2 * across[..., 1:-1, :] + across[..., 2:, :]) / 4
    down = (down[..., :-2] + 2 * down[..., 1:-1] + down[..., 2:]) / 4
    return ((across**2 + down**2).mean(1, keepdim=True) + TINY**2).sqrt()
