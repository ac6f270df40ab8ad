"""`hmrm compare`, `inputs`, `audit`, `score`: systems in one harness, leaks, and logs of others."""

from pathlib import Path
from typing import Annotated

import typer

from hmrm_lab.cli.shared import Json, count_processes, show

Root = Annotated[Path | None, typer.Option(help="Folder of the data set.")]
Preset = Annotated[str, typer.Option(help="smoke, demo, default, paper, or a TOML file.")]
Data = Annotated[str | None, typer.Option(help="Data set: synthetic, flowmaps, or recordings.")]
Overrides = Annotated[
    list[str] | None, typer.Option("--set", help="Setting of all systems, key=value; repeatable.")
]
Seeds = Annotated[int | None, typer.Option(min=1, help="How many; else the preset's.")]
Runs = Annotated[Path, typer.Option(help="Folder for run folders.")]
Jobs = Annotated[int, typer.Option(min=0, help="Processes; 0: one per core.")]
Rule = Annotated[str | None, typer.Option(help="last or inner_subjects: the one that ranks.")]


def compare(
    preset: Preset = "default",
    data: Data = None,
    root: Root = None,
    systems: Annotated[
        str, typer.Option(help="Names with commas between; else all that take these data.")
    ] = "",
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
    runs: Runs = Path("runs"),
    out: Annotated[
        Path | None, typer.Option(help="Folder for the comparison; else RUNS/compare-...")
    ] = None,
    jobs: Jobs = 0,
    as_json: Json = False,
) -> None:
    """All systems under one protocol, ranked by honest UF1, as CSV, LaTeX, JSON and a page.

    Each keeps its own recipe; data, flow, folds, seeds and epoch rule are the same. Finished runs
    are taken up. A system that fails does not stop the others; the exit status is 1 then.
    """
    from hmrm_lab.reporting.comparison import comparison_table, without_oracle
    from hmrm_lab.reporting.comparison_page import (
        comparison_record,
        protocol,
        write_comparison,
    )
    from hmrm_lab.reporting.comparison_words import no_oracle_words, result_words
    from hmrm_lab.reporting.tables import unused_words
    from hmrm_lab.runtime.progress import ProgressBars
    from hmrm_lab.runtime.store import check_writable
    from hmrm_lab.studies.compare import plan_comparison, run_comparison
    from hmrm_lab.studies.harness import refuse_failures

    check_writable(runs, out or runs)
    processes = count_processes(jobs)
    with ProgressBars() as bars:
        plan = plan_comparison(
            preset,
            data=data,
            root=root,
            systems=_names(systems),
            seeds=seeds,
            epoch_rule=epoch_rule,
            overrides=overrides or [],
            oracle=oracle,
            null=null,
            null_within_subjects=null_within_subjects,
            jobs=processes,
            watch=bars,
        )
        outcome = run_comparison(plan, root=root, runs=runs, jobs=processes, watch=bars)
    table = comparison_table(outcome)
    files = write_comparison(outcome, table, out or plan.folder(runs))
    left = [f"{name} is left out: it {why}" for name, why in plan.left_out.items()]
    left += [f"{text}: {unused_words(names)}" for text, names in plan.unused.items()]
    if names := without_oracle(outcome):
        left.append(f"no oracle run for some. {no_oracle_words(names)}")
    text = "\n".join(
        [
            *(result_words(table).to_string(index=False), "", protocol(outcome), *left),
            *(f"{suffix:<5} {path}" for suffix, path in files.items()),
        ]
    )
    record = comparison_record(outcome, table)
    show({**record, "files": {k: str(path) for k, path in files.items()}}, text, as_json)
    refuse_failures(outcome.problems)


def inputs(
    preset: Preset = "default",
    data: Data = None,
    root: Root = None,
    systems: Annotated[
        str, typer.Option(help="Names with commas between; else the paper's networks and MEGANet.")
    ] = "",
    inputs: Annotated[
        str,
        typer.Option(help="Of apex, flow, dual_phase, dynamic_image, mesti, commas between."),
    ] = "",
    seeds: Seeds = None,
    overrides: Overrides = None,
    runs: Runs = Path("runs"),
    jobs: Jobs = 0,
    as_json: Json = False,
) -> None:
    """Each input on each network (MESTI-MEGANet): what a system is given of a clip, compared.

    The folds, and the recipe of a network, are the same for all of its inputs. Finished runs are
    taken up. One that fails does not stop the others; the exit status is 1 then.
    """
    from hmrm_lab.reporting.inputs_table import (
        NOTE,
        TEST_NOTE,
        inputs_caption,
        inputs_record,
        inputs_remarks,
        inputs_table,
        inputs_words,
        paired_words,
        write_inputs,
    )
    from hmrm_lab.runtime.progress import ProgressBars
    from hmrm_lab.runtime.store import check_writable
    from hmrm_lab.studies.harness import refuse_failures
    from hmrm_lab.studies.inputs import plan_inputs, run_inputs

    check_writable(runs)
    processes = count_processes(jobs)
    with ProgressBars() as bars:
        plan = plan_inputs(
            preset,
            data=data,
            root=root,
            systems=_names(systems),
            inputs=_names(inputs),
            seeds=seeds,
            overrides=overrides or [],
            jobs=processes,
            watch=bars,
        )
        found = run_inputs(plan, root=root, runs=runs, jobs=processes, watch=bars)
    table = inputs_table(found)
    files = write_inputs(found, table, plan.folder(runs))
    tests = paired_words(table)
    lines = [inputs_words(table).to_string(index=False), "", inputs_caption(found), NOTE]
    lines += ["", tests.to_string(index=False), TEST_NOTE] if len(tests) else []
    lines += [*inputs_remarks(found), *(f"{suffix:<5} {path}" for suffix, path in files.items())]
    record = inputs_record(found, table)
    written = {suffix: str(path) for suffix, path in files.items()}
    show({**record, "files": written}, "\n".join(lines), as_json)
    refuse_failures({f"{on}, {what}": why for (on, what), why in found.problems.items()})


def audit(
    run: Annotated[Path, typer.Argument(help="Run folder.")],
    root: Root = None,
    as_json: Json = False,
) -> None:
    """Did anything of a test subject reach the training? Exit status 1 if a leak is found.

    Nothing is trained. LEAK: it did. FAULT: the records contradict themselves or the data, which is
    no leak, and ends with 1 as well. The rule oracle_test is a leak by design.
    """
    from hmrm_lab.runtime.store import RunFolder
    from hmrm_lab.studies.audit import as_dict, audit_run, found_wrong

    folder = RunFolder.open(run)
    checks = audit_run(folder, root)
    name, state = (max(len(getattr(c, part)) for c in checks) for part in ("name", "state"))
    lines = [f"{c.state:<{state}}  {c.name:<{name}}  {c.why}" for c in checks]
    show(as_dict(folder, checks), "\n".join(lines), as_json)
    if found_wrong(checks):
        raise typer.Exit(1)


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def score(
    log: Annotated[Path, typer.Argument(help="Table, or log as MEGC, STSTNet and HTNet print it.")],
    as_json: Json = False,
) -> None:
    """UF1, UAR and accuracy of a log of predictions, pooled over all folds; says how it was read.

    Columns of a table are found by the names in its header, in any order.
    """
    from hmrm_lab.evaluation.other_programs import read_predictions
    from hmrm_lab.evaluation.summary import summarise
    from hmrm_lab.reporting.tables import render_text, scores_table

    predictions, told = read_predictions(log)
    scores = summarise(predictions) | {"read_as": told}
    text = "\n".join(
        [render_text(scores_table(scores)), "", *(f"read as  {line}" for line in told)]
    )
    show(scores, text, as_json)
