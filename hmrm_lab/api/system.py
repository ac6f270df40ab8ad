"""`System`: a recipe with the face of a scikit-learn classifier."""

from collections.abc import Mapping
from typing import Any, Self, cast

import numpy as np
import pandas as pd
import torch
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.exceptions import NotFittedError
from torch import nn

from hmrm_lab.api.clips import MotionMaps, Source, card
from hmrm_lab.config import ExperimentConfig, load_config, on_data, preset_names, why_unused
from hmrm_lab.config.sections import FlowConfig
from hmrm_lab.datasets.classes import scheme
from hmrm_lab.errors import ConfigError, InputError, unknown_name
from hmrm_lab.evaluation.embedding import clip_features
from hmrm_lab.evaluation.fold import fold_seed
from hmrm_lab.preparation import lacks_frames, load_flowset
from hmrm_lab.records import Floats, FlowSet, Ints
from hmrm_lab.registry import Entry
from hmrm_lab.registry import systems as registered
from hmrm_lab.studies.experiment import ALL_CLIPS
from hmrm_lab.studies.study import READING
from hmrm_lab.training.learner import build_model
from hmrm_lab.training.trainer import Fitted, fit

SECTIONS = ("training", "augment", "loss", "input")
TUNED = tuple(key for key in FlowConfig.model_fields if key.startswith("finetune"))
OWN_ARGUMENTS = ("name", "preset", "seed", "device")


class System(ClassifierMixin, BaseEstimator):
    """A recipe (input, model, augmentation, loss, training) as a scikit-learn classifier.

    Subjects are `groups`. The same maps, settings and seed give the same weights, bit for bit.

    Parameters
    ----------
    name, preset
        A name of `lab.systems()`, and the preset of its recipe, as in `lab.load`.
    seed
        Of a training. Where the maps are a part of a `MotionMaps`, the subjects left out of it
        give each fold random numbers of its own, as in `lab.evaluate`.
    settings
        Flat names of what the recipe sets: `width`, `depth` (model), `epochs`, `lr` (training),
        `motionmix` (augmentation), `gamma` (loss), `channels` (input); `get_params()` lists all.
        Full names, such as `model.width`, are taken as well. A `ConfigError` for a setting that
        the system does not have names the nearest one.

    Attributes
    ----------
    classes_, losses_
        After `fit`: (K,) int64, index into `maps.classes`; mean training loss of every epoch.

    >>> train, test = lab.load("synthetic", preset="smoke").maps().split(0.5)
    >>> hmrm = lab.System("hmrm", preset="smoke", epochs=2)
    >>> hmrm.fit(train).predict_proba(test).shape
    (8, 3)
    >>> lab.System("hmrm", widht=64)
    Traceback (most recent call last):
    hmrm_lab.errors.ConfigError: unknown setting of system 'hmrm' 'widht'; did you mean 'width'?
    """

    classes_: Ints
    losses_: list[float]

    def __init__(
        self,
        name: str = "hmrm",
        *,
        preset: str = "default",
        seed: int = 0,
        device: str = "cpu",
        **settings: Any,
    ) -> None:
        self.name, self.preset, self.seed, self.device = name, preset, seed, device
        self._settings = dict(settings)
        self.settings()

    def settings(
        self, source: Source | None = None, overrides: Mapping[str, Any] | None = None
    ) -> ExperimentConfig:
        """The complete settings; on data with a source, with their faces and flow.

        `overrides` are by full name.
        """
        changes = {place_of(self.name, key): _plain(value) for key, value in self._settings.items()}
        changes |= {"evaluation.seeds": [_plain(self.seed)]} if source is None else {}
        data = source.config.data.name if source else None
        changes |= overrides or {}
        config = load_config(self.preset, system=self.name, data=data, overrides=changes)
        if source is None:
            return config
        tuned = config.flow.model_dump(include=set(TUNED))
        flow = source.config.flow.model_copy(update=tuned)
        return on_data(config, data=source.config.data, faces=source.config.faces, flow=flow)

    @classmethod
    def of_settings(cls, config: ExperimentConfig, fitted: Fitted | None = None) -> Self:
        """The system of a run's settings, with its model if it has one."""
        name, seed = config.model.name, config.evaluation.seeds[0]
        preset = config.preset if config.preset in preset_names() else "default"
        recipe = _values(load_config(preset, system=name, data=config.data.name))
        changed = {key: value for key, value in _values(config).items() if value != recipe[key]}
        system = cls(name, preset=preset, seed=seed, **changed)
        return system._keep(fitted) if fitted else system

    def fit(self, X: Any, y: Any = None, groups: Any = None) -> Self:
        """Train from scratch on `MotionMaps`, or on X (n, 3, H, W) with y and groups, both (n,).

        `InputError` if the shapes do not fit, or the system takes frames and X has none;
        `DivergedError` as soon as the loss is not finite.
        """
        maps = _maps(X, y, groups)
        config = self.settings(maps.source)
        maps = suited(maps, config)
        name = maps.held_out[0] if len(maps.held_out) == 1 else "+".join(maps.held_out)
        seed = fold_seed(name or ALL_CLIPS, self.seed)
        self.classes_ = np.arange(len(maps.classes))
        return self._keep(fit(config, maps, seed=seed, run_seed=self.seed, device=self.device))

    def predict_proba(self, X: Any) -> Floats:
        """Probabilities (n, K) float32 of `MotionMaps` or X (n, 3, H, W), each clip by itself."""
        if not isinstance(X, FlowSet):
            X = MotionMaps.from_arrays(X, np.zeros(len(X), np.int64), unit=self.fitted.unit)
        return self.fitted.classify(suited(X, self.fitted.config))

    def suited(self, maps: MotionMaps) -> MotionMaps:
        """The maps with the pictures or frames that this system takes, computed where needed."""
        return suited(maps, self.settings(maps.source))

    def inputs(self, X: FlowSet) -> torch.Tensor:
        """What the trained model is given: (n, C, H, W), a sequence (n, T, C, H, W), or clips."""
        return self.fitted.inputs(suited(X, self.fitted.config))

    def features(self, X: FlowSet) -> Floats:
        """What the last layer of the trained network answers from: (n, F), one row per clip."""
        return clip_features(self.fitted, suited(X, self.fitted.config))

    def predict(self, X: Any) -> Ints:
        """The most probable class of each clip: (n,) int64."""
        return self.predict_proba(X).argmax(axis=1)

    @property
    def fitted(self) -> Fitted:
        """The trained model with its history; a `NotFittedError` before `fit`."""
        if not hasattr(self, "_fitted"):
            raise NotFittedError(f"{self!r} is not fitted yet; call fit first")
        return self._fitted

    def network(self, size: int = 28) -> nn.Module:
        """The bare `nn.Module`: trained if `fit` was called, else new, for maps of `size` pixels.

        `ConfigError` for a system that is no network, such as `svm`.
        """
        if registered[self.name].is_estimator:
            raise ConfigError(f"system '{self.name}' is no network", hint="call fit and predict")
        if hasattr(self, "_fitted"):
            return cast(nn.Module, self._fitted.model)
        config = self.settings()
        return build_model(config, size, len(scheme(config.data.classes).classes))

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """What was given to the constructor; with `deep` every setting of the recipe."""
        own = {name: getattr(self, name) for name in OWN_ARGUMENTS}
        recipe = _values(self.settings()) if deep else {}
        return own | recipe | self._settings

    def set_params(self, **params: Any) -> Self:
        """Change settings by their flat names; a `ConfigError` for one that does not exist."""
        for key, value in params.items():
            if key in OWN_ARGUMENTS:
                setattr(self, key, value)
            else:
                self._settings[key] = value
        self.settings()
        return self

    def __repr__(self) -> str:
        changed = ({"preset": self.preset} if self.preset != "default" else {}) | self._settings
        words = [f"{key}={value!r}" for key, value in changed.items()]
        return f"System({', '.join([repr(self.name), *words])})"

    def _keep(self, fitted: Fitted) -> Self:
        self._fitted, self.losses_ = fitted, fitted.losses
        return self

    def _repr_html_(self) -> str:
        about, config = registered[self.name].card, self.settings()
        parts = {"model": config.model.options, "input": config.input.model_dump()}
        if not registered[self.name].is_estimator:
            parts |= {"training": config.training.model_dump()}
            parts |= {"augmentation": config.augment.model_dump()}
        facts = {"system": self.name, "preset": self.preset}
        for part, options in parts.items():
            facts[part] = ", ".join(f"{name} {value}" for name, value in options.items())
        if about:
            facts |= {"takes": about.accepts, "published as": about.citation}
            facts |= {"how near": "; ".join([about.fidelity, *about.departures])}
        return card("System", facts)

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        return {"text/plain": repr(self), "text/html": self._repr_html_()}


def system(name: "str | System" = "hmrm", **settings: Any) -> System:
    """A system by its name, with changes to its recipe: an estimator. See `System`.

    >>> hmrm = lab.system("hmrm", width=64, preset="smoke")
    >>> hmrm.get_params()["width"], hmrm.get_params()["epochs"]
    (64, 2)
    """
    return name if isinstance(name, System) else System(name, **settings)


def systems() -> pd.DataFrame:
    """List the systems: one row each, with what it takes, how near it is to what was published,
    and its options.

    >>> lab.systems().loc["ststnet", "how near"]
    'faithful'
    """
    return registered.table(
        takes=lambda entry: entry.card.accepts if entry.card else entry.takes,
        **{"how near": lambda entry: entry.card.fidelity if entry.card else ""},
        **{"published as": lambda entry: entry.card.citation if entry.card else entry.source},
    )


def suited(maps: FlowSet, config: ExperimentConfig) -> Any:
    """The maps with the frames that this system takes, read where they are not there yet."""
    lacking = lacks_frames(config, maps) or config.flow.joins_phases
    lacking = lacking or (config.flow.finetune and not maps.frames)
    source = getattr(maps, "source", None)
    if not lacking or source is None:
        return maps
    whole = load_flowset(config, source.root)
    row = {key: number for number, key in enumerate(whole.keys)}
    kept = [row[key] for key in maps.keys if key in row]
    return MotionMaps.from_flowset(whole.take(kept), source)


def place_of(name: str, setting: str) -> str:
    """The full name of a setting of this system: `width` is `model.width`."""
    known = places_of(registered[name])
    if "." not in setting and setting not in known:
        raise unknown_name(f"setting of system '{name}'", setting, known)
    return known.get(setting, setting)


def places_of(entry: Entry) -> dict[str, str]:
    """Every flat setting of a system with its full name; what it has no use for is left out."""
    named = {key: f"model.{key}" for key in entry.options.model_fields}
    for section in SECTIONS:
        settings: Any = ExperimentConfig.model_fields[section].annotation
        named |= {key: f"{section}.{key}" for key in settings.model_fields}
    named |= {key: f"flow.{key}" for key in TUNED}
    named |= {place.partition(".")[2]: place for place in READING}
    return {key: place for key, place in named.items() if not why_unused(entry, place)}


def _values(config: ExperimentConfig) -> dict[str, Any]:
    """Every flat setting of the system of these settings, with its value."""
    found = {}
    for key, place in places_of(registered[config.model.name]).items():
        section, _, name = place.partition(".")
        found[key] = getattr(getattr(config, section), name, None)
    return found


def _maps(X: Any, y: Any, groups: Any) -> MotionMaps:
    if isinstance(X, FlowSet):
        maps = X if isinstance(X, MotionMaps) else MotionMaps.from_flowset(X)
        return maps if y is None else maps.with_labels(np.asarray(y, dtype=np.int64))
    if y is None:
        raise InputError("X without y", hint="give the classes, or MotionMaps")
    return MotionMaps.from_arrays(X, y, groups)


def _plain(value: Any) -> Any:
    """A number of Python for one of numpy, a list for an array."""
    return value.tolist() if isinstance(value, (np.generic, np.ndarray)) else value
