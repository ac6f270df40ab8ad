"""What a network is given of a clip: each input on each network, after MESTI-MEGANet's comparison.

    plan = plan_inputs(data="synthetic")
    found = run_inputs(plan, runs=Path("runs"), jobs=2)
    table = inputs_table(found)                          # hmrm_lab.reporting.inputs_table
    write_inputs(found, table, plan.folder(Path("runs")))

Each cell is an ordinary run under the network's own recipe, with another input and nothing else
changed: what is finished is not run again, whoever began it.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from hmrm_lab.config import ExperimentConfig, override, parse_override
from hmrm_lab.errors import ConfigError, unknown_name
from hmrm_lab.preparation import frames_for, load_clips
from hmrm_lab.preparation.network_inputs import INPUTS
from hmrm_lab.reporting.inputs_table import Cell, InputsFound
from hmrm_lab.runtime.progress import UNWATCHED, Watcher
from hmrm_lab.studies.harness import harness, read_maps, reason_of, run_each, seeds_and_rule

NETWORKS = ("vgg19", "resnet50", "efficientnet_b0", "meganet")
STUDIED = (["input", "channels"], ["flow", "phases"])  # what a user must not set beside


@dataclass(frozen=True)
class Inputs:
    """The settings of every cell, `(system, input)`, and why other cells are left out.

    `unused` says which systems have no use for a setting that was asked for.
    """

    data: str
    systems: tuple[str, ...]
    inputs: tuple[str, ...]
    configs: dict[Cell, ExperimentConfig]
    left_out: dict[Cell, str] = field(default_factory=dict)
    unused: dict[str, list[str]] = field(default_factory=dict)

    def folder(self, runs: Path) -> Path:
        """Where the table is written: it is named by the settings of all cells."""
        digests = " ".join(sorted(config.digest() for config in self.configs.values()))
        digest = hashlib.sha256(digests.encode()).hexdigest()[:8]
        return runs / f"inputs-{self.data}-{digest}"


def plan_inputs(
    preset: str = "default",
    *,
    data: str | None = None,
    root: Path | None = None,
    systems: Sequence[str] = (),
    inputs: Sequence[str] = (),
    seeds: int | None = None,
    overrides: Iterable[str] = (),
    jobs: int = 1,
    watch: Watcher = UNWATCHED,
) -> Inputs:
    """The settings of all cells; the data are read, and nothing is trained or written.

    Parameters
    ----------
    systems
        Names; without any, `NETWORKS`. A system that cannot read an input is left out there.
    inputs
        Names of `INPUTS`; without any, all. Those that need frames are left out where the data
        have none.
    seeds
        How many, counted from 0; else those of the preset.

    Raises
    ------
    ConfigError
        For names that do not exist, a rule that peeks, a setting that the study itself changes, or
        no cell at all.
    InputError
        If the data cannot be read.
    """
    changes = seeds_and_rule(overrides, seeds)
    _refuse_studied(changes)
    wanted = tuple(dict.fromkeys(inputs or INPUTS))
    for name in wanted:
        if name not in INPUTS:
            raise unknown_name("input", name, INPUTS)
    names = tuple(dict.fromkeys(systems or NETWORKS))
    known = harness(preset, names, changes, data=data)
    read_maps(known.shared, root, jobs, watch)
    no_frames = load_clips(known.shared, root) is None
    plan = Inputs(known.shared.data.name, names, wanted, {}, unused=known.unused)
    for system in names:
        for name in wanted:
            cell = (system, name)
            if system in known.left_out:
                plan.left_out[cell] = known.left_out[system]
                continue
            try:
                config = override(known.configs[system], INPUTS[name].overrides)
            except ConfigError as error:
                plan.left_out[cell] = reason_of(error)
                continue
            if no_frames and (needs := frames_for(config)):
                plan.left_out[cell] = f"it takes {needs}, and '{plan.data}' has no frames"
            else:
                plan.configs[cell] = config
    if not plan.configs:
        reasons = "; ".join(dict.fromkeys(plan.left_out.values()))
        raise ConfigError(
            f"there is nothing to compare: {reasons}", mend="name other --inputs or --systems"
        )
    return plan


def run_inputs(
    plan: Inputs,
    *,
    root: Path | None = None,
    runs: Path = Path("runs"),
    jobs: int = 1,
    watch: Watcher = UNWATCHED,
) -> InputsFound:
    """Run what is missing; a cell that fails does not stop the others, and `problems` says why."""
    ran = run_each(
        plan.configs,
        root=root,
        runs=runs,
        jobs=jobs,
        watch=watch,
        label=lambda cell: f"{cell[0]}, {INPUTS[cell[1]].words}",
    )
    return InputsFound(
        data=plan.data,
        systems=plan.systems,
        words={name: INPUTS[name].words for name in plan.inputs},
        runs=ran.runs,
        left_out=dict(plan.left_out),
        problems=ran.problems,
        unused=plan.unused,
    )


def _refuse_studied(changes: Iterable[str]) -> None:
    for text in changes:
        path, _ = parse_override(text)
        if path in STUDIED:
            raise ConfigError(
                f"{'.'.join(path)} is what this study changes", mend="name inputs in --inputs"
            )
