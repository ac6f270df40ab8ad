"""Results as tables: numbers in a DataFrame, and that DataFrame as text, CSV, LaTeX or HTML."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from hmrm_lab.evaluation.audit_findings import LEAK
from hmrm_lab.evaluation.significance import paired_difference
from hmrm_lab.evaluation.summary import collect_predictions, is_smoke
from hmrm_lab.records import Predictions
from hmrm_lab.runtime.store import RunFolder

ALL = "all"
SHARED = (
    "Data",
    "Flow",
    "Protocol",
    "Epoch rule",
    "Seeds",
)  # said once above a text table if all rows agree
LONG = ("Run", "Control", "Complete")  # a text table says these in its notes
COUNTS = ("Parameters", "FLOPs")
NOT_APPLICABLE = "–"
SHORT = {"Subjects": "Subj.", "Parameters": "Params", "Epoch rule": "Rule"}
SMOKE_WARNING = (
    "SMOKE",
    "The preset smoke checks an installation in seconds, with networks that have hardly learnt"
    " anything. The numbers mean nothing and rank nothing.",
)
LATEX_SPECIAL = {
    "\\": r"\textbackslash{}",
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
}


def results_table(runs: Sequence[RunFolder]) -> pd.DataFrame:
    """One row per run, and one for each data set where a run rests on several.

    Figures are numbers, the ends of an interval have columns of their own (`UF1 low`,
    `UF1 high`). `Note` says what keeps a row from being compared: SMOKE, PEEKS, WEIGHTS LEAK and so
    on.
    A system that is no network has no number of parameters and no FLOPs (`pd.NA`).
    """
    table = pd.DataFrame([row for run in runs for row in _rows_of_run(run)])
    return table.astype(dict.fromkeys(COUNTS, "Int64")) if len(table) else table


def paired_differences(runs: Sequence[RunFolder]) -> list[dict[str, Any]]:
    """UF1 of the first run minus that of each other on the same clips, paired by subject.

    Each has `ours`, `theirs`, `difference`, `low` and `high`: the 95 % bootstrap interval. The
    maps may differ, as those of two flow methods do; the clips and their labels may not. An
    incomplete run is not compared: the folds that it lacks are seldom a fair sample.
    """
    first, *others = [run for run in runs if run is runs[0] or run.metrics()["complete"]]
    if not first.metrics()["complete"]:
        return []
    found = []
    for other in others:
        ours, theirs = collect_predictions(first), collect_predictions(other)
        if _clips(ours) != _clips(theirs):
            continue
        difference, low, high = paired_difference(ours, theirs, "uf1")
        names = dict(zip(("ours", "theirs"), _told_apart(first, other), strict=True))
        found.append({**names, "difference": difference, "low": low, "high": high})
    return found


def clips_words(runs: Iterable[RunFolder]) -> str:
    """Whether these runs are on the same clips.

    A damaged frame costs a clip where that frame is looked at; onset-apex flow looks at two.
    """
    known = {frozenset(_clips(collect_predictions(run))) for run in runs}
    if len(known) > 1:
        return "NOT the same clips for all: others are not paired"
    return "the same clips and folds for all"


def _clips(predictions: Predictions) -> set[tuple[object, ...]]:
    columns = predictions.table[["dataset", "subject", "clip", "truth"]]
    return set(columns.itertuples(index=False, name=None))


def _told_apart(first: RunFolder, other: RunFolder) -> tuple[str, str]:
    """The systems' names; with their flow, if that is all in which they differ."""
    names = [run.metrics()["system"] for run in (first, other)]
    if names[0] == names[1]:
        names = [f"{run.metrics()['system']} on {run.config().flow.name}" for run in (first, other)]
    return names[0], names[1]


def scores_table(scores: Mapping[str, Any]) -> pd.DataFrame:
    """The figures of one set of predictions (`summarise`), with the F1 of every class."""
    return pd.DataFrame([{"Part": part, **_figures(of)} | _f1(of) for part, of in _parts(scores)])


def display_table(table: pd.DataFrame) -> pd.DataFrame:
    """The same table in words: figures rounded, each with its interval behind it."""
    columns: dict[str, list[str]] = {}
    for name in map(str, table.columns):
        if name.endswith((" low", " high")):
            continue
        if f"{name} low" in table.columns:
            ends = zip(table[name], table[f"{name} low"], table[f"{name} high"], strict=True)
            columns[f"{name} [95 %]"] = [f"{x:.3f} [{a:.3f}, {b:.3f}]" for x, a, b in ends]
        else:
            columns[name] = [_in_words(name, value) for value in table[name]]
    return pd.DataFrame(columns)


def render_text(table: pd.DataFrame) -> str:
    """Aligned plain text for a terminal. What all rows share stands above, once."""
    words = display_table(table).drop(columns=list(LONG), errors="ignore")
    shared = [name for name in SHARED if name in words and words[name].nunique() == 1]
    head = ", ".join(f"{name.lower()} {words[name].iloc[0]}" for name in shared)
    idle = [name for name in ("Note", "Part") if name in words and _says_nothing(words[name])]
    words = words.drop(columns=[*shared, *idle]).rename(columns=SHORT)
    widths = [max(len(str(name)), *words[name].str.len()) for name in words]
    left = [name in ("System", "Part", "Note", *SHARED) for name in words]
    rows = [list(words.columns), *words.to_numpy().tolist()]
    lines = [
        "  ".join(
            cell.ljust(width) if is_left else cell.rjust(width)
            for cell, width, is_left in zip(row, widths, left, strict=True)
        ).rstrip()
        for row in rows
    ]
    rule = "-" * max(map(len, lines))
    return "\n".join([*([head] if head else []), lines[0], rule, *lines[1:]])


def to_csv(table: pd.DataFrame) -> str:
    """Comma-separated, every digit kept."""
    return table.to_csv(index=False, lineterminator="\n")


def to_html(table: pd.DataFrame) -> str:
    """A bare `<table>`, escaped, to be styled by the page around it."""
    return display_table(table).to_html(index=False, border=0, escape=True)


def to_latex(table: pd.DataFrame) -> str:
    """A `tabular` in the manner of booktabs."""
    words = display_table(table)
    numeric = [name not in table or pd.api.types.is_numeric_dtype(table[name]) for name in words]
    lines = [
        f"\\begin{{tabular}}{{{''.join('r' if right else 'l' for right in numeric)}}}",
        r"\toprule",
        latex_row(words.columns.tolist()),
        r"\midrule",
        *(latex_row(row) for row in words.to_numpy().tolist()),
        r"\bottomrule",
        r"\end{tabular}",
    ]
    return "\n".join(lines) + "\n"


def unused_words(systems: Sequence[str]) -> str:
    """`svm, lbp_top have no use for it`, of a setting that was asked for."""
    return f"{', '.join(systems)} {'has' if len(systems) == 1 else 'have'} no use for it"


def count_words(count: float) -> str:
    """19305 as 19.3k; a dash for NaN, where there is nothing to count."""
    return NOT_APPLICABLE if math.isnan(count) else _rounded_count(round(count))


def _rows_of_run(run: RunFolder) -> Iterator[dict[str, Any]]:
    metrics, data = run.metrics(), run.data()
    for part, figures in _parts(metrics):
        yield {
            "System": metrics["system"],
            "Data": metrics["data"],
            "Flow": metrics["flow"],
            "Part": part,
            **_figures(figures),
            "Protocol": metrics.get("protocol", "loso"),
            "Epoch rule": metrics["epoch_rule"],
            "Control": metrics["control"],
            "Parameters": data["parameters"],
            "FLOPs": data["flops"],
            "Seeds": len(metrics["seeds"]),
            "Complete": metrics["complete"],
            "Note": note(metrics),
            "Run": run.path.name,
        }


def note(metrics: Mapping[str, Any]) -> str:
    """What keeps this run from being compared with honest ones; empty if nothing does."""
    words = ["SMOKE"] if is_smoke(metrics) else []
    if metrics["peeking"]:
        words.append("PEEKS")
    if "weights" in metrics:
        words.append("WEIGHTS LEAK" if metrics["weights"] == LEAK else "WEIGHTS UNKNOWN")
    if metrics["control"] != "none":
        words.append("CONTROL")
    if not metrics["complete"]:
        failed = metrics.get("units_failed", 0)
        words.append(
            f"INCOMPLETE {metrics['units_done']}/{metrics['units_expected']}"
            + (f" ({failed} failed)" if failed else "")
        )
    return ", ".join(words)


def _parts(scores: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    yield ALL, scores["all"]
    yield from scores["datasets"].items()


def _figures(figures: Mapping[str, Any]) -> dict[str, Any]:
    row: dict[str, Any] = {"Clips": figures["clips"], "Subjects": figures["subjects"]}
    for metric in ("uf1", "uar"):
        name = metric.upper()
        row[name] = figures[metric]
        row[f"{name} low"], row[f"{name} high"] = figures[f"{metric}_interval"]
    return row | {"ACC": figures["acc"]}


def _f1(figures: Mapping[str, Any]) -> dict[str, float]:
    return {f"F1 {name}": value for name, value in figures["f1"].items()}


def _in_words(name: str, value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if name in COUNTS:
        if pd.isna(value):  # type: ignore[call-overload]
            return NOT_APPLICABLE
        return _rounded_count(int(str(value)))
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def _rounded_count(count: int) -> str:
    """19305 as 19.3k."""
    for size, sign in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if count >= size:
            return f"{count / size:.3g}{sign}"
    return str(count)


def _says_nothing(column: "pd.Series[str]") -> bool:
    return bool(column.isin(["", ALL]).all())


def latex_row(cells: Sequence[str]) -> str:
    """Cells of a `tabular`, with what LaTeX would take for its own escaped."""
    escaped = ("".join(LATEX_SPECIAL.get(sign, sign) for sign in cell) for cell in cells)
    return " & ".join(escaped) + r" \\"
