"""`hmrm evolve`: the evolutionary search of AMMSM over magnification and sparsity."""

import shlex
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hmrm_lab.cli_shared import Json, count_processes, load_maps, records, show

if TYPE_CHECKING:
    from hmrm_lab.studies.evolve import Evolved
    from hmrm_lab.studies.space import Range

SHOWN = 10
RUNS = Path("runs")  # where `hmrm run` keeps runs as well


def evolve(
    preset: Annotated[
        str, typer.Option(help="smoke, demo, default, paper, or a TOML file.")
    ] = "default",
    data: Annotated[
        str | None, typer.Option(help="Data set: synthetic, flowmaps, or recordings.")
    ] = None,
    root: Annotated[Path | None, typer.Option(help="Folder of the data set.")] = None,
    system: Annotated[
        str, typer.Option(help="System whose network can choose alpha and ratios.")
    ] = "ammsm",
    overrides: Annotated[
        list[str] | None, typer.Option("--set", help="Setting, key=value; repeatable.")
    ] = None,
    population: Annotated[int, typer.Option(min=2, help="Choices of a generation.")] = 16,
    generations: Annotated[int, typer.Option(min=1, help="Generations, the first drawn.")] = 12,
    alpha: Annotated[
        str, typer.Option(help="Range of the magnification factor, LOW..HIGH:log or :STEP.")
    ] = "1..16:log",
    ratio: Annotated[
        str, typer.Option(help="Range of the sparsity ratio of every stage.")
    ] = "0.2..1:0.05",
    seed: Annotated[int, typer.Option(min=0, help="Of the evolution, not of trainings.")] = 0,
    fine_tuning: Annotated[
        float,
        typer.Option(min=0, max=1, help="Share of a training left to the winner alone."),
    ] = 0.5,
    unseal: Annotated[
        bool,
        typer.Option(
            help="Then run the winner, and the recipe as it was, on all subjects. Looks are"
            " counted."
        ),
    ] = False,
    out: Annotated[Path, typer.Option(help="Folder for run folders.")] = RUNS,
    jobs: Annotated[int, typer.Option(min=0, help="Processes of one thread; 0: one per core.")] = 0,
    as_json: Json = False,
) -> None:
    """Search alpha and the ratio of every stage with weight-shared super-networks.

    They are trained once, on inner folds of half of the subjects; choices are bred on the groups
    held out, without training. Started again, it goes on where it was; more --generations are
    added to those there are.
    """
    from hmrm_lab.config import load_config
    from hmrm_lab.progress import ProgressBars
    from hmrm_lab.reporting.evolve_figures import CAPTION, choices_figure
    from hmrm_lab.store import check_writable, write_atomic
    from hmrm_lab.studies.evolve import Evolution, keep_evolved
    from hmrm_lab.studies.evolve import evolve as breed
    from hmrm_lab.studies.journal import load_optuna
    from hmrm_lab.studies.locks import check_locks
    from hmrm_lab.studies.sweep import overrides_of
    from hmrm_lab.studies.unseal import count_looks
    from hmrm_lab.studies.unseal import unseal as look

    bred = {"population": population, "generations": generations, "seed": seed}
    ranges = {"alphas": _range("--alpha", alpha), "ratios": _range("--ratio", ratio)}
    config = load_config(preset, data=data, system=system, overrides=overrides or [])
    load_optuna()
    check_writable(out)
    check_locks(out)
    Evolution.check(config, **ranges, **bred)
    processes = count_processes(jobs)
    with ProgressBars() as bars:
        flowset = load_maps(config, root, processes, bars)
        evolution = Evolution.of(config, flowset, out, **ranges, **bred)
        found = breed(
            evolution,
            flowset,
            jobs=processes,
            on_supernets=bars.stage("super-networks"),
            on_trials=bars.stage("trials"),
        )
        settings = found.settings(len(flowset), fine_tuning)
        keep_evolved(found, settings)
        sweep = evolution.sweep
        page = sweep.folder / "choices.html"
        write_atomic(page, choices_figure(found.table).to_html(include_plotlyjs=True))
        outer = None
        if unseal:
            outer = look(sweep, flowset, settings, recipe=config, jobs=processes, watch=bars)
    overridden = [*(overrides or []), *overrides_of(settings)]
    command = _command(preset, data, root, system, out, overridden)
    result = {
        "sweep": str(sweep.folder),
        "what": CAPTION,
        "winner": settings,
        "overrides": overrides_of(settings),
        "command": command,
        "uf1": found.fitness.uf1,
        "cross_entropy": found.fitness.cross_entropy,
        "trials": records(found.table),
        "figure": str(page),
        "outer_score_seen": count_looks(sweep.folder),
        **({"outer": outer.as_dict()} if outer else {}),
    }
    text = f"{_words(found)}\n\n{CAPTION} Kept in {sweep.folder}\nfigure  {page}\nwinner  {command}"
    show(result, f"{text}\n\n{outer.as_text()}" if outer else text, as_json)


def _range(option: str, text: str) -> "Range":
    from hmrm_lab.studies.space import parse_range

    found = parse_range(option, text)
    return replace(found, low=float(found.low), high=float(found.high))


def _words(found: "Evolved") -> str:
    """The fittest choices as a table."""
    from hmrm_lab.reporting.evolve_figures import fittest
    from hmrm_lab.reporting.tables import display_table

    best = display_table(fittest(found.table, SHOWN).drop(columns="Best"))
    return f"{best.to_string(index=False)}\n\nthe fittest of {len(found.table)} trials"


def _command(
    preset: str, data: str | None, root: Path | None, system: str, out: Path, overrides: list[str]
) -> str:
    """The run of the winner: a super-network first, then the winner alone."""
    words: list[Any] = ["hmrm", "run", "--preset", preset, "--system", system]
    words += ["--data", data] if data else []
    words += ["--root", root] if root else []
    words += ["--out", out] if out != RUNS else []
    return shlex.join(str(word) for word in [*words, *(w for o in overrides for w in ("--set", o))])
