"""`hmrm`: the command line. Results on standard output, progress and complaints on standard error.

Exit status: 0 done, 1 the work failed, 2 the input or the arguments are wrong, 130 stopped by
Ctrl-C, 143 by SIGTERM.
Heavy imports wait until a command needs them, so that `hmrm --help` is quick.
"""

import io
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from hmrm_lab.cli import compare, data, flow, notebooks, predict, search, studies
from hmrm_lab.cli.shared import FollowLinks, Json, load_maps, show
from hmrm_lab.errors import DiskFullError, FailedFoldsError, HmrmError, Stopped
from hmrm_lab.runtime.stopping import stoppable

app = typer.Typer(
    help="Micro-expression recognition with HMRM: frames to flow to an honest LOSO table.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.add_typer(data.app, name="data")
app.add_typer(notebooks.app, name="notebooks")
for command in (
    *(data.prepare, predict.predict, notebooks.bench),
    *(studies.ablate, studies.effects, search.sweep, search.evolve),
    *(compare.compare, compare.inputs, compare.audit, compare.score),
):
    app.command()(command)

Preset = Annotated[str, typer.Option(help="smoke, demo, default, paper, or a TOML file.")]
Data = Annotated[str | None, typer.Option(help="Data set: synthetic, flowmaps, or recordings.")]
Root = Annotated[Path | None, typer.Option(help="Folder of the data set.")]
Systems = Annotated[list[str] | None, typer.Option("--system", help="System; repeatable.")]
Overrides = Annotated[
    list[str] | None, typer.Option("--set", help="Setting, key=value; repeatable.")
]
Out = Annotated[Path, typer.Option(help="Folder for run folders.")]
Jobs = Annotated[
    int,
    typer.Option(min=0, help="Processes of one thread; 0: one per core, or per CUDA device."),
]
Devices = Annotated[str, typer.Option(help="cpu, or cuda:0,cuda:1: folds are dealt round these.")]
ExecutorName = Annotated[
    str, typer.Option("--executor", help="processes of this machine, or dask (docs/cluster.md).")
]
Scheduler = Annotated[
    str | None,
    typer.Option(help="Dask scheduler, tcp://HOST:8786; else a local cluster of --jobs processes."),
]
Control = Annotated[str, typer.Option(help="none, shuffled-labels, or shuffled-within-subjects.")]
Rule = Annotated[
    str | None, typer.Option(help="last, inner_subjects, or oracle_test (peeks; stamped).")
]


@app.command()
def run(
    preset: Preset = "default",
    data: Data = None,
    root: Root = None,
    system: Systems = None,
    overrides: Overrides = None,
    epoch_rule: Rule = None,
    control: Control = "none",
    follow_links: FollowLinks = False,
    name: Annotated[str | None, typer.Option(help="Name of the run; else the system's.")] = None,
    out: Out = Path("runs"),
    jobs: Jobs = 0,
    devices: Devices = "cpu",
    executor: ExecutorName = "processes",
    scheduler: Scheduler = None,
    as_json: Json = False,
) -> None:
    """Leave-one-subject-out evaluation. Started again, it goes on where it was.

    Several --system are evaluated on the same folds and shown side by side. A fold that fails does
    not stop the others; the exit status is 1 then.
    """
    changes = [f"evaluation.control={control.replace('-', '_')}"] if control != "none" else []
    changes += [f"evaluation.epoch_rule={epoch_rule}"] if epoch_rule else []
    changes += ["data.follow_links=true"] if follow_links else []
    _evaluate(
        preset,
        systems=system or ["hmrm"],
        data=data,
        root=root,
        overrides=[*(overrides or []), *changes],
        name=name,
        out=out,
        jobs=jobs,
        devices=devices,
        executor=executor,
        scheduler=scheduler,
        as_json=as_json,
    )


@app.command()
def demo(
    out: Out = Path("runs"),
    jobs: Jobs = 0,
    overrides: Overrides = None,
    as_json: Json = False,
) -> None:
    """From frames to report on the built-in synthetic faces: HMRM, with STSTNet beside it."""
    _evaluate(
        "demo",
        systems=["hmrm", "ststnet"],
        data=None,
        root=None,
        overrides=overrides or [],
        name=None,
        out=out / "demo",
        jobs=jobs,
        devices="cpu",
        executor="processes",
        scheduler=None,
        as_json=as_json,
    )


@app.command()
def report(
    runs: Annotated[list[Path], typer.Argument(help="Run folders; the first one in depth.")],
    root: Root = None,
    out: Annotated[Path | None, typer.Option(help="HTML file; else RUN/report.html.")] = None,
    as_json: Json = False,
) -> None:
    """Compute the figures of finished folds again and write the HTML report."""
    from hmrm_lab.preparation import load_flowset
    from hmrm_lab.registry import datasets
    from hmrm_lab.reporting.report import write_report
    from hmrm_lab.runtime.store import RunFolder, check_target, check_writable
    from hmrm_lab.studies.experiment import write_figures

    folders = [RunFolder.open(path) for path in runs]
    check_writable(*runs)
    check_target(out)
    for folder in folders:
        write_figures(folder)
    config = folders[0].config()
    readable = root is not None or not datasets[config.data.name].needs_root
    flowset = load_flowset(config, root) if readable else None
    page = write_report(folders, out or folders[0].path / "report.html", flowset)
    _show_runs(folders, page, as_json)


app.command()(flow.flow)
app.command("flow-eval")(flow.flow_eval)
app.command("flow-train")(flow.flow_train)


@app.command()
def doctor(as_json: Json = False) -> None:
    """What this machine has, what is missing, and what that would be needed for."""
    from hmrm_lab.studies.doctor import examine

    checks = examine()
    marks = {"ok": "ok     ", "missing": "missing", "failed": "FAILED "}
    lines = [f"{marks[c['state']]}  {c['name']:<24} {c['detail']}" for c in checks]
    show({"checks": checks}, "\n".join(lines), as_json)
    if any(check["state"] == "failed" for check in checks):
        raise typer.Exit(1)


def _evaluate(
    preset: str,
    *,
    systems: list[str],
    data: str | None,
    root: Path | None,
    overrides: list[str],
    name: str | None,
    out: Path,
    jobs: int,
    devices: str,
    executor: str,
    scheduler: str | None,
    as_json: bool,
) -> None:
    """Evaluate each system on the same folds, then write the report of the first.

    The maps of all are read first: a recipe may ask for a flow of its own, and what is wrong with
    the data shall be said before anything is written.
    """
    from hmrm_lab.config import load_config
    from hmrm_lab.evaluation.workers import open_executor
    from hmrm_lab.reporting.report import write_report
    from hmrm_lab.runtime.processes import count_jobs, parse_devices
    from hmrm_lab.runtime.progress import ProgressBars
    from hmrm_lab.runtime.store import RunFolder, check_writable
    from hmrm_lab.studies.experiment import run_experiment
    from hmrm_lab.studies.final_model import write_final_model

    named = parse_devices(devices)
    configs = [
        load_config(preset, system=system, data=data, overrides=overrides, name=name)
        for system in systems
    ]
    check_writable(*(RunFolder.of(config, out).path for config in configs))
    processes = count_jobs(jobs, named)
    with (
        open_executor(executor, jobs=processes, devices=named, scheduler=scheduler) as execute,
        ProgressBars() as bars,
    ):
        flowsets = [load_maps(config, root, count_jobs(jobs), bars) for config in configs]
        folders = [
            run_experiment(
                config,
                out=out,
                devices=named,
                execute=execute,
                watch=bars,
                flowset=flowset,
                final_model=False,
            )
            for config, flowset in zip(configs, flowsets, strict=True)
        ]
    page = write_report(folders, folders[0].path / "report.html", flowsets[0])
    _show_runs(folders, page, as_json)
    with ProgressBars() as bars:  # the figures are out; the model for `predict` comes last
        for folder, flowset in zip(folders, flowsets, strict=True):
            write_final_model(folder, flowset, device=named[0], watch=bars)
    _tell_failures(folders)


def _tell_failures(folders: list[Any]) -> None:
    from hmrm_lab.evaluation.summary import describe_failures

    told = [said for folder in folders if (said := describe_failures(folder))]
    if told:
        raise FailedFoldsError("; ".join(told))


def _show_runs(folders: list[Any], page: Path, as_json: bool) -> None:
    from hmrm_lab.evaluation.ledger import count_evaluations
    from hmrm_lab.reporting.tables import paired_differences, render_text, results_table

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
        f"{run['run']} is INCOMPLETE, and is not paired with other runs"
        for run in runs
        if len(runs) > 1 and not run["metrics"]["complete"]
    ]
    lines += [f"{count_evaluations(folders[0])}", f"report  {page}"]
    text = "\n".join([render_text(results_table(folders)), "", *lines])
    show({"runs": runs, "paired": pairs, "report": str(page)}, text, as_json)


def main() -> None:
    """The entry point: typed errors become one sentence and their exit status."""
    if isinstance(sys.stdout, io.TextIOWrapper):  # a name of a file may hold any bytes
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        with stoppable():
            _run_app()
    except Stopped as stop:
        _say("stopped", stop, "what is finished is kept")
        sys.exit(stop.exit_status)
    except DiskFullError as error:
        _say(str(error), error, "what was finished is safe")
        sys.exit(1)
    except HmrmError as error:
        typer.echo(f"hmrm: {error}", err=True)
        sys.exit(error.exit_status)
    except OSError as error:
        typer.echo(
            f"hmrm: {error.filename or ''}: {error.strerror}; what was finished is safe", err=True
        )
        sys.exit(1)


def _run_app() -> None:
    try:
        app()
    except OSError as error:
        from hmrm_lab.runtime.store import refuse_full_disk

        refuse_full_disk(error, Path(error.filename or "."))
        raise


def _say(problem: str, error: BaseException, otherwise: str) -> None:
    kept = ", ".join(getattr(error, "__notes__", [])) or otherwise
    typer.echo(f"hmrm: {problem}; {kept}; the same command goes on", err=True)
