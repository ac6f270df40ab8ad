"""Run folders with predictions made up for the test; nothing is trained."""

from pathlib import Path

import numpy as np
from conftest import make_flowset, quick_config

from hmrm_lab.datasets.classes import MEGC3
from hmrm_lab.evaluation.protocols import leave_one_subject_out
from hmrm_lab.records import ClipKey, FlowSet, digest_of_keys, probability_columns
from hmrm_lab.runtime.store import RunFolder
from hmrm_lab.studies.experiment import write_figures

FILES = ("metrics.json", "predictions.csv", "history.csv")
ENVIRONMENT = {
    "command": "hmrm run --preset smoke",
    "python": "3.11",
    "system": "Linux",
    "processor": "2 x cpu",
    "packages": {"torch": "2.13"},
    "revision": "abc",
}


def figures_of(run: RunFolder) -> list[bytes]:
    """What a run leaves, to the last byte."""
    return [(run.path / name).read_bytes() for name in FILES]


def two_sets() -> FlowSet:
    """Two data sets whose subjects bear the same names."""
    first, second = make_flowset(subjects=3), make_flowset(subjects=2, seed=1)
    keys = tuple(ClipKey("other", key.subject, key.clip) for key in second.keys)
    maps = np.concatenate([first.maps, second.maps])
    labels = np.concatenate([first.labels, second.labels])
    return FlowSet(maps, labels, first.keys + keys, MEGC3.classes)


def make_run(
    out: Path,
    flowset: FlowSet,
    *overrides: str,
    system: str = "hmrm",
    right: float = 0.6,
    unfinished: int = 0,
    preset: str = "default",
) -> RunFolder:
    """A run in which a clip is right with probability `right`; the last folds may be missing."""
    config = quick_config(system, *overrides).model_copy(update={"preset": preset})
    run = RunFolder.of(config, out)
    folds = leave_one_subject_out(flowset)
    data = {
        "fingerprint": flowset.fingerprint(),
        "test_set": digest_of_keys(flowset.keys),
        "clips": len(flowset),
        "classes": dict.fromkeys(flowset.classes, len(flowset) // len(flowset.classes)),
        "folds": len(folds),
        "held_out": {fold.name: len(fold.test) for fold in folds},
        "map_size": 28,
        "unit": flowset.unit,
        "weights": [],
        "parameters": 19305,
        "flops": 402560,
    }
    run.begin(config, data, ENVIRONMENT)
    rng = np.random.default_rng(0)
    for fold in folds[: len(folds) - unfinished]:
        for seed in config.evaluation.seeds:
            rows = [_row(flowset, index, fold.name, seed, right, rng) for index in fold.test]
            unit = {"fold": fold.name, "seed": seed, "losses": [1.0, 0.5], "predictions": rows}
            run.write_fold(fold.name, seed, unit)
    write_figures(run)
    return run


def _row(
    flowset: FlowSet, index: int, fold: str, seed: int, right: float, rng: np.random.Generator
) -> dict[str, object]:
    truth = int(flowset.labels[index])
    count = len(flowset.classes)
    guess = truth if rng.random() < right else (truth + 1) % count
    scores = rng.dirichlet([1] * count)
    scores[[guess, scores.argmax()]] = scores[[scores.argmax(), guess]]
    return {
        **flowset.keys[index]._asdict(),
        "fold": fold,
        "seed": seed,
        "epoch": 2,
        "truth": truth,
        "prediction": guess,
        **dict(zip(probability_columns(flowset.classes), scores.tolist(), strict=True)),
    }
