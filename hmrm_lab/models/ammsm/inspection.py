"""Look into an AMMSM: where it magnifies motion, and which tokens it keeps."""

import torch
from torch import Tensor

from hmrm_lab.models.ammsm.ammsm import AMMSM
from hmrm_lab.models.ammsm.choice import Choice
from hmrm_lab.models.ammsm.magnifier import Magnified
from hmrm_lab.models.ammsm.temporal_stream import SIDES, select_tokens


@torch.no_grad()
def surviving_tokens(model: AMMSM, maps: Tensor, choice: Choice | None = None) -> list[Tensor]:
    """True where a stage keeps a token, under this choice or else the one that the model has.

    Shapes
    ------
    maps : (B, C, S, S), as the model is given them
    returns : four of (B, side, side), side = 14, 7, 4, 2
    """
    chosen = choice or model.choice
    selections = select_tokens(magnified(model, maps, chosen.alpha).flow, chosen.ratios)
    return [
        selection.mask().unflatten(1, (side, side))
        for selection, side in zip(selections, SIDES, strict=True)
    ]


@torch.no_grad()
def magnified(model: AMMSM, maps: Tensor, alpha: float) -> Magnified:
    """The flow that the temporal stream would read with this alpha, and the gate, as in a test.

    Without a magnifier that is the flow itself, and every gate is open.

    Shapes
    ------
    maps : (B, C, S, S), as the model is given them
    returns : flow (B, 2, S, S), order (u, v), and gate (B, 1, S, S)
    """
    was_training = model.training
    model.eval()
    try:
        return model.magnify(maps[:, :2], alpha)
    finally:
        model.train(was_training)
