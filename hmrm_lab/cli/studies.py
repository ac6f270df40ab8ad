"""`hmrm ablate` and `hmrm effects`: studies of one recipe (paper 4.4)."""

from pathlib import Path
from typing import Annotated, Any

import typer

from hmrm_lab.cli.shared import Json, count_processes, load_maps, records, show
from hmrm_lab.errors import ConfigError

Preset = Annotated[str, typer.Option(help="smoke, demo, default, paper, or a TOML file.")]
Data = Annotated[str | None, typer.Option(help="Data set: synthetic, flowmaps, or recordings.")]
Root = Annotated[Path | None, typer.Option(help="Folder of the data set.")]
Overrides = Annotated[
    list[str] | None, typer.Option("--set", help="Setting of all models, key=value; repeatable.")
]
Out = Annotated[Path, typer.Option(help="Folder for run folders.")]
Jobs = Annotated[int, typer.Option(min=0, help="Processes of one thread; 0: one per core.")]


def ablate(
    preset: Preset = "default",
    data: Data = None,
    root: Root = None,
    system: Annotated[str, typer.Option(help="System whose components are changed.")] = "hmrm",
    overrides: Overrides = None,
    variant: Annotated[
        list[str] | None,
        typer.Option(
            help="NAME:key=value,key=value; repeatable. Else those known of hmrm (M1 to M3 of the"
            " paper), ammsm, ammsm_temporal, meganet and meganet_mesti."
        ),
    ] = None,
    part: Annotated[str, typer.Option(help="One data set of several, such as casme2.")] = "all",
    out: Out = Path("runs"),
    jobs: Jobs = 0,
    as_json: Json = False,
) -> None:
    """A system without one component at a time, each against the full model, paired by subject.

    With variants of your own the full model is the recipe as it stands, its flow included. A
    variant that fails does not stop the others; the exit status is 1 then.
    """
    from hmrm_lab.config import load_config
    from hmrm_lab.reporting.ablation_table import (
        ablation_caption,
        ablation_table,
        ablation_words,
    )
    from hmrm_lab.runtime.progress import ProgressBars
    from hmrm_lab.runtime.store import check_writable
    from hmrm_lab.studies.ablate import WHOLE, plan_ablation, run_ablation
    from hmrm_lab.studies.harness import refuse_failures

    check_writable(out)
    config = load_config(preset, data=data, system=system, overrides=overrides or [])
    variants = [_variant(text) for text in variant] if variant else None
    full = WHOLE if variants else None  # the recipe as it was asked for
    plan = plan_ablation(config, variants, full=full, root=root, asked=overrides or [], part=part)
    with ProgressBars() as bars:
        ran = run_ablation(plan, root=root, out=out, jobs=count_processes(jobs), watch=bars)
    whose: dict[str, Any] = {"full": plan.full, "system": config.model.name, "part": part}
    table = ablation_table(
        plan.words, ran.runs, left_out=plan.left_out, problems=ran.problems, **whose
    )
    caption = ablation_caption(ran.runs, **whose)
    text = f"{ablation_words(table).to_string(index=False)}\n\n{caption}"
    show(
        {"system": config.model.name, "caption": caption, "variants": records(table)}, text, as_json
    )
    refuse_failures(ran.problems)


def effects(
    preset: Preset = "default",
    data: Data = None,
    root: Root = None,
    overrides: Overrides = None,
    variant: Annotated[
        list[str] | None,
        typer.Option(help="NAME:key=value,key=value; repeatable. Else a list of single changes."),
    ] = None,
    out: Out = Path("runs"),
    jobs: Jobs = 0,
    as_json: Json = False,
) -> None:
    """What moves the number: one change to HMRM's recipe at a time, on half of the subjects."""
    from hmrm_lab.config import load_config
    from hmrm_lab.reporting.effects_table import effects_words
    from hmrm_lab.runtime.progress import ProgressBars
    from hmrm_lab.runtime.store import check_writable
    from hmrm_lab.studies.effects import BASE, CHANGES, plan_effects
    from hmrm_lab.studies.search import run_grid
    from hmrm_lab.studies.trials import NOT_A_TEST, Sweep

    check_writable(out)
    config = load_config(preset, data=data, overrides=overrides or [])
    changes = [_variant(text) for text in variant] if variant else CHANGES
    plan = plan_effects(config, changes)
    points, processes = list(plan.points.values()), count_processes(jobs)
    with ProgressBars() as bars:
        flowset = load_maps(config, root, processes, bars)
        found = Sweep.of(config, flowset, out)
        run_grid(found, flowset, points, jobs=processes, on_progress=bars.stage("settings"))
    table = plan.table(found)
    cell = found.trial(plan.points[BASE])
    caption = cell.caption() if cell and not cell.problem else NOT_A_TEST
    text = f"{effects_words(table).to_string(index=False)}\n\n{caption}. Kept in {found.folder}"
    result = {"sweep": str(found.folder), "what": caption, "changes": records(table)}
    show(result, text, as_json)


def _variant(text: str) -> Any:
    from hmrm_lab.config.overrides import split_overrides
    from hmrm_lab.studies.ablate import Variant

    name, colon, changes = text.partition(":")
    if not colon or not name.strip() or not changes.strip():
        raise ConfigError(
            f"variant '{text}' is not NAME:key=value", mend="write thin:model.width=32"
        )
    overrides = tuple(split_overrides(changes))
    return Variant(name.strip(), ", ".join(overrides), overrides)
