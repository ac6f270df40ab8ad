"""The table of a comparison: every system under one protocol, ranked by its honest UF1."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from statistics import mean, median
from typing import Any

import pandas as pd

from hmrm_lab.evaluation.ranks import Ranking, enough, rank_systems
from hmrm_lab.evaluation.significance import holm, paired_test
from hmrm_lab.evaluation.summary import collect_predictions
from hmrm_lab.registry import systems
from hmrm_lab.reporting.system_cards import claims_of
from hmrm_lab.reporting.tables import ALL, count_words, note
from hmrm_lab.runtime.store import RunFolder

HONEST, ORACLE = "honest", "oracle"
NULL, NULL_WITHIN = "null", "null within subjects"
METRICS = ("uf1", "uar", "acc")
COMPOSITE = frozenset({"smic", "casme2", "samm"})  # the data of a claim on `all`
SKETCH = "sketch"
NAN = math.nan


@dataclass(frozen=True)
class Outcome:
    """The runs of a comparison by kind and system; why systems lack some of them.

    `left_out` takes no part by its nature; `problems` says what went wrong, by `system, kind`;
    `unused` names the systems that have no use for a setting that was asked for.
    """

    data: str
    runs: dict[str, dict[str, RunFolder]]
    left_out: dict[str, str] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)
    unused: dict[str, list[str]] = field(default_factory=dict)

    @property
    def names(self) -> list[str]:
        """All systems that were asked for, those that failed among them."""
        failed = [name.rpartition(", ")[0] for name in self.problems]
        return sorted({*self.runs[HONEST], *failed})

    def complete(self, kind: str) -> dict[str, RunFolder]:
        """The runs from which figures may be computed."""
        runs = self.runs.get(kind, {})
        return {name: run for name, run in runs.items() if run.metrics()["complete"]}


def without_oracle(outcome: Outcome) -> list[str]:
    """The systems that have no epochs to choose from, where the rule that peeks was asked for."""
    return [name for name in outcome.names if ORACLE in outcome.runs and systems[name].is_estimator]


def comparison_table(outcome: Outcome) -> pd.DataFrame:
    """One row per system, the best honest UF1 first; those without figures stand last.

    `UF1`, `UAR` and `ACC` are of the honest rule, with 95 % bootstrap intervals over subjects
    (`UF1 low`, `UF1 high`); `<data set> UF1` and so on are of a part. `Difference` is UF1 minus
    that of the best, paired by subject; `p` that of the paired permutation test, `p (Holm)` the
    same, corrected for all comparisons with the best. `Peeking adds` is the UF1 of the oracle rule
    minus that of the honest one; no other column rests on it, and what has no epochs has neither.

    Counts that a system does not have, such as the parameters of a nearest neighbour, are NaN.
    """
    honest = outcome.complete(HONEST)
    order = sorted(honest, key=lambda name: -honest[name].metrics()["all"]["uf1"])
    best = order[0] if order else None
    rows = []
    for name in [*order, *(name for name in outcome.names if name not in honest)]:
        run = honest.get(name)
        rows.append(
            {
                "Rank": order.index(name) + 1 if run else NAN,
                "System": name,
                **_card(name),
                **_scores(run),
                **_beside(outcome, name, run),
                **_costs(run),
                **_claims(name, run),
                **_difference(name, best, honest),
                "p (Holm)": NAN,
                "Note": _note(outcome, name),
                "Run": run.path.name if run else "",
            }
        )
    table = pd.DataFrame(rows)
    tested = table["p"].notna()
    table.loc[tested, "p (Holm)"] = holm(table.loc[tested, "p"].tolist())
    unpaired = ~tested & (table["Rank"] > 1)
    table.loc[unpaired, "Note"] = table.loc[unpaired, "Note"].map(
        lambda told: "; ".join(filter(None, [told, "other clips than the best: not paired"]))
    )
    return table


def has_smoke(table: pd.DataFrame) -> bool:
    """Whether a row is of the preset `smoke`, so that nothing can be ranked."""
    return bool(table["Note"].str.contains("SMOKE").any())


def parts_of(table: pd.DataFrame) -> list[str]:
    """The data sets behind the whole, where there are several."""
    end = " ACC"  # the oracle rule and the control have none
    return [str(name).removesuffix(end) for name in table if str(name).endswith(end)]


def ranking_over_sets(table: pd.DataFrame) -> Ranking | str:
    """Mean ranks over the data sets; or why there are none."""
    if has_smoke(table):
        return "SMOKE: these runs rank nothing"
    parts = parts_of(table)
    scored = [f"{part} UF1" for part in parts]
    rows = table[table["Rank"].notna()].dropna(subset=scored)
    if told := enough(max(len(parts), 1), len(rows)):
        return told
    return rank_systems(rows["System"].tolist(), parts, rows[scored].to_numpy().T)


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
    told = [
        f"{ours} has {count_words(size)} parameters. Of {len(others)} other systems {len(near)}"
        f" reach a UF1 within its 95 % interval of {low:.3f} to {high:.3f}."
    ]
    for words, group in (
        ("With more parameters", near[near > size]),
        ("With as many", near[near == size]),
        ("With fewer parameters", near[near < size]),
    ):
        names = [
            f"{name} ({count_words(count)}, {_times(count / size)})"
            for name, count in group.sort_values().items()
        ]
        told += [f"{words}: {', '.join(names)}."] if names else []
    without = [str(name) for name in near.index[near.isna()]]
    told += [f"Without parameters to count: {', '.join(without)}."] if without else []
    return " ".join(told)


def p_words(p_value: float) -> str:
    """0.032, or < 0.001."""
    return f"{p_value:.3f}" if p_value >= 0.001 else "< 0.001"


def _times(ratio: float) -> str:
    return f"{ratio:.2g} times" if ratio < 10 else f"{ratio:,.0f} times"


def _card(name: str) -> dict[str, str]:
    card = systems[name].card
    return {
        "Fidelity": card.fidelity if card else "not stated",
        "Takes": card.takes if card else "flow maps",
    }


def _scores(run: RunFolder | None) -> dict[str, float]:
    """All three metrics of the whole and of each data set, with their intervals."""
    if run is None:
        return {f"{m.upper()}{end}": NAN for m in METRICS for end in ("", " low", " high")}
    metrics = run.metrics()
    found = {}
    for part, figures in ((ALL, metrics["all"]), *metrics["datasets"].items()):
        start = "" if part == ALL else f"{part} "
        for metric in METRICS:
            name = f"{start}{metric.upper()}"
            found[name] = figures[metric]
            found[f"{name} low"], found[f"{name} high"] = figures[f"{metric}_interval"]
    return found


def _beside(outcome: Outcome, name: str, honest: RunFolder | None) -> dict[str, float]:
    """The rule that peeks and the control, where they were run."""
    found: dict[str, float] = {}
    for kind, title in ((ORACLE, "Oracle"), (NULL, "Null"), (NULL_WITHIN, "Null within")):
        if kind not in outcome.runs:
            continue
        run = outcome.complete(kind).get(name)
        figures: dict[str, Any] = {"uf1": NAN, "uf1_interval": (NAN, NAN)}
        if run:
            figures = run.metrics()["all"]
        found[f"{title} UF1"] = figures["uf1"]
        found[f"{title} UF1 low"], found[f"{title} UF1 high"] = figures["uf1_interval"]
    if ORACLE in outcome.runs:
        own = honest.metrics()["all"]["uf1"] if honest else NAN
        found["Peeking adds"] = found["Oracle UF1"] - own
    return found


def _costs(run: RunFolder | None) -> dict[str, Any]:
    if run is None:
        counts = dict.fromkeys(("Parameters", "FLOPs", "Training s per fold", "Answer ms"), NAN)
        return {**counts, "Machine": ""}
    data, units = run.data(), list(run.units())
    answers = [unit["inference_ms"] for unit in units if unit.get("inference_ms") is not None]
    trainings = [unit["seconds"] for unit in units if unit.get("seconds") is not None]
    return {
        "Parameters": _number(data.get("parameters")),
        "FLOPs": _number(data.get("flops")),
        "Training s per fold": mean(trainings) if trainings else NAN,
        "Answer ms": median(answers) if answers else NAN,
        "Machine": _machine(run, units),
    }


def _machine(run: RunFolder, units: list[dict[str, Any]]) -> str:
    devices = sorted({str(unit["device"]).partition(":")[0] for unit in units if "device" in unit})
    processor = str(run.environment().get("processor", "not recorded"))
    return ", ".join([processor, *(device for device in devices if device != "cpu")])


def _claims(name: str, run: RunFolder | None) -> dict[str, Any]:
    """What is claimed on the same data: the composite of MEGC 2019, or one data set."""
    found: dict[str, Any] = {"Claimed UF1": NAN, "Claimed UAR": NAN, "Claim": ""}
    if run is None:
        return found
    sets = _sets_of(run)
    if len(sets) > 1 and not sets <= COMPOSITE:
        return found
    where = ALL if len(sets) > 1 else min(sets)
    claims = claims_of(name)
    rows = claims[claims["data"] == where]
    for metric, title in (("uf1", "Claimed UF1"), ("uar", "Claimed UAR")):
        values = rows.loc[rows["metric"] == metric, "value"].astype(float).tolist()
        found[title] = values[0] if values else NAN
    if len(rows):
        partly = (
            "" if where != ALL or sets == COMPOSITE else "on three data sets, of which we have "
        )
        partly += f"{len(sets)}; " if partly else ""
        notes = dict.fromkeys(word for word in rows["note"] if word)
        found["Claim"] = f"{partly}{'; '.join([*notes, *dict.fromkeys(rows['source'])])}"
    return found


def _sets_of(run: RunFolder) -> frozenset[str]:
    metrics = run.metrics()
    if metrics["datasets"]:
        return frozenset(metrics["datasets"])
    return frozenset(collect_predictions(run).table["dataset"].unique())


def _difference(name: str, best: str | None, runs: Mapping[str, RunFolder]) -> dict[str, float]:
    titles = ("Difference", "Difference low", "Difference high", "p")
    if best is None or name == best or name not in runs:
        return dict.fromkeys(titles, NAN)
    ours, theirs = collect_predictions(runs[name]), collect_predictions(runs[best])
    try:
        found = paired_test(ours, theirs)
    except ValueError:  # of other clips: the note says so
        return dict.fromkeys(titles, NAN)
    return dict(zip(titles, found, strict=True))


def _note(outcome: Outcome, name: str) -> str:
    told = [
        f"{kind}: {outcome.problems[f'{name}, {kind}']}"
        for kind in outcome.runs
        if f"{name}, {kind}" in outcome.problems
    ]
    run = outcome.runs[HONEST].get(name)
    state = [note(run.metrics())] if run else ["FAILED"]
    return "; ".join(filter(None, [*state, *told]))


def _number(value: object) -> float:
    """A count as a number; NaN where a system has none."""
    return float(value) if isinstance(value, int | float) else NAN
