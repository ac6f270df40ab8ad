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
from hmrm_lab.registry import Entry, Registry, datasets, flows, providers, systems, wrong_value

Overrides = Iterable[str] | Mapping[str, Any]  # `training.lr=1e-3`, or {"training.lr": 1e-3}

PRESETS = Path(__file__).parent / "presets"
COMPONENTS = {"data": datasets, "faces": providers, "flow": flows, "model": systems}
OF_TRAINING = (
    *("augment.", "loss.", "training.", "flow.finetune", "evaluation.readout", "evaluation.tta_"),
)  # how names of settings begin that only a training in epochs has a use for


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
        canonical = json.dumps(settings, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()[:16]


def load_config(
    preset: str = "default",
    *,
    system: str | None = None,
    data: str | None = None,
    overrides: Overrides = (),
    name: str | None = None,
) -> ExperimentConfig:
    """Load the complete settings of one run, builder defaults included.

    `ConfigError` for an unknown name or a wrong value.
    """
    layer = read_preset(preset)
    of_systems = layer.pop("systems", {})
    changes = _changes(overrides)
    changes |= {"model.name": system} if system else {}
    changes |= {"data.name": data} if data else {}
    model = _chosen_name("model", layer, changes)
    layer = _without_other_builders(layer, changes)
    entry, own = systems[model], of_systems.get(model, {})
    tables = {table: values for table, values in own.items() if isinstance(values, Mapping)}
    _refuse_unused(entry, (f"{table}.{key}" for table in tables for key in tables[table]))
    _refuse_unused(entry, changes)
    settings = _merge(_merge(entry.recipe, _without_unused(entry, layer)), own)
    options = {**layer.get("data", {})}
    options |= {"unit": changes["data.unit"]} if "data.unit" in changes else {}
    if datasets[_chosen_name("data", layer, changes)].unit_of(options) == RELATIVE:
        settings = _merge(settings, {"augment": {"rotate_deg": 0.0}})
    _assign(settings, changes)
    settings["name"] = name or settings.get("name", model)
    settings.setdefault("preset", Path(preset).stem)
    return _complete(settings)


def override(config: ExperimentConfig, overrides: Overrides) -> ExperimentConfig:
    """Change settings; another flow, for example, brings its own options."""
    changes = _changes(overrides)
    settings = _without_other_builders(config.model_dump(mode="json"), changes)
    entry = systems[_chosen_name("model", settings, changes)]
    _refuse_unused(entry, changes)
    if entry.name != config.model.name:
        settings = _without_unused(entry, settings)
    _assign(settings, changes)
    return _complete(settings)


def on_data(
    config: ExperimentConfig, *, data: DataConfig, faces: FacesConfig, flow: FlowConfig
) -> ExperimentConfig:
    """Put a recipe on other data, faces and flow; `MixtureError` if they cannot go together."""
    tables = _without_unused(systems[config.model.name], {"flow": flow.model_dump()})
    common = {"data": data, "faces": faces, "flow": FlowConfig(**tables["flow"])}
    return override(config.model_copy(update=common), ())


def check_settings(overrides: Overrides) -> None:
    """Raise a `ConfigError` for names and values that no section has, whatever the system.

    The options of builders are not checked.
    """
    settings: dict[str, Any] = {}
    _assign(settings, _changes(overrides))
    _validate(settings)


def read_preset(name: str) -> dict[str, Any]:
    """Read a preset as nested tables: a shipped name, or the path of a TOML file."""
    path = Path(name) if name.endswith(".toml") else PRESETS / f"{name}.toml"
    if not path.is_file():
        if name.endswith(".toml"):
            raise ConfigError("no such preset file", where=path, hint="check the path")
        raise unknown_name("preset", name, preset_names())
    return _read_toml(path)


def preset_names() -> list[str]:
    return sorted(path.stem for path in PRESETS.glob("*.toml"))


def read_config(path: Path) -> ExperimentConfig:
    """Read the complete settings of a run."""
    tables = _read_toml(path)
    if not tables:
        raise ConfigError("an empty file", where=path, hint="delete the folder and run it again")
    try:
        return ExperimentConfig.model_validate(tables)
    except ValidationError as error:
        problem = f"not the settings of a run ({error.error_count()} of them missing or wrong)"
        hint = "take a run folder that `hmrm run` of this version made"
        raise ConfigError(problem, where=path, hint=hint) from None


def parse_override(text: str) -> tuple[list[str], Any]:
    """Parse `training.lr=1e-3` as (["training", "lr"], 0.001): a TOML value, or bare text."""
    key, equals, value = text.partition("=")
    path = key.strip().split(".")
    if not equals or not all(path):
        raise ConfigError(f"override '{text}' is not key=value", hint="write training.lr=1e-3")
    if path == ["preset"]:
        raise ConfigError("preset is no setting", hint="name it with --preset")
    try:
        return path, tomllib.loads(f"value = {value.strip()}")["value"]
    except tomllib.TOMLDecodeError:
        return path, value.strip()


def split_overrides(text: str) -> list[str]:
    """Split `a.b=1,a.c=[1, 2]` at commas outside brackets and quotes.

    An open bracket or quote is left to the parser of the value.
    """
    parts, depth, quote = [""], 0, ""
    for sign in text:
        if quote:
            quote = "" if sign == quote else quote
        elif sign in "\"'":
            quote = sign
        elif sign in "[{":
            depth += 1
        elif sign in "]}":
            depth -= 1
        elif sign == "," and depth <= 0:
            parts.append("")
            continue
        parts[-1] += sign
    return [part.strip() for part in parts]


def why_unused(system: Entry, name: str) -> str:
    """Why a system has no use for this setting; empty if it has.

    What it has no use for is refused: to accept it and do nothing would make a comparison claim
    what it does not show.
    """
    if system.is_estimator and f"{name}.".startswith(OF_TRAINING):
        return "is a non-iterative estimator"
    if system.takes == "clip" and f"{name}.".startswith("input."):
        return "takes clips, not flow maps"
    return ""


def refuse_bent(config: ExperimentConfig, unit: str) -> None:
    """Raise a `MixtureError` for settings that take u and v as one vector on maps of this unit."""
    if unit != RELATIVE or not config.input.reads_flow:
        return
    scales = "relative maps have a scale for each channel, and no zero"
    if config.augment.rotate_deg:
        problem = f"{scales}: augment.rotate_deg would mix u and v"
        raise MixtureError(problem, hint="set augment.rotate_deg=0")
    card = systems[config.model.name].card
    users = {
        "magnitude": "magnitude" in config.input.channels,
        f"system '{config.model.name}'": card is not None and "u" in card.needs,
        "augment.flip": config.augment.flip,
        "evaluation.tta_flip": config.evaluation.tta_flip,
    }
    if config.input.normalise == "none" and any(users.values()):
        user = next(name for name, uses in users.items() if uses)
        problem = f"{scales}: {user} means nothing on them as they are"
        raise MixtureError(problem, hint="set input.normalise=median_rms")


def _changes(overrides: Overrides) -> dict[str, Any]:
    """Changes by the name of their setting, `section.setting`."""
    if isinstance(overrides, Mapping):
        return dict(overrides)
    return {".".join(path): value for path, value in map(parse_override, overrides)}


def _assign(settings: dict[str, Any], changes: Mapping[str, Any]) -> None:
    """Put every change in its place in nested tables."""
    for name, value in changes.items():
        *tables, key = name.split(".")
        place = settings
        for table in tables:
            below = place.setdefault(table, {})
            if not isinstance(below, dict):
                raise ConfigError(f"'{table}' is not a table", hint=f"set '{table}' itself")
            place[table] = dict(below)
            place = place[table]
        place[key] = value


def _refuse_unused(system: Entry, names: Iterable[str]) -> None:
    for name in names:
        if why := why_unused(system, name):
            problem = f"system '{system.name}' {why}: it has no use for {name}"
            hint = "leave this setting out, or give it to other systems in a run of theirs"
            raise ConfigError(problem, hint=hint)


def _without_unused(system: Entry, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Drop from settings for all systems those that this one does not use."""
    kept = dict(settings)
    for table, values in settings.items():
        if isinstance(values, Mapping):
            used = (key for key in values if not why_unused(system, f"{table}.{key}"))
            kept[table] = {key: values[key] for key in used}
    return kept


def _complete(settings: dict[str, Any]) -> ExperimentConfig:
    """Validate, and fill in the options of the builders."""
    config = _validate(settings)
    system, channels = systems[config.model.name], config.input.channels
    needs = system.card.needs if system.card else ()
    if needs and channels != needs:
        reads = f"reads the channels {', '.join(needs)}, not {', '.join(channels)}"
        raise ConfigError(f"system '{system.name}' {reads}", hint="leave input.channels out")
    filled = {
        name: _filled(registry, getattr(config, name)) for name, registry in COMPONENTS.items()
    }
    config = _validate({**settings, **filled})
    refuse_bent(config, datasets[config.data.name].unit_of(config.data.options))
    _refuse_mixtures(config)  # last, so that all other problems are reported first
    return config


def _refuse_mixtures(config: ExperimentConfig) -> None:
    """Raise a `MixtureError` for settings that are right alone and cannot be combined."""
    picture = next((name for name in config.input.channels if name in PICTURES), None)
    if picture and config.augment.motionmix:
        problem = f"MotionMix exchanges flow, and input.channels names the picture {picture}"
        raise MixtureError(problem, hint="set augment.motionmix=0")
    card = systems[config.model.name].card
    if config.loss.margin and not (card and card.lengths):
        problem = f"loss.margin is of lengths, and system '{config.model.name}' answers with others"
        raise MixtureError(problem, hint="set loss.margin=false; capsulenet answers with lengths")
    single, tuned = "set input.frames=1", "set flow.finetune=false"
    if config.input.frames > 1:
        if not (card and card.sequences):
            raise MixtureError(f"system '{config.model.name}' reads one map of a clip", hint=single)
        if picture:
            words = f"a sequence is of flow, and input.channels names the picture {picture}"
            raise MixtureError(words, hint=single)
        if config.flow.joins_phases:
            joins = f"flow.phases={config.flow.phases} joins two in one map"
            raise MixtureError(f"a sequence has a flow to each frame, and {joins}", hint=single)
    elif config.input.until != "apex":
        words = f"input.until={config.input.until} is of a sequence, and input.frames is 1"
        raise MixtureError(words, hint="set input.until=apex")
    if not config.flow.finetune:
        return
    if config.input.frames > 1:
        raise MixtureError("a flow is not fine-tuned through a sequence", hint=tuned)
    if picture:
        raise MixtureError(f"a flow is not fine-tuned beside the picture {picture}", hint=tuned)
    if config.flow.joins_phases:
        words = f"fine-tuning knows onset and apex alone, and flow.phases is {config.flow.phases}"
        raise MixtureError(words, hint=tuned)


def _filled(registry: Registry, part: Component) -> dict[str, Any]:
    own = {key: getattr(part, key) for key in type(part).model_fields}
    return {**own, **registry[part.name].complete(part.options, beside=own)}


def _chosen_name(part: str, layer: Mapping[str, Any], changes: Mapping[str, Any]) -> str:
    """The name of the builder: from an override, the preset, or the default."""
    default: Component = ExperimentConfig.model_fields[part].default
    return str(changes.get(f"{part}.name", layer.get(part, {}).get("name", default.name)))


def _without_other_builders(layer: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Drop a preset's options for builders that are replaced by others."""
    kept = dict(layer)
    for part in COMPONENTS:
        name = _chosen_name(part, layer, changes)
        if kept.get(part, {}).get("name", name) != name:
            kept[part] = {"name": name}
    return kept


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except RecursionError:
        raise ConfigError("nested too deeply", where=path, hint="write it flatter") from None
    except ValueError as error:  # no text, no TOML, or a number beyond all bounds
        raise ConfigError(f"not TOML: {error}", where=path, hint="correct that line") from None


def _validate(settings: Mapping[str, Any]) -> ExperimentConfig:
    try:
        return ExperimentConfig.model_validate(settings)
    except ValidationError as error:
        for detail in error.errors():
            if detail["type"] == "extra_forbidden":
                name = ".".join(map(str, detail["loc"]))
                raise unknown_name("setting", name, _dotted_names(ExperimentConfig)) from None
        raise wrong_value(error, ExperimentConfig) from None


def _dotted_names(section: type[BaseModel], before: str = "") -> Iterator[str]:
    """All dotted names in this section, so that a forgotten `training.` is found as well."""
    for name, field in section.model_fields.items():
        yield f"{before}{name}"
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from _dotted_names(field.annotation, f"{before}{name}.")


def _merge(base: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    merged = {**base, **above}
    for key in base.keys() & above.keys():
        if isinstance(base[key], Mapping) and isinstance(above[key], Mapping):
            merged[key] = _merge(base[key], above[key])
    return merged
