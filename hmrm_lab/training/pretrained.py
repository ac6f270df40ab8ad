"""Weights to begin with, learnt on the built-in faces: the same for all folds of a seed.

They hang on settings and seed alone, and never on a clip of the data that a run is about. Kept in
the cache, and made anew where they are missing.
"""

from pathlib import Path

from torch import Tensor

from hmrm_lab.config import ExperimentConfig, override
from hmrm_lab.errors import ConfigError, InputError
from hmrm_lab.preparation import load_flowset
from hmrm_lab.preparation.cache import digest_of
from hmrm_lab.registry import datasets
from hmrm_lab.sections import DataConfig
from hmrm_lab.store import cache_folder, check_cache
from hmrm_lab.tensors import read_tensors, write_tensors

DRAWN = "synthetic"


def pretrained_weights(config: ExperimentConfig, seed: int, size: int) -> dict[str, Tensor]:
    """The system of the settings after `training.pretrain_epochs` on the built-in faces.

    Parameters
    ----------
    size
        Pixels a side of the maps that it is to go on with.

    Raises
    ------
    ConfigError
        If maps of drawn faces are not like those that follow.
    """
    drawn = drawn_settings(config)
    file = _file(drawn, seed)
    try:
        return read_tensors(file, problem="", mend="")[1]
    except InputError:  # missing, or damaged
        return _make(drawn, seed, size, file)


def drawn_settings(config: ExperimentConfig) -> ExperimentConfig:
    """The settings of the pre-training."""
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
    data = DataConfig.model_validate({"name": DRAWN, **datasets[DRAWN].complete({})})
    return config.model_copy(update={"data": data, "training": training, "name": "pretrained"})


def _make(drawn: ExperimentConfig, seed: int, size: int, file: Path) -> dict[str, Tensor]:
    from hmrm_lab.training.trainer import fit  # which begins with what is made here

    check_cache()
    clips = load_flowset(drawn)
    if clips.maps.shape[-1] != size:
        raise ConfigError(
            f"pre-training has maps of {clips.maps.shape[-1]} pixels, the data {size}",
            mend="leave training.pretrain_epochs out",
        )
    weights: dict[str, Tensor] = fit(drawn, clips, seed=seed).model.state_dict()
    write_tensors(file, weights, {})
    return weights


def _file(drawn: ExperimentConfig, seed: int) -> Path:
    return cache_folder() / "pretrained" / f"{digest_of(drawn.digest(), seed)}.safetensors"
