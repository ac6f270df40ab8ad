"""Ablations: the same recipe with one component changed, on the same folds (paper 4.4, Table 3).

A variant is a list of overrides and nothing else, so that whatever `--set` can say can be ablated:

    plan = plan_ablation(load_config("default"))
    runs = run_ablation(plan, out=Path("runs"), jobs=2)
    table = ablation_table(plan.words, runs)       # hmrm_lab.reporting.ablation_table

Every variant is an ordinary run under its own settings: one that is finished is not run again,
whoever began it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hmrm_lab.config import ExperimentConfig, override, parse_override
from hmrm_lab.errors import ConfigError
from hmrm_lab.preparation import load_clips
from hmrm_lab.store import RunFolder
from hmrm_lab.studies.experiment import run_experiment
from hmrm_lab.studies.watching import Watcher


@dataclass(frozen=True)
class Variant:
    """A name, what it stands for in words, and the overrides that make it."""

    name: str
    words: str
    overrides: tuple[str, ...] = ()


FULL = Variant("M4", "all components", ("flow.name=gru_attention",))
PAPER = (
    Variant("M1", "TV-L1 instead of GRU-AOFE", ("flow.name=tvl1",)),
    Variant("M2", "no MotionMix", ("augment.motionmix=0",)),
    Variant("M3", "no region fusion", ("model.fusion=none",)),
)
FIXED = ("data.", "evaluation.seeds", "evaluation.control", "model.name")  # else nothing is paired


@dataclass(frozen=True)
class Ablation:
    """The settings of every variant, the full model first, and why others are left out."""

    full: str
    configs: dict[str, ExperimentConfig]
    words: dict[str, str]
    left_out: dict[str, str]


def plan_ablation(
    config: ExperimentConfig,
    variants: Sequence[Variant] = PAPER,
    *,
    full: Variant = FULL,
    root: Path | None = None,
) -> Ablation:
    """The settings of an ablation of this recipe; nothing is trained.

    Each variant is the full model with the variant's overrides on top. Where the data are
    ready-made maps there is no flow to be chosen: what only chooses one is left out, and so is
    what changes nothing in this recipe. `left_out` says which and why.

    Raises `ConfigError` for a setting that does not exist, for two variants of one name, and for
    a change of the data, of the seeds or of the system, after which nothing could be paired.
    """
    ready_made = load_clips(config, root) is None
    base = _changed(config, full, ready_made)
    plan = Ablation(full.name, {full.name: base}, {full.name: full.words}, {})
    for variant in variants:
        if variant.name in plan.words:
            raise ConfigError(f"two variants are named '{variant.name}'", mend="rename one")
        plan.words[variant.name] = variant.words
        changed = _changed(base, variant, ready_made)
        same = [name for name, known in plan.configs.items() if known.digest() == changed.digest()]
        if ready_made and all(_chooses_flow(text) for text in variant.overrides):
            plan.left_out[variant.name] = (
                f"the maps of '{config.data.name}' come ready-made: there is no flow to choose"
            )
        elif same:
            plan.left_out[variant.name] = f"in this recipe it is the same as {same[0]}"
        else:
            plan.configs[variant.name] = changed
    return plan


def run_ablation(
    plan: Ablation,
    *,
    root: Path | None = None,
    out: Path = Path("runs"),
    jobs: int = 1,
    watch: Watcher = lambda stage, done, total, note="": None,
) -> dict[str, RunFolder]:
    """Run what is missing of every variant, the full model first; the run folders by variant."""
    runs = {}
    for name, config in plan.configs.items():
        runs[name] = run_experiment(
            config, root=root, out=out, jobs=jobs, watch=watch, final_model=False
        )
    return runs


def finished_runs(plan: Ablation, out: Path) -> dict[str, RunFolder]:
    """The variants that have figures already, complete or not."""
    folders = {name: RunFolder.of(config, out) for name, config in plan.configs.items()}
    return {name: run for name, run in folders.items() if (run.path / "metrics.json").is_file()}


def _changed(config: ExperimentConfig, variant: Variant, ready_made: bool) -> ExperimentConfig:
    for text in variant.overrides:
        key = ".".join(parse_override(text)[0])
        if key.startswith(FIXED):
            raise ConfigError(
                f"variant '{variant.name}' changes {key}",
                mend="an ablation keeps data, seeds and system, or nothing can be paired",
            )
    changed = override(config, variant.overrides)  # a mistyped flow is told with ready maps, too
    if not ready_made:
        return changed
    return override(config, [text for text in variant.overrides if not _chooses_flow(text)])


def _chooses_flow(text: str) -> bool:
    return parse_override(text)[0][0] == "flow"
