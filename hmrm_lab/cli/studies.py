"""`hmrm compare`, `inputs`, `ablate`, `effects`, `sweep` and `evolve`: settings side by side."""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hmrm_lab.cli.shared import RUNS, records, show, split_names
from hmrm_lab.errors import ConfigError, check_known

if TYPE_CHECKING:
    import pandas as pd

    from hmrm_lab.api.clips import Clips
    from hmrm_lab.api.result import Study
    from hmrm_lab.studies.space import Space
    from hmrm_lab.studies.study import SharedProtocol

SAMPLERS = ("grid", "tpe", "nsga2")
STUDIED = ("input.channels", "flow.phases")  # settings that the study of inputs itself changes
WIDTHS, DEPTHS = "64 128 192 256 320 384", "2 4 6 8 10 12"  # Figure 7
TRIALS = 20
SHOWN = 10


def compare(
    preset: str = "default",
    root: Path | None = None,
    systems: str = "",
    recipe: str = "own",
    fuse: str = "",
    seeds: int | None = None,
    overrides: list[str] | None = None,
    oracle: bool = False,
    null: bool = False,
    null_within_subjects: bool = False,
    runs: Path = RUNS,
    out: Path | None = None,
    jobs: int = 0,
    as_json: bool = False,
) -> None:
    """Compare systems under one protocol, ranked by UF1."""
    import hmrm_lab as lab
    from hmrm_lab.registry import systems as known
    from hmrm_lab.runtime.store import check_writable

    shared, clips = _shared(preset, root, split_names(systems) or list(known), overrides, seeds)
    check_writable(runs, out or runs)
    how: Any = {"oracle": oracle, "null": null, "null_within_subjects": null_within_subjects}
    how |= {"recipe": recipe, "fuse": split_names(fuse)}
    study = lab.compare(shared, clips, **how, out=runs, jobs=jobs)
    _finish(study, study.write(out), as_json)


def inputs(
    preset: str = "default",
    root: Path | None = None,
    systems: str = "",
    inputs: str = "",
    seeds: int | None = None,
    overrides: list[str] | None = None,
    runs: Path = RUNS,
    jobs: int = 0,
    as_json: bool = False,
) -> None:
    """Compare what networks are given: apex, flow, MESTI and more."""
    import hmrm_lab as lab
    from hmrm_lab.config import parse_override
    from hmrm_lab.runtime.store import check_writable
    from hmrm_lab.studies.study import NETWORKS

    for text in overrides or []:
        if (place := ".".join(parse_override(text)[0])) in STUDIED:
            raise ConfigError(f"{place} is what this study changes", hint="name inputs in --inputs")
    shared, clips = _shared(preset, root, split_names(systems) or NETWORKS, overrides, seeds)
    check_writable(runs)
    study = lab.inputs(shared, clips, inputs=split_names(inputs), out=runs, jobs=jobs)
    _finish(study, study.write(), as_json)


def ablate(
    preset: str = "default",
    root: Path | None = None,
    system: str = "hmrm",
    overrides: list[str] | None = None,
    variant: list[str] | None = None,
    part: str = "all",
    out: Path = RUNS,
    jobs: int = 0,
    as_json: bool = False,
) -> None:
    """Take one component of a system away at a time."""
    import hmrm_lab as lab
    from hmrm_lab.config import load_config
    from hmrm_lab.runtime.store import check_writable

    check_writable(out)
    config = load_config(preset, system=system, overrides=overrides or [])
    clips, variants = lab.Clips(config, root), _variants(variant)
    study = lab.ablate(config, clips, variants, part=part, out=out, jobs=jobs)
    _finish(study, {}, as_json)


def effects(
    preset: str = "default",
    root: Path | None = None,
    overrides: list[str] | None = None,
    variant: list[str] | None = None,
    out: Path = RUNS,
    jobs: int = 0,
    as_json: bool = False,
) -> None:
    """Measure single changes to HMRM's recipe on inner folds."""
    import hmrm_lab as lab
    from hmrm_lab.config import load_config
    from hmrm_lab.reporting.tables import stacked
    from hmrm_lab.runtime.store import check_writable

    check_writable(out)
    config = load_config(preset, overrides=overrides or [])
    study = lab.effects(config, lab.Clips(config, root), _variants(variant), out=out, jobs=jobs)
    text = f"{stacked(study.words)}\n\n{study.caption}. Kept in {study.folder}"
    what = {"sweep": str(study.folder), "what": study.caption, "changes": records(study.table)}
    show(what, text, as_json)


def sweep(
    preset: str = "default",
    root: Path | None = None,
    system: str | None = None,
    overrides: list[str] | None = None,
    sampler: str = "grid",
    space: list[str] | None = None,
    trials: int | None = None,
    population: int = 16,
    widths: str | None = None,
    depths: str | None = None,
    outer_score: bool = False,
    out: Path = RUNS,
    jobs: int = 0,
    as_json: bool = False,
) -> None:
    """Try settings on inner folds of half of the subjects."""
    import hmrm_lab as lab
    from hmrm_lab.config import load_config
    from hmrm_lab.runtime.processes import check_locks
    from hmrm_lab.runtime.store import check_writable
    from hmrm_lab.studies.search import history_table
    from hmrm_lab.studies.space import grid_values
    from hmrm_lab.studies.trials import NOT_A_TEST

    check_known("sampler", sampler, SAMPLERS)
    if sampler == "grid" and trials is not None:
        hint = "leave --trials out, or take --sampler tpe"
        raise ConfigError("a grid tries every combination", hint=hint)
    check_writable(out)
    config = load_config(preset, system=system, overrides=overrides or [])
    over, clips = _space(space, widths, depths), lab.Clips(config, root)
    if sampler == "grid":
        study = lab.sweep(config, clips, grid_values(over), out=out, jobs=jobs)
        table = study.table
    else:
        check_locks(out)
        tried: Any = {"method": sampler, "trials": trials or TRIALS, "population": population}
        study = lab.search(config, clips, over, **tried, out=out, jobs=jobs)
        table = history_table(study.sweep, study.found, over)
    result = {"what": NOT_A_TEST, "sampler": sampler, "cells": records(table)}
    text = f"{_table_text(table)}\n\n{NOT_A_TEST}. Kept in {study.folder}"
    _show(study, result, text, outer_score, jobs, as_json)


def evolve(
    preset: str = "default",
    root: Path | None = None,
    system: str = "ammsm",
    overrides: list[str] | None = None,
    population: int = 16,
    generations: int = 12,
    alpha: str = "1..16:log",
    ratio: str = "0.2..1:0.05",
    seed: int = 0,
    fine_tuning: float = 0.5,
    outer_score: bool = False,
    out: Path = RUNS,
    jobs: int = 0,
    as_json: bool = False,
) -> None:
    """Search AMMSM's magnification and sparsity by evolution."""
    import hmrm_lab as lab
    from hmrm_lab.config import load_config
    from hmrm_lab.reporting.plots.searches import choices_figure, fittest
    from hmrm_lab.reporting.tables import display_table, stacked
    from hmrm_lab.runtime.processes import check_locks
    from hmrm_lab.runtime.store import check_writable, write_atomic
    from hmrm_lab.studies.trials import overrides_of

    config = load_config(preset, system=system, overrides=overrides or [])
    check_writable(out)
    check_locks(out)
    bred: Any = {"population": population, "generations": generations, "seed": seed}
    bred |= {"alpha": alpha, "ratio": ratio, "fine_tuning": fine_tuning}
    study = lab.evolve(config, lab.Clips(config, root), **bred, out=out, jobs=jobs)
    page, winner = study.folder / "choices.html", overrides_of(study.best)
    write_atomic(page, choices_figure(study.table).to_html(include_plotlyjs=True))
    options = [("--preset", preset), ("--system", system), ("--root", root)]
    options += [("--out", None if out == RUNS else out)]
    options += [("--set", text) for text in (*(overrides or []), *winner)]
    words = (str(word) for option in options if option[1] for word in option)
    command = shlex.join(["hmrm", "run", *words])
    result = {
        "what": study.caption,
        "winner": study.best,
        "overrides": winner,
        "command": command,
        "uf1": study.found.fitness.uf1,
        "cross_entropy": study.found.fitness.cross_entropy,
        "trials": records(study.table),
        "figure": str(page),
    }
    best = stacked(display_table(fittest(study.table, SHOWN).drop(columns="Best")))
    text = (
        f"{best}\n\nthe fittest of {len(study.table)} trials\n\n"
        f"{study.caption} Kept in {study.folder}\nfigure  {page}\nwinner  {command}"
    )
    _show(study, result, text, outer_score, jobs, as_json)


def _shared(
    preset: str,
    root: Path | None,
    names: Sequence[str],
    overrides: list[str] | None,
    seeds: int | None,
) -> "tuple[SharedProtocol, Clips]":
    """The recipes of several systems under one protocol, and the data that they share."""
    import hmrm_lab as lab
    from hmrm_lab.studies.study import share_protocol

    shared = share_protocol(preset, names, overrides or [], seeds=seeds)
    return shared, lab.Clips(shared.shared, root)


def _finish(study: "Study", files: dict[str, Path], as_json: bool) -> None:
    """Show a study and its files; exit status 1 if anything failed."""
    record = study.found.record()
    if files:
        record["files"] = {suffix: str(path) for suffix, path in files.items()}
    lines = [study.found.text(), *(f"{suffix:<5} {path}" for suffix, path in files.items())]
    show(record, "\n".join(lines), as_json)
    study.found.refuse_failures()


def _show(
    study: "Study", result: dict[str, Any], text: str, outer_score: bool, jobs: int, as_json: bool
) -> None:
    """Show a sweep or a search, with the outer score of the best setting if it is asked for."""
    from hmrm_lab.studies.trials import count_outer_scores

    outer = study.outer_score(jobs=jobs) if outer_score else None
    result |= {"sweep": str(study.folder), "outer_score_seen": count_outer_scores(study.folder)}
    result |= {"outer": outer.as_dict()} if outer else {}
    show(result, f"{text}\n\n{outer.as_text()}" if outer else text, as_json)


def _variants(texts: list[str] | None) -> dict[str, dict[str, Any]] | None:
    """Settings by the names of the variants that were typed; None if none was."""
    from hmrm_lab.config import parse_override, split_overrides

    variants: dict[str, dict[str, Any]] = {}
    for text in texts or []:
        name, colon, changes = text.partition(":")
        if not colon or not name.strip() or not changes.strip():
            problem = f"variant '{text}' is not NAME:key=value"
            raise ConfigError(problem, hint="write thin:model.width=32")
        if name.strip() in variants:
            raise ConfigError(f"two variants are named '{name.strip()}'", hint="rename one")
        settings = map(parse_override, split_overrides(changes))
        variants[name.strip()] = {".".join(path): value for path, value in settings}
    return variants or None


def _space(texts: list[str] | None, widths: str | None, depths: str | None) -> "Space":
    """The space that was typed; widths and depths where nothing was."""
    from hmrm_lab.studies.space import parse_space, whole_numbers

    if texts and (widths or depths):
        hint = "write --space 'model.width=64|128' beside the others"
        raise ConfigError("--space and --widths or --depths name two spaces", hint=hint)
    if texts:
        return parse_space(texts)
    deep = whole_numbers("depths", DEPTHS if depths is None else depths)
    wide = whole_numbers("widths", WIDTHS if widths is None else widths)
    return {"model.depth": deep, "model.width": wide}


def _table_text(table: "pd.DataFrame") -> str:
    """The table for a terminal, best first; a note only where there is one."""
    from hmrm_lab.reporting.plots.searches import value_words
    from hmrm_lab.reporting.tables import display_table, stacked

    idle = [] if table["Note"].any() else ["Note"]
    settings = {str(n): table[n].map(value_words) for n in table if "." in str(n)}
    ordered = table.assign(**settings).sort_values("UF1", ascending=False, kind="stable")
    words = stacked(display_table(ordered).drop(columns=idle))
    if "Front" in table:
        front = int(table["Front"].sum())
        words += f"\n\nPareto front of UF1 (up) and parameters (down): {front} settings"
    return words
