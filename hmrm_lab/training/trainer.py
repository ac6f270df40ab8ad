"""Train a system on clips, and classify others. `fit` is given training clips only."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from hmrm_lab.config import ExperimentConfig, refuse_bent
from hmrm_lab.config.sections import EvaluationConfig
from hmrm_lab.errors import ConfigError, DivergedError, InputError
from hmrm_lab.flow.motion_maps import select_channels
from hmrm_lab.models.interface import Estimator
from hmrm_lab.models.layers import evaluation_mode
from hmrm_lab.preparation import load_flowset
from hmrm_lab.records import PX, Floats, FlowSet
from hmrm_lab.runtime.store import check_cache, read_tensors, write_weights
from hmrm_lab.training.augment.warps import flip, shift
from hmrm_lab.training.checkpoint import Checkpoint
from hmrm_lab.training.estimators import fit_estimator, has_epochs, inputs_of
from hmrm_lab.training.finetune import map_source
from hmrm_lab.training.learner import Learner
from hmrm_lab.training.pretrained import drawn_settings, pretrained_file, seen_subjects

Classifier = Callable[[FlowSet], Floats]
EpochProbe = Callable[[Classifier], Any]


@dataclass
class Fitted:
    """A trained system with its training history.

    `classes` name the probabilities in their order, and `unit` is that of the maps. `losses` has
    the mean training loss of every epoch, and `probes` the results of the probe; an estimator has
    neither. `partners` are the subjects whose motion was mixed into other clips; `statistics`
    those whose clips determine a number by which inputs are normalised: none where every map is
    normalised by itself. `subjects` are all whose recordings the weights were trained on, those of
    the initial weights included.
    """

    model: nn.Module | Estimator
    config: ExperimentConfig
    classes: tuple[str, ...]
    losses: list[float] = field(default_factory=list)
    partners: tuple[str, ...] = ()
    probes: list[Any] = field(default_factory=list)
    statistics: tuple[str, ...] = ()
    unit: str = PX
    subjects: tuple[str, ...] = ()

    def inputs(self, flowset: FlowSet) -> Tensor:
        """Return the model's inputs for these clips: (n, C, H, W), or gray clips."""
        self._refuse_unit(flowset)
        if not isinstance(self.model, nn.Module):
            return torch.from_numpy(inputs_of(self.config, flowset))
        return select_channels(_maps(self.model, self.config, flowset), self.config.input.channels)

    def classify(self, flowset: FlowSet) -> Floats:
        """Classify clips, each by itself: probabilities (n, K)."""
        self._refuse_unit(flowset)
        if not isinstance(self.model, nn.Module):
            return self.model.probabilities(inputs_of(self.config, flowset)).astype(np.float32)
        return classify(self.model, self.config, flowset)

    def _refuse_unit(self, flowset: FlowSet) -> None:
        if flowset.unit != self.unit:
            raise InputError(
                f"this model was trained on maps in unit '{self.unit}', these are '{flowset.unit}'",
                hint="take a model that was trained on such maps",
            )


def fit(
    config: ExperimentConfig,
    train: FlowSet,
    *,
    seed: int,
    run_seed: int | None = None,
    epochs: int | None = None,
    device: str = "cpu",
    probe: EpochProbe | None = None,
    checkpoint: Checkpoint | None = None,
) -> Fitted:
    """Train a system on these clips from scratch, or from its checkpoint.

    The same clips, settings and seed give the same weights, bit for bit, on one machine, however
    often the training was interrupted. The random state of the caller is unchanged.

    Parameters
    ----------
    run_seed
        Seed of the pre-trained weights, which all folds share (default: `seed`).
    epochs
        End earlier, on the schedule of all `training.epochs`.
    probe
        Called as `probe(classify)` after each epoch; it must draw no random numbers, and return
        what JSON can hold.

    Raises
    ------
    DivergedError
        As soon as the loss is not finite.
    """
    refuse_bent(config, train.unit)
    first = seed if run_seed is None else run_seed
    if not has_epochs(config):
        return Fitted(
            fit_estimator(config, train, seed=seed),
            config,
            train.classes,
            statistics=tuple(sorted(set(train.subjects))),
            unit=train.unit,
            subjects=seen_subjects(config, train, first),
        )
    count = epochs or config.training.epochs
    weights = None
    if config.training.pretrain_epochs:
        weights = pretrained_weights(config, first, train.maps.shape[-1], train.unit)
    with torch.random.fork_rng(devices=[device] if device.startswith("cuda") else []):
        torch.manual_seed(seed)
        learner = Learner(config, train, device=device, weights=weights)
        if checkpoint:
            checkpoint.begin(learner, train, seed=seed, epochs=count)
        while len(learner.losses) < count:
            _run_epoch(learner, probe)
            if checkpoint:
                checkpoint.after_epoch(learner)
    learner.answering.eval()
    partners = {train.subjects[partner] for _, partner in learner.mix.provenance}
    return Fitted(
        learner.answering,
        config,
        train.classes,
        learner.losses,
        tuple(sorted(partners)),
        learner.probes,
        unit=train.unit,
        subjects=seen_subjects(config, train, first),
    )


def pretrained_weights(
    config: ExperimentConfig, seed: int, size: int, unit: str
) -> dict[str, Tensor]:
    """Return the weights after `training.pretrain_epochs` on built-in faces, cached.

    Parameters
    ----------
    size, unit
        Pixels a side and unit of the maps of the training that follows. Maps of drawn faces are
        normalised as these.

    Raises
    ------
    ConfigError
        If maps of drawn faces are not like those that follow.
    """
    drawn = drawn_settings(config)
    file = pretrained_file(drawn, seed, unit)
    try:
        return read_tensors(file, problem="", hint="")[1]
    except InputError:  # missing, or damaged
        check_cache()
    flowset = load_flowset(drawn)
    clips = replace(flowset, unit=unit)
    if clips.maps.shape[-1] != size:
        raise ConfigError(
            f"pre-training has maps of {clips.maps.shape[-1]} pixels, the data {size}",
            hint="leave training.pretrain_epochs out",
        )
    weights: dict[str, Tensor] = fit(drawn, clips, seed=seed).model.state_dict()
    write_weights(file, weights, subjects=seen_subjects(drawn, flowset, seed))
    return weights


def _run_epoch(learner: Learner, probe: EpochProbe | None) -> None:
    loss = learner.run_epoch()
    if not math.isfinite(loss):
        epoch = len(learner.losses) + 1
        raise DivergedError(f"the loss is {loss} in epoch {epoch}; lower training.lr")
    learner.losses.append(loss)
    if probe:
        learner.probes.append(
            probe(lambda flowset: classify(learner.answering, learner.config, flowset))
        )


def classify(model: nn.Module, config: ExperimentConfig, flowset: FlowSet) -> Floats:
    """Classify clips: probabilities (n, K), averaged over the views of the settings."""
    with evaluation_mode(model), torch.no_grad():
        maps = _maps(model, config, flowset)
        views = [
            _read_out(model(select_channels(view, config.input.channels)), config.evaluation)
            for view in _views(maps, config.evaluation)
        ]
    return torch.stack(views).mean(0).cpu().numpy().astype(np.float32)


@torch.no_grad()
def _maps(model: nn.Module, config: ExperimentConfig, flowset: FlowSet) -> Tensor:
    """Return the normalised maps (n, 3, H, W) of these clips, on the device of the model."""
    device = next(model.parameters()).device
    source = map_source(config, model, flowset, str(device))
    return source[torch.arange(len(flowset), device=device)]


def _read_out(logits: Tensor, evaluation: EvaluationConfig) -> Tensor:
    """Turn (B, S, K) logits into (B, K) probabilities: the first head, or the mean of all."""
    probabilities = logits.softmax(-1)
    return probabilities.mean(1) if evaluation.readout == "mean" else probabilities[:, 0]


def _views(maps: Tensor, evaluation: EvaluationConfig) -> list[Tensor]:
    """Return the maps, and their mirrored and shifted views if the settings ask for them."""
    views = [maps, flip(maps)] if evaluation.tta_flip else [maps]
    reach = range(-evaluation.tta_shift_px, evaluation.tta_shift_px + 1)
    return [shift(view, right, down) for view in views for right in reach for down in reach]
