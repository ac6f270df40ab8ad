"""The one classifier loop. It is given training clips, and nothing else exists for it."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from hmrm_lab.config import ExperimentConfig, refuse_bent
from hmrm_lab.config.sections import EvaluationConfig
from hmrm_lab.errors import DivergedError, InputError
from hmrm_lab.flow.normalise import select_channels
from hmrm_lab.models.layers import Estimator
from hmrm_lab.records import PX, Floats, FlowSet
from hmrm_lab.training.augment.warps import flip, shift
from hmrm_lab.training.checkpoint import Checkpoint
from hmrm_lab.training.estimators import answer, fit_estimator, has_epochs, inputs_of
from hmrm_lab.training.finetune import map_source
from hmrm_lab.training.learner import Learner
from hmrm_lab.training.pretrained import pretrained_weights, seen_subjects

Classifier = Callable[[FlowSet], Floats]
EpochProbe = Callable[[Classifier], Any]


@dataclass
class Fitted:
    """A trained system with the story of its training.

    `losses` has the mean training loss of every epoch and `probes` what the probe found after it;
    `partners` are the persons whose motion was mixed into other clips, and `statistics` those
    whose clips stand behind a number by which inputs are normalised: none where every map is put
    on a scale of its own. An estimator has neither losses nor partners. `unit` is that of its maps.
    `classes` are the names of the probabilities, in their order.
    `subjects` are those whose recordings the weights have seen, also those behind the weights that
    the training began with.
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
        """What the model is given of these clips, without any change: (n, C, H, W), or clips."""
        self._refuse_unit(flowset)
        if not isinstance(self.model, nn.Module):
            return torch.from_numpy(inputs_of(self.config, flowset))
        return select_channels(_maps(self.model, self.config, flowset), self.config.input.channels)

    def classify(self, flowset: FlowSet) -> Floats:
        """Probabilities (n, K) of clips, each on its own: no statistic is shared among them."""
        self._refuse_unit(flowset)
        if not isinstance(self.model, nn.Module):
            return answer(self.model, self.config, flowset)
        return classify(self.model, self.config, flowset)

    def _refuse_unit(self, flowset: FlowSet) -> None:
        if flowset.unit != self.unit:
            raise InputError(
                f"this model was trained on maps in unit '{self.unit}', these are '{flowset.unit}'",
                mend="take a model that was trained on such maps",
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
    """Train a system on these clips from scratch, or from where the checkpoint has it.

    The same clips, settings and seed give the same weights, bit for bit, on one machine, however
    often the training was cut off. The random state of the caller is left as it was.
    `probe(classify)` is called after each epoch, which is how an epoch rule looks at a model on the
    way; it must draw no random numbers, and answers with what JSON can hold.

    `epochs` ends the training earlier, on the schedule of all `training.epochs`.

    A system without epochs is fitted in one step: nothing is probed, nothing is half done.

    Folds that share a `run_seed` begin with the same pre-trained weights, where there are any; it
    is `seed` if not given.

    Raises `DivergedError` as soon as the loss is not finite.
    """
    refuse_bent(config, train.unit)
    first = seed if run_seed is None else run_seed
    if not has_epochs(config):
        fitted = fit_estimator(config, train, seed=seed)
        people = tuple(sorted(set(train.persons)))
        subjects = seen_subjects(config, train, first)
        return Fitted(
            fitted,
            config,
            train.classes,
            statistics=people,
            unit=train.unit,
            subjects=subjects,
        )
    count = epochs or config.training.epochs
    weights = None
    if config.training.pretrain_epochs:
        weights = pretrained_weights(config, first, train.maps.shape[-1], train.unit)
    with torch.random.fork_rng(devices=[device] if device.startswith("cuda") else []):
        torch.manual_seed(seed)
        learner = Learner.begin(config, train, device=device, weights=weights)
        if checkpoint:
            checkpoint.begin(learner, train, seed=seed, epochs=count)
        while len(learner.losses) < count:
            _one_epoch(learner, probe)
            if checkpoint:
                checkpoint.after_epoch(learner)
    learner.answering.eval()
    partners = {train.persons[partner] for _, partner in learner.mix.provenance}
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


def _one_epoch(learner: Learner, probe: EpochProbe | None) -> None:
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
    """Probabilities (n, K), averaged over the views that the settings ask for."""
    was_training = model.training
    model.eval()
    with torch.no_grad():
        maps = _maps(model, config, flowset)
        views = [
            _read_out(model(select_channels(view, config.input.channels)), config.evaluation)
            for view in _views(maps, config.evaluation)
        ]
    model.train(was_training)
    return torch.stack(views).mean(0).cpu().numpy().astype(np.float32)


@torch.no_grad()
def _maps(model: nn.Module, config: ExperimentConfig, flowset: FlowSet) -> Tensor:
    """The normalised maps (n, 3, H, W) of these clips, on the device of the model."""
    device = next(model.parameters()).device
    source = map_source(config, model, flowset, str(device))
    return source[torch.arange(len(flowset), device=device)]


def _read_out(logits: Tensor, evaluation: EvaluationConfig) -> Tensor:
    """(B, S, K) logits to (B, K) probabilities: the first head, or the mean of all."""
    probabilities = logits.softmax(-1)
    return probabilities.mean(1) if evaluation.readout == "mean" else probabilities[:, 0]


def _views(maps: Tensor, evaluation: EvaluationConfig) -> list[Tensor]:
    """The maps as they are, and mirrored and shifted where the settings ask for it."""
    views = [maps, flip(maps)] if evaluation.tta_flip else [maps]
    reach = range(-evaluation.tta_shift_px, evaluation.tta_shift_px + 1)
    return [shift(view, right, down) for view in views for right in reach for down in reach]
