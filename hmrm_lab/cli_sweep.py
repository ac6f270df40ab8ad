"""`hmrm sweep`: settings tried on inner folds, and on request the outer score of the best."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hmrm_lab.cli_shared import Json, count_processes, load_maps, records, show
from hmrm_lab.errors import ConfigError, unknown_name

if TYPE_CHECKING:
    import pandas as pd

    from hmrm_lab.progress import ProgressBars
    from hmrm_lab.records import FlowSet
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
    from hmrm_lab.progress import ProgressBars
    from hmrm_lab.store import check_writable
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
    from hmrm_lab.reporting.sweep_figures import value_words
    from hmrm_lab.reporting.tables import display_table

    idle = [] if table["Note"].any() else ["Note"]
    names = [str(name) for name in table if "." in str(name)]
    settings = {name: table[name].map(value_words) for name in names}
    ordered = table.assign(**settings).sort_values("UF1", ascending=False, kind="stable")
    words = display_table(ordered)
    front = int(table["Front"].sum()) if "Front" in table else 0
    told = f"\n\nPareto front of UF1 (up) and parameters (down): {front} settings" if front else ""
    return f"{words.drop(columns=idle).to_string(index=False)}{told}"
