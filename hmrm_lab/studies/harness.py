"""What studies of several systems share: one protocol, own recipes, failures that stop no other."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, TypeVar

import hmrm_lab.models  # noqa: F401  registers the systems
from hmrm_lab.config import ExperimentConfig, load_config, parse_override
from hmrm_lab.errors import ConfigError, DiskFullError
from hmrm_lab.evaluation.epoch_rules import PEEKING
from hmrm_lab.evaluation.failures import failure_of
from hmrm_lab.evaluation.summary import describe_failures
from hmrm_lab.preparation import load_flowset
from hmrm_lab.store import RunFolder, refuse_full_disk
from hmrm_lab.studies.experiment import run_experiment
from hmrm_lab.studies.watching import Watcher

Name = TypeVar("Name")


@dataclass(frozen=True)
class Harness:
    """The settings that all systems share, and those of each.

    `unused` says which systems have no use for a setting that was asked for.
    """

    shared: ExperimentConfig
    configs: dict[str, ExperimentConfig]
    unused: dict[str, list[str]]


def harness(
    preset: str, names: Sequence[str], changes: Sequence[str], *, data: str | None = None
) -> Harness:
    """Each system's own recipe on data, faces, flow, seeds and epoch rule that all share.

    Raises
    ------
    ConfigError
        For names that do not exist, a rule that peeks, or a system named by a setting.
    """
    if any(parse_override(text)[0] == ["model", "name"] for text in changes):
        raise ConfigError("model.name is no setting of all systems", mend="name them in --systems")
    of_all = [text for text in changes if not text.strip().startswith("model.")]
    shared = load_config(preset, data=data, overrides=of_all)
    _refuse_dishonest(shared)
    unused = _without_use(preset, data, names, changes)
    configs = {}
    for name in names:
        own = [text for text in changes if name not in unused.get(text, [])]
        config = load_config(preset, system=name, data=data, overrides=own)
        configs[name] = _with_shared(config, shared)
    return Harness(shared, configs, unused)


def read_maps(shared: ExperimentConfig, root: Path | None, jobs: int, watch: Watcher) -> None:
    """Compute and cache what all read, so that wrong data are told before anything is trained."""
    load_flowset(
        shared,
        root,
        jobs=jobs,
        on_faces=lambda done, total: watch("faces", done, total),
        on_progress=lambda done, total: watch("flow", done, total),
    )


@dataclass(frozen=True)
class Ran(Generic[Name]):
    """The run of each name; and what went wrong, an incomplete run's failures among it."""

    runs: dict[Name, RunFolder] = field(default_factory=dict)
    problems: dict[Name, str] = field(default_factory=dict)


def run_each(
    configs: Mapping[Name, ExperimentConfig],
    *,
    root: Path | None,
    runs: Path,
    jobs: int,
    watch: Watcher,
) -> Ran[Name]:
    """Run what is missing of each. One that fails does not stop the others."""
    ran = Ran[Name]()
    for name, config in configs.items():
        try:
            run = run_experiment(
                config, root=root, out=runs, jobs=jobs, watch=watch, final_model=False
            )
        except DiskFullError:
            raise
        except Exception as error:  # noqa: BLE001  the others go on
            refuse_full_disk(error, runs)
            ran.problems[name] = failure_of(error).reason
            continue
        ran.runs[name] = run
        if told := describe_failures(run):
            ran.problems[name] = told
    return ran


def _without_use(
    preset: str, data: str | None, names: Sequence[str], changes: Sequence[str]
) -> dict[str, list[str]]:
    """Changes that some of the systems refuse, and by whom; one that all refuse is an error."""
    refused: dict[str, list[str]] = {}
    for name in names:
        try:
            load_config(preset, system=name, data=data, overrides=changes)
        except ConfigError:
            for text in changes:
                if not _accepts(preset, data, name, text):
                    refused.setdefault(text, []).append(name)
    for text, by in refused.items():
        if by == list(names):
            load_config(preset, system=names[0], data=data, overrides=[text])
    return refused


def _accepts(preset: str, data: str | None, name: str, change: str) -> bool:
    try:
        load_config(preset, system=name, data=data, overrides=[change])
    except ConfigError:
        return False
    return True


def _with_shared(config: ExperimentConfig, shared: ExperimentConfig) -> ExperimentConfig:
    """The system's recipe on the data, faces, flow and evaluation that all have in common."""
    evaluation = config.evaluation.model_copy(
        update={"seeds": shared.evaluation.seeds, "epoch_rule": shared.evaluation.epoch_rule}
    )
    common = {name: getattr(shared, name) for name in ("data", "faces", "flow")}
    return config.model_copy(update={**common, "evaluation": evaluation})


def _refuse_dishonest(config: ExperimentConfig) -> None:
    evaluation = config.evaluation
    if evaluation.epoch_rule in PEEKING:
        raise ConfigError(
            f"systems are not ranked by {evaluation.epoch_rule}, which peeks at the test subject",
            mend="take last or inner_subjects; `hmrm compare --oracle` shows what peeking adds",
        )
    if evaluation.control != "none":
        raise ConfigError("a control cannot be ranked", mend="`hmrm compare --null` runs it beside")


def seeds_and_rule(
    overrides: Iterable[str], seeds: int | None, epoch_rule: str | None = None
) -> list[str]:
    """The overrides, with a number of seeds and an epoch rule where they were named."""
    changes = list(overrides)
    changes += [f"evaluation.seeds={list(range(seeds))}"] if seeds else []
    changes += [f"evaluation.epoch_rule={epoch_rule}"] if epoch_rule else []
    return changes
