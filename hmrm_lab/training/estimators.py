"""Systems without epochs (estimators), and the inputs of all systems."""

import torch
from torch import Tensor
from torch.nn import functional as F

from hmrm_lab.config import ExperimentConfig
from hmrm_lab.flow.motion_maps import normalise_maps, select_channels
from hmrm_lab.models.interface import Estimator, Inputs
from hmrm_lab.preparation import require_frames_for
from hmrm_lab.records import FlowSet
from hmrm_lab.registry import systems


def has_epochs(config: ExperimentConfig) -> bool:
    """Return whether the system of the settings is a network, trained epoch by epoch."""
    return not systems[config.model.name].is_estimator


def build_estimator(config: ExperimentConfig, classes: int) -> Estimator:
    """Build the system of the settings for this number of classes, not fitted yet."""
    return systems[config.model.name].build(classes, **config.model.options)


def fit_estimator(config: ExperimentConfig, train: FlowSet, *, seed: int) -> Estimator:
    """Fit the system on these clips; the same clips, settings and seed give the same result."""
    estimator = build_estimator(config, len(train.classes))
    estimator.fit(inputs_of(config, train), train.labels, train.subjects, seed=seed)
    return estimator


def inputs_of(config: ExperimentConfig, flowset: FlowSet) -> Inputs:
    """Return the inputs of the system: (n, C, H, W) normalised maps, or (n, T, S, S) gray clips."""
    if systems[config.model.name].takes == "clip":
        require_frames_for(config, flowset)
        assert flowset.clips is not None
        return flowset.clips
    return select_channels(all_channels(config, flowset), config.input.channels).numpy()


def all_channels(config: ExperimentConfig, flowset: FlowSet) -> Tensor:
    """Return every channel that a system may choose from.

    Shapes
    ------
    returns : (n, 3, H, H), order (u, v, strain); if the settings name a picture (n, 7, S, S), with
        `PICTURES` after them, and maps enlarged to the pictures' S pixels
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
