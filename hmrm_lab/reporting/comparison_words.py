"""A comparison in words: its tables as they are read, and the sentences above them."""

import math
from collections.abc import Iterable
from typing import Any

import pandas as pd

from hmrm_lab.reporting.comparison import METRICS, SKETCH, has_smoke, p_words, parts_of
from hmrm_lab.reporting.system_cards import claims_of
from hmrm_lab.reporting.tables import ALL, count_words

SIGNIFICANT = 0.05
NONE = "–"
BESIDE = {"Oracle UF1": "", "Peeking adds": "+", "Null UF1": "", "Null within UF1": ""}
CHECKED = ("UF1", "UAR", "ACC")


def result_words(table: pd.DataFrame) -> pd.DataFrame:
    """The main table: figures rounded, intervals behind them, a dash where there is none."""
    rows = _rows(table)
    words = {
        "#": [NONE if math.isnan(row["Rank"]) else f"{row['Rank']:.0f}" for row in rows],
        **{name: [str(row[name]) for row in rows] for name in ("System", "Fidelity", "Takes")},
        "UF1 [95 %]": [_interval(row, "UF1") for row in rows],
        "Minus best [95 %]": [_interval(row, "Difference", "+") for row in rows],
        "p (Holm)": [
            NONE if math.isnan(row["p (Holm)"]) else p_words(row["p (Holm)"]) for row in rows
        ],
    }
    for name, sign in BESIDE.items():
        if name in table:
            words[name] = [_number(row[name], sign) for row in rows]
    if table["Claimed UF1"].notna().any():
        words["Claimed UF1"] = [_number(row["Claimed UF1"]) for row in rows]
    words |= {f"{name} [95 %]": [_interval(row, name) for row in rows] for name in ("UAR", "ACC")}
    if (table["Note"] != "").any():
        words["Note"] = [str(row["Note"]) for row in rows]
    return pd.DataFrame(words)


def part_words(table: pd.DataFrame, part: str) -> pd.DataFrame:
    """The figures of one data set, in the order of the whole."""
    rows = _rows(table)
    words = {"System": [str(row["System"]) for row in rows]}
    for name in CHECKED:
        words[f"{name} [95 %]"] = [_interval(row, f"{part} {name}") for row in rows]
    return pd.DataFrame(words)


def cost_words(table: pd.DataFrame) -> pd.DataFrame:
    """Parameters, FLOPs and times; the machine where they come from several."""
    rows = _rows(table)
    words = {"System": [str(row["System"]) for row in rows]}
    for name in ("Parameters", "FLOPs"):
        words[name] = [count_words(row[name]) for row in rows]
    for name in ("Training s per fold", "Answer ms"):
        words[name] = [NONE if math.isnan(row[name]) else f"{row[name]:.3g}" for row in rows]
    if len(machines(table)) > 1:
        words["Machine"] = [str(row["Machine"]) for row in rows]
    return pd.DataFrame(words)


def claim_words(table: pd.DataFrame, sets: Iterable[str]) -> pd.DataFrame:
    """Every claim on these data sets or on the composite that holds them, with our figure beside.

    `sets` are the data sets behind the results; of one alone, the whole is that set.
    """
    own = sorted(sets)
    places = {name: (f"{name} " if len(own) > 1 else "") for name in own}
    if table["Claimed UF1"].notna().any() and len(own) > 1:
        places = {ALL: "", **places}
    rows = []
    for row in _rows(table):
        claims = claims_of(str(row["System"]))
        for claim in claims.to_dict("records"):
            if claim["data"] in places and claim["metric"] in METRICS:
                name = f"{places[claim['data']]}{claim['metric'].upper()}"
                rows.append(
                    {
                        "System": str(row["System"]),
                        "Data": "composite" if claim["data"] == ALL else str(claim["data"]),
                        "Metric": str(claim["metric"]).upper(),
                        "Measured here [95 %]": _interval(row, name),
                        "Claimed": _number(float(claim["value"])),
                        "Known of it": str(claim["note"]),
                        "Source": str(claim["source"]),
                    }
                )
    return pd.DataFrame(rows)


def machines(table: pd.DataFrame) -> list[str]:
    return [str(name) for name in dict.fromkeys(table["Machine"]) if name]


def no_oracle_words(names: Iterable[str]) -> str:
    """Why there is a dash under the oracle rule."""
    return f"Fitted in one step, without epochs to choose from: {', '.join(names)}."


def lead(table: pd.DataFrame) -> list[str]:
    """What the table says, in sentences computed from it."""
    ranked = table[table["Rank"].notna()]
    if ranked.empty:
        return ["No system has a complete run yet: there is nothing to rank."]
    if has_smoke(ranked):
        return [f"{len(ranked)} systems ran with the preset smoke: their order says nothing."]
    best = ranked.iloc[0]
    words = [
        f"Of {len(ranked)} system{'s' if len(ranked) > 1 else ''}, {best['System']} has the highest"
        f" honest UF1: {best['UF1']:.3f} (95 % interval {best['UF1 low']:.3f} to"
        f" {best['UF1 high']:.3f}, over subjects)."
    ]
    tested = ranked[ranked["p (Holm)"].notna()]
    if len(tested):
        near = tested[tested["p (Holm)"] >= SIGNIFICANT]["System"].tolist()
        worse = len(tested) - len(near)
        words.append(
            f"{worse} of {len(tested)} others differ from it by more than chance would (p < "
            f"{SIGNIFICANT}, corrected)."
            + (f" Not told apart from it: {', '.join(near)}." if near else "")
        )
    if SKETCH in ranked["Fidelity"].tolist():
        names = ", ".join(ranked[ranked["Fidelity"] == SKETCH]["System"])
        words.append(f"Sketches, which are not their authors’ systems: {names}.")
    return words


def comparison_latex(table: pd.DataFrame, caption: str) -> str:
    """The main table as a `tabular` in the manner of booktabs; the caption is a comment."""
    words = result_words(table)
    left = ("System", "Fidelity", "Takes", "Note")
    columns = "".join("l" if name in left else "r" for name in words)
    latex = words.to_latex(index=False, escape=True, column_format=columns)
    head = "".join(f"% {line}\n" for line in caption.splitlines())
    return (head + latex).replace(NONE, "--")


def data_sets(table: pd.DataFrame, whole: str) -> list[str]:
    """The data sets behind the results; `whole` where there is but one."""
    return parts_of(table) or [whole]


def _rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(key): value for key, value in row.items()} for row in table.to_dict("records")]


def _interval(row: dict[str, Any], name: str, sign: str = "") -> str:
    if math.isnan(row.get(name, math.nan)):
        return NONE
    low, high = (f"{row[f'{name} {end}']:{sign}.3f}" for end in ("low", "high"))
    return f"{row[name]:{sign}.3f} [{low}, {high}]"


def _number(value: float, sign: str = "") -> str:
    return NONE if math.isnan(value) else f"{value:{sign}.3f}"
