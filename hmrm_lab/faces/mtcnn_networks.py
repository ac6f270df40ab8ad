"""The three networks of MTCNN (Zhang et al. 2016), with the weights of the package `mtcnn`."""

import io
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from hmrm_lab.errors import InputError
from hmrm_lab.faces.extras import file_of_package, not_installed
from hmrm_lab.faces.joblib_arrays import read_arrays
from hmrm_lab.records import Floats

Layer = tuple[int, int, int]  # channels, side of the kernel, side of the pooling (0 for none)


class Proposal(nn.Module):
    """P-Net: for every window of 12 x 12, at a stride of 2, a box and the share of face.

    Shapes
    ------
    images : (B, 3, H, W), -1 to 1
    returns : boxes (B, 4, h, w), corrections in window sides; scores (B, h, w), 0 to 1
    """

    def __init__(self) -> None:
        super().__init__()
        self.trunk = _trunk([(10, 3, 2), (16, 3, 0), (32, 3, 0)])
        self.box, self.face = nn.Conv2d(32, 4, 1), nn.Conv2d(32, 2, 1)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        features = self.trunk(images)
        return self.box(features), self.face(features).softmax(1)[:, 1]


class Refinement(nn.Module):
    """R-Net, and O-Net with five points besides.

    Shapes
    ------
    images : (B, 3, side, side), -1 to 1
    returns : boxes (B, 4), points (B, 10) with all x before all y (O-Net; else (B, 0)), both in
        sides of the box; scores (B,), 0 to 1
    """

    def __init__(self, layers: Sequence[Layer], flat: int, hidden: int, points: int) -> None:
        super().__init__()
        self.trunk = _trunk(layers)
        self.hidden = nn.Sequential(nn.Linear(flat, hidden), nn.PReLU(hidden))
        self.box = nn.Linear(hidden, 4)
        self.points = nn.Linear(hidden, 2 * points) if points else None
        self.face = nn.Linear(hidden, 2)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        features = self.trunk(images).permute(0, 3, 2, 1).flatten(1)  # columns, rows, channels
        hidden = self.hidden(features)
        points = hidden[:, :0] if self.points is None else self.points(hidden)
        return self.box(hidden), points, self.face(hidden).softmax(1)[:, 1]


def load_networks() -> tuple[Proposal, Refinement, Refinement]:
    """P-Net, R-Net (24 x 24) and O-Net (48 x 48), ready to use.

    Raises
    ------
    InputError
        If the package `mtcnn` is not installed, or its files are not what they should be.
    """
    proposal = Proposal()
    refinement = Refinement([(28, 3, 3), (48, 3, 3), (64, 2, 0)], 576, 128, points=0)
    output = Refinement([(32, 3, 3), (64, 3, 3), (64, 3, 2), (128, 2, 0)], 1152, 256, points=5)
    for name, network in (("pnet", proposal), ("rnet", refinement), ("onet", output)):
        _fill(network, name)
    return proposal, refinement, output


def _trunk(layers: Sequence[Layer]) -> nn.Sequential:
    parts: list[nn.Module] = []
    channels = 3
    for width, kernel, pool in layers:
        parts += [nn.Conv2d(channels, width, kernel), nn.PReLU(width)]
        if pool:
            parts.append(nn.MaxPool2d(pool, stride=2, ceil_mode=True))
        channels = width
    return nn.Sequential(*parts)


def _fill(network: nn.Module, name: str) -> None:
    """Copy the arrays of a file, which lie in the order of the layers."""
    path = file_of_package("mtcnn", f"assets/weights/{name}.lz4")
    try:
        import lz4.frame
    except ImportError:
        raise not_installed("lz4") from None
    arrays = read_arrays(io.BytesIO(lz4.frame.decompress(path.read_bytes())), path)
    parameters = list(network.parameters())
    values = [_as_torch(array) for array in arrays]
    if [value.shape for value in values] != [parameter.shape for parameter in parameters]:
        raise InputError(
            "weights of other shapes than the network's",
            where=path,
            mend="install the version that constraints.txt names",
        )
    with torch.no_grad():
        for parameter, value in zip(parameters, values, strict=True):
            parameter.copy_(value)
    network.requires_grad_(False).eval()


def _as_torch(array: Floats) -> Tensor:
    """Keras has kernels as (height, width, in, out), matrices as (in, out), slopes as (1, 1, C)."""
    if array.ndim == 4:
        array = array.transpose(3, 2, 0, 1)
    elif array.ndim == 3:
        array = array[0, 0]
    elif array.ndim == 2:
        array = array.T
    return torch.from_numpy(np.ascontiguousarray(array))
