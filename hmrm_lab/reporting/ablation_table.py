"""The table of an ablation: each variant against the full model, the paper's claims beside."""

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd

from hmrm_lab.errors import InputError, unknown_name
from hmrm_lab.evaluation.significance import (
    bootstrap_interval,
    holm,
    paired_test,
    pooled,
)
from hmrm_lab.evaluation.summary import collect_predictions, stamp
from hmrm_lab.records import Predictions
from hmrm_lab.reporting.system_cards import claimed
from hmrm_lab.reporting.tables import ALL, note
from hmrm_lab.runtime.store import RunFolder

CLAIMED_ON = "casme2"  # Table 3 of the paper
NONE = "–"
CLAIM = "The paper's claims are on CASME II, epoch rule not stated."
CLAIMS = ("Paper UF1", "Paper UAR", "Paper difference")


def ablation_table(
    words: Mapping[str, str],
    runs: Mapping[str, RunFolder],
    *,
    full: str = "M4",
    system: str = "hmrm",
    part: str = ALL,
    left_out: Mapping[str, str] | None = None,
    problems: Mapping[str, str] | None = None,
) -> pd.DataFrame:
    """One row per variant, in the order of `words`; a variant without a run has no figures.

    `Difference` is UF1 of the variant minus that of the full model on the same clips, with its
    95 % bootstrap interval paired by subject (`Difference low`, `Difference high`). `p` is that of
    the paired permutation test, `p (Holm)` the same, corrected for the number of comparisons in
    the table. An incomplete run has no figures: the folds that it lacks are seldom a fair sample.

    Parameters
    ----------
    words
        What each variant is, by its name.
    runs
        The runs that there are, by the name of their variant.
    system
        What is ablated: the claims beside the figures are those for it.
    part
        `all`, or one data set of the runs, such as the one that the paper ablates on.
    left_out
        Why a variant has no run and will have none.
    problems
        What went wrong with a variant, whether it has left a run or not.

    Columns `Paper ...` are claims on CASME II by the paper, whose flow, data and epoch rule are
    not ours: they are to be read beside the figures and not against them. Where it claims nothing
    about these variants they are empty.
    """
    complete = {name: run for name, run in runs.items() if run.metrics()["complete"]}
    predictions = {name: _part_of(run, part) for name, run in complete.items()}
    table = pd.DataFrame(
        [
            {
                "Variant": name,
                "Model": model,
                **_figures(predictions.get(name)),
                **_difference(predictions.get(name), predictions.get(full), is_full=name == full),
                **_claims(system, name, full),
                "Note": (left_out or {}).get(name)
                or _note(runs.get(name), (problems or {}).get(name, "")),
                "Run": runs[name].path.name if name in runs else "",
            }
            for name, model in words.items()
        ]
    )
    tested = table["p"].notna()
    table.loc[tested, "p (Holm)"] = holm(table.loc[tested, "p"].tolist())
    return table


def ablation_words(table: pd.DataFrame) -> pd.DataFrame:
    """The table to be read: figures rounded, intervals behind them, a dash where there is none.

    Claims have no columns where there are none at all.
    """
    words = pd.DataFrame({"Variant": table["Variant"], "Model": table["Model"]})
    for name in ("UF1", "UAR"):
        words[f"{name} [95 %]"] = [interval_words(row, name, "") for row in _rows(table)]
    words["UF1 minus full [95 %]"] = [
        interval_words(row, "Difference", "+") for row in _rows(table)
    ]
    for name in ("p", "p (Holm)"):
        words[name] = [number_words(value, "") for value in table[name]]
    for name in (claim for claim in CLAIMS if table[claim].notna().any()):
        sign = "+" if name == "Paper difference" else ""
        words[name] = [number_words(value, sign) for value in table[name]]
    if table["Note"].any():
        words["Note"] = table["Note"]
    return words


def ablation_caption(
    runs: Mapping[str, RunFolder], *, full: str = "M4", system: str = "hmrm", part: str = ALL
) -> str:
    """Flow, epoch rule, folds, and what is ours and what is claimed, where anything is."""
    claim = [CLAIM] if claimed(system, full, CLAIMED_ON) else []
    if full not in runs:
        return " ".join(["There are no figures of the full model yet.", *claim])
    metrics = runs[full].metrics()
    figures = metrics["all"] if part == ALL else metrics["datasets"].get(part, metrics["all"])
    flow = str(metrics["flow"])
    ours = f"Ours on {metrics['data']}{'' if part == ALL else f', {part} alone'}"
    ours += "" if flow.startswith("none") else f", flow {flow}"
    return "\n".join([f"{ours}: {stamp({**metrics, 'all': figures})}.", *claim])


def _part_of(run: RunFolder, part: str) -> Predictions:
    predictions = collect_predictions(run)
    names = sorted(predictions.table["dataset"].unique())
    if part == ALL or names == [part]:
        return predictions
    if part not in names:
        raise unknown_name("part", part, [ALL, *names])
    return predictions.only(part)


def _figures(predictions: Predictions | None) -> dict[str, float]:
    row = {}
    for metric in ("uf1", "uar"):
        low, high = bootstrap_interval(predictions, metric) if predictions else (math.nan, math.nan)
        name = metric.upper()
        row[name] = pooled(predictions, metric) if predictions else math.nan
        row[f"{name} low"], row[f"{name} high"] = low, high
    return row


def _difference(
    predictions: Predictions | None, full: Predictions | None, *, is_full: bool
) -> dict[str, float]:
    names = ("Difference", "Difference low", "Difference high", "p", "p (Holm)")
    if predictions is None or full is None or is_full:
        return dict.fromkeys(names, math.nan)
    try:
        found = paired_test(predictions, full)
    except ValueError as error:
        raise InputError(
            f"a variant cannot be compared with the full model: {error}",
            mend="run both on the same data under the same seeds",
        ) from None
    return dict(zip(names, (*found, math.nan), strict=True))


def _claims(system: str, name: str, full: str) -> dict[str, float]:
    theirs, best = claimed(system, name, CLAIMED_ON), claimed(system, full, CLAIMED_ON)
    gap = theirs["uf1"] - best["uf1"] if theirs and best and name != full else math.nan
    values = (theirs.get("uf1", math.nan), theirs.get("uar", math.nan), gap)
    return dict(zip(CLAIMS, values, strict=True))


def _note(run: RunFolder | None, problem: str) -> str:
    if run is None:
        return f"FAILED; {problem}" if problem else "not run yet"
    return "; ".join(filter(None, [note(run.metrics()), problem]))


def _rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(key): value for key, value in row.items()} for row in table.to_dict("records")]


def interval_words(row: dict[str, Any], name: str, sign: str) -> str:
    """`0.712 [0.655, 0.770]` from the columns `name`, `name low` and `name high`."""
    if math.isnan(row[name]):
        return NONE
    low, high = (f"{row[f'{name} {end}']:{sign}.3f}" for end in ("low", "high"))
    return f"{row[name]:{sign}.3f} [{low}, {high}]"


def number_words(value: float, sign: str) -> str:
    """Three decimals, or a dash for NaN; `sign` is + where zero means no difference."""
    return NONE if math.isnan(value) else f"{value:{sign}.3f}"
