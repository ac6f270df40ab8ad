"""The tables of a study: every row with its scores, and paired by subject with a baseline.

Columns of all tables: `UF1`, `UAR`, `ACC` and `Weighted F1` with 95 % bootstrap intervals over
subjects (`UF1 low`, `UF1 high`); `Difference` of UF1 from the baseline on the same clips, with its
bootstrap interval paired by subject; `p` of the paired permutation test, and `p (Holm)`, corrected
for all comparisons in the table; `Note`, which says what keeps a row from being compared. An
incomplete run has no figures: the folds that it lacks are seldom a fair sample.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from statistics import mean, median
from typing import Any

import pandas as pd

from hmrm_lab.config.sections import LOSO
from hmrm_lab.datasets.classes import MEGC3
from hmrm_lab.errors import FailedFoldsError, check_known
from hmrm_lab.evaluation import significance
from hmrm_lab.evaluation.metrics import TITLES
from hmrm_lab.evaluation.summary import collect_predictions, fuse_answers, summarise
from hmrm_lab.records import Predictions
from hmrm_lab.registry import systems
from hmrm_lab.reporting.tables import ALL, note, scores_of
from hmrm_lab.runtime.store import RunFolder

Cell = tuple[str, str]  # row, column
Words = Mapping[str, str]
Answers = Predictions | None
HONEST, ORACLE = "honest", "oracle"
NULL, NULL_WITHIN = "null", "null within subjects"
BESIDE = {ORACLE: "Oracle", NULL: "Null", NULL_WITHIN: "Null within"}  # titles of these kinds
TESTED = "mesti"  # the input that all others are compared with
PAIRED = ("Difference", "Difference low", "Difference high", "p", "p (Holm)")
COMPOSITE = frozenset({"smic", "casme2", "samm"})  # the data of a claim on `all`
CLAIMED_ON = "casme2"  # Table 3 of the paper
CLAIMED = {metric: f"Claimed {title}" for metric, title in {**TITLES, "f1": "F1"}.items()}
"""Columns of claims; which average an F1 is, `f1`, nobody states, and nothing stands beside it."""
CLAIMS = ("Paper UF1", "Paper UAR", "Paper difference")
NAN = math.nan
_UNPAIRED = dict.fromkeys(PAIRED, NAN)
_INSTALLED = Path(__file__).parent / "published.csv"
_CHECKOUT = Path(__file__).parents[2] / "data" / "published.csv"


@dataclass(frozen=True)
class StudyResult:
    """The runs of a study by cell, `(row, column)`, and why other cells have none.

    `rows` holds the system of each row, or what a variant is; `columns` kinds of run or inputs, in
    words. `left_out` says why a cell takes no part, `problems` what failed, with or without an
    incomplete run, and `unused`, by setting, which systems have no use for it.
    """

    data: str
    rows: Mapping[str, str]
    columns: Mapping[str, str]
    runs: dict[Cell, RunFolder]
    left_out: dict[Cell, str] = field(default_factory=dict)
    problems: dict[Cell, str] = field(default_factory=dict)
    unused: dict[str, list[str]] = field(default_factory=dict)
    recipe: str = "own"  # or `common`: all networks are trained as HMRM is
    fused: Sequence[str] = ()  # rows whose answers are averaged, as one row more

    @property
    def classes(self) -> str:
        """The class scheme of its runs."""
        return next((run.config().data.classes for run in self.runs.values()), MEGC3.name)

    @property
    def complete(self) -> dict[Cell, RunFolder]:
        """The runs from which figures may be computed."""
        return {cell: run for cell, run in self.runs.items() if run.metrics()["complete"]}

    def in_column(self, column: str) -> dict[str, RunFolder]:
        return {row: run for (row, of), run in self.complete.items() if of == column}

    def refuse_failures(self) -> None:
        if self.problems:
            failed = (f"{', '.join(filter(None, c))}: {why}" for c, why in self.problems.items())
            raise FailedFoldsError("; ".join(failed))

    def note(self, cell: Cell, *notes: str) -> str:
        if cell in self.left_out:
            return self.left_out[cell]
        run, problem = self.runs.get(cell), self.problems.get(cell, "")
        state = note(run.metrics()) if run else "FAILED" if problem else "not run yet"
        return "; ".join(filter(None, [state, problem, *notes]))


def comparison_table(result: StudyResult) -> pd.DataFrame:
    """Rank systems by honest UF1: one row each; those without figures stand last.

    The baseline is the best. Systems that are `fused` have one row more together. `<data set> UF1`
    and so on are of a part. `Peeking adds` is the UF1 of the oracle rule minus that of the honest
    one; no other column rests on it. What a system does not have, such as epochs, is NaN.
    """
    honest = result.in_column(HONEST)
    beside = {kind: result.in_column(kind) for kind in BESIDE if kind in result.columns}
    known = {name: run.metrics() for name, run in honest.items()}
    answers = {name: collect_predictions(run) for name, run in honest.items()}
    fusion = " + ".join(result.fused)
    if fusion and set(result.fused) <= set(known):
        parts = [(answers[name], known[name]) for name in result.fused]
        answers[fusion], about = fuse_answers(parts)
        known[fusion] = summarise(answers[fusion]) | about | {"complete": True}
    order = sorted(known, key=lambda name: -known[name]["all"]["uf1"])
    best, rows = answers[order[0]] if order else None, []
    for name in [*order, *(name for name in result.rows if name not in known)]:
        run, metrics = honest.get(name), known.get(name)
        system = result.rows.get(name, "")
        card = systems[system].card if system else None
        failed = {kind: result.problems.get((name, kind)) for kind in beside}
        row = {
            "Rank": order.index(name) + 1 if metrics else NAN,
            "System": name,
            "Fidelity": card.fidelity if card else "not stated",
            "Takes": card.takes if card else "flow maps",
            **_scores(metrics),
        }
        for part in metrics["datasets"] if metrics else ():
            row |= _scores(metrics, part, f"{part} ")
        whole = metrics["all"] if metrics else {"f1": {}}
        for of, f1 in whole["f1"].items():
            low, high = whole["f1_interval"][of]
            row |= {f"F1 {of}": f1, f"F1 {of} low": low, f"F1 {of} high": high}
        for kind, runs in beside.items():
            of_kind = runs[name].metrics() if name in runs else None
            scores = _scores(of_kind, prefix=f"{BESIDE[kind]} ")
            row |= {title: value for title, value in scores.items() if " UF1" in title}
        if ORACLE in beside:
            row["Peeking adds"] = row["Oracle UF1"] - row["UF1"]
        row |= _costs(run) | _claims_on_same_data(system, run)
        notes = [f"{kind}: {why}" for kind, why in failed.items() if why]
        ours = answers[name] if metrics and name != order[0] else None
        rows.append(row | _ending(result, (name, HONEST), ours, best, "the best", *notes))
        if name == fusion:
            rows[-1] |= {"Fidelity": "", "Takes": "", "Note": note(known[name])}
    return _with_holm(rows)


def inputs_table(result: StudyResult) -> pd.DataFrame:
    """Score every input on every system: one row for each cell, left out or not.

    The baseline of a system is its run with MESTI, from which the others are subtracted. `Best`
    marks the highest UF1 of each system.
    """
    rows, complete = [], result.complete
    for system in result.rows:
        tested = complete.get((system, TESTED))
        mesti = collect_predictions(tested) if tested else None
        for name, words in result.columns.items():
            run = complete.get((system, name))
            theirs = collect_predictions(run) if run and name != TESTED else None
            row = {"System": system, "Input": words, **_scores(run.metrics() if run else None)}
            row |= {"Best": False, "Parameters": _count(run, "parameters")}
            rows.append(row | _ending(result, (system, name), mesti, theirs, "MESTI"))
    table = _with_holm(rows)
    best = table.groupby("System")["UF1"].transform("max")
    return table.assign(Best=table["UF1"].notna() & (table["UF1"] == best))


def ablation_table(result: StudyResult, *, full: str, system: str, part: str = ALL) -> pd.DataFrame:
    """Compare variants with the full model: one row each; `part` may be one data set of the runs.

    Columns `Paper ...` are claims on CASME II by the paper, whose flow, data and epoch rule are
    not ours: they are to be read beside the figures and not against them. They are empty where it
    claims nothing.
    """
    complete = result.in_column("")
    answers = {name: _part_of(run, part) for name, run in complete.items()}
    best, rows = claimed(system, full, CLAIMED_ON, result.classes), []
    for name, words in result.rows.items():
        theirs = claimed(system, name, CLAIMED_ON, result.classes)
        added = theirs["uf1"] - best["uf1"] if theirs and best and name != full else NAN
        claims = (theirs.get("uf1", NAN), theirs.get("uar", NAN), added)
        metrics = complete[name].metrics() if name in complete else None
        row = {"Variant": name, "Model": words, **_scores(metrics, part)}
        row |= dict(zip(CLAIMS, claims, strict=True))
        ours = answers.get(name) if name != full else None
        rows.append(row | _ending(result, (name, ""), ours, answers.get(full), "the full model"))
    return _with_holm(rows)


def effects_table(
    words: Words, answers: Mapping[str, Predictions], *, base: str, notes: Words
) -> pd.DataFrame:
    """Compare changes with the recipe: one row each, in the order of `words`, which explains them.

    `answers` are predictions with the change, for the same clips under the same seeds; `notes` say
    why a row has no figures.
    """
    rows = []
    for name, what in words.items():
        ours, uf1, ends = answers.get(name), NAN, (NAN, NAN)
        if ours is not None:
            uf1 = significance.pooled(ours, "uf1")
            ends = significance.bootstrap_interval(ours, "uf1")
        gap = _paired(ours if name != base else None, answers.get(base)) or _UNPAIRED
        row = {"Change": name, "Settings": what, "UF1": uf1, "UF1 low": ends[0]}
        rows.append(row | {"UF1 high": ends[1], **gap, "Note": notes.get(name, "")})
    return _with_holm(rows)


def without_oracle(result: StudyResult) -> list[str]:
    """Systems without epochs to choose from, where the oracle rule was asked for."""
    asked = ORACLE in result.columns
    return sorted(name for name, of in result.rows.items() if asked and systems[of].is_estimator)


def has_smoke(table: pd.DataFrame) -> bool:
    """Check for a row of the preset `smoke`, with which nothing can be ranked."""
    return bool(table["Note"].str.contains("SMOKE").any())


def parts_of(table: pd.DataFrame) -> list[str]:
    """The data sets behind the whole, where there are several."""
    end = " ACC low"  # the oracle rule, the control and claims have none
    return [str(name).removesuffix(end) for name in table if str(name).endswith(end)]


def ranking_over_sets(table: pd.DataFrame) -> significance.Ranking | str:
    """Rank systems over the data sets, or say why they cannot be ranked."""
    if has_smoke(table):
        return "SMOKE: these runs rank nothing"
    parts = parts_of(table)
    scored = [f"{part} UF1" for part in parts]
    rows = table[table["Rank"].notna()].dropna(subset=scored)
    if reason := significance.enough(max(len(parts), 1), len(rows)):
        return reason
    return significance.rank_systems(rows["System"].tolist(), parts, rows[scored].to_numpy().T)


def _ending(
    result: StudyResult, cell: Cell, ours: Answers, theirs: Answers, baseline: str, *notes: str
) -> dict[str, Any]:
    """The last columns of a row: UF1 of ours minus theirs, if both are given, and the note."""
    gap = _paired(ours, theirs)
    if gap is None:
        notes = (*notes, f"other clips than {baseline}: not paired")
    run = result.runs.get(cell)
    ends = {"Note": result.note(cell, *notes), "Run": run.path.name if run else ""}
    return (gap or _UNPAIRED) | ends


def _with_holm(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """Make a table of the rows, its p-values corrected for all comparisons in it."""
    table = pd.DataFrame(rows)
    tested = table["p"].notna()
    table.loc[tested, "p (Holm)"] = significance.holm(table.loc[tested, "p"].tolist())
    return table


def _paired(ours: Answers, theirs: Answers) -> dict[str, float] | None:
    """UF1 of ours minus theirs, paired by subject; None where they are on other clips."""
    if ours is None or theirs is None:
        return _UNPAIRED
    try:
        return dict(zip(PAIRED, (*significance.paired_test(ours, theirs), NAN), strict=True))
    except ValueError:
        return None


def _scores(metrics: Mapping[str, Any] | None, part: str = ALL, prefix: str = "") -> dict[str, Any]:
    """All metrics of a run, or of one data set of it, with their intervals."""
    figures = metrics["datasets"].get(part, metrics["all"]) if metrics else {}
    return scores_of(figures, prefix)


def _costs(run: RunFolder | None) -> dict[str, Any]:
    units = list(run.records()) if run else []
    answers = [unit["inference_ms"] for unit in units if unit.get("inference_ms") is not None]
    trainings = [unit["seconds"] for unit in units if unit.get("seconds") is not None]
    devices = {str(unit["device"]).partition(":")[0] for unit in units if "device" in unit}
    machine = [run.environment().get("processor", "not recorded")] if run else []
    return {
        "Parameters": _count(run, "parameters"),
        "FLOPs": _count(run, "flops"),
        "Training s per fold": mean(trainings) if trainings else NAN,
        "Answer ms": median(answers) if answers else NAN,
        "Machine": ", ".join(map(str, [*machine, *sorted(devices - {"cpu"})])),
    }


def _count(run: RunFolder | None, name: str) -> float:
    value = run.data().get(name) if run else None
    return float(value) if isinstance(value, int | float) else NAN


def _claims_on_same_data(system: str, run: RunFolder | None) -> dict[str, Any]:
    """Claims on the same data and classes, by LOSO: the composite, or one data set."""
    found: dict[str, Any] = dict.fromkeys(CLAIMED.values(), NAN) | {"Claim": ""}
    if run is None or run.metrics()["protocol"] != LOSO:
        return found
    sets = {*(run.metrics()["datasets"] or collect_predictions(run).table["dataset"].unique())}
    if len(sets) > 1 and not sets <= COMPOSITE:
        return found
    where = ALL if len(sets) > 1 else min(sets)
    rows = claims_of(system, classes=run.config().data.classes).query("data == @where")
    for metric, value in zip(rows["metric"], rows["value"].astype(float), strict=True):
        found[CLAIMED[metric]] = value
    if len(rows):
        partly = where == ALL and sets != COMPOSITE
        data = [f"on three data sets, of which we have {len(sets)}"] * partly
        sources = dict.fromkeys([*filter(None, rows["note"]), *rows["source"]])
        found["Claim"] = "; ".join([*data, *sources])
    return found


def _part_of(run: RunFolder, part: str) -> Predictions:
    predictions = collect_predictions(run)
    names = sorted(predictions.table["dataset"].unique())
    if part == ALL or names == [part]:
        return predictions
    check_known("part", part, [ALL, *names])
    return predictions.only(part)


@cache
def _claims() -> pd.DataFrame:
    file = _CHECKOUT if _CHECKOUT.is_file() else _INSTALLED
    return pd.read_csv(file, keep_default_na=False)


def published() -> pd.DataFrame:
    """Every claim of a publication.

    Columns system, variant, data, classes, metric, value, note, source. Claims come from other
    data, flow and epoch rules than ours: they are never computed with. `variant` is `full`, a model
    of an ablation, or an input; `data` a data set, or `all` for the composite of MEGC 2019;
    `classes` a class scheme; `note` says what is known to stand behind a number.
    """
    return _claims().copy()


def claims_of(system: str, variant: str = "full", *, classes: str = MEGC3.name) -> pd.DataFrame:
    """Every claim for a system in these classes, on whatever data, with its note and source."""
    rows = _claims().query("system == @system and variant == @variant and classes == @classes")
    return rows.reset_index(drop=True)


def claimed(system: str, variant: str, data: str, classes: str = MEGC3.name) -> dict[str, float]:
    rows = claims_of(system, variant, classes=classes).query("data == @data")
    return dict(zip(rows["metric"], rows["value"].astype(float), strict=True))
