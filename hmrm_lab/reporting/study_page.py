"""The results of studies: table, figure, record and files; the page of a comparison."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
from markupsafe import Markup
from plotly import graph_objects as go
from plotly.offline import get_plotlyjs

from hmrm_lab.config.sections import ModelConfig
from hmrm_lab.evaluation.summary import collect_predictions, is_smoke, stamp
from hmrm_lab.registry import systems
from hmrm_lab.reporting.plots.results import CONVENTION
from hmrm_lab.reporting.report import figure_box, render_page
from hmrm_lab.reporting.study_figures import (
    forest_figure,
    inputs_figure,
    parameters_figure,
    peeking_figure,
    ranks_figure,
    scores_figure,
)
from hmrm_lab.reporting.study_table import (
    CLAIMED_ON,
    HONEST,
    NULL,
    NULL_WITHIN,
    ORACLE,
    StudyResult,
    ablation_table,
    comparison_table,
    inputs_table,
    parts_of,
    ranking_over_sets,
    without_oracle,
)
from hmrm_lab.reporting.study_words import (
    BOTH,
    NONE,
    SKETCH,
    ablation_words,
    claim_words,
    cost_words,
    inputs_remarks,
    inputs_words,
    lead,
    machines,
    paired_words,
    parameter_statement,
    part_words,
    protocol,
    result_words,
)
from hmrm_lab.reporting.system_cards import claimed
from hmrm_lab.reporting.tables import ALL, SMOKE_WARNING, to_csv, unused_words
from hmrm_lab.runtime.store import RunFolder, to_json, write_atomic

OURS = ModelConfig().name
PAPER_CLAIM = "The paper's claims are on CASME II, epoch rule not stated."
NO_MACHINE = {
    **dict.fromkeys(("command", "python", "system", "processor", "revision"), "not recorded"),
    "packages": {},
}
NOTE = (
    "Counts of all folds are pooled before a metric is computed. Intervals: 95 % percentile "
    "bootstrap over subjects. Minus best: UF1 minus that of the first row, paired by subject; p: "
    "permutation test that swaps the answers of both subject by subject, raised by Holm for all "
    "comparisons. The best was chosen by these same figures, which flatters it a little."
)
KIND_NOTES = {
    ORACLE: " Oracle: the epoch that does best on the test subject; it peeks, and ranks nothing.",
    NULL: " Null: trained on shuffled labels, so that what it scores is chance, or a leak.",
    NULL_WITHIN: " Null within: trained on labels shuffled among the clips of each subject, so that"
    " it knows no more than how often subjects show each class.",
}
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
        """The ranking; see `comparison_table`."""
        return comparison_table(self)

    @property
    def words(self) -> pd.DataFrame:
        """The ranking, rounded."""
        return result_words(self.table)

    @property
    def caption(self) -> str:
        """The protocol of the honest runs: rule, folds, seeds, flow."""
        return protocol(self, self.in_column(HONEST).values())

    @property
    def remarks(self) -> list[str]:
        """Systems left out, settings without use, and notes on the figures."""
        return [f"{heading}: {sentence}" for heading, sentence in _remarks(self)]

    def figure(self) -> go.Figure:
        """Honest UF1 of every system with its interval."""
        return scores_figure(self.table, caption=self.caption)

    def text(self) -> str:
        """The table for a terminal."""
        return "\n".join([self.words.to_string(index=False), "", self.caption, *self.remarks])

    def record(self) -> dict[str, Any]:
        """The comparison for programs; null where there is no figure."""
        ranking = ranking_over_sets(self.table)
        return {
            "data": self.data,
            "protocol": self.caption,
            "systems": _json_rows(self.table),
            "left_out": {name: why for (name, _), why in self.left_out.items()},
            "problems": {", ".join(cell): why for cell, why in self.problems.items()},
            "unused_settings": self.unused,
            "without_oracle": without_oracle(self),
            "over_data_sets": {"none": ranking} if isinstance(ranking, str) else asdict(ranking),
            "parameters": parameter_statement(self.table, OURS),
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
        page = render_comparison(self)
        return _write(folder / "comparison", self, {"tex": self.latex(), "html": page})


@dataclass(frozen=True)
class InputsResult(StudyResult):
    """Networks in rows, inputs in columns."""

    @cached_property
    def table(self) -> pd.DataFrame:
        """A row for each cell; see `inputs_table`."""
        return inputs_table(self)

    @property
    def words(self) -> pd.DataFrame:
        """A row for each network, a column for each input."""
        return inputs_words(self.table)

    @property
    def caption(self) -> str:
        """The protocol of the runs: data, flow, epoch rule, subjects, seeds."""
        return protocol(self, self.complete.values(), without=BOTH)

    @property
    def remarks(self) -> list[str]:
        """Cells left out or failed, and settings that some systems have no use for."""
        return inputs_remarks(self)

    def figure(self) -> go.Figure:
        """UF1 of every cell with its interval."""
        return inputs_figure(self.table, caption=f"{self.caption}.\n{INPUTS_NOTE}")

    def text(self) -> str:
        """The tables for a terminal."""
        lines = [self.words.to_string(index=False), "", self.caption, INPUTS_NOTE]
        if len(tests := paired_words(self.table)):
            lines += ["", tests.to_string(index=False), INPUTS_TEST_NOTE]
        return "\n".join([*lines, *self.remarks])

    def record(self) -> dict[str, Any]:
        """The study for programs; null where there is no figure."""
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
        """The runs by the name of their variant."""
        return {name: run for (name, _), run in self.runs.items()}

    def without_failures(self) -> dict[str, RunFolder]:
        """The runs by name, or a `FailedFoldsError` that names all that failed."""
        self.refuse_failures()
        return self.by_name

    @cached_property
    def table(self) -> pd.DataFrame:
        """A row for each variant; see `ablation_table`."""
        return ablation_table(self, full=self.full, system=self.system, part=self.part)

    @property
    def words(self) -> pd.DataFrame:
        """The table, rounded."""
        return ablation_words(self.table)

    @property
    def caption(self) -> str:
        """The protocol of the full model; that claims are of other data, where there are any."""
        claim = [PAPER_CLAIM] if claimed(self.system, self.full, CLAIMED_ON) else []
        if self.full not in self.by_name:
            return " ".join(["There are no figures of the full model yet.", *claim])
        metrics = self.by_name[self.full].metrics()
        figures = metrics["datasets"].get(self.part, metrics["all"])
        flow = str(metrics["flow"])
        ours = f"Ours on {metrics['data']}{'' if self.part == ALL else f', {self.part} alone'}"
        ours += "" if flow.startswith("none") else f", flow {flow}"
        return "\n".join([f"{ours}: {stamp({**metrics, 'all': figures})}.", *claim])

    def figure(self) -> go.Figure:
        """The forest plot of the differences."""
        return forest_figure(self.table, full=self.full, caption=self.caption)

    def text(self) -> str:
        """The table for a terminal."""
        return f"{self.words.to_string(index=False)}\n\n{self.caption}"

    def record(self) -> dict[str, Any]:
        """The ablation for programs; null where there is no figure."""
        rows = _json_rows(self.table)
        return {"system": self.system, "caption": self.caption, "variants": rows}


def render_comparison(result: ComparisonResult) -> str:
    """The page as text."""
    table, caption = result.table, result.caption
    claims = claim_words(table, parts_of(table) or [_only_set(result)])
    figures = {
        "scores": result.figure(),
        "peeking": peeking_figure(table, caption=caption),
        "ranks": ranks_figure(ranking_over_sets(table), caption=caption),
        "parameters": parameters_figure(table, ours=OURS, caption=caption),
    }
    runs = list(result.runs.values())
    return render_page(
        "study.html.j2",
        title=f"{table['Rank'].notna().sum()} systems on {result.data}",
        protocol=caption,
        warnings=_warnings(result),
        remarks=_remarks(result),
        lead=lead(table),
        results=_shown("Results", result.words, table),
        results_note=NOTE + "".join(KIND_NOTES.get(kind, "") for kind in result.columns),
        parts=[_shown(part, part_words(table, part), table) for part in parts_of(table)],
        costs=_shown("Costs", cost_words(table), table),
        costs_note=_costs_note(table),
        claims=_shown("Claims", claims),
        statement=parameter_statement(table, OURS),
        systems=[_describe_system(name, result.rows[name]) for name in table["System"]],
        figures={name: figure_box(figure) for name, figure in figures.items()},
        machine=runs[0].environment() if runs else NO_MACHINE,
        runs=[run.path.name for run in runs],
        plotly=Markup(get_plotlyjs()),  # noqa: S704  a script of the package itself
    )


def _write(
    stem: Path, result: ComparisonResult | InputsResult, more: Mapping[str, str]
) -> dict[str, Path]:
    contents = {"csv": to_csv(result.table), "json": to_json(result.record()), **more}
    files = {suffix: stem.with_suffix(f".{suffix}") for suffix in contents}
    for suffix, content in contents.items():
        write_atomic(files[suffix], content)
    return files


def _json_rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    return list(json.loads(table.to_json(orient="records")))


def _shown(title: str, words: pd.DataFrame, table: pd.DataFrame | None = None) -> dict[str, Any]:
    """A table for the template; rows of sketches and of whatever has a note are flagged."""
    flagged = [False] * len(words)
    if table is not None:
        flagged = ((table["Note"] != "") | (table["Fidelity"] == SKETCH)).tolist()
    rows = words.to_numpy().tolist()
    return {"title": title, "columns": list(words.columns), "rows": rows, "flagged": flagged}


def _warnings(result: ComparisonResult) -> list[tuple[str, str]]:
    """Reasons against a ranking, then failures, one line for each."""
    honest = [run for (_, kind), run in result.runs.items() if kind == HONEST]
    return [SMOKE_WARNING] * any(is_smoke(run.metrics()) for run in honest) + [
        (f"{name} ({kind}) failed or is incomplete", f"{reason}.")
        for (name, kind), reason in result.problems.items()
    ]


def _remarks(result: ComparisonResult) -> list[tuple[str, str]]:
    found = [(f"{name} is left out", f"It {why}.") for (name, _), why in result.left_out.items()]
    found += [
        (f"{setting} is not for all", f"{unused_words(names)}.")
        for setting, names in result.unused.items()
    ]
    if names := without_oracle(result):
        words = f"Fitted without epochs to choose from: {', '.join(names)}."
        found.append(("No oracle run for some", words))
    if result.data == "synthetic":
        found.append(
            (
                "Procedural faces",
                "Nobody was recorded. The figures compare systems where the truth is known; they"
                " say nothing about real recordings, and no claim on real ones stands beside them.",
            )
        )
    if result.table["Claim"].str.contains("of which we have").any():
        found.append(
            (
                "Claims on more data",
                "Claims on the composite rest on three data sets, and these results on fewer.",
            )
        )
    return found


def _costs_note(table: pd.DataFrame) -> str:
    known = machines(table)
    where = f" on {known[0]}" if len(known) == 1 else ""
    return (
        f"{CONVENTION} Training: mean wall time of a fold{where}, while other folds may run beside"
        " it. Answer: median milliseconds for one clip given alone, from its map on"
        " (systems that take clips: from the gray clip on, so without flow), with the views that"
        " the recipe averages. Training of those systems computes the description of a clip once"
        " per process, not in every fold. A dash where nothing was measured."
    )


def _describe_system(name: str, system: str) -> dict[str, Any]:
    card = systems[system].card
    return {
        "name": name,
        "fidelity": card.fidelity if card else "fidelity not stated",
        "takes": card.takes if card else "flow maps",
        "citation": card.citation if card else systems[system].source,
        "departures": card.departures if card else (),
    }


def _only_set(result: ComparisonResult) -> str:
    """The data set behind all results, where it is one."""
    runs = list(result.in_column(HONEST).values())
    return str(collect_predictions(runs[0]).table["dataset"].iloc[0]) if runs else result.data
