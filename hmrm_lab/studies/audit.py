"""The leak audit of a run folder: its records, its data, and its control if there is one.

    checks = audit_run(RunFolder.open(Path("runs/hmrm-0c1d2e3f")))

Nothing is trained and nothing is written.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hmrm_lab.config import ExperimentConfig, override
from hmrm_lab.evaluation.audit_findings import (
    FAULT,
    LEAK,
    OK,
    UNKNOWN,
    Check,
    Records,
    no_data,
    verdict,
)
from hmrm_lab.evaluation.duplicates import BITS, Twins, exact_twins, near_twins
from hmrm_lab.evaluation.leakage import audit_records
from hmrm_lab.evaluation.peeking import Within, p_value, permuted_uf1
from hmrm_lab.evaluation.significance import pooled
from hmrm_lab.evaluation.summary import collect_predictions, summarise_run
from hmrm_lab.flow.motion_maps import normalise_maps
from hmrm_lab.preparation import load_flowset
from hmrm_lab.records import FlowSet, Predictions
from hmrm_lab.registry import datasets
from hmrm_lab.runtime.store import RunFolder, parse_json, to_json
from hmrm_lab.studies.audit_files import read_data, read_figures, read_units

ALARM = 0.001  # a control that beats chance by as much is no accident
CONTROL = "shuffled-label control"
CONTROLS: dict[str, Within] = {"shuffled_labels": "all", "shuffled_within_subjects": "subject"}


def audit_run(run: RunFolder, root: Path | None = None) -> list[Check]:
    """Every check, in a fixed order.

    Parameters
    ----------
    root
        The folder of the data, for sets that lie in one; without it, what needs the data is
        not checkable.

    Raises
    ------
    InputError
        If the run holds no finished fold, or a file of it has not the form that a run writes.
    """
    config = run.config()
    readable = root is not None or not datasets[config.data.name].needs_root
    flowset = load_flowset(config, root) if readable else None
    records = Records(config, read_units(run), read_data(run), run.path.name, flowset)
    return [
        *audit_records(records),
        *check_copies(flowset),
        check_normaliser(config, flowset),
        check_control(run, config),
        check_figures(run),
    ]


def found_wrong(checks: Sequence[Check]) -> bool:
    """Whether anything is a leak or a fault."""
    return any(check.state in (LEAK, FAULT) for check in checks)


def check_copies(flowset: FlowSet | None) -> list[Check]:
    """No clip of one person is a copy of another person's clip."""
    same, near = "equal clips", "nearly equal clips"
    if flowset is None:
        return [no_data(same), no_data(near)]
    fine = f"no two of {len(flowset)} maps of different people"
    return [
        verdict(same, LEAK, map(_told, exact_twins(flowset)), f"{fine} are equal"),
        verdict(near, LEAK, map(_told, near_twins(flowset)), f"{fine} are nearly equal"),
    ]


def check_normaliser(config: ExperimentConfig, flowset: FlowSet | None) -> Check:
    """A map is normalised to the same values whether or not other clips come with it."""
    name, method = "normalisation by itself", config.input.normalise
    if flowset is None:
        return no_data(name)
    rows = [flowset.take([row]) for row in range(len(flowset))]
    together, *alone = (
        normalise_maps(one.maps, method, one.unit, one.inside) for one in (flowset, *rows)
    )
    alone = [one[0] for one in alone]
    wrong = [
        f"{'/'.join(key)} changes with the clips beside it"
        for key, one, other in zip(flowset.keys, together, alone, strict=True)
        if not np.array_equal(one, other)
    ]
    return verdict(name, LEAK, wrong, f"{method}: tried with each clip alone")


def check_control(run: RunFolder, config: ExperimentConfig) -> Check:
    """With shuffled training labels the same settings score as chance does.

    A control within subjects may know how often people show each class, and chance does as well.
    """
    found = []
    for control, within in CONTROLS.items():
        shuffled = override(config, [f"evaluation.control={control}"])
        beside = RunFolder.of(shuffled, run.path.parent)
        own = run if config.evaluation.control == control else beside
        if any(own.folds.glob("*.json")):
            read_units(own)
            found.append(judge_control(collect_predictions(own), within=within))
    if not found:
        why = "there is none beside this run; `hmrm run ... --control shuffled-labels` makes it"
        return Check(CONTROL, UNKNOWN, why)
    state = LEAK if any(check.state == LEAK for check in found) else OK
    return Check(CONTROL, state, "; ".join(check.why for check in found))


def judge_control(predictions: Predictions, *, within: Within = "all") -> Check:
    """Whether answers that cannot know anything score above chance."""
    score, chance = pooled(predictions, "uf1"), permuted_uf1(predictions, within=within)
    p = p_value(chance, score)
    told = f"UF1 {score:.3f}, chance {chance.mean():.3f}, p {p:.4f}"
    told += " (labels shuffled within each subject)" if within == "subject" else ""
    if p < ALARM:
        return Check(CONTROL, LEAK, f"it scores above chance: {told}")
    return Check(CONTROL, OK, f"at chance: {told}")


def check_figures(run: RunFolder) -> Check:
    """The figures that the run shows are those of its folds."""
    name = "figures"
    if not (run.path / "metrics.json").is_file():
        return Check(name, UNKNOWN, "they were not computed yet; `hmrm report` computes them")
    shown, due = read_figures(run), parse_json(to_json(summarise_run(run)))
    wrong = [
        f"{key} in metrics.json does not follow from the folds"
        for key in due
        if shown.get(key) != due[key]
    ]
    return verdict(name, FAULT, wrong, "they follow from the folds")


def as_dict(run: RunFolder, checks: Sequence[Check]) -> dict[str, Any]:
    """The audit for JSON."""
    return {
        "run": str(run.path),
        "leaks": sum(check.state == LEAK for check in checks),
        "faults": sum(check.state == FAULT for check in checks),
        "not_checkable": sum(check.state == UNKNOWN for check in checks),
        "checks": [{"name": c.name, "state": c.state, "why": c.why} for c in checks],
    }


def _told(twins: Twins) -> str:
    how = "" if twins.bits is None else f" ({twins.bits} of {BITS} bits of their hashes differ)"
    return f"{'/'.join(twins.first)} and {'/'.join(twins.second)}{how}"
