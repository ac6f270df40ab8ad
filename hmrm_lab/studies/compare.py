"""Systems, or inputs of networks, under one protocol: the same clips, folds, seeds and epoch rule.

    study = plan_comparison(data="flowmaps", root=Path("maps"), oracle=True)
    result = study.run(root=Path("maps"), jobs=2)
    result.write(study.folder(Path("runs")))            # CSV, LaTeX, JSON and a page

Each system keeps its own recipe and nothing else of its own.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import product
from pathlib import Path

from hmrm_lab.config import ExperimentConfig, override, parse_override
from hmrm_lab.errors import ConfigError, unknown_name
from hmrm_lab.preparation import frames_for, load_clips, load_flowset
from hmrm_lab.preparation.network_inputs import INPUTS
from hmrm_lab.registry import systems as registered
from hmrm_lab.reporting.study_page import ComparisonResult, InputsResult
from hmrm_lab.reporting.study_table import HONEST, NULL, NULL_WITHIN, ORACLE
from hmrm_lab.runtime.progress import UNWATCHED, Watcher
from hmrm_lab.studies.study import SharedProtocol, Study, reason_of, share_protocol
from hmrm_lab.training.estimators import has_epochs

CHANGES = {
    HONEST: (),
    ORACLE: ("evaluation.epoch_rule=oracle_test",),
    NULL: ("evaluation.control=shuffled_labels",),
    NULL_WITHIN: ("evaluation.control=shuffled_within_subjects",),
}  # overrides of each kind of run
NETWORKS = ("vgg19", "resnet50", "efficientnet_b0", "meganet")
STUDIED = (["input", "channels"], ["flow", "phases"])  # settings that `plan_inputs` itself changes


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

    Without `systems`, all that are registered. `left_out` says which cannot take part: they take
    frames that the data lack, or their own settings cannot go together with those asked for.
    `seeds` are counted from 0. `oracle` and `null...` run each system also under the rule that
    peeks, if it has epochs, and on labels shuffled among all clips or those of each subject.

    Raises `ConfigError` for unknown names, a rule that peeks, a system named by a setting, or no
    system that takes these data, and `InputError` if the data cannot be read.
    """
    names = list(dict.fromkeys(systems or registered))
    protocol = share_protocol(
        preset, names, overrides, data=data, seeds=seeds, epoch_rule=epoch_rule
    )
    lacks = _read_data(protocol, root, jobs, watch)
    left_out = {name: f"refuses these settings: {why}" for name, why in protocol.left_out.items()}
    left_out |= {name: why for name, config in protocol.configs.items() if (why := lacks(config))}
    kept = {name: config for name, config in protocol.configs.items() if name not in left_out}
    asked = {ORACLE: oracle, NULL: null, NULL_WITHIN: null_within_subjects}
    kinds = [HONEST, *(kind for kind, wanted in asked.items() if wanted)]
    study = comparison_of(kept, protocol.shared.data.name, kinds)
    study.left_out.update({(name, HONEST): why for name, why in left_out.items()})
    study.unused.update(protocol.unused)
    study.refuse_empty((f"{name} {why}" for name, why in left_out.items()), "name other --systems")
    return study


def comparison_of(
    configs: Mapping[str, ExperimentConfig], data: str, kinds: Sequence[str] = (HONEST,)
) -> Study[ComparisonResult]:
    """Plan a comparison of these settings by name, the honest runs of all first."""
    cells = {
        (name, kind): override(config, CHANGES[kind])
        for kind in kinds
        for name, config in configs.items()
        if kind != ORACLE or has_epochs(config)
    }
    rows = {name: config.model.name for name, config in configs.items()}
    columns = {kind: "" if kind == HONEST else kind for kind in kinds}
    return Study("compare", ComparisonResult, data, rows, columns, cells)


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
) -> Study[InputsResult]:
    """Plan the runs of each input on each network, as MESTI-MEGANet compares them.

    `systems` are by default `NETWORKS`, and `inputs` all of `INPUTS`. A system is left out where it
    cannot read an input, and an input that needs frames where the data have none. A setting that
    the study itself changes is a `ConfigError`.
    """
    changes = list(overrides)
    for text in changes:
        if (path := parse_override(text)[0]) in STUDIED:
            raise ConfigError(
                f"{'.'.join(path)} is what this study changes", hint="name inputs in --inputs"
            )
    wanted = tuple(dict.fromkeys(inputs or INPUTS))
    for name in wanted:
        if name not in INPUTS:
            raise unknown_name("input", name, INPUTS)
    names = tuple(dict.fromkeys(systems or NETWORKS))
    protocol = share_protocol(preset, names, changes, data=data, seeds=seeds)
    lacks = _read_data(protocol, root, jobs, watch)
    rows = {name: name for name in names}
    columns = {name: INPUTS[name].words for name in wanted}
    study = Study("inputs", InputsResult, protocol.shared.data.name, rows, columns)
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
        if why := lacks(config):
            study.left_out[cell] = f"it {why}"
        else:
            study.configs[cell] = config
    study.refuse_empty(study.left_out.values(), "name other --inputs or --systems")
    return study


def _read_data(
    protocol: SharedProtocol, root: Path | None, jobs: int, watch: Watcher
) -> Callable[[ExperimentConfig], str]:
    """Refuse bad data; return what says which frames of them settings lack, or ""."""
    shared = protocol.shared
    load_flowset(shared, root, jobs=jobs, watch=watch)
    framed = load_clips(shared, root) is not None

    def lacks(config: ExperimentConfig) -> str:
        needs = None if framed else frames_for(config)
        return f"takes {needs}, and '{shared.data.name}' has no frames" if needs else ""

    return lacks
