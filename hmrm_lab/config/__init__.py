"""Frozen settings of one experiment, in sections.

`load_config` stacks, later wins: paper defaults, the system's own recipe, the preset, the preset's
section for this system, and the overrides of the command line.
"""

import hashlib
import json
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, Field, ValidationError
from pydantic.fields import FieldInfo

from hmrm_lab.config.overrides import (
    Changes,
    assign,
    names_in,
    names_of,
    parse_override,
    refuse_channels,
    refuse_idle,
    without_idle,
)
from hmrm_lab.config.sections import (
    AugmentConfig,
    Component,
    DataConfig,
    EvaluationConfig,
    FacesConfig,
    FlowConfig,
    InputConfig,
    LossConfig,
    ModelConfig,
    Section,
    TrainingConfig,
)
from hmrm_lab.errors import ConfigError, MixtureError, unknown_name
from hmrm_lab.records import PICTURES, RELATIVE
from hmrm_lab.registry import Registry, datasets, first_problem, flows, providers, systems

PRESETS = Path(__file__).parent / "presets"
OMITTED_DEFAULTS = {
    "data.classes": "megc3",
    "data.guise": "",
    "data.blink_every": 0,
    "faces.face": 0,
    "faces.search_px": 720,
    "faces.border": 0.25,
    "flow.phases": "rise",
    "augment.mixup": 0.0,
    "training.pretrain_epochs": 0,
    "training.bfloat16": False,
    "model.weights": "",
    "evaluation.same_person": [],
    "evaluation.protocol": "loso",
}
"""Defaults that the digest leaves out, so that adding such a setting renames no run."""


class ExperimentConfig(Section):
    """All settings that decide the numbers of a run; the folder of the data is not among them."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")] = "run"
    preset: str = "default"  # where the settings started; figures of `smoke` are stamped
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
        """Compute sixteen hexadecimal digits, without the names of run and preset."""
        settings = self.model_dump(mode="json", exclude={"name", "preset"})
        if not self.flow.finetune:  # the settings of fine-tuning decide nothing
            settings["flow"] = {**self.flow.choice, "phases": self.flow.phases}
        for name, default in OMITTED_DEFAULTS.items():
            section, key = name.split(".")
            if settings[section].get(key) == default:
                del settings[section][key]
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
    """Load the complete settings of one run, builder defaults included.

    `overrides` are `key=value` strings such as `training.lr=1e-3` or `flow.name=farneback`.
    `ConfigError` for an unknown name or a wrong value.
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
    if datasets[_chosen_name("data", layer, changes)].unit == RELATIVE:
        settings = _merge(settings, {"augment": {"rotate_deg": 0.0}})
    assign(settings, changes)
    settings["name"] = name or settings.get("name", model)
    settings.setdefault("preset", Path(preset).stem)
    return _complete(settings)


def override(config: ExperimentConfig, overrides: Iterable[str]) -> ExperimentConfig:
    """Change settings; another flow, for example, brings its own options."""
    changes = [parse_override(text) for text in overrides]
    settings = _without_other_builders(config.model_dump(mode="json"), changes)
    entry = systems[_chosen_name("model", settings, changes)]
    refuse_idle(entry, names_of(changes))
    if entry.name != config.model.name:
        settings = without_idle(entry, settings)
    assign(settings, changes)
    return _complete(settings)


def on_data(
    config: ExperimentConfig, *, data: DataConfig, faces: FacesConfig, flow: FlowConfig
) -> ExperimentConfig:
    """Put a recipe on other data, faces and flow; `MixtureError` if they cannot go together."""
    tables = without_idle(systems[config.model.name], {"flow": flow.model_dump()})
    common = {"data": data, "faces": faces, "flow": FlowConfig(**tables["flow"])}
    return override(config.model_copy(update=common), [])


def check_settings(overrides: Iterable[str]) -> None:
    """Raise a `ConfigError` for names and values that no section has, whatever the system.

    The options of builders are not checked.
    """
    settings: dict[str, Any] = {}
    assign(settings, [parse_override(text) for text in overrides])
    _validate(settings)


def read_preset(name: str) -> dict[str, Any]:
    """Read a preset as nested tables: a shipped name, or the path of a TOML file."""
    path = Path(name) if name.endswith(".toml") else PRESETS / f"{name}.toml"
    if not path.is_file():
        if name.endswith(".toml"):
            raise ConfigError("no such preset file", where=path, hint="check the path")
        raise unknown_name("preset", name, preset_names())
    return _read_toml(path)


def read_config(path: Path) -> ExperimentConfig:
    """Read the complete settings of a run."""
    tables = _read_toml(path)
    if not tables:
        raise ConfigError("an empty file", where=path, hint="delete the folder and run it again")
    try:
        return ExperimentConfig.model_validate(tables)
    except ValidationError as error:
        raise ConfigError(
            f"not the settings of a run ({error.error_count()} of them missing or wrong)",
            where=path,
            hint="take a run folder that `hmrm run` of this version made",
        ) from None


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except RecursionError:
        raise ConfigError("nested too deeply", where=path, hint="write it flatter") from None
    except ValueError as error:  # no text, no TOML, or a number beyond all bounds
        raise ConfigError(f"not TOML: {error}", where=path, hint="correct that line") from None


def preset_names() -> list[str]:
    return sorted(path.stem for path in PRESETS.glob("*.toml"))


def _complete(settings: dict[str, Any]) -> ExperimentConfig:
    """Validate, and fill in the options of the builders."""
    config = _validate(settings)
    refuse_channels(systems[config.model.name], config.input.channels)
    parts: dict[str, Component] = {name: getattr(config, name) for name in COMPONENTS}
    filled = {name: _filled(name, part) for name, part in parts.items()}
    config = _validate({**settings, **filled})
    refuse_bent(config, datasets[config.data.name].unit)
    _refuse_mixtures(config)  # last, so that all other problems are reported first
    return config


def refuse_bent(config: ExperimentConfig, unit: str) -> None:
    """Raise a `MixtureError` for settings that take u and v as one vector on maps of this unit."""
    if unit != RELATIVE or not config.input.reads_flow:
        return
    scales = "published maps have a scale for each channel, and no zero"
    if config.augment.rotate_deg:
        raise MixtureError(
            f"{scales}: augment.rotate_deg would mix u and v", hint="set augment.rotate_deg=0"
        )
    card = systems[config.model.name].card
    users = {
        "magnitude": "magnitude" in config.input.channels,
        f"system '{config.model.name}'": card is not None and "u" in card.needs,
        "augment.flip": config.augment.flip,
        "evaluation.tta_flip": config.evaluation.tta_flip,
    }
    if config.input.normalise == "none" and any(users.values()):
        user = next(name for name, uses in users.items() if uses)
        raise MixtureError(
            f"{scales}: {user} means nothing on them as they are",
            hint="set input.normalise=median_rms",
        )


def _refuse_mixtures(config: ExperimentConfig) -> None:
    """Raise a `MixtureError` for settings that are right alone and cannot be combined."""
    pictures = [name for name in config.input.channels if name in PICTURES]
    if pictures and config.augment.motionmix:
        raise MixtureError(
            f"MotionMix exchanges flow, and input.channels names the picture {pictures[0]}",
            hint="set augment.motionmix=0",
        )
    if pictures and config.flow.finetune:
        raise MixtureError(
            f"a flow is not fine-tuned beside the picture {pictures[0]}",
            hint="set flow.finetune=false",
        )
    if config.flow.phases == "both" and config.flow.finetune:
        raise MixtureError(
            "fine-tuning knows onset and apex alone, and flow.phases is both",
            hint="set flow.finetune=false",
        )


def _filled(name: str, part: Component) -> dict[str, Any]:
    own = {key: getattr(part, key) for key in type(part).model_fields}
    return {**own, **COMPONENTS[name][part.name].complete(part.options, beside=own)}


def _chosen_name(part: str, layer: Mapping[str, Any], changes: Changes) -> str:
    """The name of the builder: from an override, the preset, or the default."""
    default: Component = ExperimentConfig.model_fields[part].default
    names = [value for path, value in changes if path == [part, "name"]]
    return str([layer.get(part, {}).get("name", default.name), *names][-1])


def _without_other_builders(layer: Mapping[str, Any], changes: Changes) -> dict[str, Any]:
    """Drop a preset's options for builders that are replaced by others."""
    kept = dict(layer)
    for part in COMPONENTS:
        name = _chosen_name(part, layer, changes)
        if kept.get(part, {}).get("name", name) != name:
            kept[part] = {"name": name}
    return kept


def _validate(settings: Mapping[str, Any]) -> ExperimentConfig:
    try:
        return ExperimentConfig.model_validate(settings)
    except ValidationError as error:
        for detail in error.errors():
            if detail["type"] == "extra_forbidden":
                name = ".".join(map(str, detail["loc"]))
                raise unknown_name("setting", name, _dotted_names(ExperimentConfig)) from None
        raise ConfigError(first_problem(error), hint="correct this value") from None


def _dotted_names(section: type[BaseModel], before: str = "") -> Iterator[str]:
    """All dotted names in this section, so that a forgotten `training.` is found as well."""
    for name, field in section.model_fields.items():
        yield f"{before}{name}"
        if inner := _section_of(field):
            yield from _dotted_names(inner, f"{before}{name}.")


def _section_of(field: FieldInfo) -> type[BaseModel] | None:
    """The section that a field holds, if it holds one."""
    kind = field.annotation
    return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None


def _merge(base: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    merged = {**base, **above}
    for key in base.keys() & above.keys():
        if isinstance(base[key], Mapping) and isinstance(above[key], Mapping):
            merged[key] = _merge(base[key], above[key])
    return merged
