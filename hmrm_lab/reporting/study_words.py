"""The tables of a study in words, and the sentences computed from them."""

import math
from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from hmrm_lab.evaluation.fold import RULES
from hmrm_lab.evaluation.summary import stamp
from hmrm_lab.reporting.study_table import (
    BESIDE,
    CLAIMS,
    METRICS,
    StudyResult,
    has_smoke,
)
from hmrm_lab.reporting.system_cards import claims_of
from hmrm_lab.reporting.tables import ALL, COUNTS, clips_words, count_words, unused_words
from hmrm_lab.runtime.store import RunFolder

SIGNIFICANT = 0.05
NONE = "–"
BEST = " *"
SKETCH = "sketch"
BOTH = ", both phases"  # has a column of its own in the table of inputs
IF_ANY = ("Note", "Claimed UF1", *CLAIMS)  # columns that are left out where they are empty
FORMATS = {
    "Rank": ".0f",
    "Training s per fold": ".3g",
    "Answer ms": ".3g",
    **dict.fromkeys(("Difference", "Peeking adds", "Paper difference"), "+.3f"),
}


def in_words(table: pd.DataFrame, *names: str) -> pd.DataFrame:
    """Round these columns: intervals behind figures, a dash for NaN; those it lacks left out."""
    rows = [{str(key): value for key, value in row.items()} for row in table.to_dict("records")]
    return pd.DataFrame(
        {
            f"{name} [95 %]" if f"{name} low" in table else name: [_word(row, name) for row in rows]
            for name in names
            if name in table and not (name in IF_ANY and table[name].replace("", None).isna().all())
        }
    )


def p_words(p_value: float) -> str:
    """0.032, or < 0.001."""
    return f"{p_value:.3f}" if p_value >= 0.001 else "< 0.001"


def result_words(table: pd.DataFrame) -> pd.DataFrame:
    """The main table of a comparison."""
    names = ("Rank", "System", "Fidelity", "Takes", "UF1", "Difference", "p (Holm)")
    words = in_words(
        table,
        *names,
        *("Oracle UF1", "Peeking adds", "Null UF1", "Null within UF1", "Claimed UF1"),
        *("UAR", "ACC", "Note"),
    )
    beside = {f"{title} UF1 [95 %]": f"{title} UF1" for title in BESIDE.values()}
    for name in beside.keys() & words:  # without the intervals, for want of room
        words[name] = words[name].str.partition(" [")[0]
    return words.rename(columns={"Rank": "#", "Difference [95 %]": "Minus best [95 %]", **beside})


def part_words(table: pd.DataFrame, part: str) -> pd.DataFrame:
    """The figures of one data set, in the order of the whole."""
    names = {f"{part} {metric.upper()}": metric.upper() for metric in METRICS}
    words = in_words(table, "System", *names)
    return words.rename(
        columns={f"{long} [95 %]": f"{name} [95 %]" for long, name in names.items()}
    )


def cost_words(table: pd.DataFrame) -> pd.DataFrame:
    """Parameters, FLOPs and times; the machine where the runs come from several."""
    several = ["Machine"] * (len(machines(table)) > 1)
    return in_words(table, "System", *COUNTS, "Training s per fold", "Answer ms", *several)


def claim_words(table: pd.DataFrame, sets: Iterable[str]) -> pd.DataFrame:
    """Every claim on these data sets or on the composite that holds them, with our figure beside.

    `sets` are the data sets behind the results; of one alone, the whole is that set.
    """
    own = sorted(sets)
    prefixes = {name: (f"{name} " if len(own) > 1 else "") for name in own}
    if table["Claimed UF1"].notna().any() and len(own) > 1:
        prefixes = {ALL: "", **prefixes}
    rows = []
    for row in table.to_dict("records"):
        for claim in claims_of(str(row["System"])).to_dict("records"):
            if claim["data"] in prefixes and claim["metric"] in METRICS:
                metric = str(claim["metric"]).upper()
                rows.append(
                    {
                        "System": str(row["System"]),
                        "Data": "composite" if claim["data"] == ALL else str(claim["data"]),
                        "Metric": metric,
                        "Measured here [95 %]": _word(row, f"{prefixes[claim['data']]}{metric}"),
                        "Claimed": f"{float(claim['value']):.3f}",
                        "Known of it": str(claim["note"]),
                        "Source": str(claim["source"]),
                    }
                )
    return pd.DataFrame(rows)


def inputs_words(table: pd.DataFrame) -> pd.DataFrame:
    """UF1 with intervals: a row for each network, a column for each input.

    `Parameters` are those of the network, from its fewest to its most.
    """
    marks = table["Best"].map({True: BEST, False: ""})
    cells = table.assign(Words=in_words(table, "UF1").iloc[:, 0].to_numpy() + marks)
    words = cells.pivot(index="System", columns="Input", values="Words")
    words = words.reindex(index=table["System"].unique(), columns=table["Input"].unique())
    counts = table.groupby("System")["Parameters"].agg(["min", "max"]).loc[words.index]
    words["Parameters"] = [
        " to ".join(dict.fromkeys(map(count_words, ends))) for ends in counts.to_numpy()
    ]
    return words.reset_index(names="Network")


def paired_words(table: pd.DataFrame) -> pd.DataFrame:
    """MESTI against each other input of the same network; no rows where nothing could be paired."""
    words = in_words(table[table["p"].notna()], "System", "Input", "Difference", "p", "p (Holm)")
    titles = {"System": "Network", "Input": "MESTI minus", "Difference [95 %]": "UF1 [95 %]"}
    return words.rename(columns=titles)


def ablation_words(table: pd.DataFrame) -> pd.DataFrame:
    """The table of an ablation; claims have no columns where there are none."""
    names = ("Variant", "Model", "UF1", "UAR", "Difference", "p", "p (Holm)", *CLAIMS, "Note")
    return in_words(table, *names).rename(columns={"Difference [95 %]": "UF1 minus full [95 %]"})


def effects_words(table: pd.DataFrame) -> pd.DataFrame:
    """The recipe first, then the changes, the best one on top."""
    order = table["Difference"].where(table.index != table.index[0], math.inf)
    ordered = table.loc[order.sort_values(ascending=False, kind="stable").index]
    return in_words(ordered, "Change", "Settings", "UF1", "Difference", "p", "p (Holm)", "Note")


def protocol(result: StudyResult, runs: Iterable[RunFolder], *, without: str = "") -> str:
    """Data, flow, epoch rule, subjects and seeds of these runs; flows lose the end `without`."""
    runs = list(runs)
    known = [run.metrics() for run in runs]
    if not known:
        return f"data {result.data}; no complete run"
    ruled = [metrics for metrics in known if metrics["epoch_rule"] in RULES] or known
    flows = dict.fromkeys(str(metrics["flow"]).removesuffix(without) for metrics in known)
    flow = ", ".join(name for name in flows if not name.startswith("none"))
    words = [f"flow {flow}"] * bool(flow) + [stamp(ruled[0]), clips_words(runs)]
    return "; ".join([f"data {result.data}", *words])


def lead(table: pd.DataFrame) -> list[str]:
    """Sentences about a comparison: the best system, and those that do not differ from it."""
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
        words.append(
            f"{len(tested) - len(near)} of {len(tested)} others differ from it by more than chance"
            f" would (p < {SIGNIFICANT}, corrected)."
            + (f" Not distinguished from it: {', '.join(near)}." if near else "")
        )
    if sketches := ranked[ranked["Fidelity"] == SKETCH]["System"].tolist():
        words.append(f"Sketches, which are not their authors’ systems: {', '.join(sketches)}.")
    return words


def parameter_statement(table: pd.DataFrame, ours: str) -> str:
    """Our parameters against those of the systems whose UF1 lies within our interval.

    Computed from the table; empty where we have no figures in it, or such as mean nothing.
    """
    rows = table[table["Rank"].notna()].set_index("System")
    if ours not in rows.index or has_smoke(table):
        return ""
    size, low, high = (float(rows[name][ours]) for name in ("Parameters", "UF1 low", "UF1 high"))
    if math.isnan(size):
        return ""
    others = rows.drop(ours)
    near = others[(others["UF1"] >= low) & (others["UF1"] <= high)]["Parameters"]
    words = [
        f"{ours} has {count_words(size)} parameters. Of {len(others)} other systems {len(near)}"
        f" reach a UF1 within its 95 % interval of {low:.3f} to {high:.3f}."
    ]
    for title, group in (
        ("With more parameters", near[near > size]),
        ("With as many", near[near == size]),
        ("With fewer parameters", near[near < size]),
    ):
        names = [
            f"{name} ({count_words(count)}, {_times(count / size)})"
            for name, count in group.sort_values().items()
        ]
        words += [f"{title}: {', '.join(names)}."] if names else []
    without = [str(name) for name in near.index[near.isna()]]
    words += [f"Without parameters to count: {', '.join(without)}."] if without else []
    return " ".join(words)


def inputs_remarks(result: StudyResult) -> list[str]:
    """Cells left out or failed, each reason once; settings that some systems have no use for."""
    words = [f"{cells}: left out, {why}" for why, cells in _by_reason(result, result.left_out)]
    words += [f"{cells}: FAILED, {why}" for why, cells in _by_reason(result, result.problems)]
    return words + [f"{text}: {unused_words(of)}" for text, of in result.unused.items()]


def machines(table: pd.DataFrame) -> list[str]:
    """The machines that the runs come from, each once."""
    return [str(name) for name in dict.fromkeys(table["Machine"]) if name]


def _by_reason(
    result: StudyResult, reasons: Mapping[tuple[str, str], str]
) -> Iterable[tuple[str, str]]:
    """The cells of each reason; an input that all systems lack is named alone."""
    for why in dict.fromkeys(reasons.values()):
        lacking: dict[str, list[str]] = {}
        for (system, name), reason in reasons.items():
            if reason == why:
                lacking.setdefault(result.columns[name], []).append(system)
        yield (
            why,
            "; ".join(
                words if len(of) == len(result.rows) else f"{words} on {', '.join(of)}"
                for words, of in lacking.items()
            ),
        )


def _word(row: Mapping[Any, Any], name: str) -> str:
    value = row.get(name, math.nan)
    if isinstance(value, str):
        return value
    if math.isnan(value):
        return NONE
    if name in COUNTS:
        return count_words(value)
    if name in ("p", "p (Holm)"):
        return p_words(value)
    form = FORMATS.get(name, ".3f")
    if f"{name} low" not in row:
        return f"{value:{form}}"
    return f"{value:{form}} [{row[f'{name} low']:{form}}, {row[f'{name} high']:{form}}]"


def _times(ratio: float) -> str:
    return f"{ratio:.2g} times" if ratio < 10 else f"{ratio:,.0f} times"
