"""Train a system on clips, classify others, keep it in a file. `fit` gets training clips only."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from hmrm_lab.config import ExperimentConfig, refuse_bent
from hmrm_lab.errors import ConfigError, DivergedError, InputError
from hmrm_lab.flow.motion_maps import select_channels
from hmrm_lab.models.interface import Estimator
from hmrm_lab.models.layers import evaluation_mode
from hmrm_lab.preparation import load_flowset
from hmrm_lab.records import PX, RELATIVE, UNITS, Floats, FlowSet, are_classes
from hmrm_lab.registry import systems
from hmrm_lab.runtime.store import check_cache, read_header, read_tensors, write_weights
from hmrm_lab.training.action_units import split_logits, units_to_learn
from hmrm_lab.training.augmentation import flip, shift
from hmrm_lab.training.checkpoint import Checkpoint
from hmrm_lab.training.learner import Learner, build_learner, without_own_weights
from hmrm_lab.training.pretrained import drawn_settings, pretrained_file, seen_subjects
from hmrm_lab.training.system_inputs import has_epochs, inputs_of, map_source

Classifier = Callable[[FlowSet], Floats]  # to (n, K + U): classes, then learnt action units
EpochProbe = Callable[[Classifier], Any]
MODEL_NAME = "model.safetensors"
AGAIN = "delete the file and give the run's `hmrm run` command; finished folds are kept"


@dataclass
class Fitted:
    model: nn.Module | Estimator
    config: ExperimentConfig
    classes: tuple[str, ...]  # the order of the probabilities
    losses: list[float] = field(default_factory=list)  # mean of every epoch; none of an estimator
    partners: tuple[str, ...] = ()  # subjects whose motion was mixed into other clips
    probes: list[Any] = field(default_factory=list)  # results after every epoch
    statistics: tuple[str, ...] = ()  # subjects whose clips determine a number that scales inputs
    unit: str = PX  # of the maps
    subjects: tuple[str, ...] = ()  # behind the weights, those of initial weights included
    action_units: tuple[int, ...] = ()  # learnt beside the class

    def inputs(self, flowset: FlowSet) -> Tensor:
        self._refuse_unit(flowset)
        if not isinstance(self.model, nn.Module):
            return torch.from_numpy(inputs_of(self.config, flowset))
        return select_channels(_maps(self.model, self.config, flowset), self.config.input.channels)

    def classify(self, flowset: FlowSet) -> Floats:
        """Classify clips, each by itself: probabilities (n, K)."""
        return self.probabilities(flowset)[:, : len(self.classes)]

    def probabilities(self, flowset: FlowSet) -> Floats:
        """Return probabilities of the classes and of the learnt action units: (n, K + U)."""
        self._refuse_unit(flowset)
        if not isinstance(self.model, nn.Module):
            return self.model.probabilities(inputs_of(self.config, flowset)).astype(np.float32)
        return classify(self.model, self.config, flowset)

    def _refuse_unit(self, flowset: FlowSet) -> None:
        if flowset.unit != self.unit:
            units = f"maps in unit '{self.unit}', these are '{flowset.unit}'"
            hint = "take a model that was trained on such maps"
            raise InputError(f"this model was trained on {units}", hint=hint)


def fit(
    config: ExperimentConfig,
    train: FlowSet,
    *,
    seed: int,
    run_seed: int | None = None,  # of the pre-trained weights, which all folds share
    epochs: int | None = None,  # end earlier, on the schedule of all `training.epochs`
    device: str = "cpu",
    probe: EpochProbe | None = None,  # after each epoch; no random numbers, returns plain values
    checkpoint: Checkpoint | None = None,
) -> Fitted:
    """Train a system on these clips from scratch, or from its checkpoint.

    The same clips, settings and seed give the same weights, bit for bit, on one machine, however
    often the training was interrupted. The random state of the caller is unchanged. A loss that is
    not finite is a `DivergedError`.
    """
    refuse_bent(config, train.unit)
    first = seed if run_seed is None else run_seed
    if not has_epochs(config):
        estimator = build_estimator(config, len(train.classes))
        estimator.fit(inputs_of(config, train), train.labels, train.subjects, seed=seed)
        statistics = tuple(sorted(set(train.subjects)))
        return _fitted(config, train, first, estimator, statistics=statistics)
    count = epochs or config.training.epochs
    weights = None
    if config.training.pretrain_epochs:
        weights = pretrained_weights(config, first, train)
    with torch.random.fork_rng(devices=[device] if device.startswith("cuda") else []):
        torch.manual_seed(seed)
        learner = Learner(config, train, device=device, weights=weights)
        if checkpoint:
            checkpoint.begin(learner, train.fingerprint(), seed=seed, epochs=count)
        while len(learner.losses) < count:
            loss = learner.run_epoch()
            if not math.isfinite(loss):
                raise divergence(loss, len(learner.losses) + 1)
            learner.losses.append(loss)
            if probe:
                learner.probes.append(probe(partial(classify, learner.answering, config)))
            if checkpoint:
                checkpoint.after_epoch(learner)
    return finished(config, train, first, learner)


def divergence(loss: float, epoch: int) -> DivergedError:
    return DivergedError(f"the loss is {loss} in epoch {epoch}; lower training.lr")


def finished(config: ExperimentConfig, train: FlowSet, run_seed: int, learner: Learner) -> Fitted:
    """Take the trained system of a learner, with the history of its training."""
    partners = tuple(sorted({train.subjects[other] for _, other in learner.mix.provenance}))
    history = {"losses": learner.losses, "partners": partners, "probes": learner.probes}
    return _fitted(config, train, run_seed, learner.answering.eval(), **history)


def _fitted(
    config: ExperimentConfig,
    train: FlowSet,
    run_seed: int,
    model: nn.Module | Estimator,
    **history: Any,
) -> Fitted:
    seen, units = seen_subjects(config, train, run_seed), units_to_learn(config, train)
    history |= {"unit": train.unit, "subjects": seen, "action_units": units}
    return Fitted(model, config, train.classes, **history)


def build_estimator(config: ExperimentConfig, classes: int) -> Estimator:
    return systems[config.model.name].build(classes, **config.model.options)


def pretrained_weights(config: ExperimentConfig, seed: int, train: FlowSet) -> dict[str, Tensor]:
    """Return the weights after `training.pretrain_epochs` on built-in faces, cached."""
    drawn, size = drawn_settings(config), train.maps.shape[-1]
    file = pretrained_file(drawn, seed, train)
    try:
        return read_tensors(file, problem="", hint="")[1]
    except InputError:  # missing, or damaged
        check_cache()
    flowset = load_flowset(drawn)
    clips = replace(flowset, unit=train.unit, moving_units=train.moving_units)
    if clips.maps.shape[-1] != size:
        problem = f"pre-training has maps of {clips.maps.shape[-1]} pixels, the data {size}"
        raise ConfigError(problem, hint="leave training.pretrain_epochs out")
    weights: dict[str, Tensor] = fit(drawn, clips, seed=seed).model.state_dict()
    write_weights(file, weights, subjects=seen_subjects(drawn, flowset, seed))
    return weights


def classify(model: nn.Module, config: ExperimentConfig, flowset: FlowSet) -> Floats:
    """Compute probabilities as `Fitted.probabilities` does, averaged over the settings' views."""
    evaluation = config.evaluation
    reach = range(-evaluation.tta_shift_px, evaluation.tta_shift_px + 1)
    answers = []
    with evaluation_mode(model), torch.no_grad():
        maps = _maps(model, config, flowset)
        for view in [maps, flip(maps)] if evaluation.tta_flip else [maps]:
            for moved in (shift(view, right, down) for right in reach for down in reach):
                logits = model(select_channels(moved, config.input.channels))
                classes, units = split_logits(model, logits)
                scales = torch.cat([classes.softmax(-1), units.sigmoid()], dim=-1)
                answers.append(scales.mean(1) if evaluation.readout == "mean" else scales[:, 0])
    return torch.stack(answers).mean(0).cpu().numpy().astype(np.float32)


@torch.no_grad()
def _maps(model: nn.Module, config: ExperimentConfig, flowset: FlowSet) -> Tensor:
    device = next(model.parameters()).device
    source = map_source(config, model, flowset, str(device))
    return source[torch.arange(len(flowset), device=device)]


def save_model(path: Path, fitted: Fitted) -> None:
    """Write a trained system, whole or not at all: tensors, settings' digest, classes, subjects."""
    about = {
        "settings": fitted.config.digest(),
        "classes": list(fitted.classes),
        "epochs": len(fitted.losses),
        "unit": fitted.unit,
        "action_units": list(fitted.action_units),
    }
    write_weights(path, fitted.model.state_dict(), subjects=fitted.subjects, **about)


def load_model(path: Path, config: ExperimentConfig, size: int) -> Fitted:
    """Load the system of a file that fits these settings, to classify maps of `size` pixels."""

    def wrong(problem: str, hint: str = AGAIN) -> InputError:
        return InputError(problem, where=path, hint=hint)

    metadata, tensors = read_tensors(path, problem="not readable as a model", hint=AGAIN)
    header = read_header(metadata)
    names = header.get("classes")
    if header.get("settings") != config.digest():
        raise wrong("the model of a run with other settings")
    if not isinstance(names, list) or not are_classes(names):
        raise wrong("a model that does not say its classes")
    if header.get("unit") not in (PX, RELATIVE):
        raise wrong("a model that does not say the unit of its maps")
    units = header.get("action_units", [])
    are_units = isinstance(units, list) and all(unit in UNITS for unit in units)
    if not are_units or bool(units) != (config.loss.action_units > 0):
        raise wrong("a model that does not say its action units")
    model: nn.Module | Estimator
    if has_epochs(config):
        model = build_learner(without_own_weights(config), size, len(names), len(units)).eval()
    else:
        model = build_estimator(config, len(names))
    try:
        model.load_state_dict(tensors)
    except RuntimeError:
        raise wrong("these weights do not fit the system of the run") from None
    if not all(bool(torch.isfinite(value).all()) for value in tensors.values()):
        hint = "name another run, or train with a lower training.lr"
        raise wrong("a model with weights that are not finite", hint)
    return Fitted(model, config, tuple(names), unit=header["unit"], action_units=tuple(units))
