"""The tables of a study: every row with its scores, and paired by subject with a baseline."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from statistics import mean, median
from typing import Any

import pandas as pd

from hmrm_lab.errors import FailedFoldsError, InputError, unknown_name
from hmrm_lab.evaluation.ranks import Ranking, enough, rank_systems
from hmrm_lab.evaluation.significance import bootstrap_interval, holm, paired_test, pooled
from hmrm_lab.evaluation.summary import collect_predictions
from hmrm_lab.records import Predictions
from hmrm_lab.registry import systems
from hmrm_lab.reporting.published import claimed, claims_of
from hmrm_lab.reporting.tables import ALL, note
from hmrm_lab.runtime.store import RunFolder

Cell = tuple[str, str]  # row, column
HONEST, ORACLE = "honest", "oracle"
NULL, NULL_WITHIN = "null", "null within subjects"
BESIDE = {ORACLE: "Oracle", NULL: "Null", NULL_WITHIN: "Null within"}  # titles of these kinds
TESTED = "mesti"  # the input that all others are compared with
METRICS = ("uf1", "uar", "acc")
PAIRED = ("Difference", "Difference low", "Difference high", "p", "p (Holm)")
COMPOSITE = frozenset({"smic", "casme2", "samm"})  # the data of a claim on `all`
CLAIMED_ON = "casme2"  # Table 3 of the paper
CLAIMS = ("Paper UF1", "Paper UAR", "Paper difference")
NAN = math.nan


@dataclass(frozen=True)
class StudyResult:
    """The runs of a study by cell, `(row, column)`, and why other cells have none.

    Parameters
    ----------
    rows
        The system of each row, or what a variant is.
    columns
        Kinds of run or inputs, in words.
    left_out
        Why a cell takes no part.
    problems
        What failed, with or without an incomplete run.
    unused
        By setting, the systems that have no use for it.
    """

    data: str
    rows: Mapping[str, str]
    columns: Mapping[str, str]
    runs: dict[Cell, RunFolder]
    left_out: dict[Cell, str] = field(default_factory=dict)
    problems: dict[Cell, str] = field(default_factory=dict)
    unused: dict[str, list[str]] = field(default_factory=dict)

    @property
    def complete(self) -> dict[Cell, RunFolder]:
        """The runs from which figures may be computed."""
        return {cell: run for cell, run in self.runs.items() if run.metrics()["complete"]}

    def in_column(self, column: str) -> dict[str, RunFolder]:
        """The complete runs of a column, by row."""
        return {row: run for (row, of), run in self.complete.items() if of == column}

    def refuse_failures(self) -> None:
        """Raise a `FailedFoldsError` that names all that failed."""
        if self.problems:
            names = {", ".join(filter(None, cell)): why for cell, why in self.problems.items()}
            raise FailedFoldsError("; ".join(f"{name}: {why}" for name, why in names.items()))


def comparison_table(result: StudyResult) -> pd.DataFrame:
    """Rank systems by honest UF1: one row each; those without figures stand last.

    `UF1`, `UAR` and `ACC` are of the honest rule, with 95 % bootstrap intervals over subjects
    (`UF1 low`, `UF1 high`); `<data set> UF1` and so on are of a part. `Difference` is UF1 minus
    that of the best, paired by subject; `p` that of the paired permutation test, `p (Holm)` the
    same, corrected for all comparisons with the best. `Peeking adds` is the UF1 of the oracle rule
    minus that of the honest one; no other column rests on it, and what has no epochs has neither.

    Counts that a system does not have, such as the parameters of a nearest neighbour, are NaN.
    """
    honest = result.in_column(HONEST)
    beside = {kind: result.in_column(kind) for kind in BESIDE if kind in result.columns}
    order = sorted(honest, key=lambda name: -honest[name].metrics()["all"]["uf1"])
    best = collect_predictions(honest[order[0]]) if order else None
    rows = []
    for name in [*order, *(name for name in result.rows if name not in honest)]:
        run, card = honest.get(name), systems[result.rows[name]].card
        compared = run is not None and name != order[0]
        gap = _difference(collect_predictions(run), best) if run and compared else _no_difference()
        problems = [
            f"{kind}: {result.problems[name, kind]}"
            for kind in result.columns
            if (name, kind) in result.problems
        ]
        unpaired = ["other clips than the best: not paired"] * (gap is None)
        rows.append(
            {
                "Rank": order.index(name) + 1 if run else NAN,
                "System": name,
                "Fidelity": card.fidelity if card else "not stated",
                "Takes": card.takes if card else "flow maps",
                **_scores(run),
                **(_scores_of_parts(run) if run else {}),
                **_scores_beside(name, run, beside),
                **_costs(run),
                **_claims(result.rows[name], run),
                **(gap or _no_difference()),
                "Note": _note(result.runs.get((name, HONEST)), *problems, *unpaired),
                "Run": run.path.name if run else "",
            }
        )
    return _with_holm(rows)


def inputs_table(result: StudyResult) -> pd.DataFrame:
    """Score every input on every system: one row for each cell, left out or not.

    `UF1`, `UAR` and `ACC` have 95 % bootstrap intervals over subjects (`UF1 low`, `UF1 high`);
    `Best` marks the highest UF1 of each system. `Difference` is UF1 with MESTI minus UF1 with this
    input on the same system, paired by subject; `p` that of the paired permutation test, `p (Holm)`
    the same, corrected for all comparisons in the table. What has no complete run has no figures,
    what is no network no number of `Parameters`, and what is on other clips than MESTI no
    difference; `Note` says so.
    """
    rows, complete = [], result.complete
    for system in result.rows:
        tested = complete.get((system, TESTED))
        for name, words in result.columns.items():
            run = complete.get((system, name))
            gap: dict[str, float] | None = _no_difference()
            if run and tested and name != TESTED:
                gap = _difference(collect_predictions(tested), collect_predictions(run))
            unpaired = ["other clips than MESTI: not paired"] * (gap is None)
            problem = result.problems.get((system, name), "")
            state = _note(result.runs.get((system, name)), problem, *unpaired)
            rows.append(
                {
                    "System": system,
                    "Input": words,
                    **_scores(run),
                    "Best": False,
                    "Parameters": _count(run, "parameters"),
                    **(gap or _no_difference()),
                    "Note": result.left_out.get((system, name), state),
                    "Run": run.path.name if run else "",
                }
            )
    table = _with_holm(rows)
    best = table.groupby("System")["UF1"].transform("max")
    return table.assign(Best=table["UF1"].notna() & (table["UF1"] == best))


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
    """Compare variants with the full model: one row each, in the order of `words`.

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
        Why a variant takes no part.
    problems
        What failed of a variant, whether it has left a run or not.

    Columns `Paper ...` are claims on CASME II by the paper, whose flow, data and epoch rule are
    not ours: they are to be read beside the figures and not against them. Where it claims nothing
    about these variants they are empty.
    """
    complete = {name: run for name, run in runs.items() if run.metrics()["complete"]}
    answers = {name: _part_of(run, part) for name, run in complete.items()}
    rows = []
    for name, model in words.items():
        gap: dict[str, float] | None = _no_difference()
        if name != full and name in answers and full in answers:
            gap = _difference(answers[name], answers[full])
        if gap is None:
            raise InputError(
                f"variant '{name}' cannot be compared with the full model: it is on other clips",
                mend="run both on the same data under the same seeds",
            )
        state = _note(runs.get(name), (problems or {}).get(name, ""))
        rows.append(
            {
                "Variant": name,
                "Model": model,
                **_scores(complete.get(name), part),
                **gap,
                **_claims_of_variant(system, name, full),
                "Note": (left_out or {}).get(name, state),
                "Run": runs[name].path.name if name in runs else "",
            }
        )
    return _with_holm(rows)


def effects_table(
    words: Mapping[str, str],
    answers: Mapping[str, Predictions],
    *,
    base: str,
    notes: Mapping[str, str],
) -> pd.DataFrame:
    """Compare changes with the recipe: one row each, in the order of `words`.

    `Difference` is UF1 with the change minus that of the recipe, with its 95 % bootstrap interval
    paired by subject; `p` is that of the paired permutation test, and `p (Holm)` the same,
    corrected for the number of changes in the table.

    Parameters
    ----------
    words
        What each change is, by its name, `base` among them.
    answers
        Predictions with the change, for the same clips under the same seeds.
    notes
        Why a row has no figures.
    """
    rows = []
    for name, what in words.items():
        gap, uf1, low, high = _no_difference(), NAN, NAN, NAN
        if name in answers:
            uf1, (low, high) = (
                pooled(answers[name], "uf1"),
                bootstrap_interval(answers[name], "uf1"),
            )
            if name != base and base in answers:
                gap = _difference(answers[name], answers[base]) or gap
        scores = {"UF1": uf1, "UF1 low": low, "UF1 high": high}
        head = {"Change": name, "Settings": what}
        rows.append({**head, **scores, **gap, "Note": notes.get(name, "")})
    return _with_holm(rows)


def without_oracle(result: StudyResult) -> list[str]:
    """Systems without epochs to choose from, where the oracle rule was asked for."""
    asked = ORACLE in result.columns
    return sorted(name for name, of in result.rows.items() if asked and systems[of].is_estimator)


def has_smoke(table: pd.DataFrame) -> bool:
    """Whether a row is of the preset `smoke`, so that nothing can be ranked."""
    return bool(table["Note"].str.contains("SMOKE").any())


def parts_of(table: pd.DataFrame) -> list[str]:
    """The data sets behind the whole, where there are several."""
    end = " ACC"  # the oracle rule and the control have none
    return [str(name).removesuffix(end) for name in table if str(name).endswith(end)]


def ranking_over_sets(table: pd.DataFrame) -> Ranking | str:
    """Rank systems over the data sets, or say why they cannot be ranked."""
    if has_smoke(table):
        return "SMOKE: these runs rank nothing"
    parts = parts_of(table)
    scored = [f"{part} UF1" for part in parts]
    rows = table[table["Rank"].notna()].dropna(subset=scored)
    if reason := enough(max(len(parts), 1), len(rows)):
        return reason
    return rank_systems(rows["System"].tolist(), parts, rows[scored].to_numpy().T)


def _with_holm(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """Make a table of the rows, its p-values corrected for all comparisons in it."""
    table = pd.DataFrame(rows)
    tested = table["p"].notna()
    table.loc[tested, "p (Holm)"] = holm(table.loc[tested, "p"].tolist())
    return table


def _no_difference() -> dict[str, float]:
    return dict.fromkeys(PAIRED, NAN)


def _difference(ours: Predictions, theirs: Predictions | None) -> dict[str, float] | None:
    """UF1 of ours minus theirs, paired by subject; None where they are on other clips."""
    assert theirs is not None
    try:
        return dict(zip(PAIRED, (*paired_test(ours, theirs), NAN), strict=True))
    except ValueError:
        return None


def _scores(run: RunFolder | None, part: str = ALL, prefix: str = "") -> dict[str, float]:
    """All metrics of a run, or of one data set of it, with their intervals."""
    figures: Mapping[str, Any] = {}
    if run:
        metrics = run.metrics()
        figures = metrics["datasets"].get(part, metrics["all"])
    found: dict[str, float] = {}
    for metric in METRICS:
        name = f"{prefix}{metric.upper()}"
        found[name] = figures.get(metric, NAN)
        found[f"{name} low"], found[f"{name} high"] = figures.get(f"{metric}_interval", (NAN, NAN))
    return found


def _scores_of_parts(run: RunFolder) -> dict[str, float]:
    found: dict[str, float] = {}
    for part in run.metrics()["datasets"]:
        found |= _scores(run, part, f"{part} ")
    return found


def _scores_beside(
    name: str, honest: RunFolder | None, beside: Mapping[str, Mapping[str, RunFolder]]
) -> dict[str, float]:
    """UF1 under the rule that peeks and of the controls, where they were run."""
    found: dict[str, float] = {}
    for kind, runs in beside.items():
        scores = _scores(runs.get(name), prefix=f"{BESIDE[kind]} ")
        found |= {title: value for title, value in scores.items() if " UF1" in title}
    if ORACLE in beside:
        found["Peeking adds"] = found["Oracle UF1"] - _scores(honest)["UF1"]
    return found


def _costs(run: RunFolder | None) -> dict[str, Any]:
    units = list(run.units()) if run else []
    answers = [unit["inference_ms"] for unit in units if unit.get("inference_ms") is not None]
    trainings = [unit["seconds"] for unit in units if unit.get("seconds") is not None]
    devices = {str(unit["device"]).partition(":")[0] for unit in units if "device" in unit}
    processor = [str(run.environment().get("processor", "not recorded"))] if run else []
    return {
        "Parameters": _count(run, "parameters"),
        "FLOPs": _count(run, "flops"),
        "Training s per fold": mean(trainings) if trainings else NAN,
        "Answer ms": median(answers) if answers else NAN,
        "Machine": ", ".join([*processor, *sorted(devices - {"cpu"})]),
    }


def _count(run: RunFolder | None, name: str) -> float:
    """A count of `data.json`; NaN where a system has none."""
    value = run.data().get(name) if run else None
    return float(value) if isinstance(value, int | float) else NAN


def _claims(system: str, run: RunFolder | None) -> dict[str, Any]:
    """Claims on the same data: the composite of MEGC 2019, or one data set."""
    found: dict[str, Any] = {"Claimed UF1": NAN, "Claimed UAR": NAN, "Claim": ""}
    if run is None:
        return found
    names = run.metrics()["datasets"] or collect_predictions(run).table["dataset"].unique()
    sets = frozenset(names)
    if len(sets) > 1 and not sets <= COMPOSITE:
        return found
    where = ALL if len(sets) > 1 else min(sets)
    rows = claims_of(system).query("data == @where")
    for metric in ("uf1", "uar"):
        values = rows.loc[rows["metric"] == metric, "value"].astype(float).tolist()
        found[f"Claimed {metric.upper()}"] = values[0] if values else NAN
    if len(rows):
        partly = where == ALL and sets != COMPOSITE
        data = [f"on three data sets, of which we have {len(sets)}"] * partly
        sources = dict.fromkeys([*filter(None, rows["note"]), *rows["source"]])
        found["Claim"] = "; ".join([*data, *sources])
    return found


def _claims_of_variant(system: str, name: str, full: str) -> dict[str, float]:
    theirs, best = claimed(system, name, CLAIMED_ON), claimed(system, full, CLAIMED_ON)
    gap = theirs["uf1"] - best["uf1"] if theirs and best and name != full else NAN
    return dict(zip(CLAIMS, (theirs.get("uf1", NAN), theirs.get("uar", NAN), gap), strict=True))


def _part_of(run: RunFolder, part: str) -> Predictions:
    predictions = collect_predictions(run)
    names = sorted(predictions.table["dataset"].unique())
    if part == ALL or names == [part]:
        return predictions
    if part not in names:
        raise unknown_name("part", part, [ALL, *names])
    return predictions.only(part)


def _note(run: RunFolder | None, *problems: str) -> str:
    """What keeps a run from being compared, or why there is none."""
    state = note(run.metrics()) if run else "FAILED" if any(problems) else "not run yet"
    return "; ".join(filter(None, [state, *problems]))
