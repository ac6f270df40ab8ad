"""Weight-shared super-networks: trained once for all choices, then asked under each.

A system can be searched if its network is `Searched` and its options include `SEARCHED`: in
`super_steps` training passes alpha and ratios are drawn at random, so that the same weights serve
every choice (decision 0020).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from joblib import Parallel, delayed

from hmrm_lab.config import ExperimentConfig, override
from hmrm_lab.errors import ConfigError
from hmrm_lab.evaluation.fold import FoldRun, control_labels, fold_seed
from hmrm_lab.evaluation.metrics import METRICS, confusion
from hmrm_lab.evaluation.protocols import inner_subject_folds
from hmrm_lab.records import Floats, FlowSet
from hmrm_lab.registry import systems
from hmrm_lab.runtime.processes import settle_process, workers
from hmrm_lab.studies.space import Progress
from hmrm_lab.studies.trials import GROUPS, Sweep, refuse_peeking
from hmrm_lab.training.learner import build_learner
from hmrm_lab.training.trainer import fit, load_model, save_model

SEARCHED = ("alpha", "ratios", "super_steps")  # options of a system that can be searched
EVERY_STEP = 10**7  # more than any training has
TIE = 1e-9  # below the distance of two different UF1
LEAST = 1e-6  # probability, as answers are rounded elsewhere


@runtime_checkable
class Searched(Protocol):
    """A network that can be asked under one choice after another, without training in between."""

    alpha_range: tuple[float, float]  # nothing beyond was trained for
    ratio_range: tuple[float, float]

    def choose(self, alpha: float, ratios: tuple[float, ...]) -> None: ...


@dataclass(frozen=True)
class Choice:
    alpha: float
    ratios: tuple[float, ...]

    def settings(self) -> dict[str, Any]:
        return {"model.alpha": self.alpha, "model.ratios": list(self.ratios)}


@dataclass(frozen=True)
class Fitness:
    """How well a choice does on the groups held out: pooled UF1, and cross-entropy in nats."""

    uf1: float
    cross_entropy: float

    @property
    def worth(self) -> float:
        """UF1; between equals, of which few clips have many, the lower cross-entropy."""
        return self.uf1 + TIE * math.exp(-self.cross_entropy)


def super_recipe(recipe: ExperimentConfig) -> ExperimentConfig:
    """The recipe by which super-networks are trained: every step draws a choice."""
    refuse_peeking(recipe)
    entry = systems[recipe.model.name]
    fields = entry.options.model_fields
    if not set(SEARCHED) <= set(fields):
        problem = f"system '{entry.name}' has no {', '.join(SEARCHED)} to search over"
        raise ConfigError(problem, hint="take one that has, such as ammsm")
    if recipe.flow.finetune:
        hint = "leave flow.finetune out"
        raise ConfigError("a super-network cannot train the flow as well", hint=hint)
    start = Choice(fields["alpha"].default, tuple(fields["ratios"].default))
    changes = [f"{name}={value}" for name, value in start.settings().items()]
    return override(recipe, [*changes, f"model.super_steps={EVERY_STEP}"])


def searched_network(recipe: ExperimentConfig, size: int, classes: int) -> Searched:
    """The network of this recipe, untrained; a `ConfigError` if it cannot be searched."""
    network = build_learner(recipe, size, classes)
    if not isinstance(network, Searched):
        hint = "give it what hmrm_lab.studies.supernet.Searched has"
        raise ConfigError(f"the network of system '{recipe.model.name}' cannot choose", hint=hint)
    return network


def inner_units(half: FlowSet, seeds: Sequence[int], train_on: Sequence[str] = ()) -> list[FoldRun]:
    """A super-network each: the groups of the development half, drawn anew by every seed."""
    groups = min(GROUPS, len(set(half.subjects)))
    folds = ((seed, inner_subject_folds(half, groups, seed, train_on)) for seed in seeds)
    return [FoldRun(fold, seed) for seed, some in folds for fold in some]


def supernet_file(sweep: Sweep, unit: FoldRun) -> Path:
    return sweep.folder / "supernets" / f"{unit.fold.name}.seed{unit.seed}.safetensors"


def train_supernets(
    sweep: Sweep, half: FlowSet, units: Sequence[FoldRun], jobs: int, on_progress: Progress
) -> None:
    """Train the super-networks that are not there yet, `jobs` at a time; each is kept at once."""
    files = {supernet_file(sweep, unit): unit for unit in units}
    missing = {file: unit for file, unit in files.items() if not file.is_file()}
    done = len(units) - len(missing)
    on_progress(done, len(units))
    pool = workers(min(jobs, len(missing)), "generator_unordered")
    for _ in pool(
        delayed(_train)(sweep.base, half.take(unit.fold.train), unit.fold.name, unit.seed, file)
        for file, unit in missing.items()
    ):
        done += 1
        on_progress(done, len(units))


def rate_choices(
    sweep: Sweep, half: FlowSet, units: Sequence[FoldRun], choices: Sequence[Choice], pool: Parallel
) -> list[Fitness]:
    """How well every choice does, all groups and seeds together, without training."""
    held_out = [half.take(unit.fold.test) for unit in units]
    answers = pool(
        delayed(_answer)(sweep.base, supernet_file(sweep, unit), clips, choices)
        for unit, clips in zip(units, held_out, strict=True)
    )
    by_choice = zip(*answers, strict=True)  # of (units, n, K)
    return [_fitness(units, held_out, probabilities) for probabilities in by_choice]


def _train(config: ExperimentConfig, train: FlowSet, name: str, seed: int, file: Path) -> None:
    """Train a super-network on all groups but one, whose clips are not here, and keep it."""
    settle_process()
    train = control_labels(config, train, seed)
    save_model(file, fit(config, train, seed=fold_seed(name, seed), run_seed=seed))


def _answer(
    config: ExperimentConfig, file: Path, clips: FlowSet, choices: Sequence[Choice]
) -> list[Floats]:
    """Probabilities (n, K) of these clips under every choice."""
    settle_process()
    fitted = load_model(file, config, clips.maps.shape[-1])
    network: Any = fitted.model
    answers = []
    for choice in choices:
        network.choose(choice.alpha, choice.ratios)
        answers.append(fitted.classify(clips))
    return answers


def _fitness(
    units: Sequence[FoldRun], held_out: Sequence[FlowSet], probabilities: Sequence[Floats]
) -> Fitness:
    scores = []
    for seed in sorted({unit.seed for unit in units}):
        chosen = [n for n, unit in enumerate(units) if unit.seed == seed]
        truth = np.concatenate([held_out[n].labels for n in chosen])
        answers = np.concatenate([probabilities[n].argmax(1) for n in chosen]).astype(np.int64)
        scores.append(float(METRICS["uf1"](confusion(truth, answers, len(held_out[0].classes)))))
    pairs = zip(probabilities, held_out, strict=True)
    true = np.concatenate([p[np.arange(len(p)), clips.labels] for p, clips in pairs])
    entropy = -float(np.log(true.clip(LEAST, 1).astype(np.float64)).mean())
    return Fitness(float(np.mean(scores)), entropy)
