"""The table of inputs: networks in rows, what they are given of a clip in columns."""

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from hmrm_lab.evaluation.epoch_rules import RULES
from hmrm_lab.evaluation.significance import holm, paired_test
from hmrm_lab.evaluation.summary import collect_predictions, stamp
from hmrm_lab.reporting.ablation_table import interval_words, number_words
from hmrm_lab.reporting.inputs_figures import inputs_figure
from hmrm_lab.reporting.tables import clips_words, count_words, note, to_csv, unused_words
from hmrm_lab.runtime.store import RunFolder, to_json, write_atomic

Cell = tuple[str, str]  # system, input
TESTED = "mesti"
BEST = " *"
BOTH = ", both phases"  # a column of its own says so
NAN = math.nan
DIFFERENCE = ("Difference", "Difference low", "Difference high", "p")
UNPAIRED = "other clips than MESTI: not paired"
NOTE = (
    "Intervals: 95 % bootstrap over subjects. * the highest of its row, which the interval may"
    " not tell from others. Pictures have 56 px a side and flow 28: networks without a fixed side"
    " grow with them, and shifts in pixels reach half as far on pictures."
)
TEST_NOTE = (
    "MESTI minus the other input on the same network, paired by subject. p: permutation test that"
    " swaps the answers of both person by person, raised by Holm for all of these comparisons."
)


@dataclass(frozen=True)
class InputsFound:
    """The runs of a study of inputs by cell, `(system, input)`, and why cells have none.

    `words` are those of the inputs, in the order of the columns. `left_out` takes no part by its
    nature, `problems` says what went wrong; `unused` names the systems that have no use for a
    setting that was asked for.
    """

    data: str
    systems: tuple[str, ...]
    words: dict[str, str]
    runs: dict[Cell, RunFolder]
    left_out: dict[Cell, str] = field(default_factory=dict)
    problems: dict[Cell, str] = field(default_factory=dict)
    unused: dict[str, list[str]] = field(default_factory=dict)

    @property
    def complete(self) -> dict[Cell, RunFolder]:
        """The runs from which figures may be computed."""
        return {cell: run for cell, run in self.runs.items() if run.metrics()["complete"]}


def inputs_table(found: InputsFound) -> pd.DataFrame:
    """One row for each system and input, left out or not.

    `UF1`, `UAR` and `ACC` have 95 % bootstrap intervals over subjects (`UF1 low`, `UF1 high`);
    `Best` marks the highest UF1 of each system. `Difference` is UF1 with MESTI minus UF1 with this
    input on the same system, paired by subject; `p` that of the paired permutation test, `p (Holm)`
    the same, corrected for all comparisons in the table. What has no complete run has no figures,
    what is no network no number of `Parameters`, and what is on other clips than MESTI no
    difference; `Note` says so.
    """
    complete = found.complete
    rows = [
        _row(found, (system, name), complete) for system in found.systems for name in found.words
    ]
    table = pd.DataFrame(rows)
    best = table.groupby("System")["UF1"].transform("max")
    table["Best"] = table["UF1"].notna() & (table["UF1"] == best)
    tested = table["p"].notna()
    table.loc[tested, "p (Holm)"] = holm(table.loc[tested, "p"].tolist())
    return table


def inputs_words(table: pd.DataFrame) -> pd.DataFrame:
    """UF1 with intervals to be read: a row for each network, a column for each input.

    `Parameters` are those of the network, from its fewest to its most.
    """
    rows: dict[str, dict[str, str]] = {}
    for row in _rows(table):
        words = interval_words(row, "UF1", "") + (BEST if row["Best"] else "")
        rows.setdefault(row["System"], {"Network": row["System"]})[row["Input"]] = words
    for system, counts in table.groupby("System")["Parameters"]:
        ends = dict.fromkeys(count_words(count) for count in (counts.min(), counts.max()))
        rows[str(system)]["Parameters"] = " to ".join(ends)
    return pd.DataFrame(list(rows.values()))


def paired_words(table: pd.DataFrame) -> pd.DataFrame:
    """MESTI against each other input of the same network; no rows where nothing could be paired."""
    rows = [row for row in _rows(table) if not math.isnan(row["p"])]
    return pd.DataFrame(
        {
            "Network": [row["System"] for row in rows],
            "MESTI minus": [row["Input"] for row in rows],
            "UF1 [95 %]": [interval_words(row, "Difference", "+") for row in rows],
            "p": [number_words(row["p"], "") for row in rows],
            "p (Holm)": [number_words(row["p (Holm)"], "") for row in rows],
        }
    )


def inputs_caption(found: InputsFound) -> str:
    """The stamp of the runs: data, flow, epoch rule, subjects, seeds."""
    runs = found.complete.values()
    known = [run.metrics() for run in runs]
    if not known:
        return f"data {found.data}; no complete run"
    ruled = [metrics for metrics in known if metrics["epoch_rule"] in RULES]
    flows = {str(metrics["flow"]).removesuffix(BOTH) for metrics in known}
    flow = "".join(f"flow {name}; " for name in sorted(flows) if not name.startswith("none"))
    told = stamp((ruled or known)[0])
    return f"data {found.data}; {flow}{told}; {clips_words(runs)}"


def inputs_remarks(found: InputsFound) -> list[str]:
    """What is missing and why, each reason once; settings that some had no use for."""
    told = [f"{cells}: left out, {why}" for why, cells in _by_reason(found.left_out, found).items()]
    told += [f"{cells}: FAILED, {why}" for why, cells in _by_reason(found.problems, found).items()]
    return told + [f"{text}: {unused_words(of)}" for text, of in found.unused.items()]


def inputs_record(found: InputsFound, table: pd.DataFrame) -> dict[str, Any]:
    """The study for programs; null where there is no figure."""
    return {
        "data": found.data,
        "protocol": inputs_caption(found),
        "inputs": found.words,
        "cells": json.loads(table.to_json(orient="records")),
        "remarks": inputs_remarks(found),
        "runs": {f"{system}, {name}": str(run.path) for (system, name), run in found.runs.items()},
    }


def write_inputs(found: InputsFound, table: pd.DataFrame, folder: Path) -> dict[str, Path]:
    """Write `inputs.csv`, `inputs.json` and the figure, `inputs.html`; their paths by suffix."""
    figure = inputs_figure(table, caption=inputs_caption(found))
    contents = {
        "csv": to_csv(table),
        "json": to_json(inputs_record(found, table)),
        "html": figure.to_html(include_plotlyjs=True),
    }
    files = {suffix: folder / f"inputs.{suffix}" for suffix in contents}
    for suffix, content in contents.items():
        write_atomic(files[suffix], content)
    return files


def _scores(run: RunFolder | None) -> dict[str, float]:
    scores: dict[str, float] = {}
    figures = run.metrics()["all"] if run else {}
    for metric in ("uf1", "uar", "acc"):
        name = metric.upper()
        scores[name] = figures.get(metric, NAN)
        low, high = figures.get(f"{metric}_interval", (NAN, NAN))
        scores[f"{name} low"], scores[f"{name} high"] = low, high
    return scores


def _parameters(run: RunFolder | None) -> float:
    count = run.data().get("parameters") if run else None
    return NAN if count is None else float(count)


def _row(found: InputsFound, cell: Cell, complete: Mapping[Cell, RunFolder]) -> dict[str, Any]:
    (system, name), run = cell, complete.get(cell)
    difference = _difference(system, name, complete)
    told = [_note(found, cell), UNPAIRED if difference is None else ""]
    return {
        "System": system,
        "Input": found.words[name],
        **_scores(run),
        "Best": False,
        "Parameters": _parameters(run),
        **(difference or dict.fromkeys(DIFFERENCE, NAN)),
        "p (Holm)": NAN,
        "Note": "; ".join(filter(None, told)),
        "Run": run.path.name if run else "",
    }


def _difference(
    system: str, name: str, complete: Mapping[Cell, RunFolder]
) -> dict[str, float] | None:
    """MESTI minus another input; no figures without both runs, None where their clips differ."""
    ours, theirs = complete.get((system, TESTED)), complete.get((system, name))
    if name == TESTED or ours is None or theirs is None:
        return dict.fromkeys(DIFFERENCE, NAN)
    try:
        paired = paired_test(collect_predictions(ours), collect_predictions(theirs))
    except ValueError:
        return None
    return dict(zip(DIFFERENCE, paired, strict=True))


def _note(found: InputsFound, cell: Cell) -> str:
    if cell in found.left_out:
        return found.left_out[cell]
    run = found.runs.get(cell)
    told = [note(run.metrics()) if run else "FAILED", found.problems.get(cell, "")]
    return "; ".join(filter(None, told))


def _by_reason(reasons: Mapping[Cell, str], found: InputsFound) -> dict[str, str]:
    """The cells of each reason in words; an input that all systems lack is named alone."""
    lacking: dict[str, dict[str, list[str]]] = {}
    for (system, name), why in reasons.items():
        lacking.setdefault(why, {}).setdefault(found.words[name], []).append(system)
    return {
        why: "; ".join(
            words if len(of) == len(found.systems) else f"{words} on {', '.join(of)}"
            for words, of in inputs.items()
        )
        for why, inputs in lacking.items()
    }


def _rows(table: pd.DataFrame) -> Iterator[dict[str, Any]]:
    for row in table.to_dict("records"):
        yield {str(key): value for key, value in row.items()}
