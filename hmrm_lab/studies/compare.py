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
from functools import partial
from pathlib import Path

from hmrm_lab.config import ExperimentConfig, override
from hmrm_lab.errors import ConfigError
from hmrm_lab.preparation import frames_for, load_clips
from hmrm_lab.registry import systems as registered
from hmrm_lab.reporting.comparison import HONEST, NULL, NULL_WITHIN, ORACLE, Outcome
from hmrm_lab.runtime.progress import UNWATCHED, Watcher
from hmrm_lab.runtime.store import RunFolder
from hmrm_lab.studies.harness import harness, read_maps, run_each, seeds_and_rule
from hmrm_lab.training.estimators import has_epochs

CHANGES = {
    HONEST: (),
    ORACLE: ("evaluation.epoch_rule=oracle_test",),
    NULL: ("evaluation.control=shuffled_labels",),
    NULL_WITHIN: ("evaluation.control=shuffled_within_subjects",),
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
    null_within_subjects: bool = False,
    jobs: int = 1,
    watch: Watcher = UNWATCHED,
) -> Comparison:
    """The settings of all runs; the data are read, and nothing is trained or written.

    Parameters
    ----------
    systems
        Names; without any, all that are registered. Those that take frames where the data have
        none, or whose own settings cannot go together with those asked for, are left out, and
        `left_out` says so.
    seeds
        How many, counted from 0; else those of the preset.
    epoch_rule
        An honest one; else that of the preset.
    oracle, null, null_within_subjects
        Run each system under the rule that peeks, if it has epochs; on labels shuffled among all
        clips; and on labels shuffled among the clips of each subject, too.

    Raises
    ------
    ConfigError
        For names that do not exist, a rule that peeks, a system named by a setting, or no system
        that takes these data.
    InputError
        If the data cannot be read.
    """
    changes = seeds_and_rule(overrides, seeds, epoch_rule)
    plan = harness(preset, list(dict.fromkeys(systems or registered)), changes, data=data)
    shared, chosen, unused = plan.shared, plan.configs, plan.unused
    read_maps(shared, root, jobs, watch)
    no_frames = load_clips(shared, root) is None
    left_out = {name: f"refuses these settings: {why}" for name, why in plan.left_out.items()}
    left_out |= {
        name: f"takes {frames_for(config)}, and '{shared.data.name}' has no frames"
        for name, config in chosen.items()
        if no_frames and frames_for(config)
    }
    kept = {name: config for name, config in chosen.items() if name not in left_out}
    if not kept:
        reasons = "; ".join(f"{name} {why}" for name, why in left_out.items())
        raise ConfigError(f"there is nothing to compare: {reasons}", mend="name other --systems")
    asked = {ORACLE: oracle, NULL: null, NULL_WITHIN: null_within_subjects}
    kinds = [HONEST, *(kind for kind, wanted in asked.items() if wanted)]
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
        suffix = "" if kind == HONEST else f", {kind}"
        ran = run_each(
            configs, root=root, runs=runs, jobs=jobs, watch=watch, label=partial(_labelled, suffix)
        )
        outcome.runs[kind].update(ran.runs)
        outcome.problems.update({f"{name}, {kind}": why for name, why in ran.problems.items()})
    return outcome


def _labelled(suffix: str, name: str) -> str:
    return f"{name}{suffix}"
