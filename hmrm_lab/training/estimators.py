"""Systems that are fitted in one step: what they are given, and what they answer."""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from hmrm_lab.config import ExperimentConfig
from hmrm_lab.flow.normalise import normalise_maps, select_channels
from hmrm_lab.models.layers import Estimator, Inputs
from hmrm_lab.preparation import require_frames_for
from hmrm_lab.records import Floats, FlowSet
from hmrm_lab.registry import systems


def has_epochs(config: ExperimentConfig) -> bool:
    """Whether the system of the settings is a network, trained epoch by epoch."""
    return not systems[config.model.name].is_estimator


def build_estimator(config: ExperimentConfig, classes: int) -> Estimator:
    """The system of the settings for so many classes, not fitted yet."""
    estimator: Estimator = systems[config.model.name].build(classes, **config.model.options)
    return estimator


def fit_estimator(config: ExperimentConfig, train: FlowSet, *, seed: int) -> Estimator:
    """Fit on these clips. The same clips, settings and seed give the same result."""
    estimator = build_estimator(config, len(train.classes))
    estimator.fit(inputs_of(config, train), train.labels, train.persons, seed=seed)
    return estimator


def answer(estimator: Estimator, config: ExperimentConfig, flowset: FlowSet) -> Floats:
    """Probabilities (n, K) of clips, each on its own."""
    return estimator.probabilities(inputs_of(config, flowset)).astype(np.float32)


def inputs_of(config: ExperimentConfig, flowset: FlowSet) -> Inputs:
    """What the system is given: (n, C, H, W) normalised maps, or (n, T, S, S) gray clips."""
    if systems[config.model.name].takes == "clip":
        require_frames_for(config, flowset)
        assert flowset.clips is not None
        return flowset.clips
    return select_channels(all_channels(config, flowset), config.input.channels).numpy()


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
