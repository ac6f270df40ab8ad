"""The leak audit of a run folder: its records, its data, and its control if there is one."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model, field_validator

from hmrm_lab.config import ExperimentConfig, override
from hmrm_lab.errors import InputError
from hmrm_lab.evaluation.consistency import (
    FAULT,
    LEAK,
    OK,
    UNKNOWN,
    Check,
    Records,
    no_data,
    verdict,
)
from hmrm_lab.evaluation.leakage import BITS, Twins, audit_records, find_twins
from hmrm_lab.evaluation.significance import pooled
from hmrm_lab.evaluation.simulate import Within, p_value, permuted_uf1
from hmrm_lab.evaluation.summary import collect_predictions, summarise_run
from hmrm_lab.flow.motion_maps import normalise_maps
from hmrm_lab.preparation import load_flowset
from hmrm_lab.records import (
    FlowSet,
    Predictions,
    are_classes,
    prediction_columns,
    probability_columns,
)
from hmrm_lab.registry import datasets
from hmrm_lab.runtime.store import RunFolder, parse_json, read_json, to_json

COMPUTED_AGAIN = "delete the file; it is computed again"
RUN_AGAIN = "delete the run folder and run it again"  # written with the first fold only
ALARM = 0.001  # a control that beats chance by as much is no accident
CONTROL = "shuffled-label control"
Count = Annotated[int, Field(ge=0)]
CONTROLS: dict[str, Within] = {"shuffled_labels": "all", "shuffled_within_subjects": "subject"}


def audit_run(run: RunFolder, root: Path | None = None) -> list[Check]:
    """Run every check, in a fixed order.

    Without the `root` of data that lie in a folder, what needs them is not checkable. Raises
    `InputError` if the run holds no finished fold, or a file has not the form that a run writes.
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
    return any(check.state in (LEAK, FAULT) for check in checks)


def check_copies(flowset: FlowSet | None) -> list[Check]:
    """Check that no clip of one subject is a copy of another subject's clip."""
    same, near = "equal clips", "nearly equal clips"
    if flowset is None:
        return [no_data(same), no_data(near)]
    fine = f"no two of {len(flowset)} maps of different subjects"
    twins = find_twins(flowset)
    equal, others = (
        [_describe_twins(one) for one in twins if (one.bits is None) == exact]
        for exact in (True, False)
    )
    return [
        verdict(same, LEAK, equal, f"{fine} are equal"),
        verdict(near, LEAK, others, f"{fine} are nearly equal"),
    ]


def check_normaliser(config: ExperimentConfig, flowset: FlowSet | None) -> Check:
    """Check that a map is normalised alike with and without other clips beside it."""
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
    """Check that with shuffled training labels the settings score at chance."""
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
    """Check that predictions without knowledge do not score above chance."""
    score, chance = pooled(predictions, "uf1"), permuted_uf1(predictions, within=within)
    p = p_value(chance, score)
    words = f"UF1 {score:.3f}, chance {chance.mean():.3f}, p {p:.4f}"
    words += " (labels shuffled within each subject)" if within == "subject" else ""
    if p < ALARM:
        return Check(CONTROL, LEAK, f"it scores above chance: {words}")
    return Check(CONTROL, OK, f"at chance: {words}")


def check_figures(run: RunFolder) -> Check:
    """Check that the figures of the run follow from its folds."""
    name, file = "figures", run.path / "metrics.json"
    if not file.is_file():
        return Check(name, UNKNOWN, "they were not computed yet; `hmrm report` computes them")
    shown, due = read_json(file), parse_json(to_json(summarise_run(run)))
    if not isinstance(shown, dict):
        raise InputError("not the figures of a run", where=file, hint=COMPUTED_AGAIN)
    wrong = [
        f"{key} in metrics.json does not follow from the folds"
        for key in due
        if shown.get(key) != due[key]
    ]
    return verdict(name, FAULT, wrong, "they follow from the folds")


def as_dict(run: RunFolder, checks: Sequence[Check]) -> dict[str, Any]:
    return {
        "run": str(run.path),
        "leaks": sum(check.state == LEAK for check in checks),
        "faults": sum(check.state == FAULT for check in checks),
        "not_checkable": sum(check.state == UNKNOWN for check in checks),
        "checks": [{"name": c.name, "state": c.state, "why": c.why} for c in checks],
    }


def _describe_twins(twins: Twins) -> str:
    how = "" if twins.bits is None else f" ({twins.bits} of {BITS} bits of their hashes differ)"
    return f"{'/'.join(twins.first)} and {'/'.join(twins.second)}{how}"


def read_units(run: RunFolder) -> list[dict[str, Any]]:
    """Read the records of the finished folds, at least one."""
    files = sorted(run.folds.glob("*.json"))
    if not files:
        raise InputError("no finished fold", where=run.path, hint="run it first")
    record = _fold_record(tuple(read_data(run)["classes"]))
    return [_read_as(record, file, "the record of a fold", COMPUTED_AGAIN) for file in files]


def read_data(run: RunFolder) -> dict[str, Any]:
    return _read_as(DataRecord, run.path / "data.json", "the record of a run's data", RUN_AGAIN)


class WeightsRecord(BaseModel, strict=True):
    """Weights that a run started from, and the subjects that they were trained on."""

    setting: str
    file: str
    subjects: list[str]


class DataRecord(BaseModel, strict=True):
    """The parts of `data.json` that an audit reads."""

    fingerprint: str
    unit: str
    folds: Count
    classes: dict[str, Count]
    held_out: dict[str, Count]
    weights: list[WeightsRecord]

    @field_validator("classes")
    @classmethod
    def check_classes(cls, classes: dict[str, int]) -> dict[str, int]:
        if not are_classes([*classes]):
            raise ValueError("no names of classes")
        return classes


class FoldRecord(BaseModel, strict=True):
    """The parts of a fold's record that an audit reads, besides its predictions."""

    fold: str
    seed: int
    losses: list[Any]
    epoch_predictions: list[Any] = []  # of a rule that peeks
    training_persons: list[str]
    training_clips: Count
    training_digest: str
    motionmix_partners: list[str]
    normalisation_persons: list[str]


def _fold_record(classes: tuple[str, ...]) -> type[BaseModel]:
    """The form of a fold's record where predictions are of these classes."""
    label = Annotated[int, Field(ge=0, lt=len(classes))]
    kinds: dict[str, Any] = {
        **dict.fromkeys(prediction_columns(classes), int),
        **dict.fromkeys(("dataset", "subject", "clip", "fold"), str),
        **dict.fromkeys(("truth", "prediction"), label),
        **dict.fromkeys(probability_columns(classes), float),
    }
    fields: Any = {name: (kind, ...) for name, kind in kinds.items()}
    row: Any = create_model("Prediction", __config__=ConfigDict(strict=True), **fields)
    rows = Annotated[list[row], Field(min_length=1)]
    return create_model("Fold", __base__=FoldRecord, predictions=(rows, ...))


def _read_as(record: type[BaseModel], file: Path, what: str, hint: str) -> dict[str, Any]:
    """Read a file, or raise an `InputError` if it has not the form that a run writes."""
    if not file.is_file():
        raise InputError("the file is missing", where=file, hint=hint)
    try:
        content = read_json(file)
        record.model_validate(content)
    except InputError as error:
        raise InputError(error.problem, where=file, hint=hint) from None
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(map(str, first["loc"]))
        words = f"'{name}': {first['msg']}" if name else first["msg"]
        raise InputError(f"not {what}: {words}", where=file, hint=hint) from None
    return dict(content)
