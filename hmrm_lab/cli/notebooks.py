"""`hmrm notebooks`: execute them, with everything that goes wrong told; list them; check them."""

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperCommand

from hmrm_lab.cli.shared import described, show
from hmrm_lab.errors import ConfigError, HmrmError, InputError, Stopped

app = typer.Typer(
    help="List, execute and check the notebooks.", no_args_is_help=True, rich_markup_mode=None
)


@app.command("list")
@described
def list_(as_json: bool = False) -> None:
    """List the notebooks: number, title and parameters."""
    from hmrm_lab.studies.notebooks.notebook import all_notebooks, parameters_of

    found: list[dict[str, Any]] = [
        {"name": n.name, "title": n.title, "see": n.promise, "parameters": parameters_of(n)}
        for n in all_notebooks()
    ]
    lines = []
    for entry in found:
        values = ", ".join(f"{name}={value!r}" for name, value in entry["parameters"].items())
        lines += [f"{entry['name']}: {entry['title']}", f"    {values}"]
    lines += ["", f"Open them with `jupyter lab {all_notebooks()[0].path.parent}`."]
    show({"notebooks": found}, "\n".join(lines), as_json)


class PairsCommand(TyperCommand):
    """`-p KEY VALUE`, as papermill has it, is read as `-p KEY=VALUE`, like `--set`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        joined: list[str] = []
        for word in args:
            if joined[-2:-1] == ["-p"] and "=" not in joined[-1] and not word.startswith("--"):
                joined[-1] += f"={word}"
            else:
                joined.append(word)
        return super().parse_args(ctx, joined)


@app.command("run", cls=PairsCommand)
@described
def notebooks_run(
    names: list[str] | None = None,
    given: list[str] | None = None,
    profile: str | None = None,
    out: Path | None = None,
    as_json: bool = False,
) -> None:
    """Execute notebooks and keep the executed copies."""
    from hmrm_lab.runtime.store import check_writable
    from hmrm_lab.studies.notebooks.notebook import find_notebooks, read_parameters, require_extra

    require_extra()
    from hmrm_lab.studies.notebooks.run import execute

    pairs = [*(given or []), *([f"profile={profile}"] if profile is not None else [])]
    for pair in pairs:
        if not pair.partition("=")[0] or "=" not in pair:
            raise ConfigError(f"'-p {pair}' has no value", hint="write -p KEY VALUE")
    values = {key: value for key, _, value in (pair.partition("=") for pair in pairs)}
    chosen = [(found, read_parameters(found, values)) for found in find_notebooks(names or [])]
    folder = out or Path("runs", "notebooks", time.strftime("%Y%m%d-%H%M%S"))
    check_writable(folder)
    done: list[Any] = []
    try:
        for notebook, parameters in chosen:
            execution = execute(notebook, folder, parameters)
            done.append(execution)
            state = "ok" if execution.ok else "FAILED"
            typer.echo(f"{state:<8}{execution.seconds:5.1f} s  {execution.name}", err=True)
    except Stopped as stop:
        typer.echo(f"hmrm: stopped; {len(done)} of {len(chosen)} notebooks are finished", err=True)
        raise typer.Exit(stop.exit_status) from None
    result = {"notebooks": [execution.as_dict() for execution in done], "out": str(folder)}
    show(result, "\n".join(str(execution.copy) for execution in done), as_json)
    failed = [execution.sentence() for execution in done if not execution.ok]
    if failed:
        raise HmrmError("; ".join(failed))


@app.command()
@described
def check(names: list[str] | None = None) -> None:
    """Execute notebooks and compare outputs with the stored ones."""
    from hmrm_lab.studies.notebooks.notebook import find_notebooks, require_extra

    require_extra()
    from hmrm_lab.studies.notebooks.run import check_each

    differing = []
    for notebook, problems in check_each(find_notebooks(names or [])):
        typer.echo("\n".join([f"{'FAILED' if problems else 'ok':<8}{notebook.name}", *problems]))
        differing += [notebook.name] if problems else []
    if differing:
        raise HmrmError(f"not as stored: {', '.join(differing)}")


BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def bench(
    names: list[str] | None = None,
    quick: bool = False,
    rounds: int | None = None,
    strict: bool = False,
    out: Path | None = None,
    as_json: bool = False,
) -> None:
    """Measure speed and memory against what is claimed."""
    if not (BENCHMARKS / "__main__.py").is_file():
        problem = "the benchmarks belong to a checkout and are not installed with the package"
        raise InputError(problem, hint="run `make bench` in a clone of the repository")
    flags = {"--quick": quick, "--strict": strict, "--json": as_json}
    values = {"--rounds": rounds, "--out": out}
    options = [flag for flag, given in flags.items() if given]
    options += [f"{option}={value}" for option, value in values.items() if value is not None]
    command = [sys.executable, str(BENCHMARKS), *options, "--", *(names or [])]
    status = subprocess.run(command, check=False).returncode
    if status:
        raise typer.Exit(status)
