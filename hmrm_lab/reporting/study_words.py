"""The tables of a study in words, and the sentences computed from them."""

import math
from collections.abc import Iterable, Sequence

import pandas as pd

from hmrm_lab.evaluation.fold import RULES
from hmrm_lab.evaluation.metrics import TITLES
from hmrm_lab.evaluation.summary import stamp
from hmrm_lab.reporting.study_table import CLAIMED, CLAIMS, claims_of, has_smoke
from hmrm_lab.reporting.tables import ALL, COUNTS, clips_words, count_words, display_table, word
from hmrm_lab.runtime.store import RunFolder

SIGNIFICANT = 0.05
SKETCH = "sketch"
TESTS = ("p", "p (Holm)")
IF_ANY = ["Note", *CLAIMED.values(), *CLAIMS]


def in_words(table: pd.DataFrame, *names: str) -> pd.DataFrame:
    """These columns in words; a claim or a note has none where there is nothing to say."""
    known = [name for name in IF_ANY if name in table]
    empty = [name for name in known if table[name].replace("", None).isna().all()]
    return display_table(table.drop(columns=empty), *names)


def part_words(table: pd.DataFrame, part: str) -> pd.DataFrame:
    words = display_table(table, "System", *(f"{part} {title}" for title in TITLES.values()))
    return words.rename(columns=lambda name: name.removeprefix(f"{part} "))


def class_words(table: pd.DataFrame) -> pd.DataFrame:
    """F1 of every class."""
    ends = (" low", " high")
    names = [name for name in map(str, table) if name.startswith("F1 ")]
    return display_table(table, "System", *(name for name in names if not name.endswith(ends)))


def cost_words(table: pd.DataFrame) -> pd.DataFrame:
    several = ["Machine"] * (len(machines(table)) > 1)
    return display_table(table, "System", *COUNTS, "Training s per fold", "Answer ms", *several)


def claim_words(table: pd.DataFrame, sets: Iterable[str], classes: str) -> pd.DataFrame:
    """Every claim in these classes on these data sets, or on the composite that holds them.

    Our figure of the same name stands beside it.
    `sets` are the data sets behind the results; of one alone, the whole is that set.
    """
    own = sorted(sets)
    prefixes = {name: (f"{name} " if len(own) > 1 else "") for name in own}
    if table["Claimed UF1"].notna().any() and len(own) > 1:
        prefixes = {ALL: "", **prefixes}
    claims = pd.concat([claims_of(name, classes=classes) for name in table["System"]])
    claims = claims[claims["data"].isin(prefixes)]
    metrics = claims["metric"].map(CLAIMED).str.removeprefix("Claimed ")
    ours = table.set_index("System")
    cells = zip(claims["system"], claims["data"].map(prefixes) + metrics, strict=True)
    columns = {
        "System": claims["system"],
        "Data": claims["data"].replace(ALL, "composite"),
        "Metric": metrics,
        "Measured here [95 %]": [word(ours.loc[name].to_dict(), cell) for name, cell in cells],
        "Claimed": claims["value"].map("{:.3f}".format),
        "Known of it": claims["note"],
        "Source": claims["source"],
    }
    return pd.DataFrame(columns)


def inputs_words(table: pd.DataFrame) -> pd.DataFrame:
    """UF1 with intervals: a row for each network, a column for each input.

    `Parameters` are those of the network, from its fewest to its most.
    """
    marks = table["Best"].map({True: " *", False: ""})
    cells = table.assign(Words=display_table(table, "UF1").iloc[:, 0].to_numpy() + marks)
    words = cells.pivot(index="System", columns="Input", values="Words")
    words = words.reindex(index=table["System"].unique(), columns=table["Input"].unique())
    counts = table.groupby("System")["Parameters"].agg(["min", "max"]).loc[words.index]
    words["Parameters"] = [
        " to ".join(dict.fromkeys(map(count_words, ends))) for ends in counts.to_numpy()
    ]
    return words.reset_index(names="Network")


def paired_words(table: pd.DataFrame) -> pd.DataFrame:
    """MESTI against each other input of the same network; no rows where nothing could be paired."""
    words = display_table(table[table["p"].notna()], "System", "Input", "Difference", *TESTS)
    titles = {"System": "Network", "Input": "MESTI minus", "Difference [95 %]": "UF1 [95 %]"}
    return words.rename(columns=titles)


def effects_words(table: pd.DataFrame) -> pd.DataFrame:
    """The recipe first, then the changes, the best one on top."""
    order = table["Difference"].where(table.index != table.index[0], math.inf)
    ordered = table.loc[order.sort_values(ascending=False, kind="stable").index]
    return in_words(ordered, "Change", "Settings", "UF1", "Difference", *TESTS, "Note")


def protocol(data: str, runs: Iterable[RunFolder], *, without: Sequence[str] = ()) -> str:
    """Data, flow, epoch rule, subjects and seeds of these runs; flows lose an end of `without`."""
    runs = list(runs)
    known = [run.metrics() for run in runs]
    if not known:
        return f"data {data}; no complete run"
    ruled = [metrics for metrics in known if metrics["epoch_rule"] in RULES] or known
    flows = [str(metrics["flow"]) for metrics in known]
    for end in without:
        flows = [name.removesuffix(end) for name in flows]
    flow = ", ".join(name for name in dict.fromkeys(flows) if not name.startswith("none"))
    words = [f"flow {flow}"] * bool(flow) + [stamp(ruled[0]), clips_words(runs)]
    return "; ".join([f"data {data}", *words])


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

    Empty where we have no figures in the table, or such as mean nothing.
    """
    rows = table[table["Rank"].notna()].set_index("System")
    if ours not in rows.index or has_smoke(table):
        return ""
    size, low, high = (float(rows[name][ours]) for name in ("Parameters", "UF1 low", "UF1 high"))
    if math.isnan(size):
        return ""
    others = rows.drop(ours)
    near = others[others["UF1"].between(low, high)]["Parameters"]
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
            f"{name} ({count_words(ratio * size)}, {ratio:{'.2g' if ratio < 10 else ',.0f'}} times)"
            for name, ratio in (group.sort_values() / size).items()
        ]
        words += [f"{title}: {', '.join(names)}."] if names else []
    without = [str(name) for name in near.index[near.isna()]]
    words += [f"Without parameters to count: {', '.join(without)}."] if without else []
    return " ".join(words)


def machines(table: pd.DataFrame) -> list[str]:
    return [str(name) for name in dict.fromkeys(table["Machine"]) if name]
