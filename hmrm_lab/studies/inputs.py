"""Inputs of a network compared: each input on each network, after MESTI-MEGANet's comparison.

    study = plan_inputs(data="synthetic")
    result = study.run(jobs=2)
    result.table
    result.write(study.folder(Path("runs")))

Each cell is a run under the network's own recipe, with another input and nothing else changed.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

from hmrm_lab.config import override, parse_override
from hmrm_lab.errors import ConfigError, unknown_name
from hmrm_lab.preparation import frames_for, load_clips, load_flowset
from hmrm_lab.preparation.network_inputs import INPUTS
from hmrm_lab.reporting.study_page import InputsResult
from hmrm_lab.runtime.progress import UNWATCHED, Watcher
from hmrm_lab.studies.study import Study, reason_of, share_protocol

NETWORKS = ("vgg19", "resnet50", "efficientnet_b0", "meganet")
STUDIED = (["input", "channels"], ["flow", "phases"])  # settings that the study itself changes


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
    """Plan the runs of all cells; the data are read, and nothing is trained or written.

    `systems` are by default `NETWORKS`, and `inputs` all of `INPUTS`. A system is left out where it
    cannot read an input, and an input that needs frames where the data have none. The other
    parameters and the errors are those of `plan_comparison`; a setting that the study itself
    changes is a `ConfigError`.
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
    load_flowset(protocol.shared, root, jobs=jobs, watch=watch)  # bad data are refused first
    no_frames = load_clips(protocol.shared, root) is None
    study = Study(
        "inputs",
        InputsResult,
        protocol.shared.data.name,
        {name: name for name in names},
        {name: INPUTS[name].words for name in wanted},
        unused=protocol.unused,
    )
    for system in names:
        for name in wanted:
            cell = (system, name)
            if system in protocol.left_out:
                study.left_out[cell] = protocol.left_out[system]
                continue
            try:
                config = override(protocol.configs[system], INPUTS[name].overrides)
            except ConfigError as error:
                study.left_out[cell] = reason_of(error)
                continue
            if no_frames and (needs := frames_for(config)):
                study.left_out[cell] = f"it takes {needs}, and '{study.data}' has no frames"
            else:
                study.configs[cell] = config
    study.refuse_empty(study.left_out.values(), "name other --inputs or --systems")
    return study
