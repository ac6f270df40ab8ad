"""The files of a comparison: CSV, LaTeX, JSON, and a page that needs no network."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from hmrm_lab.config.sections import ModelConfig
from hmrm_lab.evaluation.epoch_rules import RULES
from hmrm_lab.evaluation.summary import collect_predictions, is_smoke, stamp
from hmrm_lab.registry import systems
from hmrm_lab.reporting.comparison import (
    HONEST,
    NULL,
    NULL_WITHIN,
    ORACLE,
    SKETCH,
    Outcome,
    parameter_statement,
    parts_of,
    ranking_over_sets,
    without_oracle,
)
from hmrm_lab.reporting.comparison_figures import (
    parameters_figure,
    peeking_figure,
    ranks_figure,
    scores_figure,
)
from hmrm_lab.reporting.comparison_words import (
    claim_words,
    comparison_latex,
    cost_words,
    data_sets,
    lead,
    machines,
    no_oracle_words,
    part_words,
    result_words,
)
from hmrm_lab.reporting.plots.results import CONVENTION
from hmrm_lab.reporting.report import figure_box, render_page
from hmrm_lab.reporting.tables import SMOKE_WARNING, clips_words, to_csv, unused_words
from hmrm_lab.runtime.store import to_json, write_atomic

OURS = ModelConfig().name
NO_MACHINE = {
    **dict.fromkeys(("command", "python", "system", "processor", "revision"), "not recorded"),
    "packages": {},
}
NOTE = (
    "Counts of all folds are pooled before a metric is computed. Intervals: 95 % percentile "
    "bootstrap over subjects. Minus best: UF1 minus that of the first row, paired by subject; p: "
    "permutation test that swaps the answers of both person by person, raised by Holm for all "
    "comparisons. The best was chosen by these same figures, which flatters it a little."
)


def write_comparison(outcome: Outcome, table: pd.DataFrame, folder: Path) -> dict[str, Path]:
    """Write `comparison.csv`, `.tex`, `.json` and `.html`; their paths by suffix.

    `table` is that of the outcome (`comparison_table`).
    """
    contents = {
        "csv": to_csv(table),
        "tex": comparison_latex(table, protocol(outcome)),
        "json": to_json(comparison_record(outcome, table)),
        "html": render_comparison(outcome, table),
    }
    files = {suffix: folder / f"comparison.{suffix}" for suffix in contents}
    for suffix, content in contents.items():
        write_atomic(files[suffix], content)
    return files


def protocol(outcome: Outcome) -> str:
    """The stamp of the honest runs: rule, folds, seeds, flow."""
    runs = outcome.complete(HONEST).values()
    known = [run.metrics() for run in runs]
    if not known:
        return f"data {outcome.data}; no complete run"
    ruled = [metrics for metrics in known if metrics["epoch_rule"] in RULES]
    flows = ", ".join(dict.fromkeys(str(metrics["flow"]) for metrics in ruled or known))
    told = stamp((ruled or known)[0])
    return f"data {outcome.data}; flow {flows}; {told}; {clips_words(runs)}"


def comparison_record(outcome: Outcome, table: pd.DataFrame) -> dict[str, Any]:
    """The comparison for programs; null where there is no figure."""
    ranking = ranking_over_sets(table)
    return {
        "data": outcome.data,
        "protocol": protocol(outcome),
        "systems": json.loads(table.to_json(orient="records")),
        "left_out": outcome.left_out,
        "problems": outcome.problems,
        "unused_settings": outcome.unused,
        "without_oracle": without_oracle(outcome),
        "over_data_sets": {"none": ranking} if isinstance(ranking, str) else asdict(ranking),
        "parameters": parameter_statement(table, OURS),
        "flops": CONVENTION,
        "runs": {
            kind: {name: str(run.path) for name, run in runs.items()}
            for kind, runs in outcome.runs.items()
        },
    }


def render_comparison(outcome: Outcome, table: pd.DataFrame) -> str:
    """The page as text."""
    told = protocol(outcome)
    sets = data_sets(table, _whole(outcome))
    claims = claim_words(table, sets)
    figures = {
        "scores": scores_figure(table, caption=told),
        "peeking": peeking_figure(table, caption=told),
        "ranks": ranks_figure(ranking_over_sets(table), caption=told),
        "parameters": parameters_figure(table, ours=OURS, caption=told),
    }
    runs = [run for of_kind in outcome.runs.values() for run in of_kind.values()]
    ranked = int(table["Rank"].notna().sum())
    return render_page(
        "comparison.html.j2",
        title=f"{ranked} systems on {outcome.data}",
        protocol=told,
        warnings=_warnings(outcome),
        remarks=_remarks(outcome, table),
        lead=lead(table),
        results=_shown("Results", result_words(table), table),
        results_note=NOTE + (_beside_note(outcome)),
        parts=[_shown(part, part_words(table, part), table) for part in parts_of(table)],
        costs=_shown("Costs", cost_words(table), table),
        costs_note=_costs_note(table),
        claims=_shown("Claims", claims),
        statement=parameter_statement(table, OURS),
        systems=[_system(name) for name in table["System"]],
        figures={name: figure_box(figure) for name, figure in figures.items()},
        machine=runs[0].environment() if runs else NO_MACHINE,
        runs=[run.path.name for run in runs],
        plotly=Markup(get_plotlyjs()),  # noqa: S704  a script of the package itself
    )


def _shown(title: str, words: pd.DataFrame, table: pd.DataFrame | None = None) -> dict[str, Any]:
    """A table for the template; rows of sketches and of whatever has a note are flagged."""
    flagged = [False] * len(words)
    if table is not None:
        flagged = ((table["Note"] != "") | (table["Fidelity"] == SKETCH)).tolist()
    rows = words.to_numpy().tolist()
    return {"title": title, "columns": list(words.columns), "rows": rows, "flagged": flagged}


def _warnings(outcome: Outcome) -> list[tuple[str, str]]:
    """What bars a ranking, then what went wrong, one line for each."""
    runs = outcome.runs[HONEST].values()
    return [SMOKE_WARNING] * any(is_smoke(run.metrics()) for run in runs) + [
        (
            "{} ({}) failed or is incomplete".format(*name.rsplit(", ", 1)),
            f"{reason}.",
        )
        for name, reason in outcome.problems.items()
    ]


def _remarks(outcome: Outcome, table: pd.DataFrame) -> list[tuple[str, str]]:
    found = [(f"{name} is left out", f"It {why}.") for name, why in outcome.left_out.items()]
    found += [
        (f"{setting} is not for all", f"{unused_words(names)}.")
        for setting, names in outcome.unused.items()
    ]
    if names := without_oracle(outcome):
        found.append(("No oracle run for some", no_oracle_words(names)))
    if outcome.data == "synthetic":
        found.append(
            (
                "Procedural faces",
                "Nobody was recorded. The figures compare systems where the truth is known; they"
                " say nothing about real recordings, and no claim on real ones stands beside them.",
            )
        )
    if table["Claim"].str.contains("of which we have").any():
        found.append(
            (
                "Claims on more data",
                "Claims on the composite rest on three data sets, and these results on fewer.",
            )
        )
    return found


def _beside_note(outcome: Outcome) -> str:
    told = ""
    if ORACLE in outcome.runs:
        told += " Oracle: the epoch that does best on the test person; it peeks, and ranks nothing."
    if NULL in outcome.runs:
        told += " Null: trained on shuffled labels, so that what it scores is chance, or a leak."
    if NULL_WITHIN in outcome.runs:
        told += (
            " Null within: trained on labels shuffled among the clips of each subject, so that it"
            " knows no more than how often subjects show each class."
        )
    return told


def _costs_note(table: pd.DataFrame) -> str:
    known = machines(table)
    where = f" on {known[0]}" if len(known) == 1 else ""
    return (
        f"{CONVENTION} Training: mean wall time of a fold{where}, while other folds may run beside"
        " it. Answer: median milliseconds for one clip given alone, from its map on"
        " (systems that take clips: from the gray clip on, so without flow), with the views that"
        " the recipe averages. Training of those systems computes the description of a clip once"
        " per process, not in every fold. A dash where the run is older than this measurement."
    )


def _system(name: str) -> dict[str, Any]:
    card = systems[name].card
    if card is None:
        return {
            "name": name,
            "fidelity": "fidelity not stated",
            "takes": "flow maps",
            "citation": systems[name].source,
            "departures": (),
        }
    return {
        "name": name,
        "fidelity": card.fidelity,
        "takes": card.takes,
        "citation": card.citation,
        "departures": card.departures,
    }


def _whole(outcome: Outcome) -> str:
    """The data set behind all results, where it is one."""
    runs = outcome.complete(HONEST)
    if not runs:
        return outcome.data
    return str(collect_predictions(next(iter(runs.values()))).table["dataset"].iloc[0])
