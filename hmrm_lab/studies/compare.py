"""Every system under one protocol: the same clips, flow, folds, seeds and epoch rule.

    study = plan_comparison(data="flowmaps", root=Path("maps"), oracle=True)
    result = study.run(root=Path("maps"), jobs=2)
    result.table                                        # a DataFrame, the best honest UF1 first
    result.figure()
    result.write(study.folder(Path("runs")))            # CSV, LaTeX, JSON and a page

Each system keeps its own recipe and nothing else of its own.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from hmrm_lab.config import ExperimentConfig, override
from hmrm_lab.preparation import frames_for, load_clips, load_flowset
from hmrm_lab.registry import systems as registered
from hmrm_lab.reporting.study_page import ComparisonResult
from hmrm_lab.reporting.study_table import HONEST, NULL, NULL_WITHIN, ORACLE
from hmrm_lab.runtime.progress import UNWATCHED, Watcher
from hmrm_lab.studies.study import Study, share_protocol
from hmrm_lab.training.estimators import has_epochs

CHANGES = {
    HONEST: (),
    ORACLE: ("evaluation.epoch_rule=oracle_test",),
    NULL: ("evaluation.control=shuffled_labels",),
    NULL_WITHIN: ("evaluation.control=shuffled_within_subjects",),
}  # overrides of each kind of run


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
) -> Study[ComparisonResult]:
    """Plan the runs of a comparison; the data are read, and nothing is trained or written.

    Parameters
    ----------
    systems
        Names (default: all that are registered). Systems that take frames where the data have
        none, and those whose own settings cannot go together with those asked for, are left out,
        and `left_out` says so.
    seeds
        Number of seeds, counted from 0 (default: those of the preset).
    epoch_rule
        An honest one (default: that of the preset).
    oracle, null, null_within_subjects
        Run each system also under the rule that peeks, if it has epochs; on labels shuffled among
        all clips; and on labels shuffled among the clips of each subject.

    Raises
    ------
    ConfigError
        For unknown names, a rule that peeks, a system named by a setting, or no system that takes
        these data.
    InputError
        If the data cannot be read.
    """
    names = list(dict.fromkeys(systems or registered))
    protocol = share_protocol(
        preset, names, overrides, data=data, seeds=seeds, epoch_rule=epoch_rule
    )
    load_flowset(protocol.shared, root, jobs=jobs, watch=watch)  # bad data are refused first
    name_of_data = protocol.shared.data.name
    left_out = {name: f"refuses these settings: {why}" for name, why in protocol.left_out.items()}
    if load_clips(protocol.shared, root) is None:
        left_out |= {
            name: f"takes {frames_for(config)}, and '{name_of_data}' has no frames"
            for name, config in protocol.configs.items()
            if frames_for(config)
        }
    kept = {name: config for name, config in protocol.configs.items() if name not in left_out}
    asked = {ORACLE: oracle, NULL: null, NULL_WITHIN: null_within_subjects}
    kinds = [HONEST, *(kind for kind, wanted in asked.items() if wanted)]
    study = comparison_of(kept, name_of_data, kinds)
    study.left_out.update({(name, HONEST): why for name, why in left_out.items()})
    study.unused.update(protocol.unused)
    study.refuse_empty((f"{name} {why}" for name, why in left_out.items()), "name other --systems")
    return study


def comparison_of(
    configs: Mapping[str, ExperimentConfig], data: str, kinds: Sequence[str] = (HONEST,)
) -> Study[ComparisonResult]:
    """Plan a comparison of these settings by name, the honest runs of all first.

    A system without epochs has no run of the kind `oracle`.
    """
    cells = {
        (name, kind): override(config, CHANGES[kind])
        for kind in kinds
        for name, config in configs.items()
        if kind != ORACLE or has_epochs(config)
    }
    rows = {name: config.model.name for name, config in configs.items()}
    columns = {kind: "" if kind == HONEST else kind for kind in kinds}
    return Study("compare", ComparisonResult, data, rows, columns, cells)
