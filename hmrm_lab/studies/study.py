"""A study: several settings on the same clips, folds and seeds, each cell an ordinary run.

    study = plan_comparison(share_protocol("default", ["hmrm", "svm"], ["data.name=flowmaps"]))
    study.run(root=Path("maps"), jobs=2).write(study.folder(Path("runs")))

A run that is finished is not computed again, and one that fails does not stop the others.
"""

import hashlib
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path
from typing import Any, Generic, TypeVar

from hmrm_lab.config import (
    ExperimentConfig,
    check_settings,
    load_config,
    on_data,
    override,
    parse_override,
)
from hmrm_lab.errors import ConfigError, DiskFullError, MixtureError, check_known
from hmrm_lab.evaluation.fold import PEEKING, failure_of
from hmrm_lab.evaluation.summary import describe_failures
from hmrm_lab.preparation import frames_for
from hmrm_lab.preparation.network_inputs import INPUTS
from hmrm_lab.registry import systems as registered
from hmrm_lab.reporting.study_page import ComparisonResult, InputsResult
from hmrm_lab.reporting.study_table import HONEST, NULL, NULL_WITHIN, ORACLE, Cell, StudyResult
from hmrm_lab.runtime.store import RunFolder, refuse_full_disk
from hmrm_lab.studies.experiment import run_experiment
from hmrm_lab.training.system_inputs import has_epochs

Key = TypeVar("Key")
Result = TypeVar("Result", bound=StudyResult)
CHANGES = {
    HONEST: (),
    ORACLE: ("evaluation.epoch_rule=oracle_test",),
    NULL: ("evaluation.control=shuffled_labels",),
    NULL_WITHIN: ("evaluation.control=shuffled_within_subjects",),
}  # overrides of each kind of run
NETWORKS = ("vgg19", "resnet50", "efficientnet_b0", "meganet")
SHARED = ("data", "faces", "flow", "evaluation")  # tables of settings that all systems share
TAUGHT = ("augment", "loss", "training")  # tables that make a recipe, and beside them:
READING = ("evaluation.readout", "evaluation.tta_flip", "evaluation.tta_shift_px")
BESIDE = ("input.normalise", *READING)
RECIPES = ("own", "common")  # each author's, or HMRM's for all networks


@dataclass(frozen=True)
class Variant:
    """A name, what it stands for in words, and the overrides that make it."""

    name: str
    words: str
    overrides: tuple[str, ...] = ()


def read_table(name: str) -> dict[str, Any]:
    """A table of variants, in TOML beside this file."""
    return tomllib.loads(Path(__file__).with_name(name).read_text(encoding="utf-8"))


@dataclass(frozen=True)
class Study(Generic[Result]):
    """The settings of every cell, `(row, column)`, and why other cells are left out."""

    kind: str  # `compare` or `inputs`: the folder of the results is named by it
    result: type[Result]
    data: str
    rows: dict[str, str]  # the system of each row
    columns: dict[str, str]  # kinds of run or inputs, in words; "" needs no further name
    configs: dict[Cell, ExperimentConfig] = field(default_factory=dict)
    left_out: dict[Cell, str] = field(default_factory=dict)
    unused: dict[str, list[str]] = field(default_factory=dict)  # by setting, who has no use for it
    recipe: str = "own"
    fused: tuple[str, ...] = ()

    def folder(self, runs: Path) -> Path:
        """The default folder of the results, named by the settings of all cells."""
        digests = " ".join(sorted(config.digest() for config in self.configs.values()))
        return runs / f"{self.kind}-{self.data}-{hashlib.sha256(digests.encode()).hexdigest()[:8]}"

    def refuse_empty(self, reasons: Iterable[str], hint: str) -> None:
        """Raise a `ConfigError` with all reasons where no cell is left."""
        if not self.configs:
            words = "; ".join(dict.fromkeys(reasons))
            raise ConfigError(f"there is nothing to compare: {words}", hint=hint)

    def run(self, **how: Any) -> Result:
        labels = {
            (row, column): ", ".join(filter(None, [row, self.columns[column]]))
            for row, column in self.configs
        }
        done, problems = run_each(self.configs, labels, **how)
        rest = done, self.left_out, problems, self.unused, self.recipe, self.fused
        return self.result(self.data, self.rows, self.columns, *rest)


def run_each(
    configs: Mapping[Key, ExperimentConfig],
    labels: Mapping[Key, str],
    *,
    out: Path = Path("runs"),
    **how: Any,
) -> tuple[dict[Key, RunFolder], dict[Key, str]]:
    """Run what is missing; return the runs, and the problem of each that failed.

    An incomplete run is among the runs, and its failed folds among the problems. `labels` name the
    runs where progress is shown; the rest is `root`, `jobs`, `watch` and `flowset` as for
    `run_experiment`, the last where all settings read the same maps.
    """
    done: dict[Key, RunFolder] = {}
    problems: dict[Key, str] = {}
    for key, config in configs.items():
        try:
            run = run_experiment(config, out=out, final_model=False, label=labels[key], **how)
        except DiskFullError:
            raise
        except Exception as error:  # noqa: BLE001  the others go on
            refuse_full_disk(error, out)
            problems[key] = failure_of(error).reason
            continue
        done[key] = run
        if failures := describe_failures(run):
            problems[key] = failures
    return done, problems


def plan_comparison(
    protocol: "SharedProtocol",
    *,
    framed: bool = True,
    kinds: Sequence[str] = (HONEST,),
    recipe: str = "own",
    fuse: Sequence[str] = (),
) -> Study[ComparisonResult]:
    """Plan the runs of a comparison, the honest ones of all systems first; nothing is trained.

    `left_out` says which systems cannot take part: they take frames and the data are not `framed`,
    or their own settings cannot go together with the shared ones. `kinds` are of `CHANGES`; the
    rule that peeks is for systems with epochs. `recipe` is of `RECIPES`; the answers of the rows
    named by `fuse` are averaged, as one row more. `ConfigError` if nothing is left.
    """
    check_known("recipe", recipe, RECIPES)
    if recipe == "common":
        protocol = with_common_recipe(protocol)
    data, configs = protocol.shared.data.name, protocol.configs
    rows = {name: config.model.name for name, config in configs.items()}
    columns = {kind: "" if kind == HONEST else kind for kind in kinds}
    more: Any = {"recipe": recipe, "fused": tuple(fuse)}
    study = Study("compare", ComparisonResult, data, rows, columns, **more)
    for name in fuse:
        check_known("system to fuse", name, rows)
    if len(fuse) == 1:
        raise ConfigError("there is nothing to fuse", hint="name two systems or more")
    study.unused.update(protocol.unused)
    for name, why in protocol.left_out.items():
        study.left_out[name, HONEST] = f"refuses these settings: {why}"
    for name, config in configs.items():
        if why := _lacks(config, data, framed):
            study.left_out[name, HONEST] = why
            del rows[name]
    for kind, name in product(kinds, rows):
        if kind != ORACLE or has_epochs(configs[name]):
            study.configs[name, kind] = override(configs[name], CHANGES[kind])
    reasons = (f"{name} {why}" for (name, _), why in study.left_out.items())
    study.refuse_empty(reasons, "name other systems")
    return study


def plan_inputs(
    protocol: "SharedProtocol", *, framed: bool = True, inputs: Sequence[str] = ()
) -> Study[InputsResult]:
    """Plan the runs of each input on each network, as MESTI-MEGANet compares them.

    `inputs` are by default all of `INPUTS`. A system is left out where it cannot read an input, and
    an input that needs frames where the data have none.
    """
    wanted = tuple(dict.fromkeys(inputs or INPUTS))
    for name in wanted:
        check_known("input", name, INPUTS)
    data, names = protocol.shared.data.name, [*protocol.configs, *protocol.left_out]
    columns = {name: INPUTS[name].words for name in wanted}
    study = Study("inputs", InputsResult, data, {name: name for name in names}, columns)
    study.unused.update(protocol.unused)
    for system, name in product(names, wanted):
        cell = system, name
        if system in protocol.left_out:
            study.left_out[cell] = protocol.left_out[system]
            continue
        try:
            config = override(protocol.configs[system], INPUTS[name].overrides)
        except ConfigError as error:
            study.left_out[cell] = reason_of(error)
            continue
        if why := _lacks(config, data, framed):
            study.left_out[cell] = f"it {why}"
        else:
            study.configs[cell] = config
    study.refuse_empty(study.left_out.values(), "name other inputs or systems")
    return study


def take_recipe(config: ExperimentConfig, other: ExperimentConfig) -> ExperimentConfig:
    """Give a network what another is trained with: normalisation, augmentation, loss, views, rates.

    Channels stay its own; of pictures MotionMix is left out. A system without epochs is unchanged.
    """
    if registered[config.model.name].is_estimator:
        return config
    tables = other.model_dump(mode="json")
    changes = {f"{name}.{key}": value for name in TAUGHT for key, value in tables[name].items()}
    for place in BESIDE:
        name, _, key = place.partition(".")
        changes[place] = tables[name][key]
    if config.input.has_pictures:
        changes["augment.motionmix"] = 0.0
    return override(config, changes)


def with_common_recipe(protocol: "SharedProtocol") -> "SharedProtocol":
    """Train all networks as HMRM is, which must be one of them; who cannot be is left out."""
    ours = [config for config in protocol.configs.values() if config.model.name == "hmrm"]
    if not ours:
        problem = "the common recipe is that of hmrm, which takes no part"
        raise ConfigError(problem, hint="name hmrm among the systems")
    common = replace(protocol, configs={}, left_out=dict(protocol.left_out))
    for name, config in protocol.configs.items():
        try:
            common.configs[name] = take_recipe(config, ours[0])
        except MixtureError as error:
            common.left_out[name] = reason_of(error)
    return common


@dataclass(frozen=True)
class SharedProtocol:
    """The recipes of several systems, made to agree on data, faces, flow, folds, seeds and rule."""

    shared: ExperimentConfig  # what they agree on
    unused: dict[str, list[str]] = field(default_factory=dict)  # by setting, who has no use for it
    configs: dict[str, ExperimentConfig] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)  # whose own settings refuse these


def share_protocol(
    preset: str, names: Sequence[str], overrides: Iterable[str] = (), *, seeds: int | None = None
) -> SharedProtocol:
    """Give each system its own recipe on the same data, faces, flow, folds, seeds and epoch rule.

    Raises `ConfigError` for unknown names, a rule that peeks, a control, or a system named by a
    setting.
    """
    changes = list(overrides)
    changes += [f"evaluation.seeds={list(range(seeds))}"] if seeds else []
    if any(parse_override(text)[0] == ["model", "name"] for text in changes):
        raise ConfigError("model.name is no setting of all systems", hint="name them in --systems")
    check_settings(changes)
    of_all = [text for text in changes if parse_override(text)[0][0] in SHARED]
    # a system that takes any input, so that nothing but the shared settings is judged
    shared = load_config(preset, system="hmrm", overrides=["augment.motionmix=0", *of_all])
    refuse_dishonest(shared)
    agreed = shared.evaluation.model_dump(include={"seeds", "epoch_rule", "protocol", "train_on"})
    protocol = SharedProtocol(shared, _unused_settings(preset, names, changes))
    for name in names:
        own = [text for text in changes if name not in protocol.unused.get(text, [])]
        try:
            config = load_config(preset, system=name, overrides=own)
            evaluation = config.evaluation.model_copy(update=agreed)
            config = config.model_copy(update={"evaluation": evaluation})
            config = on_data(config, data=shared.data, faces=shared.faces, flow=shared.flow)
            protocol.configs[name] = config
        except MixtureError as error:
            protocol.left_out[name] = reason_of(error)
    return protocol


def reason_of(error: ConfigError) -> str:
    """Why something is left out, with the setting that would let it run, if one does."""
    if isinstance(error, MixtureError):
        return f"{error.problem} (run it with --{error.hint})"
    return error.problem


def _unused_settings(
    preset: str, names: Sequence[str], changes: Sequence[str]
) -> dict[str, list[str]]:
    """The changes that some of the systems refuse; one that all refuse is an error.

    A change must go that is refused alone, and beside all that are accepted.
    """

    def accepts(name: str, some: Sequence[str]) -> bool:
        try:
            load_config(preset, system=name, overrides=some)
        except ConfigError as error:
            return isinstance(error, MixtureError)  # it may need companions
        return True

    unused: dict[str, list[str]] = {}
    for name in names:
        alone = [] if accepts(name, changes) else changes
        refused = [text for text in alone if not accepts(name, [text])]
        for text in list(refused):
            others = [other for other in refused if other != text]
            if accepts(name, [change for change in changes if change not in others]):
                refused = others
        for text in refused:
            unused.setdefault(text, []).append(name)
    for text, by in unused.items():
        if by == list(names):
            load_config(preset, system=names[0], overrides=[text])
    return unused


def refuse_dishonest(config: ExperimentConfig) -> None:
    """Raise a `ConfigError` for settings with which nothing can be ranked."""
    rule = config.evaluation.epoch_rule
    if rule in PEEKING:
        problem = f"systems are not ranked by {rule}, which peeks at the test subject"
        hint = "take last or inner_subjects; a comparison's `oracle` shows what peeking adds"
        raise ConfigError(problem, hint=hint)
    if config.evaluation.control != "none":
        raise ConfigError("a control cannot be ranked", hint="a comparison's `null` runs it beside")


def _lacks(config: ExperimentConfig, data: str, framed: bool) -> str:
    """Which frames these settings take that the data do not have, or ""."""
    needs = None if framed else frames_for(config)
    return f"takes {needs}, and '{data}' has no frames" if needs else ""
