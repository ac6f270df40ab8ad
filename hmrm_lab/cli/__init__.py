"""`hmrm`: the command line. Results on standard output, progress and complaints on standard error.

Exit status: 0 done, 1 the work failed, 2 the input or the arguments are wrong, 130 stopped by
Ctrl-C, 143 by SIGTERM.
Heavy imports wait until a command needs them, so that `hmrm --help` is quick.
"""

import io
import sys
from pathlib import Path

import typer

from hmrm_lab.cli import data, notebooks, run, studies
from hmrm_lab.cli.shared import described
from hmrm_lab.errors import DiskFullError, HmrmError, Stopped, stoppable

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
    *(run.run, run.demo, run.report, run.predict, run.audit, run.score),
    *(studies.compare, studies.inputs, studies.ablate, studies.effects),
    *(studies.sweep, studies.evolve, data.prepare, data.doctor, notebooks.bench),
    *(data.flow, data.flow_eval, data.flow_train),
):
    app.command()(described(command))


def main() -> None:
    """The entry point: typed errors become one sentence and their exit status."""
    if isinstance(sys.stdout, io.TextIOWrapper):  # a name of a file may hold any bytes
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        with stoppable():
            _run_app()
    except Stopped as stop:
        _complain("stopped", stop, "what is finished is kept")
        sys.exit(stop.exit_status)
    except DiskFullError as error:
        _complain(str(error), error, "what was finished is safe")
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


def _complain(problem: str, error: BaseException, otherwise: str) -> None:
    kept = ", ".join(getattr(error, "__notes__", [])) or otherwise
    typer.echo(f"hmrm: {problem}; {kept}; the same command goes on", err=True)
