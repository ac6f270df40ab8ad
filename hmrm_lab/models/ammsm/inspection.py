"""Look into an AMMSM: where it magnifies motion, and which tokens it keeps."""

import torch
from torch import Tensor

from hmrm_lab.models.ammsm.ammsm import AMMSM
from hmrm_lab.models.ammsm.temporal_stream import SIDES, select_tokens


@torch.no_grad()
def surviving_tokens(model: AMMSM, maps: Tensor) -> list[Tensor]:
    """True where a stage keeps a token, under the alpha and the ratios that the model has.

    Shapes
    ------
    maps : (B, C, S, S), as the model is given them
    returns : four of (B, side, side), side = 14, 7, 4, 2
    """
    flow = magnified(model, maps, model.choice.alpha)
    selections = select_tokens(flow, model.choice.ratios)
    return [
        selection.mask().unflatten(1, (side, side))
        for selection, side in zip(selections, SIDES, strict=True)
    ]


@torch.no_grad()
def magnified(model: AMMSM, maps: Tensor, alpha: float) -> Tensor:
    """The flow that the temporal stream would read with this alpha, as in a test.

    Shapes
    ------
    maps : (B, C, S, S), as the model is given them
    returns : (B, 2, S, S), order (u, v); the flow itself where the model has no magnifier
    """
    was_training = model.training
    model.eval()
    try:
        return model.magnify(maps[:, :2], alpha).flow
    finally:
        model.train(was_training)
