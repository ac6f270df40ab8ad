"""What a system is given of clips: their maps, normalised, with their pictures behind them."""

import torch
from torch import Tensor
from torch.nn import functional as F

from hmrm_lab.config import ExperimentConfig
from hmrm_lab.flow.normalise import normalise_maps
from hmrm_lab.preparation import require_frames_for
from hmrm_lab.records import FlowSet


def all_channels(config: ExperimentConfig, flowset: FlowSet) -> Tensor:
    """Every channel that a system may choose from.

    Shapes
    ------
    returns : (n, 3, H, H), order (u, v, strain); if the settings name a picture (n, 7, S, S), with
        `PICTURES` behind them, and maps enlarged to the pictures' S pixels
    """
    method, inside = config.input.normalise, flowset.inside
    maps = torch.from_numpy(normalise_maps(flowset.maps, method, flowset.unit, inside))
    if not config.input.has_pictures:
        return maps
    require_frames_for(config, flowset)
    assert flowset.pictures is not None
    pictures = torch.from_numpy(flowset.pictures)
    size = list(pictures.shape[-2:])
    large = F.interpolate(maps, size=size, mode="bilinear", align_corners=False)
    return torch.cat([large, pictures], dim=1)
