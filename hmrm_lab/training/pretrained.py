"""Weights that a training begins with: files of the settings, and those learnt on built-in faces.

The latter are the same for all folds of a seed. They depend on settings and seed alone, and never
on a clip of the data that a run is about. Kept in the cache, and made anew where they are missing.
"""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor

from hmrm_lab.config import ExperimentConfig, override
from hmrm_lab.config.sections import DataConfig
from hmrm_lab.datasets.synthetic import DRAWING
from hmrm_lab.errors import ConfigError, InputError
from hmrm_lab.flow.gru_attention import SHIPPED
from hmrm_lab.preparation import load_flowset
from hmrm_lab.preparation.cache import digest_of
from hmrm_lab.preparation.clip_motion import FORMAT, flow_identity
from hmrm_lab.records import PX, FlowSet
from hmrm_lab.registry import datasets, systems
from hmrm_lab.runtime.store import cache_folder, check_cache
from hmrm_lab.runtime.tensors import read_subjects, read_tensors, write_weights

DRAWN = "synthetic"


def starting_weights(config: ExperimentConfig, unit: str, seed: int) -> list[dict[str, Any]]:
    """Each file of weights that a run begins with: setting, name, SHA-256, and whom it has seen.

    `unit` is that of the maps; ready-made maps need no flow, and so none of its weights.
    """
    return [
        {
            "setting": setting,
            "file": "shipped" if path == SHIPPED else path.name,
            "sha256": _sha256(path) if path.is_file() else "missing",
            "subjects": read_subjects(path),
        }
        for setting, path in _weight_files(config, unit, seed)
    ]


def seen_subjects(config: ExperimentConfig, train: FlowSet, seed: int) -> tuple[str, ...]:
    """Whose recordings stand behind a system that was trained on these clips."""
    before = (read_subjects(path) for _, path in _weight_files(config, train.unit, seed))
    own = subject_names(config, (key.person for key in train.keys))
    return tuple(sorted({*own, *(name for names in before for name in names)}))


def subject_names(config: ExperimentConfig, persons: Iterable[str]) -> list[str]:
    """`dataset/subject` for a header; drawn people of another seed are other people."""
    seed = config.data.options.get("seed")
    return [f"{person} of seed {seed}" if seed else person for person in persons]


def _weight_files(config: ExperimentConfig, unit: str, seed: int) -> Iterator[tuple[str, Path]]:
    if own := config.model.options.get("weights"):
        yield "model.weights", Path(own.partition("@sha256:")[0])
    reads_flow = config.input.reads_flow and systems[config.model.name].takes != "clip"
    if unit == PX and reads_flow and "weights" in config.flow.options:
        yield "flow.weights", Path(config.flow.options["weights"] or SHIPPED)
    if config.training.pretrain_epochs:
        yield "training.pretrain_epochs", _file(drawn_settings(config), seed, unit)


def pretrained_weights(
    config: ExperimentConfig, seed: int, size: int, unit: str
) -> dict[str, Tensor]:
    """The system of the settings after `training.pretrain_epochs` on the built-in faces.

    Parameters
    ----------
    size, unit
        Pixels a side of the maps that it is to go on with, and their unit. Drawn faces are
        normalised as those are.

    Raises
    ------
    ConfigError
        If maps of drawn faces are not like those that follow.
    """
    drawn = drawn_settings(config)
    file = _file(drawn, seed, unit)
    try:
        return read_tensors(file, problem="", mend="")[1]
    except InputError:  # missing, or damaged
        return _make(drawn, seed, size, unit, file)


def drawn_settings(config: ExperimentConfig) -> ExperimentConfig:
    """The settings of the pre-training: on other people, where the data are drawn faces as well."""
    if config.input.normalise == "none" and config.input.reads_flow:
        raise ConfigError(
            "pre-training reads flow in pixels of drawn faces, which other maps need not have",
            mend="set input.normalise=median_rms",
        )
    if config.flow.finetune:
        raise ConfigError(
            "a flow that is fine-tuned is pre-trained already",
            mend="leave training.pretrain_epochs or flow.finetune out",
        )
    training = config.training.model_copy(
        update={"epochs": config.training.pretrain_epochs, "pretrain_epochs": 0}
    )
    if config.model.options.get("super_steps"):  # a super-network is one of the data themselves
        config = override(config, ["model.super_steps=0"])
    others = {"seed": config.data.options["seed"] + 1} if config.data.name == DRAWN else {}
    data = DataConfig.model_validate({"name": DRAWN, **datasets[DRAWN].complete(others)})
    return config.model_copy(update={"data": data, "training": training, "name": "pretrained"})


def _make(
    drawn: ExperimentConfig, seed: int, size: int, unit: str, file: Path
) -> dict[str, Tensor]:
    from hmrm_lab.training.trainer import fit  # which begins with what is made here

    check_cache()
    flowset = load_flowset(drawn)
    clips = replace(flowset, unit=unit)
    if clips.maps.shape[-1] != size:
        raise ConfigError(
            f"pre-training has maps of {clips.maps.shape[-1]} pixels, the data {size}",
            mend="leave training.pretrain_epochs out",
        )
    weights: dict[str, Tensor] = fit(drawn, clips, seed=seed).model.state_dict()
    write_weights(file, weights, subjects=seen_subjects(drawn, flowset, seed))
    return weights


def _file(drawn: ExperimentConfig, seed: int, unit: str) -> Path:
    known = digest_of(drawn.digest(), seed, unit, FORMAT, DRAWING, flow_identity(drawn.flow))
    return cache_folder() / "pretrained" / f"{known}.safetensors"


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
