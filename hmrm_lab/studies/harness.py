"""What studies of several systems share: one protocol, own recipes, failures that stop no other."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Generic, TypeVar

from hmrm_lab.config import (
    ExperimentConfig,
    check_settings,
    load_config,
    override,
    parse_override,
)
from hmrm_lab.config.overrides import without_idle
from hmrm_lab.config.sections import FlowConfig
from hmrm_lab.errors import ConfigError, DiskFullError, FailedFoldsError, MixtureError
from hmrm_lab.evaluation.epoch_rules import PEEKING
from hmrm_lab.evaluation.failures import failure_of
from hmrm_lab.evaluation.summary import describe_failures
from hmrm_lab.preparation import load_flowset
from hmrm_lab.registry import systems
from hmrm_lab.runtime.store import RunFolder, refuse_full_disk
from hmrm_lab.studies.experiment import run_experiment
from hmrm_lab.studies.watching import Watcher

Name = TypeVar("Name")
SHARED = ("data", "faces", "flow", "evaluation")
SOME = ("hmrm", "augment.motionmix=0")  # a system, and what lets it take any input


@dataclass(frozen=True)
class Harness:
    """The settings that all systems share, and those of each.

    `unused` says which systems have no use for a setting that was asked for, `left_out` why a
    system has no settings: those asked for cannot go together with its own.
    """

    shared: ExperimentConfig
    configs: dict[str, ExperimentConfig]
    unused: dict[str, list[str]]
    left_out: dict[str, str] = field(default_factory=dict)


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
    check_settings(changes)
    of_all = [text for text in changes if parse_override(text)[0][0] in SHARED]
    some, unmixed = SOME
    shared = load_config(preset, system=some, data=data, overrides=[unmixed, *of_all])
    _refuse_dishonest(shared)
    unused = _without_use(preset, data, names, changes)
    found = Harness(shared, {}, unused)
    for name in names:
        own = [text for text in changes if name not in unused.get(text, [])]
        try:
            config = load_config(preset, system=name, data=data, overrides=own)
            found.configs[name] = _with_shared(config, shared)
        except MixtureError as error:
            found.left_out[name] = reason_of(error)
    return found


def reason_of(error: ConfigError) -> str:
    """Why something is left out: what it would take to run it is told where a setting does it."""
    if isinstance(error, MixtureError):
        return f"{error.problem} (run it with --{error.mend})"
    return error.problem


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

    def without_failures(self) -> dict[Name, RunFolder]:
        """The runs, or a `FailedFoldsError` that tells all that went wrong."""
        refuse_failures({str(name): why for name, why in self.problems.items()})
        return self.runs


def run_each(
    configs: Mapping[Name, ExperimentConfig],
    *,
    root: Path | None,
    runs: Path,
    jobs: int,
    watch: Watcher,
    label: Callable[[Name], str] = str,
) -> Ran[Name]:
    """Run what is missing of each. One that fails does not stop the others.

    `label` says how the progress of a run is told from that of the others.
    """
    ran = Ran[Name]()
    for name, config in configs.items():
        try:
            run = run_experiment(
                config,
                root=root,
                out=runs,
                jobs=jobs,
                watch=watch,
                final_model=False,
                label=label(name),
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


def refuse_failures(problems: Mapping[str, str]) -> None:
    """A `FailedFoldsError` if there are any, for when all that could be done is done."""
    if problems:
        raise FailedFoldsError("; ".join(f"{name}: {why}" for name, why in problems.items()))


def _without_use(
    preset: str, data: str | None, names: Sequence[str], changes: Sequence[str]
) -> dict[str, list[str]]:
    """Changes that some of the systems refuse, and by whom; one that all refuse is an error."""
    refused: dict[str, list[str]] = {}
    for name in names:
        accepts = partial(_accepts, preset, data, name)
        for text in _refused(accepts, changes):
            refused.setdefault(text, []).append(name)
    for text, by in refused.items():
        if by == list(names):
            load_config(preset, system=names[0], data=data, overrides=[text])
    return refused


def _refused(accepts: Callable[[list[str]], bool], changes: Sequence[str]) -> list[str]:
    """The changes that must go: refused alone, and beside all that are accepted."""
    if accepts(list(changes)):
        return []
    refused = [text for text in changes if not accepts([text])]
    for text in list(refused):
        others = [other for other in refused if other != text]
        if accepts([change for change in changes if change not in others]):
            refused = others
    return refused


def _accepts(preset: str, data: str | None, name: str, changes: list[str]) -> bool:
    """Whether a system takes these changes; those that go together with others only, too."""
    try:
        load_config(preset, system=name, data=data, overrides=changes)
    except MixtureError:
        return True
    except ConfigError:
        return False
    return True


def _with_shared(config: ExperimentConfig, shared: ExperimentConfig) -> ExperimentConfig:
    """The system's recipe on the data, faces, flow and evaluation that all have in common.

    Raises `MixtureError` where the two cannot go together.
    """
    evaluation = config.evaluation.model_copy(
        update={"seeds": shared.evaluation.seeds, "epoch_rule": shared.evaluation.epoch_rule}
    )
    tables = without_idle(systems[config.model.name], {"flow": shared.flow.model_dump()})
    common = {"data": shared.data, "faces": shared.faces, "flow": FlowConfig(**tables["flow"])}
    return override(config.model_copy(update={**common, "evaluation": evaluation}), [])


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
