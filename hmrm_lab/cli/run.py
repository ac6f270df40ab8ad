"""`hmrm run`, `demo`, `report`, `audit`, `score` and `predict`: runs and what they give."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from hmrm_lab.cli.shared import RUNS, records, show
from hmrm_lab.errors import FailedFoldsError, InputError

if TYPE_CHECKING:
    from hmrm_lab.api.result import Result
    from hmrm_lab.config import ExperimentConfig


def run(
    preset: str = "default",
    root: Path | None = None,
    system: list[str] | None = None,
    overrides: list[str] | None = None,
    control: str = "none",
    follow_links: bool = False,
    name: str | None = None,
    out: Path = RUNS,
    jobs: int = 0,
    devices: str = "cpu",
    executor: str = "processes",
    scheduler: str | None = None,
    stack: int | None = None,
    as_json: bool = False,
) -> None:
    """Evaluate systems, leaving one subject out at a time."""
    from hmrm_lab.config import load_config

    changes = list(overrides or [])
    changes += [f"evaluation.control={control.replace('-', '_')}"] if control != "none" else []
    changes += ["data.follow_links=true"] if follow_links else []
    configs = [
        load_config(preset, system=one, overrides=changes, name=name) for one in system or ["hmrm"]
    ]
    _evaluate(configs, root, out, jobs, as_json, devices, executor, scheduler, stack)


def demo(
    out: Path = RUNS, jobs: int = 0, overrides: list[str] | None = None, as_json: bool = False
) -> None:
    """Evaluate HMRM and STSTNet on built-in faces, with a report."""
    from hmrm_lab.config import load_config

    changes = overrides or []
    configs = [load_config("demo", system=one, overrides=changes) for one in ("hmrm", "ststnet")]
    _evaluate(configs, None, out / "demo", jobs, as_json)


def report(
    runs: list[Path], root: Path | None = None, out: Path | None = None, as_json: bool = False
) -> None:
    """Write the HTML report of finished runs again."""
    import hmrm_lab as lab

    results = [lab.result(path, root) for path in runs]
    _show_runs(results, lab.report(results, out), as_json)


def audit(run: Path, root: Path | None = None, as_json: bool = False) -> None:
    """Check whether anything of a test subject reached training."""
    import hmrm_lab as lab
    from hmrm_lab.runtime.store import RunFolder
    from hmrm_lab.studies.audit import Check, as_dict, found_wrong

    result = lab.result(run, root)
    checks = [Check(*row) for row in lab.audit(result).itertuples()]
    name, state = (max(len(getattr(c, part)) for c in checks) for part in ("name", "state"))
    lines = [f"{c.state:<{state}}  {c.name:<{name}}  {c.why}" for c in checks]
    show(as_dict(RunFolder(result.folder), checks), "\n".join(lines), as_json)
    if found_wrong(checks):
        raise typer.Exit(1)


def fuse(runs: list[Path], as_json: bool = False) -> None:
    """Average the answers of finished runs (late fusion)."""
    import hmrm_lab as lab
    from hmrm_lab.evaluation.significance import paired_difference
    from hmrm_lab.reporting.tables import render_text

    results = [lab.result(path) for path in runs]
    fused = lab.fuse(results)
    pairs = {
        path.name: paired_difference(fused.answers, one.answers, "uf1")
        for path, one in zip(runs, results, strict=True)
    }
    lines = [
        f"minus {name}: UF1 {mean:+.3f} [{low:+.3f}, {high:+.3f}], paired by subject"
        for name, (mean, low, high) in pairs.items()
    ]
    text = "\n".join([render_text(fused.table), "", *lines, fused.caption])
    show({"metrics": fused.metrics, "minus": pairs}, text, as_json)


def score(log: Path, classes: str = "megc3", as_json: bool = False) -> None:
    """Score a table or log of predictions: UF1, UAR and more."""
    import hmrm_lab as lab
    from hmrm_lab.reporting.tables import class_words, render_text

    result = lab.score(log, classes=classes)
    scores = result.metrics
    read_as = [f"read as  {line}" for line in scores["read_as"]]
    lines = [render_text(result.table), "", render_text(class_words(scores)), "", *read_as]
    show(scores, "\n".join(lines), as_json)


def predict(
    clip: Path | None = None,
    data: str | None = None,
    root: Path | None = None,
    run: Path | None = None,
    out: Path | None = None,
    onset: int = 0,
    apex: int | None = None,
    offset: int | None = None,
    faces: str | None = None,
    face: int | None = None,
    picture: Path | None = None,
    overrides: list[str] | None = None,
    follow_links: bool = False,
    as_json: bool = False,
) -> None:
    """Classify one recording, or all clips of a data set."""
    import hmrm_lab as lab
    from hmrm_lab.config import load_config
    from hmrm_lab.preparation import require_clips
    from hmrm_lab.reporting import recording_pages as pages
    from hmrm_lab.runtime.store import check_target, write_atomic
    from hmrm_lab.studies.predict import find_run

    if (clip is None) == (data is None):
        hint = "give a folder or a video, or --data manifest --root DIR"
        raise InputError("one recording, or a data set, is to be named", hint=hint)
    one = {"onset": onset or None, "apex": apex, "offset": offset, "picture": picture}
    for name, value in (one if data else {"root": root, "out": out, "set": overrides}).items():
        if value not in (None, []):
            kind = "one recording" if data else "a data set (--data)"
            raise InputError(f"--{name} is an option for {kind}", hint="leave it out")
    who: Any = {"faces": faces, "face": face or 0}
    if clip is None:
        check_target(out)
        folder = find_run(run)
        changes = [f"data.classes={folder.config().data.classes}", *(overrides or ())]
        changes += ["data.follow_links=true"] if follow_links else []
        config = load_config("default", data=data, overrides=changes)
        clips = lab.Clips(config, root, require_clips(config, root))
        table = lab.predict(clips, folder.path, **who)
        if out is not None:
            write_atomic(out, table.to_csv(index=False))
        answers: Any = {**table.attrs, "table": str(out) if out else None, "clips": records(table)}
        show(answers, pages.predictions_text(table, out), as_json)
        if (table["prediction"] == "").any():
            raise typer.Exit(1)
        return
    target = pages.check_png(picture or Path(f"{clip.resolve().stem}.hmrm.png"))
    check_target(target)
    frames: Any = {"onset": onset, "apex": apex, "offset": offset}
    result = lab.predict(clip, run, **frames, **who, follow_links=follow_links)
    written = pages.write_prediction(result, target)
    facts = {**result.as_dict(), "picture": str(written)}
    show(facts, pages.prediction_text(result, written), as_json)
    if not result.answered:
        raise typer.Exit(1)


def _evaluate(
    configs: Sequence["ExperimentConfig"],
    root: Path | None,
    out: Path,
    jobs: int,
    as_json: bool,
    devices: str = "cpu",
    executor: str = "processes",
    scheduler: str | None = None,
    stack: int | None = None,
) -> None:
    """Evaluate each system on the same folds, then write the report of the first.

    The maps of all are read first, so that bad data are refused before anything is written: a
    recipe may have a flow of its own.
    """
    import hmrm_lab as lab
    from hmrm_lab.evaluation.loso import open_executor
    from hmrm_lab.evaluation.summary import describe_failures
    from hmrm_lab.runtime.processes import count_jobs, parse_devices
    from hmrm_lab.runtime.progress import progress_bars
    from hmrm_lab.runtime.store import RunFolder, check_writable
    from hmrm_lab.studies.experiment import write_final_model
    from hmrm_lab.training.stacked import check_stackable

    known = parse_devices(devices)
    check_writable(*(RunFolder.of(config, out).path for config in configs))
    processes = count_jobs(jobs, known)
    for config in configs if stack and stack > 1 else ():
        check_stackable(config)
    with open_executor(executor, jobs=processes, devices=known, scheduler=scheduler) as execute:
        maps = [lab.Clips(config, root).maps(jobs=jobs) for config in configs]
        where: Any = {"out": out, "devices": known, "executor": execute, "final_model": False}
        where["stack"] = stack
        results = [lab.evaluate(*one, **where) for one in zip(configs, maps, strict=True)]
    _show_runs(results, lab.report(results), as_json)
    runs = [RunFolder(result.folder) for result in results]
    with progress_bars() as bars:  # the figures are out; the model for `predict` comes last
        for folder, flowset in zip(runs, maps, strict=True):
            write_final_model(folder, flowset, device=known[0], watch=bars)
    if failures := [words for folder in runs if (words := describe_failures(folder))]:
        raise FailedFoldsError("; ".join(failures))


def _show_runs(results: Sequence["Result"], page: Path, as_json: bool) -> None:
    from hmrm_lab.evaluation.ledger import count_evaluations
    from hmrm_lab.reporting.tables import paired_differences, render_text, results_table
    from hmrm_lab.runtime.store import RunFolder

    folders = [RunFolder(result.folder) for result in results]
    runs = [
        {
            "run": str(folder.path),
            "metrics": folder.metrics(),
            "data": folder.data(),
            "test_set_evaluations": count_evaluations(folder)._asdict(),
        }
        for folder in folders
    ]
    pairs = paired_differences(folders)
    lines = [
        f"{p['ours']} - {p['theirs']}: UF1 {p['difference']:+.3f} "
        f"[{p['low']:+.3f}, {p['high']:+.3f}], paired by subject"
        for p in pairs
    ]
    lines += [
        f"{folder.path} is INCOMPLETE, and is not paired with other runs"
        for folder in folders
        if len(folders) > 1 and not folder.metrics()["complete"]
    ]
    lines += [f"{count_evaluations(folders[0])}", f"report  {page}"]
    text = "\n".join([render_text(results_table(folders)), "", *lines])
    show({"runs": runs, "paired": pairs, "report": str(page)}, text, as_json)
