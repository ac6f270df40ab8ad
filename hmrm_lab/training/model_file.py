"""A trained system on disk: safetensors, with its settings' digest, classes and subjects.

A network's weights, with those of a fine-tuned flow, or the tensors of an estimator.
"""

from pathlib import Path

import torch
from torch import nn

from hmrm_lab.config import ExperimentConfig
from hmrm_lab.errors import InputError
from hmrm_lab.records import PX, RELATIVE, are_classes
from hmrm_lab.runtime.store import read_header, read_tensors, write_weights
from hmrm_lab.training.estimators import build_estimator, has_epochs
from hmrm_lab.training.learner import build_learner, without_own_weights
from hmrm_lab.training.trainer import Fitted

MODEL_NAME = "model.safetensors"
AGAIN = "delete the file and give the run's `hmrm run` command; finished folds are kept"


def save_model(path: Path, fitted: Fitted) -> None:
    """Write weights and buffers, whole or not at all."""
    about = {
        "settings": fitted.config.digest(),
        "classes": list(fitted.classes),
        "epochs": len(fitted.losses),
        "unit": fitted.unit,
    }
    write_weights(path, fitted.model.state_dict(), subjects=fitted.subjects, **about)


def load_model(path: Path, config: ExperimentConfig, size: int) -> Fitted:
    """Load the system of a file, ready to classify maps of `size` pixels.

    Raises
    ------
    InputError
        If the file is cut off, or is of other settings or shapes, or not all finite.
    """
    metadata, tensors = read_tensors(path, problem="not readable as a model", hint=AGAIN)
    header = read_header(metadata)
    if header.get("settings") != config.digest():
        raise InputError("the model of a run with other settings", where=path, hint=AGAIN)
    names = header.get("classes")
    if not isinstance(names, list) or not are_classes(names):
        raise InputError("a model that does not say its classes", where=path, hint=AGAIN)
    if header.get("unit") not in (PX, RELATIVE):
        raise InputError("a model that does not say the unit of its maps", where=path, hint=AGAIN)
    blank, count = without_own_weights(config), len(names)
    epochs = has_epochs(config)
    model = build_learner(blank, size, count) if epochs else build_estimator(config, count)
    try:
        model.load_state_dict(tensors)
    except RuntimeError:
        raise InputError(
            "these weights do not fit the system of the run", where=path, hint=AGAIN
        ) from None
    if not all(bool(torch.isfinite(value).all()) for value in tensors.values()):
        hint = "name another run, or train with a lower training.lr"
        raise InputError("a model with weights that are not finite", where=path, hint=hint)
    model = model.eval() if isinstance(model, nn.Module) else model
    return Fitted(model, config, tuple(names), unit=header["unit"])
