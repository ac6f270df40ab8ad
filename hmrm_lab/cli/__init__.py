"""`hmrm`: the command line. Results on standard output, progress and complaints on standard error.

Exit status: 0 done, 1 the work failed, 2 the input or the arguments are wrong, 130 stopped by
Ctrl-C, 143 by SIGTERM.
Heavy imports wait until a command needs them, so that `hmrm --help` is quick.
"""

import io
import sys
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperGroup

from hmrm_lab import __version__
from hmrm_lab.cli import data, lookup, notebooks, run, studies
from hmrm_lab.cli.shared import OPTIONS, described
from hmrm_lab.errors import DiskFullError, HmrmError, Stopped, stoppable


class Headings(TyperGroup):
    """Commands whose help lists them under the headings of options.toml, no sentence cut off."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write a line for each command."""
        for heading, names in OPTIONS["headings"].items():
            rows = [(f"{name:<10}", self.commands[name].get_short_help_str(100)) for name in names]
            with formatter.section(heading):
                formatter.write_dl(rows)


app = typer.Typer(
    cls=Headings, no_args_is_help=True, pretty_exceptions_enable=False, rich_markup_mode=None
)
app.add_typer(data.app, name="data")
app.add_typer(notebooks.app, name="notebooks")
for command in (
    *(run.run, run.demo, run.report, run.predict, run.audit, run.score, run.fuse),
    *(studies.compare, studies.inputs, studies.ablate, studies.effects),
    *(studies.sweep, studies.evolve, data.prepare, data.doctor, notebooks.bench),
    *(data.flow, data.flow_eval, data.flow_train, lookup.systems, lookup.settings),
):
    app.command()(described(command))
for group, commands in (("data ", data.app), ("notebooks ", notebooks.app), ("", app)):
    for one in commands.registered_commands:
        name = one.name or one.callback.__name__.replace("_", "-")  # type: ignore[union-attr]
        one.epilog = "\n  ".join(["\b\nExamples:", *OPTIONS["examples"][f"{group}{name}"]])


@app.callback(invoke_without_command=True)
@described
def hmrm(version: bool = False) -> None:
    """Micro-expression recognition, from recordings to a table that can be checked."""
    if version:
        typer.echo(f"hmrm-lab {__version__}")
        raise typer.Exit


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
