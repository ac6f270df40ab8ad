"""The weights that a training begins with: their files, and the subjects they were trained on.

Weights pre-trained on built-in faces are the same for all folds of a seed: they depend on settings
and seed, never on a clip of the run's data.
"""

from collections.abc import Iterable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

from hmrm_lab.config import ExperimentConfig, override
from hmrm_lab.config.sections import DataConfig
from hmrm_lab.datasets.synthetic import DRAWING
from hmrm_lab.errors import ConfigError
from hmrm_lab.flow.gru_attention import SHIPPED
from hmrm_lab.preparation.cache import digest_of
from hmrm_lab.preparation.clip_arrays import MAP_FORMAT, flow_identity
from hmrm_lab.records import PX, FlowSet
from hmrm_lab.registry import datasets, systems
from hmrm_lab.runtime.store import cache_folder, read_subjects
from hmrm_lab.training.action_units import units_to_learn

DRAWN = "synthetic"


def starting_weights(config: ExperimentConfig, maps: FlowSet, seed: int) -> list[dict[str, Any]]:
    """List the files of weights that a run begins with: setting, name, SHA-256, subjects."""
    return [
        {
            "setting": setting,
            "file": "shipped" if path == SHIPPED else path.name,
            "sha256": sha256(path.read_bytes()).hexdigest() if path.is_file() else "missing",
            "subjects": read_subjects(path),
        }
        for setting, path in _weight_files(config, maps, seed)
    ]


def seen_subjects(config: ExperimentConfig, train: FlowSet, seed: int) -> tuple[str, ...]:
    """List the subjects that a system trained on these clips has seen, through its weights too."""
    before = (read_subjects(path) for _, path in _weight_files(config, train, seed))
    own = subject_names(config, (key.subject_key for key in train.keys))
    return tuple(sorted({*own, *(name for names in before for name in names)}))


def subject_names(config: ExperimentConfig, subjects: Iterable[str]) -> list[str]:
    """Name subjects as `dataset/subject`; drawn subjects of another seed are other subjects."""
    seed = config.data.options.get("seed")
    return [f"{subject} of seed {seed}" if seed else subject for subject in subjects]


def _weight_files(config: ExperimentConfig, maps: FlowSet, seed: int) -> Iterator[tuple[str, Path]]:
    if own := config.model.options.get("weights"):
        yield "model.weights", Path(own.partition("@sha256:")[0])
    reads_flow = config.input.reads_flow and systems[config.model.name].takes != "clip"
    if maps.unit == PX and reads_flow and "weights" in config.flow.options:
        yield "flow.weights", Path(config.flow.options["weights"] or SHIPPED)
    if config.training.pretrain_epochs:
        yield "training.pretrain_epochs", pretrained_file(drawn_settings(config), seed, maps)


def drawn_settings(config: ExperimentConfig) -> ExperimentConfig:
    """Return the pre-training's settings: on other subjects if the data are drawn faces too."""
    if config.input.normalise == "none" and config.input.reads_flow:
        problem = "pre-training reads flow in pixels of drawn faces, which other maps need not have"
        raise ConfigError(problem, hint="set input.normalise=median_rms")
    if config.flow.finetune:
        problem = "a flow that is fine-tuned is pre-trained already"
        raise ConfigError(problem, hint="leave training.pretrain_epochs or flow.finetune out")
    shorter = {"epochs": config.training.pretrain_epochs, "pretrain_epochs": 0}
    training = config.training.model_copy(update=shorter)
    if config.model.options.get("super_steps"):  # a super-network is trained on the data alone
        config = override(config, ["model.super_steps=0"])
    others = {"seed": config.data.options["seed"] + 1} if config.data.name == DRAWN else {}
    named = {"name": DRAWN, "classes": config.data.classes}
    data = DataConfig.model_validate({**named, **datasets[DRAWN].complete(others)})
    return config.model_copy(update={"data": data, "training": training, "name": "pretrained"})


def pretrained_file(drawn: ExperimentConfig, seed: int, maps: FlowSet) -> Path:
    about = (seed, maps.unit, MAP_FORMAT, DRAWING, flow_identity(drawn.flow))
    known = digest_of(drawn.digest(), *about, *units_to_learn(drawn, maps))
    return cache_folder() / "pretrained" / f"{known}.safetensors"
