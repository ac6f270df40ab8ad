"""Ablations: the same recipe with one component changed, on the same folds (paper 4.4, Table 3).

A variant is a list of overrides and nothing else, so that whatever `--set` can say can be ablated:

    plan_ablation(load_config("default")).run(jobs=2).table
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hmrm_lab.config import ExperimentConfig, load_config, override, parse_override, preset_names
from hmrm_lab.config.sections import tested_sets
from hmrm_lab.errors import ConfigError, check_known
from hmrm_lab.preparation import load_clips, load_flowset
from hmrm_lab.reporting.study_page import AblationResult
from hmrm_lab.reporting.study_table import Cell
from hmrm_lab.reporting.tables import ALL
from hmrm_lab.runtime.store import RunFolder
from hmrm_lab.studies.study import Variant, read_table, run_each

WHOLE = Variant("full", "all components")
KNOWN = {
    system: [Variant(name, words, tuple(changes)) for name, (words, *changes) in table.items()]
    for system, table in read_table("ablations.toml").items()
}
ABLATIONS = {system: (full, tuple(others)) for system, (full, *others) in KNOWN.items()}
PAPER = ABLATIONS["hmrm"][1]
FIXED = (
    *("data.", "evaluation.seeds", "evaluation.control", "evaluation.same_person", "model.name"),
    "evaluation.protocol",
)  # else nothing is paired


@dataclass(frozen=True)
class Ablation:
    """The settings of every variant, the full model first, and why others are left out."""

    full: str
    configs: dict[str, ExperimentConfig]
    words: dict[str, str]
    ready_made: bool = False  # the data are maps, and not recordings
    left_out: dict[str, str] = field(default_factory=dict)

    @property
    def full_config(self) -> ExperimentConfig:
        return self.configs[self.full]

    def result(
        self,
        runs: Mapping[str, RunFolder],
        failed: Mapping[str, str] | None = None,
        part: str = ALL,
    ) -> AblationResult:
        """The result of these runs by variant, `part` of them being one data set or all."""
        data, system = self.full_config.data.name, self.full_config.model.name
        done, left_out, problems = map(_cells, (runs, self.left_out, failed or {}))
        more: Any = {"full": self.full, "system": system, "part": part}
        return AblationResult(data, self.words, {}, done, left_out, problems, **more)

    def run(self, *, part: str = ALL, **how: Any) -> AblationResult:
        """Run what is missing of every variant, the full model first; see `run_each`."""
        system = self.full_config.model.name
        labels = {name: f"{system}, {name}" for name in self.configs}
        return self.result(*run_each(self.configs, labels, **how), part=part)

    def settings_of(self, variant: Variant) -> ExperimentConfig:
        """Apply a variant to the full model; a flow is left out where the maps are ready-made."""
        return _changed(self.full_config, variant, self.ready_made)

    def name_of(self, config: ExperimentConfig) -> str | None:
        """Find the variant that has these settings already."""
        digest = config.digest()
        names = (name for name, known in self.configs.items() if known.digest() == digest)
        return next(names, None)


def plan_ablation(
    config: ExperimentConfig,
    variants: Sequence[Variant] | None = None,
    *,
    full: Variant | None = None,
    root: Path | None = None,
    part: str = ALL,
) -> Ablation:
    """Plan the runs of an ablation of this recipe; nothing is trained.

    `variants` and `full` are those of `ABLATIONS` if not given; a system that is not there is
    ablated unchanged, by the variants given. What only chooses a flow where the data are
    ready-made maps, and what changes nothing in this recipe, is left out visibly.

    `part` is the data set that the table will be of.

    Raises `ConfigError` for a setting that does not exist, two variants of one name, a change
    after which nothing could be paired, no variant of a system whose components are not known, a
    full model whose flow replaces one that is not the preset's, and a part that the data lack.
    """
    whole, known = ABLATIONS.get(config.model.name, (WHOLE, None))
    full, variants = full or whole, known if variants is None else variants
    if variants is None:
        hint = "name variants of your own: --variant NAME:key=value"
        raise ConfigError(f"the components of '{config.model.name}' are not listed", hint=hint)
    clips = load_clips(config, root)
    ready_made = clips is None
    base = _changed(config, full, ready_made)
    if base.flow != config.flow and not _of_preset(config):
        lost = f"so that flow.name={config.flow.name} would be lost"
        raise ConfigError(
            f"{full.name} has flow {base.flow.name} of its own, {lost}",
            hint="leave it out, or name variants of your own: --variant NAME:key=value",
        )
    if part != ALL:
        keys = load_flowset(config, root).keys if clips is None else [clip.key for clip in clips]
        names = tested_sets(config.evaluation.protocol, {key.dataset for key in keys})
        check_known("part", part, [ALL, *names])
    plan = Ablation(full.name, {full.name: base}, {full.name: full.words}, ready_made)
    for variant in variants:
        if variant.name in plan.words:
            raise ConfigError(f"two variants are named '{variant.name}'", hint="rename one")
        plan.words[variant.name] = variant.words
        changed = plan.settings_of(variant)
        same = plan.name_of(changed)
        if ready_made and all(_chooses_flow(text) for text in variant.overrides):
            plan.left_out[variant.name] = (
                f"the maps of '{config.data.name}' come ready-made: there is no flow to choose"
            )
        elif same:
            plan.left_out[variant.name] = f"in this recipe it is the same as {same}"
        else:
            plan.configs[variant.name] = changed
    return plan


def _cells(by_name: Mapping[str, Any]) -> dict[Cell, Any]:
    return {(name, ""): value for name, value in by_name.items()}


def _changed(config: ExperimentConfig, variant: Variant, ready_made: bool) -> ExperimentConfig:
    for text in variant.overrides:
        key = ".".join(parse_override(text)[0])
        if key.startswith(FIXED):
            hint = "an ablation keeps data, seeds and system, or nothing can be paired"
            raise ConfigError(f"variant '{variant.name}' changes {key}", hint=hint)
    changed = override(config, variant.overrides)  # refuses a mistyped flow with ready maps, too
    if not ready_made:
        return changed
    return override(config, [text for text in variant.overrides if not _chooses_flow(text)])


def _of_preset(config: ExperimentConfig) -> bool:
    """Whether the flow is that of the preset, and nobody's choice."""
    known = config.preset in preset_names()
    return known and load_config(config.preset, system=config.model.name).flow == config.flow


def _chooses_flow(text: str) -> bool:
    return parse_override(text)[0][0] == "flow"
