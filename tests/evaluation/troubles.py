"""Folds that fail in known ways, for workers of every kind: imported there by its name."""

import errno
import os
import signal
from pathlib import Path
from typing import Any

import torch
from conftest import make_flowset

from hmrm_lab.config import ExperimentConfig
from hmrm_lab.errors import DivergedError, InputError
from hmrm_lab.evaluation import fold as units
from hmrm_lab.records import FlowSet
from hmrm_lab.runtime.store import RunFolder

MARKS = "HMRM_TEST_MARKS"  # a folder where units leave how often they were tried


def eight_subjects() -> FlowSet:
    return make_flowset(subjects=8, per_subject=3)


def troubled(
    config: ExperimentConfig,
    flowset: FlowSet,
    unit: units.FoldRun,
    device: str = "cpu",
    *,
    run: RunFolder | None = None,
) -> dict[str, Any]:
    """s01 diverges; s02 (memory) and s03 (killed) fail once; s04 is always killed; s05 raises."""
    mark = Path(os.environ[MARKS]) / unit.fold.name.replace("/", "-")
    with mark.open("a") as file:
        file.write(f"{os.getpid()}\n")
    first = len(mark.read_text().split()) == 1
    match unit.fold.name:
        case "toy/s01":
            raise DivergedError("the loss is nan in epoch 1; lower training.lr")
        case "toy/s02" if first:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")
        case "toy/s03" if first:
            os.kill(os.getpid(), signal.SIGKILL)
        case "toy/s04":
            os.kill(os.getpid(), signal.SIGKILL)
        case "toy/s05":
            raise ZeroDivisionError("nobody\nexpected this")
    return units.run_fold(config, flowset, unit, device, run=run)


def turns() -> dict[str, list[int]]:
    """The process of each try of a fold."""
    marks = Path(os.environ[MARKS]).iterdir()
    return {mark.name: [int(line) for line in mark.read_text().split()] for mark in marks}


def diverge(*_: object, **__: object) -> dict[str, Any]:
    raise DivergedError("the loss is nan in epoch 1")


def fatal(*_: object, **__: object) -> dict[str, Any]:
    raise InputError("no unit can do this", hint="change the settings")


def full_disk(*_: object, **__: object) -> dict[str, Any]:
    raise OSError(errno.ENOSPC, "No space left on device", "/tmp/x")


def where(unit: units.FoldRun, device: str) -> dict[str, Any]:
    threads = [torch.get_num_threads(), os.environ["OMP_NUM_THREADS"]]
    return {"device": device, "process": os.getpid(), "threads": threads}
