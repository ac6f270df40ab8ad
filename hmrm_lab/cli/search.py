"""`hmrm sweep` and `hmrm evolve`: settings scored on inner folds; on request the outer score."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hmrm_lab.cli.shared import Json, count_processes, load_maps, records, show
from hmrm_lab.errors import ConfigError, unknown_name

if TYPE_CHECKING:
    import pandas as pd

    from hmrm_lab.studies.space import Range, Space
    from hmrm_lab.studies.trials import OuterScore

SAMPLERS = ("grid", "tpe", "nsga2")
WIDTHS, DEPTHS = "64 128 192 256 320 384", "2 4 6 8 10 12"  # Figure 7
TRIALS = 20
SHOWN = 10
RUNS = Path("runs")  # where `hmrm run` keeps runs as well

Preset = Annotated[str, typer.Option(help="smoke, demo, default, paper, or a TOML file.")]
Data = Annotated[str | None, typer.Option(help="Data set: synthetic, flowmaps, or recordings.")]
Root = Annotated[Path | None, typer.Option(help="Folder of the data set.")]
Out = Annotated[Path, typer.Option(help="Folder for run folders.")]
Jobs = Annotated[int, typer.Option(min=0, help="Processes of one thread; 0: one per core.")]
Unseal = Annotated[
    bool,
    typer.Option(
        help="Then run the best setting, and the recipe unchanged, on all subjects. These"
        " evaluations of the test set are counted."
    ),
]
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
    preset: Preset = "default",
    data: Data = None,
    root: Root = None,
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
    unseal: Unseal = False,
    out: Out = RUNS,
    jobs: Jobs = 0,
    as_json: Json = False,
) -> None:
    """Settings tried on inner folds of half of the subjects: no test result.

    Width by depth, as Figure 7, unless --space names other settings. Started again, it goes on
    where it was. --unseal computes the outer score of the best setting, and says of how many
    settings of this sweep the outer score is known.
    """
    from hmrm_lab.config import load_config
    from hmrm_lab.runtime.processes import check_locks
    from hmrm_lab.runtime.progress import ProgressBars
    from hmrm_lab.runtime.store import check_writable
    from hmrm_lab.studies.search import history_table, points_of, run_grid, search
    from hmrm_lab.studies.space import grid, grid_values
    from hmrm_lab.studies.trials import NOT_A_TEST, Sweep, best_trial, outer_score, trials_table

    if sampler not in SAMPLERS:
        raise unknown_name("sampler", sampler, SAMPLERS)
    if sampler == "grid" and trials is not None:
        raise ConfigError(
            "a grid tries every combination", hint="leave --trials out, or take --sampler tpe"
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
            points = grid(grid_values(over))
            run_grid(found, flowset, points, jobs=processes, on_progress=bars.stage("settings"))
            table = trials_table(trial for point in points if (trial := found.trial(point)))
        else:
            history = search(
                found,
                flowset,
                over,
                sampler=sampler,
                trials=trials or TRIALS,
                population=population,
                jobs=processes,
                on_trial=bars.stage("trials"),
            )
            table, points = history_table(found, history, over), points_of(history, over)
        outer = None
        if unseal:
            best = best_trial(trial for point in points if (trial := found.trial(point)))
            outer = outer_score(found, flowset, best.settings, jobs=processes, watch=bars)
    result = {"what": NOT_A_TEST, "sampler": sampler, "cells": records(table)}
    text = f"{_table_text(table)}\n\n{NOT_A_TEST}. Kept in {found.folder}"
    _show(found.folder, result, text, outer, as_json)


def evolve(
    preset: Preset = "default",
    data: Data = None,
    root: Root = None,
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
    unseal: Unseal = False,
    out: Out = RUNS,
    jobs: Jobs = 0,
    as_json: Json = False,
) -> None:
    """Search alpha and the ratio of every stage with weight-shared super-networks.

    They are trained once, on inner folds of half of the subjects; choices are bred on the groups
    held out, without training. Started again, it goes on where it was; more --generations are
    added to those there are.
    """
    from hmrm_lab.config import load_config
    from hmrm_lab.reporting.plots.searches import EVOLVED_CAPTION, choices_figure, fittest
    from hmrm_lab.reporting.tables import display_table
    from hmrm_lab.runtime.processes import check_locks
    from hmrm_lab.runtime.progress import ProgressBars
    from hmrm_lab.runtime.store import check_writable, write_atomic
    from hmrm_lab.studies.evolve import Evolution, keep_evolved
    from hmrm_lab.studies.evolve import evolve as breed
    from hmrm_lab.studies.space import load_optuna
    from hmrm_lab.studies.trials import outer_score, overrides_of

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
        folder = evolution.sweep.folder
        page = folder / "choices.html"
        write_atomic(page, choices_figure(found.table).to_html(include_plotlyjs=True))
        outer = None
        if unseal:
            outer = outer_score(
                evolution.sweep, flowset, settings, recipe=config, jobs=processes, watch=bars
            )
    given = {"--preset": preset, "--system": system, "--data": data, "--root": root}
    where = {"--out": out} if out != RUNS else {}
    command = _run_command(given | where, [*(overrides or []), *overrides_of(settings)])
    result = {
        "what": EVOLVED_CAPTION,
        "winner": settings,
        "overrides": overrides_of(settings),
        "command": command,
        "uf1": found.fitness.uf1,
        "cross_entropy": found.fitness.cross_entropy,
        "trials": records(found.table),
        "figure": str(page),
    }
    best = display_table(fittest(found.table, SHOWN).drop(columns="Best")).to_string(index=False)
    text = (
        f"{best}\n\nthe fittest of {len(found.table)} trials\n\n"
        f"{EVOLVED_CAPTION} Kept in {folder}\nfigure  {page}\nwinner  {command}"
    )
    _show(folder, result, text, outer, as_json)


def _show(
    folder: Path, result: dict[str, Any], text: str, outer: "OuterScore | None", as_json: bool
) -> None:
    from hmrm_lab.studies.trials import count_outer_scores

    known = {"sweep": str(folder), "outer_score_seen": count_outer_scores(folder)}
    added = {"outer": outer.as_dict()} if outer else {}
    show(known | result | added, f"{text}\n\n{outer.as_text()}" if outer else text, as_json)


def _space(texts: list[str] | None, widths: str | None, depths: str | None) -> "Space":
    """The space that was typed; widths and depths where nothing was."""
    from hmrm_lab.studies.space import parse_space, whole_numbers

    if texts and (widths or depths):
        raise ConfigError(
            "--space and --widths or --depths name two spaces",
            hint="write --space 'model.width=64|128' beside the others",
        )
    if texts:
        return parse_space(texts)
    return {
        "model.depth": whole_numbers("depths", DEPTHS if depths is None else depths),
        "model.width": whole_numbers("widths", WIDTHS if widths is None else widths),
    }


def _range(option: str, text: str) -> "Range":
    from hmrm_lab.studies.space import parse_range

    found = parse_range(option, text)
    return replace(found, low=float(found.low), high=float(found.high))


def _table_text(table: "pd.DataFrame") -> str:
    """The table for a terminal, best first; a note only where there is one."""
    from hmrm_lab.reporting.plots.searches import value_words
    from hmrm_lab.reporting.tables import display_table

    idle = [] if table["Note"].any() else ["Note"]
    names = [str(name) for name in table if "." in str(name)]
    settings = {name: table[name].map(value_words) for name in names}
    ordered = table.assign(**settings).sort_values("UF1", ascending=False, kind="stable")
    words = display_table(ordered).drop(columns=idle).to_string(index=False)
    if "Front" not in table:
        return words
    front = int(table["Front"].sum())
    return f"{words}\n\nPareto front of UF1 (up) and parameters (down): {front} settings"


def _run_command(options: Mapping[str, Any], overrides: Sequence[str]) -> str:
    """The run of the winner: a super-network first, then the winner alone."""
    given = [(name, value) for name, value in options.items() if value]
    pairs = [*given, *(("--set", text) for text in overrides)]
    return shlex.join(["hmrm", "run", *(str(word) for pair in pairs for word in pair)])
