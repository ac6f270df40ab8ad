"""`hmrm sweep`: settings tried on inner folds, and on request the outer score of the best."""

import shlex
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hmrm_lab.cli.shared import Json, count_processes, load_maps, records, show
from hmrm_lab.errors import ConfigError, unknown_name

if TYPE_CHECKING:
    import pandas as pd

    from hmrm_lab.records import FlowSet
    from hmrm_lab.runtime.progress import ProgressBars
    from hmrm_lab.studies.space import Space
    from hmrm_lab.studies.sweep import Sweep

SAMPLERS = ("grid", "tpe", "nsga2")
WIDTHS, DEPTHS = "64 128 192 256 320 384", "2 4 6 8 10 12"  # Figure 7
TRIALS = 20

Sampler = Annotated[
    str,
    typer.Option(
        help="grid: every combination. tpe: Optuna proposes. nsga2: Optuna's evolution,"
        " UF1 up and parameters down."
    ),
]
SpaceTexts = Annotated[
    list[str] | None,
    typer.Option(
        "--space",
        help="KEY=LOW..HIGH, KEY=LOW..HIGH:log, KEY=LOW..HIGH:STEP or KEY=a|b|c (quote it);"
        " repeatable. Else widths and depths.",
    ),
]


def sweep(
    preset: Annotated[
        str, typer.Option(help="smoke, demo, default, paper, or a TOML file.")
    ] = "default",
    data: Annotated[
        str | None, typer.Option(help="Data set: synthetic, flowmaps, or recordings.")
    ] = None,
    root: Annotated[Path | None, typer.Option(help="Folder of the data set.")] = None,
    system: Annotated[str | None, typer.Option(help="System; else that of the preset.")] = None,
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", help="Setting of all models, key=value; repeatable."),
    ] = None,
    sampler: Sampler = "grid",
    space: SpaceTexts = None,
    trials: Annotated[
        int | None, typer.Option(min=1, help=f"Settings that a search tries; else {TRIALS}.")
    ] = None,
    population: Annotated[int, typer.Option(min=2, help="nsga2: settings of a generation.")] = 16,
    widths: Annotated[
        str | None, typer.Option(help=f'Values of model.width, else "{WIDTHS}".')
    ] = None,
    depths: Annotated[
        str | None, typer.Option(help=f'Values of model.depth, else "{DEPTHS}".')
    ] = None,
    unseal: Annotated[
        bool,
        typer.Option(
            help="Then run the best setting, and the recipe as it was, on all subjects. Looks are"
            " counted."
        ),
    ] = False,
    out: Annotated[Path, typer.Option(help="Folder for run folders.")] = Path("runs"),
    jobs: Annotated[int, typer.Option(min=0, help="Processes of one thread; 0: one per core.")] = 0,
    as_json: Json = False,
) -> None:
    """Settings tried on inner folds of half of the subjects: no test result.

    Width by depth, as Figure 7, unless --space names other settings. Started again, it goes on
    where it was. --unseal looks at the outer score of the best setting, and says of how many
    settings of this sweep the outer score has been looked at.
    """
    from hmrm_lab.config import load_config
    from hmrm_lab.runtime.progress import ProgressBars
    from hmrm_lab.runtime.store import check_writable
    from hmrm_lab.studies.cells import NOT_A_TEST, best_cell
    from hmrm_lab.studies.locks import check_locks
    from hmrm_lab.studies.sweep import Sweep
    from hmrm_lab.studies.unseal import count_looks
    from hmrm_lab.studies.unseal import unseal as look

    if sampler not in SAMPLERS:
        raise unknown_name("sampler", sampler, SAMPLERS)
    if sampler == "grid" and trials is not None:
        raise ConfigError(
            "a grid tries every combination", mend="leave --trials out, or take --sampler tpe"
        )
    check_writable(out)
    if sampler != "grid":
        check_locks(out)
    config = load_config(preset, data=data, system=system, overrides=overrides or [])
    over = _space(space, widths, depths)
    processes = count_processes(jobs)
    with ProgressBars() as bars:
        flowset = load_maps(config, root, processes, bars)
        found = Sweep.of(config, flowset, out)
        if sampler == "grid":
            table, points = _grid(found, flowset, over, processes, bars)
        else:
            search = {"sampler": sampler, "trials": trials or TRIALS, "population": population}
            table, points = _search(found, flowset, over, search, processes, bars)
        outer = None
        if unseal:
            best = best_cell(cell for point in points if (cell := found.cell(point)))
            outer = look(found, flowset, best.settings, jobs=processes, watch=bars)
    result = {
        "sweep": str(found.folder),
        "what": NOT_A_TEST,
        "sampler": sampler,
        "cells": records(table),
        "outer_score_seen": count_looks(found.folder),
        **({"outer": outer.as_dict()} if outer else {}),
    }
    text = f"{_words(table)}\n\n{NOT_A_TEST}. Kept in {found.folder}"
    show(result, f"{text}\n\n{outer.as_text()}" if outer else text, as_json)


def _space(texts: list[str] | None, widths: str | None, depths: str | None) -> "Space":
    """What was typed; widths and depths where nothing was."""
    from hmrm_lab.studies.space import parse_space
    from hmrm_lab.studies.sweep import whole_numbers

    if texts and (widths or depths):
        raise ConfigError(
            "--space and --widths or --depths name two spaces",
            mend="write --space 'model.width=64|128' beside the others",
        )
    if texts:
        return parse_space(texts)
    return {
        "model.depth": whole_numbers("depths", DEPTHS if depths is None else depths),
        "model.width": whole_numbers("widths", WIDTHS if widths is None else widths),
    }


def _grid(
    found: "Sweep", flowset: "FlowSet", space: "Space", processes: int, bars: "ProgressBars"
) -> tuple["pd.DataFrame", list[dict[str, Any]]]:
    """The cells of every combination as a table, and their settings."""
    from hmrm_lab.studies.cells import cells_table
    from hmrm_lab.studies.space import grid_values
    from hmrm_lab.studies.sweep import grid, run_cells

    points = grid(grid_values(space))
    run_cells(found, flowset, points, jobs=processes, on_progress=bars.stage("settings"))
    return cells_table(cell for point in points if (cell := found.cell(point))), points


def _search(
    found: "Sweep",
    flowset: "FlowSet",
    space: "Space",
    how: dict[str, Any],
    processes: int,
    bars: "ProgressBars",
) -> tuple["pd.DataFrame", list[dict[str, Any]]]:
    """The trials of a search with what is known of their cells, and their settings, each once."""
    from hmrm_lab.studies.search import points_of, search, trials_table

    history = search(found, flowset, space, jobs=processes, on_trial=bars.stage("trials"), **how)
    return trials_table(found, history, space), points_of(history, space)


def _words(table: "pd.DataFrame") -> str:
    """The table for a terminal, best first; a note only where there is one."""
    from hmrm_lab.reporting.plots.searches import value_words
    from hmrm_lab.reporting.tables import display_table

    idle = [] if table["Note"].any() else ["Note"]
    names = [str(name) for name in table if "." in str(name)]
    settings = {name: table[name].map(value_words) for name in names}
    ordered = table.assign(**settings).sort_values("UF1", ascending=False, kind="stable")
    words = display_table(ordered)
    front = int(table["Front"].sum()) if "Front" in table else 0
    told = f"\n\nPareto front of UF1 (up) and parameters (down): {front} settings" if front else ""
    return f"{words.drop(columns=idle).to_string(index=False)}{told}"


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
    from hmrm_lab.reporting.plots.searches import EVOLVED_CAPTION, choices_figure
    from hmrm_lab.runtime.progress import ProgressBars
    from hmrm_lab.runtime.store import check_writable, write_atomic
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
        "what": EVOLVED_CAPTION,
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
    files = f"Kept in {sweep.folder}\nfigure  {page}\nwinner  {command}"
    text = f"{_search_words(found)}\n\n{EVOLVED_CAPTION} {files}"
    show(result, f"{text}\n\n{outer.as_text()}" if outer else text, as_json)


def _range(option: str, text: str) -> "Range":
    from hmrm_lab.studies.space import parse_range

    found = parse_range(option, text)
    return replace(found, low=float(found.low), high=float(found.high))


def _search_words(found: "Evolved") -> str:
    """The fittest choices as a table."""
    from hmrm_lab.reporting.plots.searches import fittest
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
