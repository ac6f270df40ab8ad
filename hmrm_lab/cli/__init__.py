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
    *(run.run, run.demo, run.report, run.predict, run.audit, run.score, run.fuse),
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
            app()
    except (Stopped, HmrmError, OSError) as error:
        typer.echo(f"hmrm: {_sentence(error)}", err=True)
        sys.exit(getattr(error, "exit_status", 1))


def _sentence(error: BaseException) -> str:
    """What went wrong, what is kept of the work, and whether the same command goes on."""
    kept = ", ".join(getattr(error, "__notes__", []))
    if isinstance(error, OSError):
        from hmrm_lab.runtime.store import refuse_full_disk

        try:
            refuse_full_disk(error, Path(error.filename or "."))
        except DiskFullError as full:
            error = full
        else:
            return f"{error.filename or ''}: {error.strerror}; what was finished is safe"
    if isinstance(error, Stopped):
        return f"stopped; {kept or 'what is finished is kept'}; the same command goes on"
    if isinstance(error, DiskFullError):
        return f"{error}; {kept or 'what was finished is safe'}; the same command goes on"
    return str(error)
