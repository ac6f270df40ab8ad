"""One experiment from settings to report: data, flow, folds, figures."""

import platform
import re
import shlex
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from hmrm_lab.config import ExperimentConfig
from hmrm_lab.errors import DiskFullError, HmrmError, InputError
from hmrm_lab.evaluation.cost import cost_of
from hmrm_lab.evaluation.fold import failure_of, fold_seed, history_of
from hmrm_lab.evaluation.ledger import read_ledger, record_evaluation
from hmrm_lab.evaluation.live_progress import watching
from hmrm_lab.evaluation.loso import Executor, processes, run_loso
from hmrm_lab.evaluation.protocols import Protocol, digest_of_folds, subjects_by_fold
from hmrm_lab.evaluation.summary import collect_predictions, summarise_run
from hmrm_lab.preparation import load_flowset, require_frames, require_frames_for
from hmrm_lab.records import FlowSet, digest_of_keys
from hmrm_lab.registry import datasets
from hmrm_lab.runtime.processes import settle_process
from hmrm_lab.runtime.progress import UNWATCHED, Watcher
from hmrm_lab.runtime.store import (
    RunFolder,
    check_target,
    check_writable,
    refuse_full_disk,
    to_json,
    write_atomic,
)
from hmrm_lab.training.action_units import units_to_learn
from hmrm_lab.training.checkpoint import Checkpoint
from hmrm_lab.training.pretrained import starting_weights
from hmrm_lab.training.stacked import stack_size
from hmrm_lab.training.trainer import MODEL_NAME, fit, pretrained_weights, save_model

ALL_CLIPS = "all clips"  # in place of a fold's name
PACKAGES = ("hmrm-lab", "torch", "numpy", "opencv-contrib-python-headless", "pandas", "plotly")


def run_experiment(
    config: ExperimentConfig,
    *,
    root: Path | None = None,
    out: Path = Path("runs"),
    jobs: int = 1,
    devices: Sequence[str] = ("cpu",),
    execute: Executor | None = None,
    stack: int | None = None,
    watch: Watcher = UNWATCHED,
    flowset: FlowSet | None = None,
    final_model: bool = True,
    label: str = "",
) -> RunFolder:
    """Run, or go on with, the experiment that these settings name, and compute its figures.

    Finished folds are never computed again, and nothing is written before the data have been read
    and found usable. `final_model` trains once more on all clips, for `hmrm predict`; no figure
    depends on it. `label` names the run where its progress is shown, in place of its system.

    The folds are computed by `jobs` processes, assigned to the `devices` in turn, or by `execute`;
    up to `stack` of them are trained as one model (default: on CUDA devices as many as fit, else
    1). Those that fail do not stop the others: see `RunFolder.failures`.
    """
    run = RunFolder.of(config, out)
    check_writable(run.path)
    read_ledger(out)  # complains of a damaged one before the work, not after it
    Protocol.of(config.evaluation).check()  # likewise
    if flowset is None:
        flowset = load_flowset(config, root, jobs=jobs, watch=watch)
    flowset = flowset.with_same_person(config.evaluation.same_person)
    most = stack_size(stack, config, flowset, devices)
    if config.training.pretrain_epochs:
        for seed in config.evaluation.seeds:  # once, and not by every process
            pretrained_weights(config, seed, flowset)
    data = {**_describe(config, flowset), "device": devices[0].partition(":")[0]}
    run.begin(config, data, describe_environment(sys.argv))
    try:
        with watching(run, watch, f"{label or config.model.name}: folds"):
            execute = execute or processes(jobs, devices)
            run_loso(config, flowset, run, execute=execute, stack=most)
    except BaseException:  # stopped or failed; its finished folds were evaluated all the same
        with suppress(DiskFullError):  # which must not hide what ended the run
            record_evaluation(run)
        raise
    write_figures(run)
    if final_model:
        write_final_model(run, flowset, device=devices[0], watch=watch)
    return run


def write_figures(run: RunFolder) -> None:
    """Compute `predictions.csv`, `history.csv` and `metrics.json` from the folds.

    Once more if folds came meanwhile, so that of two commands the slower leaves nothing older.
    """
    record_evaluation(run)
    known: set[str] | None = None
    while known != (known := {path.name for path in run.folds.glob("*.json")}):
        metrics = summarise_run(run)
        predictions = collect_predictions(run).table.to_csv(index=False)
        write_atomic(run.path / "predictions.csv", predictions)
        write_atomic(run.path / "history.csv", history_of(run.records()).to_csv(index=False))
        write_atomic(run.path / "metrics.json", to_json(metrics))


def write_final_model(
    run: RunFolder, flowset: FlowSet, *, device: str = "cpu", watch: Watcher = UNWATCHED
) -> None:
    """Train once more, on all clips that folds train on; what is there is left alone.

    It takes the run's first seed, and as many epochs as the median fold of that seed, so that no
    clip has a say in it that had none in the folds. An incomplete run gets no model, nor does a
    control run. Raises `HmrmError` if the training fails.
    """
    config = run.config()
    path = run.path / MODEL_NAME
    incomplete = not run.metrics()["complete"]
    if path.is_file() or incomplete or config.evaluation.control != "none":
        return
    seed, trained = config.evaluation.seeds[0], Protocol.of(config.evaluation).trains_on(flowset)
    folds = collect_predictions(run).table.query("seed == @seed").groupby("fold")["epoch"].first()
    settle_process(device)
    file, what = run.running / "final-model.safetensors", f"{config.model.name}: model of all clips"
    checkpoint = Checkpoint(file, tell=lambda done, epochs, _: watch(what, done, epochs))
    try:
        fitted = fit(
            config,
            flowset.take(np.flatnonzero(trained)),
            seed=fold_seed(ALL_CLIPS, seed),
            run_seed=seed,
            epochs=round(folds.median()),
            device=device,
            checkpoint=checkpoint,
        )
    except (InputError, DiskFullError):
        raise
    except Exception as error:
        refuse_full_disk(error, run.path)
        failure = failure_of(error)
        raise HmrmError(
            f"{run.path}: the model of all clips, for `hmrm predict`, failed ({failure.kind}:"
            f" {failure.reason}); the figures of the folds are kept"
        ) from error
    save_model(path, fitted)
    checkpoint.path.unlink(missing_ok=True)


def report_runs(runs: Sequence[RunFolder], root: Path | None, out: Path | None = None) -> Path:
    """Compute the figures of finished folds again, and write the HTML report.

    It goes to `out`, or to `report.html` in the first run, which is shown in depth.
    """
    from hmrm_lab.reporting.report import write_report

    check_writable(*(run.path for run in runs))
    check_target(out)
    for run in runs:
        write_figures(run)
    config = runs[0].config()
    readable = root is not None or not datasets[config.data.name].needs_root
    flowset = load_flowset(config, root) if readable else None
    return write_report(runs, out or runs[0].path / "report.html", flowset)


def describe_environment(command: list[str]) -> dict[str, Any]:
    typed = Path(command[0]).name == "hmrm"
    return {
        "command": shlex.join(["hmrm", *command[1:]]) if typed else "run_experiment, from Python",
        "python": platform.python_version(),
        "system": platform.platform(),
        "processor": _processor(),
        "packages": {name: package_version(name) for name in PACKAGES},
        "revision": _revision(),
    }


def _describe(config: ExperimentConfig, flowset: FlowSet) -> dict[str, Any]:
    if config.flow.finetune:
        require_frames(config, flowset)
    require_frames_for(config, flowset)
    protocol = Protocol.of(config.evaluation)
    folds = protocol.folds(flowset)
    named: dict[str, Any] = {}  # whom each fold holds out, where its name does not say it
    if protocol != Protocol():
        named["subjects_by_fold"] = subjects_by_fold(flowset, folds)
        named["folds_digest"] = digest_of_folds(flowset, folds)
    size = flowset.maps.shape[-1]
    counts = np.bincount(flowset.labels, minlength=len(flowset.classes)).tolist()
    return {
        "fingerprint": flowset.fingerprint(),
        "test_set": digest_of_keys(flowset.keys),
        "clips": len(flowset),
        "classes": dict(zip(flowset.classes, counts, strict=True)),
        "folds": len(folds),
        "held_out": {fold.name: len(fold.test) for fold in folds},
        "protocol": str(protocol),
        **named,
        "map_size": size,
        "unit": flowset.unit,
        "weights": starting_weights(config, flowset, config.evaluation.seeds[0]),
        **cost_of(config, size, len(flowset.classes) + len(units_to_learn(config, flowset))),
    }


def _processor() -> str:
    file = Path("/proc/cpuinfo")
    text = file.read_text(encoding="utf-8") if file.is_file() else ""
    names = re.findall(r"^model name\s*: *(.*?) *$", text, re.MULTILINE)
    return f"{len(names)} x {names[0]}" if names else platform.processor()


def package_version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _revision() -> str:
    """The commit of the checkout that this package lies in, if it lies in one."""
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=5, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return "unknown"
    return done.stdout.strip() or "unknown"
