"""`hmrm compare`, `inputs`, `ablate` and `effects`: several settings under one protocol."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hmrm_lab.cli.shared import (
    RUNS,
    Data,
    Jobs,
    Json,
    Out,
    Overrides,
    Preset,
    Root,
    Rule,
    Seeds,
    SystemNames,
    Variants,
    count_processes,
    load_maps,
    records,
    show,
    split_names,
)
from hmrm_lab.errors import ConfigError

if TYPE_CHECKING:
    from hmrm_lab.reporting.study_page import AblationResult, ComparisonResult, InputsResult
    from hmrm_lab.studies.study import Study, Variant


def compare(
    preset: Preset = "default",
    data: Data = None,
    root: Root = None,
    systems: SystemNames = "",
    seeds: Seeds = None,
    epoch_rule: Rule = None,
    overrides: Overrides = None,
    oracle: Annotated[bool, typer.Option("--oracle", help="Run the rule that peeks, too.")] = False,
    null: Annotated[bool, typer.Option("--null", help="Run on shuffled labels, too.")] = False,
    null_within_subjects: Annotated[
        bool,
        typer.Option(
            "--null-within-subjects", help="Run on labels shuffled within each subject, too."
        ),
    ] = False,
    runs: Out = RUNS,
    out: Annotated[
        Path | None, typer.Option(help="Folder of the comparison (default: RUNS/compare-...).")
    ] = None,
    jobs: Jobs = 0,
    as_json: Json = False,
) -> None:
    """All systems under one protocol, ranked by honest UF1, as CSV, LaTeX, JSON and a page.

    Each keeps its own recipe; data, flow, folds, seeds and epoch rule are the same. Without
    --systems, all that take these data. Finished runs are taken up. A system that fails does not
    stop the others; the exit status is 1 then.
    """
    from hmrm_lab.studies.study import plan_comparison

    plan = partial(
        plan_comparison,
        preset,
        data=data,
        systems=split_names(systems),
        seeds=seeds,
        epoch_rule=epoch_rule,
        overrides=overrides or [],
        oracle=oracle,
        null=null,
        null_within_subjects=null_within_subjects,
    )
    _run(plan, root, runs, out, jobs, as_json)


def inputs(
    preset: Preset = "default",
    data: Data = None,
    root: Root = None,
    systems: SystemNames = "",
    inputs: Annotated[
        str,
        typer.Option(help="Of apex, flow, dual_phase, dynamic_image, mesti, commas between."),
    ] = "",
    seeds: Seeds = None,
    overrides: Overrides = None,
    runs: Out = RUNS,
    jobs: Jobs = 0,
    as_json: Json = False,
) -> None:
    """Each input on each network (MESTI-MEGANet): what a system is given of a clip, compared.

    The folds, and the recipe of a network, are the same for all of its inputs. Without --systems,
    the paper's networks and MEGANet. Finished runs are taken up. One that fails does not stop the
    others; the exit status is 1 then.
    """
    from hmrm_lab.studies.study import plan_inputs

    plan = partial(
        plan_inputs,
        preset,
        data=data,
        systems=split_names(systems),
        inputs=split_names(inputs),
        seeds=seeds,
        overrides=overrides or [],
    )
    _run(plan, root, runs, None, jobs, as_json)


def ablate(
    preset: Preset = "default",
    data: Data = None,
    root: Root = None,
    system: Annotated[str, typer.Option(help="System whose components are changed.")] = "hmrm",
    overrides: Overrides = None,
    variant: Variants = None,
    part: Annotated[str, typer.Option(help="One data set of several, such as casme2.")] = "all",
    out: Out = RUNS,
    jobs: Jobs = 0,
    as_json: Json = False,
) -> None:
    """A system without one component at a time, each against the full model, paired by subject.

    Variants are known of hmrm (M1 to M3 of the paper), ammsm, ammsm_temporal, meganet and
    meganet_mesti. With variants of your own the full model is the recipe as it stands, its flow
    included. A variant that fails does not stop the others; the exit status is 1 then.
    """
    from hmrm_lab.config import load_config
    from hmrm_lab.runtime.progress import ProgressBars
    from hmrm_lab.runtime.store import check_writable
    from hmrm_lab.studies.ablate import WHOLE, plan_ablation

    check_writable(out)
    asked, processes = overrides or [], count_processes(jobs)
    config = load_config(preset, data=data, system=system, overrides=asked)
    variants = [_variant(text) for text in variant] if variant else None
    full = WHOLE if variants else None  # the recipe as it was asked for
    plan = plan_ablation(config, variants, full=full, root=root, asked=asked, part=part)
    with ProgressBars() as bars:
        result = plan.run(root=root, out=out, jobs=processes, watch=bars, part=part)
    _finish(result, {}, as_json)


def effects(
    preset: Preset = "default",
    data: Data = None,
    root: Root = None,
    overrides: Overrides = None,
    variant: Variants = None,
    out: Out = RUNS,
    jobs: Jobs = 0,
    as_json: Json = False,
) -> None:
    """Effects of single changes to HMRM's recipe, scored on inner folds of half of the subjects.

    Without --variant, a list of single changes.
    """
    from hmrm_lab.config import load_config
    from hmrm_lab.reporting.study_words import effects_words
    from hmrm_lab.runtime.progress import ProgressBars
    from hmrm_lab.runtime.store import check_writable
    from hmrm_lab.studies.effects import CHANGES, plan_effects, run_effects

    check_writable(out)
    config = load_config(preset, data=data, overrides=overrides or [])
    plan = plan_effects(config, [_variant(text) for text in variant] if variant else CHANGES)
    processes = count_processes(jobs)
    with ProgressBars() as bars:
        flowset = load_maps(config, root, processes, bars)
        sweep = run_effects(plan, flowset, out, jobs=processes, on_progress=bars.stage("settings"))
    table, caption = plan.table(sweep), plan.caption(sweep)
    text = f"{effects_words(table).to_string(index=False)}\n\n{caption}. Kept in {sweep.folder}"
    result = {"sweep": str(sweep.folder), "what": caption, "changes": records(table)}
    show(result, text, as_json)


def _run(
    plan: "Callable[..., Study[ComparisonResult]] | Callable[..., Study[InputsResult]]",
    root: Path | None,
    runs: Path,
    out: Path | None,
    jobs: int,
    as_json: bool,
) -> None:
    """Plan a study, run what is missing, write its files and show it."""
    from hmrm_lab.runtime.progress import ProgressBars
    from hmrm_lab.runtime.store import check_writable

    check_writable(runs, out or runs)
    processes = count_processes(jobs)
    with ProgressBars() as bars:
        study = plan(root=root, jobs=processes, watch=bars)
        result = study.run(root=root, out=runs, jobs=processes, watch=bars)
    _finish(result, result.write(out or study.folder(runs)), as_json)


def _finish(
    result: "ComparisonResult | InputsResult | AblationResult",
    files: dict[str, Path],
    as_json: bool,
) -> None:
    """Show a result and its files; exit status 1 if anything failed."""
    record = result.record()
    if files:
        record["files"] = {suffix: str(path) for suffix, path in files.items()}
    lines = [result.text(), *(f"{suffix:<5} {path}" for suffix, path in files.items())]
    show(record, "\n".join(lines), as_json)
    result.refuse_failures()


def _variant(text: str) -> "Variant":
    from hmrm_lab.config.overrides import split_overrides
    from hmrm_lab.studies.study import Variant

    name, colon, changes = text.partition(":")
    if not colon or not name.strip() or not changes.strip():
        raise ConfigError(
            f"variant '{text}' is not NAME:key=value", hint="write thin:model.width=32"
        )
    overrides = tuple(split_overrides(changes))
    return Variant(name.strip(), ", ".join(overrides), overrides)
