"""The leak audit of a run folder: its records, its data, and its control if there is one.

    checks = audit_run(RunFolder.open(Path("runs/hmrm-0c1d2e3f")))

Nothing is trained and nothing is written.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hmrm_lab.config import ExperimentConfig, override
from hmrm_lab.errors import InputError
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
from hmrm_lab.flow.normalise import normalise_maps
from hmrm_lab.preparation import load_flowset
from hmrm_lab.records import CLASSES, PREDICTION_COLUMNS, PROBABILITIES, FlowSet, Predictions
from hmrm_lab.registry import datasets
from hmrm_lab.runtime.store import RunFolder, parse_json, read_json, to_json

MADE_ANEW = "delete the file; it is made anew"
RUN_ANEW = "delete the run folder and run it again"  # written with the first fold only
TEXTS = ("dataset", "subject", "clip", "fold")
LABELS = ("truth", "prediction")
PEOPLE = ("training_persons", "motionmix_partners", "normalisation_persons")
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


def read_units(run: RunFolder) -> list[dict[str, Any]]:
    """The files of the finished folds, at least one."""
    files = sorted(run.folds.glob("*.json"))
    if not files:
        raise InputError("no finished fold", where=run.path, mend="run it first")
    return [_unit(file) for file in files]


def read_data(run: RunFolder) -> dict[str, Any]:
    """What `data.json` says of the data; runs of older versions do not say whom they hold out."""
    file = run.path / "data.json"
    if not file.is_file():
        raise InputError("the file is missing", where=file, mend=RUN_ANEW)
    try:
        data = read_json(file)
    except InputError as error:
        raise InputError(error.problem, where=file, mend=RUN_ANEW) from None
    if told := _wrong_data(data):
        raise InputError(f"not the record of a run's data: {told}", where=file, mend=RUN_ANEW)
    return dict(data)


def read_figures(run: RunFolder) -> dict[str, Any]:
    """The figures that the run shows."""
    file = run.path / "metrics.json"
    figures = read_json(file)
    if not isinstance(figures, dict):
        raise InputError("not the figures of a run", where=file, mend=MADE_ANEW)
    return figures


def _unit(file: Path) -> dict[str, Any]:
    unit = read_json(file)
    if told := _wrong_unit(unit):
        raise InputError(f"not the record of a fold: {told}", where=file, mend=MADE_ANEW)
    return dict(unit)


def _wrong_data(data: Any) -> str:
    """What is wrong with the content of `data.json`; empty if nothing is."""
    if not isinstance(data, dict):
        return "it is no table"
    for name in ("fingerprint", "unit"):
        if not isinstance(data.get(name), str):
            return f"'{name}' is no text"
    if not _is_count(data.get("folds")):
        return "'folds' is no number of folds"
    held_out = data.get("held_out", {})
    if not isinstance(held_out, dict) or not all(map(_is_count, held_out.values())):
        return "'held_out' does not give the number of clips of each fold"
    weights = data.get("weights", [])
    if not isinstance(weights, list) or not all(map(_is_weights, weights)):
        return "'weights' does not say whom each file has seen"
    return ""


def _wrong_unit(unit: Any) -> str:
    """What is wrong with the record of a fold; empty if nothing is."""
    if not isinstance(unit, dict):
        return "it is no table"
    if not isinstance(unit.get("fold"), str):
        return "'fold' is no name"
    if type(unit.get("seed")) is not int:
        return "'seed' is no whole number"
    rows = unit.get("predictions")
    if not isinstance(rows, list) or not rows:
        return "there are no predictions"
    return next(filter(None, map(_wrong_row, rows)), "") or _wrong_account(unit)


def _wrong_account(unit: Mapping[str, Any]) -> str:
    """The same of what it says about its training; runs of older versions say less."""
    for name in ("losses", "looks"):
        if not isinstance(unit.get(name, []), list):
            return f"'{name}' is no list"
    for name in PEOPLE:
        people = unit.get(name, [])
        if not isinstance(people, list) or not all(isinstance(who, str) for who in people):
            return f"'{name}' is no list of names"
    if "training_digest" in unit:
        if not isinstance(unit["training_digest"], str):
            return "'training_digest' is no text"
        if not _is_count(unit.get("training_clips")):
            return "'training_clips' is no number of clips"
    return ""


def _wrong_row(row: Any) -> str:
    """The same of one prediction."""
    if not isinstance(row, dict):
        return "a prediction is no table"
    for name in PREDICTION_COLUMNS:
        value = row.get(name)
        if name in TEXTS:
            told = "" if isinstance(value, str) else "is no text"
        elif name in PROBABILITIES:
            told = "" if type(value) in (int, float) else "is no number"
        elif type(value) is not int:
            told = "is no whole number"
        else:
            told = "is no class" if name in LABELS and value not in range(len(CLASSES)) else ""
        if told:
            return f"'{name}' of a prediction {told}"
    return ""


def _is_weights(one: Any) -> bool:
    """Whether it names a file of weights and the subjects that it has seen."""
    if not isinstance(one, dict) or not isinstance(one.get("subjects"), list):
        return False
    return all(
        isinstance(text, str) for text in (one.get("setting"), one.get("file"), *one["subjects"])
    )


def _is_count(value: Any) -> bool:
    """Whether it is a whole number from nought on; true and 1.0 are none."""
    return type(value) is int and value >= 0
