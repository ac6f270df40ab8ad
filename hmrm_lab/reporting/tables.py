"""Results as tables: numbers in a DataFrame, that DataFrame in words, and single answers."""

import math
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from hmrm_lab.errors import check_known
from hmrm_lab.evaluation.consistency import LEAK
from hmrm_lab.evaluation.metrics import TITLES
from hmrm_lab.evaluation.significance import paired_difference
from hmrm_lab.evaluation.summary import collect_predictions, is_smoke
from hmrm_lab.records import Predictions
from hmrm_lab.runtime.store import RunFolder

ALL = "all"
_KNOWN = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))
SHARED, LONG, SPARED, SHORT, FORMATS, SMOKE_WARNING = (
    _KNOWN[name] for name in ("shared", "long", "spared", "short", "formats", "smoke_warning")
)
HARD: list[str] = _KNOWN["hard"]
COUNTS = ("Parameters", "FLOPs")
ALL_BUT_CLASSES = "^(?!F1 )"  # columns of results; those of classes are in `class_words`
COLUMNS = 80  # of a terminal
NONE = "–"

ANY = "any"
OUTCOMES = (ANY, "wrong", "right")
ORDERS = ("most confident first", "least confident first", "by clip")
CLIP = ["dataset", "subject", "clip"]


def results_table(runs: Sequence[RunFolder]) -> pd.DataFrame:
    """One row per run, and one for each data set where a run rests on several.

    Figures are numbers, the ends of an interval have columns of their own (`UF1 low`,
    `UF1 high`). `Note` says what keeps a row from being compared: SMOKE, PEEKS, WEIGHTS LEAK and so
    on. A system that is no network has no number of parameters and no FLOPs (`pd.NA`).
    """
    rows = []
    for run in runs:
        metrics, data = run.metrics(), run.data()
        about = {
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
        names = {name: metrics[name.lower()] for name in ("System", "Data", "Flow")}
        rows += [
            names | {"Part": part} | _figures(figures) | about for part, figures in _parts(metrics)
        ]
    table = pd.DataFrame(rows)
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
        names = [run.metrics()["system"] for run in (first, other)]
        if names[0] == names[1]:  # then their flow is all in which they differ
            names = [f"{names[0]} on {run.config().flow.name}" for run in (first, other)]
        pair = dict(zip(("ours", "theirs"), names, strict=True))
        found.append({**pair, "difference": difference, "low": low, "high": high})
    return found


def clips_words(runs: Iterable[RunFolder]) -> str:
    """Say whether these runs are on the same clips.

    A damaged frame costs a clip where that frame is looked at; onset-apex flow looks at two.
    """
    known = {frozenset(_clips(collect_predictions(run))) for run in runs}
    if len(known) > 1:
        return "NOT the same clips for all: others are not paired"
    return "the same clips and folds for all"


def scores_table(scores: Mapping[str, Any]) -> pd.DataFrame:
    """The figures of one set of predictions (`summarise`)."""
    return pd.DataFrame([{"Part": part} | _figures(of) for part, of in _parts(scores)])


def class_words(scores: Mapping[str, Any]) -> pd.DataFrame:
    """F1 with its interval: a row for each class, a column for the whole and for each data set.

    A dash stands where a data set has no clips of a class.
    """
    words = {"Class": list(scores[ALL]["f1"])}
    for part, figures in _parts(scores):
        row, counts = _figures(figures), map(sum, figures["confusion"])
        cells = [(f"F1 {name}", clips) for name, clips in zip(words["Class"], counts, strict=True)]
        words[f"F1, {part} [95 %]"] = [word(row, name) if clips else NONE for name, clips in cells]
    return pd.DataFrame(words)


def units_table(scores: Mapping[str, Any]) -> pd.DataFrame:
    """F1 of every learnt action unit and their mean, beside always predicting it; may be empty."""
    columns = ("Unit", "Clips", "F1", "F1 low", "F1 high", "Always")
    rows = [
        (name, of["clips"], of["f1"], *of["f1_interval"], of["always"])
        for name, of in scores.get("action_units", {}).items()
    ]
    return pd.DataFrame(rows, columns=columns)


def display_table(table: pd.DataFrame, *names: str) -> pd.DataFrame:
    """Format these columns of a table (all of them if none is named; those it lacks left out).

    Numbers are rounded, each with its interval behind it; where there is none stands a dash.
    """
    rows = [{str(key): value for key, value in row.items()} for row in table.to_dict("records")]
    ends = (" low", " high")
    chosen = names or [name for name in map(str, table.columns) if not name.endswith(ends)]
    return pd.DataFrame(
        {
            f"{name} [95 %]" if f"{name} low" in table else name: [word(row, name) for row in rows]
            for name in chosen
            if name in table
        }
    )


def word(row: Mapping[Any, Any], name: str) -> str:
    value, form = row.get(name), FORMATS.get(name, ".3f")
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None or pd.isna(value):
        return NONE
    if name in COUNTS or name in ("p", "p (Holm)"):
        return count_words(value) if name in COUNTS else p_words(value)
    if not isinstance(value, float):
        return str(value)
    interval = ""
    if f"{name} low" in row:
        interval = f" [{row[f'{name} low']:{form}}, {row[f'{name} high']:{form}}]"
    return f"{value:{form}}{interval}"


def p_words(p_value: float) -> str:
    """0.032, or < 0.001."""
    return f"{p_value:.3f}" if p_value >= 0.001 else "< 0.001"


def count_words(count: float) -> str:
    """19305 as 19.3k; a dash for NaN, where there is nothing to count."""
    if math.isnan(count):
        return NONE
    for size, sign in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if count >= size:
            return f"{count / size:.3g}{sign}"
    return str(round(count))


def render_text(table: pd.DataFrame, spared: Sequence[Sequence[str]] = SPARED) -> str:
    """Aligned plain text for a terminal. What all rows share stands above, once.

    Where a terminal is too narrow, the `spared` columns are left out, one group after another.
    """
    shown = display_table(table.filter(regex=ALL_BUT_CLASSES))
    words = shown.drop(columns=LONG, errors="ignore")
    shared = [name for name in SHARED if name in words and words[name].nunique() == 1]
    head = ", ".join(f"{name.lower()} {words[name].iloc[0]}" for name in shared)
    told = [name for name in ("Note", "Part") if name in words]
    idle = [name for name in told if words[name].isin(["", ALL]).all()]
    words = words.drop(columns=[*shared, *idle]).rename(columns=SHORT)
    lines = aligned(words, [name in ("System", "Part", "Note", *SHARED) for name in words])
    if spared and max(map(len, lines.splitlines())) > COLUMNS:
        return render_text(table.drop(columns=[*spared[0]], errors="ignore"), spared[1:])
    return f"{head}\n{lines}" if head else lines


def aligned(words: pd.DataFrame, left: Sequence[bool]) -> str:
    """Text in columns, their names above a rule; `left` says which begin at the left."""
    rows = [[str(name) for name in words], *words.to_numpy().tolist()]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    sides = zip(("<" if is_left else ">" for is_left in left), widths, strict=True)
    form = "  ".join(f"{{:{side}{width}}}" for side, width in sides)
    lines = [form.format(*row).rstrip() for row in rows]
    return "\n".join([lines[0], "-" * max(map(len, lines)), *lines[1:]])


def stacked(words: pd.DataFrame, key: str = "") -> str:
    """A table in as many parts as a terminal needs; each begins with `key` or the first column."""
    parts = [[str(words.columns[0])]]
    for name in words.columns[1:]:
        wide = words[[*parts[-1], name]].to_string(index=False)
        if wide.find("\n") > COLUMNS:
            parts.append([key or parts[0][0]])
        parts[-1].append(name)
    return "\n\n".join(words[part].to_string(index=False) for part in parts)


def unused_words(systems: Sequence[str]) -> str:
    """`svm, lbp_top have no use for it`, of a setting that was asked for."""
    return f"{', '.join(systems)} {'has' if len(systems) == 1 else 'have'} no use for it"


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
        done = f"INCOMPLETE {metrics['units_done']}/{metrics['units_expected']}"
        words.append(f"{done} ({failed} failed)" if failed else done)
    return ", ".join(words)


def answers_table(
    predictions: Predictions,
    *,
    outcome: str = ANY,
    truth: str = ANY,
    prediction: str = ANY,
    dataset: str = ANY,
    subject: str = ANY,
    order: str = ORDERS[0],
) -> pd.DataFrame:
    """One row per clip and seed that passes every filter, in the order asked for.

    The columns of `Predictions`, `probability` (of the predicted class) and `right`. A `subject` is
    `dataset/subject`. An empty table is an answer too. Raises `ConfigError` if a filter or an order
    has an unknown name.
    """
    check_known("order", order, ORDERS)
    table, names = predictions.table, dict(enumerate(predictions.classes))
    right = table["truth"] == table["prediction"]
    chosen = pd.Series(True, index=table.index)
    for kind, asked, values, known in (
        ("outcome", outcome, right.map({True: "right", False: "wrong"}), OUTCOMES[1:]),
        ("class", truth, table["truth"].map(names), predictions.classes),
        ("class", prediction, table["prediction"].map(names), predictions.classes),
        ("dataset", dataset, table["dataset"], table["dataset"].unique()),
        ("subject", subject, predictions.subjects, predictions.subjects.unique()),
    ):
        check_known(kind, asked, (ANY, *known))
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
    """
    if not systems:
        raise ValueError("no system to compare")
    of_each = [answers_table(of).assign(system=name) for name, of in systems.items()]
    answers = pd.concat(of_each, ignore_index=True)
    classes = next(iter(systems.values())).classes
    groups = [of for _, of in answers.groupby([*CLIP, "truth"]) if not of["right"].all()]
    rows = [_hard_row(of, classes) for of in groups]
    table = pd.DataFrame(rows, columns=[*HARD, "wrong"])
    table = table.sort_values(["wrong", "probability"], ascending=False, kind="stable")
    return table[HARD].head(count).reset_index(drop=True)


def _hard_row(answers: pd.DataFrame, classes: tuple[str, ...]) -> list[object]:
    wrong, first = answers[~answers["right"]], answers.iloc[0]
    named = wrong.groupby("prediction")["probability"].agg(["size", "mean"])
    named = named.sort_values(["size", "mean"], ascending=False)
    guess, sure = classes[int(named.index[0])], round(float(named["mean"].iloc[0]), 3)
    systems = answers.groupby("system")["right"].mean() < 0.5
    counts = (f"{len(wrong)} of {len(answers)}", f"{systems.sum()} of {len(systems)}")
    clip = [first[name] for name in CLIP]
    return [*clip, classes[first["truth"]], guess, sure, *counts, len(wrong)]


def _clips(predictions: Predictions) -> set[tuple[object, ...]]:
    return set(predictions.table[[*CLIP, "truth"]].itertuples(index=False, name=None))


def _parts(scores: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    yield ALL, scores["all"]
    yield from scores["datasets"].items()


def _figures(figures: Mapping[str, Any]) -> dict[str, Any]:
    row = {"Clips": figures["clips"], "Subjects": figures["subjects"], **scores_of(figures)}
    for name, value in figures["f1"].items():
        row[f"F1 {name}"] = value
        row[f"F1 {name} low"], row[f"F1 {name} high"] = figures["f1_interval"][name]
    for mean in [figures["action_units"]["mean"]] if "action_units" in figures else []:
        row["AU F1"], (row["AU F1 low"], row["AU F1 high"]) = mean["f1"], mean["f1_interval"]
    return row


def scores_of(figures: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Every metric by its title, with the ends of its interval; NaN where there is none."""
    row: dict[str, Any] = {}
    for metric, title in TITLES.items():
        name, none = f"{prefix}{title}", (math.nan, math.nan)
        row[name] = figures.get(metric, math.nan)
        row[f"{name} low"], row[f"{name} high"] = figures.get(f"{metric}_interval", none)
    return row
