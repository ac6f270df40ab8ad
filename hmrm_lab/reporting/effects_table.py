"""One change to a recipe at a time, each against the recipe on the same persons."""

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd

from hmrm_lab.evaluation.significance import (
    bootstrap_interval,
    holm,
    paired_test,
    pooled,
)
from hmrm_lab.records import Predictions
from hmrm_lab.reporting.ablation_table import NONE, interval_words, number_words

CLIP = ["dataset", "subject", "clip"]
FIGURES = (
    *("UF1", "UF1 low", "UF1 high"),
    *("Difference", "Difference low", "Difference high", "p", "p (Holm)"),
)


def effects_table(
    words: Mapping[str, str],
    answers: Mapping[str, Predictions],
    *,
    base: str,
    notes: Mapping[str, str],
) -> pd.DataFrame:
    """One row per change, in the order of `words`; `notes` says why a row has no figures.

    `Difference` is UF1 with the change minus that of the recipe, with its 95 % bootstrap interval
    paired by subject; `p` is that of the paired permutation test, and `p (Holm)` the same,
    corrected for the number of changes in the table.

    Parameters
    ----------
    words
        What each change is, by its name, `base` among them.
    answers
        What was answered with it, for the same clips under the same seeds.
    """
    table = pd.DataFrame(
        [_row(name, what, answers, base, notes.get(name, "")) for name, what in words.items()]
    )
    tested = table["p"].notna()
    table.loc[tested, "p (Holm)"] = holm(table.loc[tested, "p"].tolist())
    return table


def effects_words(table: pd.DataFrame) -> pd.DataFrame:
    """The table to be read: the recipe first, then the changes, the best one on top."""
    order = table["Difference"].where(table.index != table.index[0], math.inf)
    ordered = table.assign(order=order).sort_values("order", ascending=False, kind="stable")
    rows = [{str(key): value for key, value in row.items()} for row in ordered.to_dict("records")]
    words = pd.DataFrame({"Change": ordered["Change"].tolist(), "Settings": ordered["Settings"]})
    words["UF1 [95 %]"] = [interval_words(row, "UF1", "") for row in rows]
    words["Difference [95 %]"] = [interval_words(row, "Difference", "+") for row in rows]
    for name in ("p", "p (Holm)"):
        words[name] = [number_words(row[name], "") for row in rows]
    if table["Note"].any():
        words["Note"] = ordered["Note"].replace("", NONE)
    return words.reset_index(drop=True)


def ensemble(predictions: Predictions) -> Predictions:
    """The mean probabilities of all seeds in the place of each: one answer, told once per seed.

    Every seed's model has not met the clip, so none of them has their mean.
    """
    table = predictions.table.copy()
    columns = predictions.probabilities
    table[columns] = table.groupby(CLIP)[columns].transform("mean")
    table["prediction"] = table[columns].to_numpy().argmax(1)
    return Predictions(table)


def _row(
    name: str, what: str, answers: Mapping[str, Predictions], base: str, note: str
) -> dict[str, Any]:
    row: dict[str, Any] = {"Change": name, "Settings": what}
    row |= {**dict.fromkeys(FIGURES, math.nan), "Note": note}
    if name not in answers:
        return row
    row["UF1"] = pooled(answers[name], "uf1")
    row["UF1 low"], row["UF1 high"] = bootstrap_interval(answers[name], "uf1")
    if name != base and base in answers:
        found = paired_test(answers[name], answers[base])
        row["Difference"], row["Difference low"], row["Difference high"], row["p"] = found
    return row
