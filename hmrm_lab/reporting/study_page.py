"""The results of studies: table, figure, record and files; the page of a comparison."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
from plotly import graph_objects as go

from hmrm_lab.config.sections import ModelConfig
from hmrm_lab.evaluation.summary import collect_predictions, is_smoke, stamp
from hmrm_lab.registry import systems
from hmrm_lab.reporting import study_figures, study_table, study_words
from hmrm_lab.reporting.plots.results import CONVENTION
from hmrm_lab.reporting.report import figure_box
from hmrm_lab.reporting.study_table import HONEST, Cell, StudyResult
from hmrm_lab.reporting.svg import render_page
from hmrm_lab.reporting.tables import ALL, NONE, SMOKE_WARNING, stacked, unused_words
from hmrm_lab.runtime.store import RunFolder, to_json, write_atomic

OURS = ModelConfig().name
OTHERS = ("UAR", "ACC", "Weighted F1")
PAPER_CLAIM = "The paper's claims are on CASME II, epoch rule not stated."
PHASES = (", both phases", ", MM-COF")  # have columns of their own in the table of inputs
INPUTS_NOTE = (
    "Intervals: 95 % bootstrap over subjects. * the highest of its row, which the interval may"
    " not tell from others. Pictures have 56 px a side and flow 28: networks without a fixed side"
    " grow with them, and shifts in pixels reach half as far on pictures."
)
INPUTS_TEST_NOTE = (
    "MESTI minus the other input on the same network, paired by subject. p: permutation test that"
    " swaps the answers of both subject by subject, raised by Holm for all of these comparisons."
)


@dataclass(frozen=True)
class ComparisonResult(StudyResult):
    """Systems in rows, kinds of run (honest, oracle, null) in columns."""

    @cached_property
    def table(self) -> pd.DataFrame:
        return study_table.comparison_table(self)

    @property
    def words(self) -> pd.DataFrame:
        # for want of room without the intervals of what stands beside
        beside = [f"{title} UF1" for title in study_table.BESIDE.values()]
        ends = [f"{name} {end}" for name in beside for end in ("low", "high")]
        names = ("Rank", "System", "Note", "Fidelity", "Takes", "UF1", "Difference", "p (Holm)")
        claims = ("Claimed UF1", "Claimed ACC", "Claimed F1")
        scores = ("Oracle UF1", "Peeking adds", *beside[1:], *claims, *OTHERS)
        shown = self.table.drop(columns=ends, errors="ignore")
        titles = {"Rank": "#", "Difference [95 %]": "Minus best [95 %]"}
        return study_words.in_words(shown, *names, *scores).rename(columns=titles)

    @property
    def caption(self) -> str:
        return study_words.protocol(self.data, self.in_column(HONEST).values())

    @property
    def remarks(self) -> list[str]:
        return [f"{heading}: {sentence}" for heading, sentence in _remarks(self)]

    def figure(self) -> go.Figure:
        return study_figures.scores_figure(self.table, caption=self.caption)

    def text(self) -> str:
        return "\n".join([stacked(self.words, "System"), "", self.caption, *self.remarks])

    def record(self) -> dict[str, Any]:
        ranking = study_table.ranking_over_sets(self.table)
        return {
            "data": self.data,
            "protocol": self.caption,
            "systems": _json_rows(self.table),
            "left_out": {name: why for (name, _), why in self.left_out.items()},
            "problems": {", ".join(cell): why for cell, why in self.problems.items()},
            "recipe": self.recipe,
            "unused_settings": self.unused,
            "without_oracle": study_table.without_oracle(self),
            "over_data_sets": {"none": ranking} if isinstance(ranking, str) else asdict(ranking),
            "parameters": study_words.parameter_statement(self.table, OURS),
            "flops": CONVENTION,
            "runs": {
                kind: {name: str(run.path) for (name, of), run in self.runs.items() if of == kind}
                for kind in self.columns
            },
        }

    def latex(self) -> str:
        """The main table as a `tabular` in the manner of booktabs; the caption is a comment."""
        left = ("System", "Fidelity", "Takes", "Note")
        columns = "".join("l" if name in left else "r" for name in self.words)
        body = self.words.to_latex(index=False, escape=True, column_format=columns)
        return f"% {self.caption}\n{body}".replace(NONE, "--")

    def write(self, folder: Path) -> dict[str, Path]:
        """Write `comparison.csv`, `.tex`, `.json` and `.html`; return their paths by suffix."""
        more = {"tex": self.latex(), "html": render_comparison(self)}
        return _write(folder / "comparison", self, more)


@dataclass(frozen=True)
class InputsResult(StudyResult):
    """Networks in rows, inputs in columns."""

    @cached_property
    def table(self) -> pd.DataFrame:
        return study_table.inputs_table(self)

    @property
    def words(self) -> pd.DataFrame:
        return study_words.inputs_words(self.table)

    @property
    def caption(self) -> str:
        return study_words.protocol(self.data, self.complete.values(), without=PHASES)

    @property
    def remarks(self) -> list[str]:
        words = [f"{cells}: left out, {why}" for why, cells in self._by_reason(self.left_out)]
        words += [f"{cells}: FAILED, {why}" for why, cells in self._by_reason(self.problems)]
        return words + [f"{text}: {unused_words(of)}" for text, of in self.unused.items()]

    def _by_reason(self, reasons: Mapping[Cell, str]) -> Iterator[tuple[str, str]]:
        for why in dict.fromkeys(reasons.values()):
            lacking: dict[str, list[str]] = {}
            for (system, name), reason in reasons.items():
                if reason == why:
                    lacking.setdefault(self.columns[name], []).append(system)
            cells = [
                words if len(of) == len(self.rows) else f"{words} on {', '.join(of)}"
                for words, of in lacking.items()
            ]
            yield why, "; ".join(cells)

    def figure(self) -> go.Figure:
        return study_figures.inputs_figure(self.table, caption=f"{self.caption}.\n{INPUTS_NOTE}")

    def text(self) -> str:
        lines = [stacked(self.words), "", self.caption, INPUTS_NOTE]
        if len(tests := study_words.paired_words(self.table)):
            lines += ["", stacked(tests), INPUTS_TEST_NOTE]
        return "\n".join([*lines, *self.remarks])

    def record(self) -> dict[str, Any]:
        return {
            "data": self.data,
            "protocol": self.caption,
            "inputs": dict(self.columns),
            "cells": _json_rows(self.table),
            "remarks": self.remarks,
            "runs": {", ".join(cell): str(run.path) for cell, run in self.runs.items()},
        }

    def write(self, folder: Path) -> dict[str, Path]:
        """Write `inputs.csv`, `inputs.json` and the figure, `inputs.html`; return their paths."""
        page = self.figure().to_html(include_plotlyjs=True)
        return _write(folder / "inputs", self, {"html": page})


@dataclass(frozen=True)
class AblationResult(StudyResult):
    """Variants in rows; `full` is the variant that others are compared with.

    `part` is `all`, or the data set that table and figure are of.
    """

    full: str = "M4"
    system: str = "hmrm"
    part: str = ALL

    @property
    def by_name(self) -> dict[str, RunFolder]:
        return {name: run for (name, _), run in self.runs.items()}

    @cached_property
    def table(self) -> pd.DataFrame:
        return study_table.ablation_table(self, full=self.full, system=self.system, part=self.part)

    @property
    def words(self) -> pd.DataFrame:
        tests = ("UF1", "UAR", "Difference", "p", "p (Holm)")
        names = ("Variant", "Note", "Model", *tests, *study_table.CLAIMS)
        titles = {"Difference [95 %]": "UF1 minus full [95 %]"}
        return study_words.in_words(self.table, *names).rename(columns=titles)

    @property
    def caption(self) -> str:
        paper = study_table.claimed(self.system, self.full, study_table.CLAIMED_ON, self.classes)
        claim = [PAPER_CLAIM] if paper else []
        if self.full not in self.by_name:
            return " ".join(["There are no figures of the full model yet.", *claim])
        metrics = self.by_name[self.full].metrics()
        figures = metrics["datasets"].get(self.part, metrics["all"])
        flow = str(metrics["flow"])
        ours = f"Ours on {metrics['data']}{'' if self.part == ALL else f', {self.part} alone'}"
        ours += "" if flow.startswith("none") else f", flow {flow}"
        return "\n".join([f"{ours}: {stamp({**metrics, 'all': figures})}.", *claim])

    def figure(self) -> go.Figure:
        return study_figures.forest_figure(self.table, full=self.full, caption=self.caption)

    def text(self) -> str:
        return f"{stacked(self.words)}\n\n{self.caption}"

    def record(self) -> dict[str, Any]:
        rows = _json_rows(self.table)
        return {"system": self.system, "caption": self.caption, "variants": rows}


def render_comparison(result: ComparisonResult) -> str:
    table, caption = result.table, result.caption
    runs, known = list(result.runs.values()), study_words.machines(table)
    honest = [run for (_, kind), run in result.runs.items() if kind == HONEST]
    parts, ranking = study_table.parts_of(table), study_table.ranking_over_sets(table)
    sets, complete = parts, list(result.in_column(HONEST).values())
    if complete and not parts:  # one data set is behind all results
        sets = [str(collect_predictions(complete[0]).table["dataset"].iloc[0])]
    sizes = study_figures.parameters_figure(table, ours=OURS, caption=caption)
    figures = {"scores": result.figure(), "parameters": sizes}
    if study_table.ORACLE in result.columns:
        figures["peeking"] = study_figures.peeking_figure(table, caption=caption)
    if not isinstance(ranking, str):
        figures["ranks"] = study_figures.ranks_figure(ranking, caption=caption)
    return render_page(
        "study.html.j2",
        title=f"{table['Rank'].notna().sum()} systems on {result.data}",
        protocol=caption,
        smoke=any(is_smoke(run.metrics()) for run in honest),
        smoke_warning=SMOKE_WARNING,
        problems=result.problems,
        remarks=_remarks(result),
        lead=study_words.lead(table),
        kinds=result.columns,
        flagged=((table["Note"] != "") | (table["Fidelity"] == study_words.SKETCH)).tolist(),
        results=result.words,
        parts={part: study_words.part_words(table, part) for part in parts},
        by_class=study_words.class_words(table),
        costs=study_words.cost_words(table),
        convention=CONVENTION,
        where=f" on {known[0]}" if len(known) == 1 else "",
        claims=study_words.claim_words(table, sets or [result.data], result.classes),
        statement=study_words.parameter_statement(table, OURS),
        systems={
            name: systems[result.rows[name]] for name in table["System"] if name in result.rows
        },
        figures={name: figure_box(figure) for name, figure in figures.items()},
        runs=runs,
        plotly=True,
    )


def _write(
    stem: Path, result: ComparisonResult | InputsResult, more: Mapping[str, str]
) -> dict[str, Path]:
    table = result.table.to_csv(index=False, lineterminator="\n")
    contents = {"csv": table, "json": to_json(result.record()), **more}
    files = {suffix: stem.with_suffix(f".{suffix}") for suffix in contents}
    for suffix, content in contents.items():
        write_atomic(files[suffix], content)
    return files


def _json_rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    return list(json.loads(table.to_json(orient="records")))


def _remarks(result: ComparisonResult) -> list[tuple[str, str]]:
    """Limits of a comparison: heading and sentence."""
    found = [(f"{name} is left out", f"It {why}.") for (name, _), why in result.left_out.items()]
    found += [
        (f"{setting} is not for all", f"{unused_words(names)}.")
        for setting, names in result.unused.items()
    ]
    if result.recipe == "common":
        words = (
            "Every network has the normalisation, augmentation, loss, epochs, rates, averaged"
            " weights and views of hmrm; its channels and its layers are its own."
        )
        found.append(("Common recipe", words))
    if lost := [name for name in result.fused if name not in result.in_column(HONEST)]:
        found.append(("Nothing is fused", f"There are no figures of {', '.join(lost)}."))
    elif fused := " + ".join(result.fused):
        words = f"{fused} is the mean of their probabilities; no weight is chosen."
        found.append(("Fusion", words))
    if names := study_table.without_oracle(result):
        words = f"Fitted without epochs to choose from: {', '.join(names)}."
        found.append(("No oracle run for some", words))
    if result.data == "flowmaps" and OURS in result.rows.values():
        words = "The published maps are of TV-L1, so that hmrm is the M1 of its paper here."
        found.append(("Not its own flow", words))
    if result.data == "synthetic":
        words = (
            "Nobody was recorded. The figures compare systems where the truth is known; they"
            " say nothing about real recordings, and no claim on real ones stands beside them."
        )
        found.append(("Procedural faces", words))
    if result.table["Claim"].str.contains("of which we have").any():
        words = "Claims on the composite rest on three data sets, and these results on fewer."
        found.append(("Claims on more data", words))
    return found
