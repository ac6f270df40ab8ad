"""Every system in one harness: the same clips, flow, folds, seeds and epoch rule.

    plan = plan_comparison(data="flowmaps", root=Path("maps"), oracle=True)
    outcome = run_comparison(plan, root=Path("maps"), runs=Path("runs"), jobs=2)
    table = comparison_table(outcome)                             # hmrm_lab.reporting.comparison
    write_comparison(outcome, table, plan.folder(Path("runs")))   # ... .comparison_page

Each system keeps its own recipe and nothing else of its own. Each result is an ordinary run under
its own settings: what is finished is not run again, whoever began it.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import hmrm_lab.models  # noqa: F401  registers the systems
from hmrm_lab.config import ExperimentConfig, load_config, override, parse_override
from hmrm_lab.errors import ConfigError, DiskFullError
from hmrm_lab.evaluation.epoch_rules import PEEKING
from hmrm_lab.evaluation.failures import failure_of
from hmrm_lab.evaluation.summary import describe_failures
from hmrm_lab.preparation import frames_for, load_clips, load_flowset
from hmrm_lab.registry import systems as registered
from hmrm_lab.reporting.comparison import HONEST, NULL, ORACLE, Outcome
from hmrm_lab.store import RunFolder, refuse_full_disk
from hmrm_lab.studies.experiment import run_experiment
from hmrm_lab.studies.watching import UNWATCHED, Watcher
from hmrm_lab.training.one_step import has_epochs

CHANGES = {
    HONEST: (),
    ORACLE: ("evaluation.epoch_rule=oracle_test",),
    NULL: ("evaluation.control=shuffled_labels",),
}  # what each kind of run changes in the settings


@dataclass(frozen=True)
class Comparison:
    """The settings of every run, by kind and then by system; why systems are left out.

    `unused` says which systems have no use for a setting that was asked for.
    """

    data: str
    configs: dict[str, dict[str, ExperimentConfig]]
    left_out: dict[str, str] = field(default_factory=dict)
    unused: dict[str, list[str]] = field(default_factory=dict)

    def digest(self) -> str:
        """Eight hexadecimal digits that name the settings of all runs together."""
        digests = sorted(one.digest() for kind in self.configs.values() for one in kind.values())
        return hashlib.sha256(" ".join(digests).encode()).hexdigest()[:8]

    def folder(self, runs: Path) -> Path:
        """Where the comparison is written unless somebody names another place."""
        return runs / f"compare-{self.data}-{self.digest()}"


def plan_comparison(
    preset: str = "default",
    *,
    data: str | None = None,
    root: Path | None = None,
    systems: Sequence[str] = (),
    seeds: int | None = None,
    epoch_rule: str | None = None,
    overrides: Iterable[str] = (),
    oracle: bool = False,
    null: bool = False,
    jobs: int = 1,
    watch: Watcher = UNWATCHED,
) -> Comparison:
    """The settings of all runs; the data are read, and nothing is trained or written.

    Parameters
    ----------
    systems
        Names; without any, all that are registered. Those that take frames where the data have
        none are left out, and `left_out` says so.
    seeds
        How many, counted from 0; else those of the preset.
    epoch_rule
        An honest one; else that of the preset.
    oracle, null
        Run each system under the rule that peeks, if it has epochs, and on shuffled labels, too.

    Raises
    ------
    ConfigError
        For names that do not exist, a rule that peeks, a system named by a setting, or no system
        that takes these data.
    InputError
        If the data cannot be read.
    """
    changes = list(overrides)
    changes += [f"evaluation.seeds={list(range(seeds))}"] if seeds else []
    changes += [f"evaluation.epoch_rule={epoch_rule}"] if epoch_rule else []
    _refuse_system(changes)
    shared = load_config(preset, data=data, overrides=_of_all(changes))
    _refuse_dishonest(shared)
    names = list(dict.fromkeys(systems or registered))
    unused = _without_use(preset, data, names, changes)
    chosen = {}
    for name in names:
        own = [text for text in changes if name not in unused.get(text, [])]
        config = load_config(preset, system=name, data=data, overrides=own)
        chosen[name] = _with_shared(config, shared)
    load_flowset(
        shared,
        root,
        jobs=jobs,
        on_faces=lambda done, total: watch("faces", done, total),
        on_progress=lambda done, total: watch("flow", done, total),
    )
    no_frames = load_clips(shared, root) is None
    left_out = {
        name: f"takes {frames_for(config)}, and '{shared.data.name}' has no frames"
        for name, config in chosen.items()
        if no_frames and frames_for(config)
    }
    kept = {name: config for name, config in chosen.items() if name not in left_out}
    if not kept:
        reasons = "; ".join(f"{name} {why}" for name, why in left_out.items())
        raise ConfigError(f"there is nothing to compare: {reasons}", mend="name other --systems")
    kinds = [HONEST, *([ORACLE] if oracle else []), *([NULL] if null else [])]
    configs = {
        kind: {
            name: override(config, CHANGES[kind])
            for name, config in kept.items()
            if kind != ORACLE or has_epochs(config)
        }
        for kind in kinds
    }
    return Comparison(shared.data.name, configs, left_out, unused)


def run_comparison(
    plan: Comparison,
    *,
    root: Path | None = None,
    runs: Path = Path("runs"),
    jobs: int = 1,
    watch: Watcher = UNWATCHED,
) -> Outcome:
    """Run what is missing, the honest runs of all systems first.

    A system that fails does not stop the others: `problems` says what happened to it.
    """
    nothing: dict[str, dict[str, RunFolder]] = {kind: {} for kind in plan.configs}
    outcome = Outcome(plan.data, nothing, dict(plan.left_out), unused=plan.unused)
    for kind, configs in plan.configs.items():
        for name, config in configs.items():
            try:
                run = run_experiment(
                    config, root=root, out=runs, jobs=jobs, watch=watch, final_model=False
                )
            except DiskFullError:
                raise
            except Exception as error:  # noqa: BLE001  the other systems go on
                refuse_full_disk(error, runs)
                outcome.problems[f"{name}, {kind}"] = failure_of(error).reason
                continue
            outcome.runs[kind][name] = run
            if told := describe_failures(run):
                outcome.problems[f"{name}, {kind}"] = told
    return outcome


def _of_all(changes: Iterable[str]) -> list[str]:
    """The changes that are no option of one system."""
    return [text for text in changes if not text.strip().startswith("model.")]


def _without_use(
    preset: str, data: str | None, names: list[str], changes: list[str]
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
        if by == names:
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


def _refuse_system(changes: Iterable[str]) -> None:
    if any(parse_override(text)[0] == ["model", "name"] for text in changes):
        raise ConfigError("model.name is no setting of all systems", mend="name them in --systems")


def _refuse_dishonest(config: ExperimentConfig) -> None:
    evaluation = config.evaluation
    if evaluation.epoch_rule in PEEKING:
        raise ConfigError(
            f"systems are not ranked by {evaluation.epoch_rule}, which peeks at the test subject",
            mend="take last or inner_subjects, and --oracle to see what peeking adds",
        )
    if evaluation.control != "none":
        raise ConfigError("a control cannot be ranked", mend="give --null to run it beside")
