"""Results as tables: numbers in a DataFrame, and that DataFrame as text, CSV, LaTeX or HTML."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from hmrm_lab.errors import unknown_name
from hmrm_lab.evaluation.consistency import LEAK
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

ANY = "any"
OUTCOMES = (ANY, "wrong", "right")
ORDERS = ("most confident first", "least confident first", "by clip")
CLIP = ["dataset", "subject", "clip"]
HARD = (
    *("data set", "subject", "clip", "truth", "taken for", "probability"),
    *("answers wrong", "systems wrong"),
)


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
    """Say whether these runs are on the same clips.

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
    """Format a table of results: numbers rounded, each with its interval."""
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
    left = [name in ("System", "Part", "Note", *SHARED) for name in words]
    lines = aligned([list(map(str, words.columns)), *words.to_numpy().tolist()], left)
    return f"{head}\n{lines}" if head else lines


def aligned(rows: Sequence[Sequence[str]], left: Sequence[bool]) -> str:
    """Text in columns, the first row above a rule; `left` says which columns begin at the left."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(
            cell.ljust(width) if is_left else cell.rjust(width)
            for cell, width, is_left in zip(row, widths, left, strict=True)
        ).rstrip()
        for row in rows
    ]
    return "\n".join([lines[0], "-" * max(map(len, lines)), *lines[1:]])


def to_csv(table: pd.DataFrame) -> str:
    """Comma-separated, every digit kept."""
    return table.to_csv(index=False, lineterminator="\n")


def to_html(table: pd.DataFrame) -> str:
    """A bare `<table>`, escaped, to be styled by the page around it."""
    return display_table(table).to_html(index=False, border=0, escape=True)


def to_latex(table: pd.DataFrame) -> str:
    """A `tabular` in the manner of booktabs, escaped."""
    words = display_table(table)
    numeric = [name not in table or pd.api.types.is_numeric_dtype(table[name]) for name in words]
    columns = "".join("r" if right else "l" for right in numeric)
    return words.to_latex(index=False, escape=True, column_format=columns)


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
    """Reasons against comparing this run with honest ones; empty if there are none."""
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


def answers_table(
    predictions: Predictions,
    *,
    outcome: str = ANY,
    truth: str = ANY,
    prediction: str = ANY,
    dataset: str = ANY,
    person: str = ANY,
    order: str = ORDERS[0],
) -> pd.DataFrame:
    """One row per clip and seed that passes every filter, in the order asked for.

    The columns of `Predictions`, `probability` (of the predicted class) and `right`. A `person` is
    `dataset/subject`. An empty table is an answer too.

    Raises
    ------
    ConfigError
        If a filter or an order has an unknown name.
    """
    if order not in ORDERS:
        raise unknown_name("order", order, ORDERS)
    table, names = predictions.table, dict(enumerate(predictions.classes))
    right = table["truth"] == table["prediction"]
    chosen = pd.Series(True, index=table.index)
    for kind, asked, values, known in (
        ("outcome", outcome, right.map({True: "right", False: "wrong"}), OUTCOMES[1:]),
        ("class", truth, table["truth"].map(names), predictions.classes),
        ("class", prediction, table["prediction"].map(names), predictions.classes),
        ("dataset", dataset, table["dataset"], table["dataset"].unique()),
        ("person", person, predictions.subjects, predictions.subjects.unique()),
    ):
        if asked not in (ANY, *known):
            raise unknown_name(kind, asked, (ANY, *known))
        chosen &= (values == asked) | (asked == ANY)
    sure = table[predictions.probabilities].max(axis=1)
    keys = [*CLIP, "seed"] if order == ORDERS[2] else ["probability", *CLIP, "seed"]
    rising = [order != ORDERS[0], *[True] * (len(keys) - 1)]
    found = table.assign(probability=sure, right=right)[chosen]
    return found.sort_values(keys, ascending=rising).reset_index(drop=True)


def hard_answers_table(systems: Mapping[str, Predictions], count: int = 10) -> pd.DataFrame:
    """The clips that most answers got wrong, over all seeds of all systems, worst first.

    A row per clip: truth; the wrong class named most often and its mean probability among those
    who named it; how many answers, and how many systems, are wrong. A system is wrong if more than
    half of its seeds are. Clips that nobody got wrong are left out.

    Raises
    ------
    ValueError
        If there is no system.
    """
    if not systems:
        raise ValueError("no system to compare")
    answers = pd.concat(
        [answers_table(of).assign(system=name) for name, of in systems.items()], ignore_index=True
    )
    classes = next(iter(systems.values())).classes
    groups = [of for _, of in answers.groupby([*CLIP, "truth"]) if not of["right"].all()]
    rows = [_hard_row(of, classes) for of in groups]
    table = pd.DataFrame(rows, columns=[*HARD, "wrong"])
    table = table.sort_values(["wrong", "probability"], ascending=False, kind="stable")
    return table[list(HARD)].head(count).reset_index(drop=True)


def _hard_row(answers: pd.DataFrame, classes: tuple[str, ...]) -> list[object]:
    """All answers to one clip, of which one at least is wrong."""
    wrong = answers[~answers["right"]]
    named = wrong.groupby("prediction")["probability"].agg(["size", "mean"])
    named = named.sort_values(["size", "mean"], ascending=False)
    systems = answers.groupby("system")["right"].mean() < 0.5
    first = answers.iloc[0]
    return [
        *(first[name] for name in CLIP),
        classes[first["truth"]],
        classes[int(named.index[0])],
        round(float(named["mean"].iloc[0]), 3),
        f"{len(wrong)} of {len(answers)}",
        f"{systems.sum()} of {len(systems)}",
        len(wrong),
    ]
