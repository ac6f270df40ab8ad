"""Frozen settings of one experiment; every default is the paper's, its section in the comment.

`load_config` stacks, later wins: paper defaults, the system's own recipe, the preset, the preset's
section for this system, and the overrides of the command line.
"""

import hashlib
import json
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.fields import FieldInfo

from hmrm_lab.errors import ConfigError, unknown_name
from hmrm_lab.overrides import (
    Changes,
    assign,
    names_in,
    names_of,
    parse_override,
    refuse_channels,
    refuse_idle,
    without_idle,
)
from hmrm_lab.registry import Registry, datasets, first_problem, flows, providers, systems

PRESETS = Path(__file__).parent / "presets"

Fraction = Annotated[float, Field(ge=0, le=1)]


class Section(BaseModel):
    """A frozen group of settings that refuses unknown names."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Component(Section):
    """A registered builder by name; all other keys are options of that builder."""

    model_config = ConfigDict(frozen=True, extra="allow")

    name: str

    @property
    def options(self) -> dict[str, Any]:
        return dict(self.model_extra or {})

    @property
    def choice(self) -> dict[str, Any]:
        """The builder's name and its options, without the settings that are not the builder's."""
        beside = set(type(self).model_fields) - {"name"}
        return self.model_dump(mode="json", exclude=beside)


class DataConfig(Component):
    name: str = "synthetic"


class FacesConfig(Component):
    """How recordings become crops. Data sets that bring their own landmarks need none of it."""

    name: str = "dlib"  # 4.2: 68 landmarks align
    apex: Literal["annotated", "spotted"] = "annotated"  # spotted where it is not annotated


class FlowConfig(Component):
    """The flow estimator, and whether it is trained further (decision 0009).

    With `finetune` each fold trains a copy of a learnt flow together with its system, which takes
    about 40 ms per clip and epoch on one core for frames of 112 px, and four times that for 224 px.
    """

    name: str = "gru_attention"  # 3.1.1; "tvl1" is model M1 (4.4.1)
    finetune: bool = False  # 4.2 pre-trains and does not say that the flow is trained further
    finetune_lr_scale: Annotated[float, Field(gt=0, le=1)] = 0.1  # of training.lr
    finetune_side_px: Annotated[int, Field(ge=56, le=224)] = 112  # frames are reduced to this


class InputConfig(Section):
    """What a system sees of a flow map."""

    channels: tuple[
        Literal["u", "v", "strain", "magnitude", "onset", "apex", "dynamic_image", "mesti"], ...
    ] = ("u", "v", "strain")
    normalise: Literal["none", "median_rms"] = "none"


class ModelConfig(Component):
    name: str = "hmrm"


class AugmentConfig(Section):
    """Changes made to training clips, drawn anew in every step."""

    motionmix: Fraction = 0.5  # 3.1.2; share of a batch, the text gives none
    mix_lambda: tuple[Fraction, Fraction] = (1.0, 1.0)  # 3.1.2 swaps; (a, b) draws a blend (3)
    mix_regions: tuple[Literal["eyes", "mouth"], ...] = ("eyes", "mouth")  # 3.1.2
    flip: bool = False  # mirrors the face; the sign of u changes with it
    shift_px: Annotated[int, Field(ge=0, le=7)] = 0
    scale: Annotated[float, Field(ge=0, le=0.5)] = 0.0  # zoom drawn from 1 +- scale
    rotate_deg: Annotated[float, Field(ge=0, le=45)] = 0.0


class LossConfig(Section):
    """MS-WCE (3.4)."""

    scale_weights: tuple[float, ...] = (1.0, 1.0, 1.0)  # fused, coarse, fine; 3.4, pre-defined
    learn_scale_weights: bool = False  # 3.4, learnable
    gamma: Annotated[float, Field(ge=0)] = 2.0  # 3.4, focal-style; the exponent is not in the text
    class_weight_power: Fraction = 0.0  # weight of class c is (n / n_c) ** power, mean 1
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0


class TrainingConfig(Section):
    epochs: Annotated[int, Field(ge=1)] = 1000  # 4.2
    batch: Annotated[int, Field(ge=1)] = 64  # not in the text
    optimizer: Literal["adamw", "adam"] = "adamw"  # 4.2
    lr: Annotated[float, Field(gt=0)] = 5e-4  # 4.2
    weight_decay: Annotated[float, Field(ge=0)] = 0.01  # 4.2
    schedule: Literal["constant", "cosine"] = "constant"
    warmup_epochs: Annotated[int, Field(ge=0)] = 0
    ema: Annotated[float, Field(ge=0, lt=1)] = 0.0  # decay of the averaged weights, per step
    clip_norm: Annotated[float, Field(ge=0)] = 0.0  # 0: gradients are not clipped
    cuda_graphs: bool = False  # record a step once and replay it; on CUDA devices alone


class EvaluationConfig(Section):
    seeds: Annotated[tuple[int, ...], Field(min_length=1)] = (0,)
    epoch_rule: Literal["last", "inner_subjects", "oracle_test"] = "last"
    readout: Literal["fused", "mean"] = "fused"  # the fused head, or the mean over all heads
    tta_flip: bool = False
    tta_shift_px: Annotated[int, Field(ge=0, le=3)] = 0
    control: Literal["none", "shuffled_labels"] = "none"


class ExperimentConfig(Section):
    """Everything that decides the numbers of a run. Where the data lie is not part of it."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")] = "run"
    data: DataConfig = DataConfig()
    faces: FacesConfig = FacesConfig()
    flow: FlowConfig = FlowConfig()
    input: InputConfig = InputConfig()
    model: ModelConfig = ModelConfig()
    augment: AugmentConfig = AugmentConfig()
    loss: LossConfig = LossConfig()
    training: TrainingConfig = TrainingConfig()
    evaluation: EvaluationConfig = EvaluationConfig()

    def digest(self) -> str:
        """Sixteen hexadecimal digits that name these settings; the name of the run is left out."""
        settings = self.model_dump(mode="json", exclude={"name"})
        if not self.flow.finetune:  # then the settings of fine-tuning decide nothing
            settings["flow"] = self.flow.choice
        canonical = json.dumps(settings, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()[:16]


COMPONENTS: dict[str, Registry] = {
    "data": datasets,
    "faces": providers,
    "flow": flows,
    "model": systems,
}


def load_config(
    preset: str = "default",
    *,
    system: str | None = None,
    data: str | None = None,
    overrides: Iterable[str] = (),
    name: str | None = None,
) -> ExperimentConfig:
    """The complete settings of one run, builder defaults included.

    `overrides` are `key=value` strings such as `training.lr=1e-3` or `flow.name=farneback`.
    The builders must have been imported; `ConfigError` names what does not exist.
    """
    layer = read_preset(preset)
    of_systems = layer.pop("systems", {})
    changes = [parse_override(text) for text in overrides]
    changes += [(["model", "name"], system)] if system else []
    changes += [(["data", "name"], data)] if data else []
    model = _chosen_name("model", layer, changes)
    layer = _without_other_builders(layer, changes)
    entry, own = systems[model], of_systems.get(model, {})
    refuse_idle(entry, [*names_in(own), *names_of(changes)])
    settings = _merge(_merge(entry.recipe, without_idle(entry, layer)), own)
    assign(settings, changes)
    settings["name"] = name or settings.get("name", model)
    return _complete(settings)


def override(config: ExperimentConfig, overrides: Iterable[str]) -> ExperimentConfig:
    """The same settings with changes; another flow, say, comes with its own options."""
    changes = [parse_override(text) for text in overrides]
    settings = _without_other_builders(config.model_dump(mode="json"), changes)
    entry = systems[_chosen_name("model", settings, changes)]
    refuse_idle(entry, names_of(changes))
    if entry.name != config.model.name:
        settings = without_idle(entry, settings)
    assign(settings, changes)
    return _complete(settings)


def read_preset(name: str) -> dict[str, Any]:
    """A preset as nested tables: a shipped name, or the path of a TOML file."""
    path = Path(name) if name.endswith(".toml") else PRESETS / f"{name}.toml"
    if not path.is_file():
        if name.endswith(".toml"):
            raise ConfigError("no such preset file", where=path, mend="check the path")
        raise unknown_name("preset", name, preset_names())
    return _read_toml(path)


def read_config(path: Path) -> ExperimentConfig:
    """The complete settings that a run has left."""
    tables = _read_toml(path)
    if not tables:
        raise ConfigError("an empty file", where=path, mend="delete the folder and run it again")
    try:
        return ExperimentConfig.model_validate(tables)
    except ValidationError as error:
        raise ConfigError(
            f"not the settings of a run ({error.error_count()} of them missing or wrong)",
            where=path,
            mend="take a run folder that `hmrm run` of this version made",
        ) from None


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except RecursionError:
        raise ConfigError("nested too deeply", where=path, mend="write it flatter") from None
    except ValueError as error:  # no text, no TOML, or a number beyond all bounds
        raise ConfigError(f"not TOML: {error}", where=path, mend="correct that line") from None


def preset_names() -> list[str]:
    return sorted(path.stem for path in PRESETS.glob("*.toml"))


def _complete(settings: dict[str, Any]) -> ExperimentConfig:
    """Validate, and fill in the options of the builders."""
    config = _validate(settings)
    refuse_channels(systems[config.model.name], config.input.channels)
    parts: dict[str, Component] = {name: getattr(config, name) for name in COMPONENTS}
    return _validate({**settings, **{name: _filled(name, part) for name, part in parts.items()}})


def _filled(name: str, part: Component) -> dict[str, Any]:
    own = {key: getattr(part, key) for key in type(part).model_fields}
    return {**own, **COMPONENTS[name][part.name].complete(part.options, beside=own)}


def _chosen_name(part: str, layer: Mapping[str, Any], changes: Changes) -> str:
    """The builder that the last word on it names: override, preset, default."""
    default: Component = ExperimentConfig.model_fields[part].default
    names = [value for path, value in changes if path == [part, "name"]]
    return str([layer.get(part, {}).get("name", default.name), *names][-1])


def _without_other_builders(layer: Mapping[str, Any], changes: Changes) -> dict[str, Any]:
    """A preset's options for a builder say nothing about another that takes its place."""
    kept = dict(layer)
    for part in COMPONENTS:
        name = _chosen_name(part, layer, changes)
        if kept.get(part, {}).get("name", name) != name:
            kept[part] = {"name": name}
    return kept


def _validate(settings: Mapping[str, Any]) -> ExperimentConfig:
    _refuse_unknown(settings, ExperimentConfig)
    try:
        return ExperimentConfig.model_validate(settings)
    except ValidationError as error:
        raise ConfigError(first_problem(error), mend="correct this value") from None


def _refuse_unknown(
    settings: Mapping[str, Any], section: type[BaseModel], path: tuple[str, ...] = ()
) -> None:
    for key, value in settings.items():
        known = section.model_fields
        if key not in known:
            if section.model_config.get("extra") == "allow":
                continue
            raise unknown_name("setting", ".".join((*path, key)), _dotted_names(section, path))
        inner = _section_of(known[key])
        if inner and isinstance(value, Mapping):
            _refuse_unknown(value, inner, (*path, key))


def _dotted_names(section: type[BaseModel], path: tuple[str, ...]) -> Iterator[str]:
    """Every setting below here, so that a forgotten `training.` is found as well."""
    for name, field in section.model_fields.items():
        yield ".".join((*path, name))
        if inner := _section_of(field):
            yield from _dotted_names(inner, (*path, name))


def _section_of(field: FieldInfo) -> type[BaseModel] | None:
    """The group of settings that a field holds, if it holds one."""
    kind = field.annotation
    return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None


def _merge(base: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in above.items():
        below = merged.get(key)
        if isinstance(below, Mapping) and isinstance(value, Mapping):
            merged[key] = _merge(below, value)
        else:
            merged[key] = value
    return merged
