"""The HTML report: one page that needs no network, no server and no kernel."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from hmrm_lab.evaluation.audit_findings import LEAK, UNKNOWN
from hmrm_lab.evaluation.ledger import count_evaluations
from hmrm_lab.evaluation.metrics import uf1
from hmrm_lab.evaluation.summary import (
    collect_history,
    collect_predictions,
    describe_failures,
    is_smoke,
    stamp,
)
from hmrm_lab.records import FlowSet, Predictions
from hmrm_lab.reporting.figures import (
    confusion_figure,
    hard_cases_figure,
    metrics_interval_figure,
    subject_strip_figure,
    training_curves_figure,
)
from hmrm_lab.reporting.pages import figure_box, render_page
from hmrm_lab.reporting.tables import ALL, SMOKE_WARNING, display_table, note, results_table
from hmrm_lab.runtime.store import RunFolder, write_atomic

FEW_SUBJECTS = 12
RULES = {
    "last": "the model after the last epoch answers; nothing is chosen",
    "inner_subjects": "the number of epochs is chosen on held-back training subjects",
    "none": "the system is fitted in one step, so that there is no epoch to choose",
    "oracle_test": "the epoch is chosen by looking at the test subject's own labels",
}
CONTROLS = {
    "shuffled_labels": "The training labels were shuffled, so that there is nothing to learn."
    " Whatever is scored here is chance, or a leak.",
    "shuffled_within_subjects": "The training labels were shuffled among the clips of each"
    " subject, so that there is nothing to learn but how often subjects show each class."
    " Whatever is scored beyond that is chance, or a leak.",
}
SHOWN = ("Run", "Note", "System", "Data", "Flow", "Part")  # first; the notes say what these leave
COMMON = ("Data", "Flow", "Protocol")
LEFT_OUT = ("Complete", "Control")


def write_report(runs: Sequence[RunFolder], file: Path, flowset: FlowSet | None) -> Path:
    """Write the page of the first run, with the other runs beside it in table and figure.

    Parameters
    ----------
    runs
        Runs whose `metrics.json` is written, one at least.
    flowset
        The maps of the first run; without them the page lacks the pictures of its hard cases
        and says how to get them.

    Raises
    ------
    ValueError
        If there is no run.
    """
    if not runs:
        raise ValueError("a report needs at least one run")
    write_atomic(file, render_report(runs, flowset))
    return file


def render_report(runs: Sequence[RunFolder], flowset: FlowSet | None) -> str:
    """The page as text."""
    first = runs[0]
    metrics = first.metrics()
    predictions = collect_predictions(first)
    table = results_table(runs)
    words = display_table(table)
    shown = _first_columns(words)
    return render_page(
        "report.html.j2",
        metrics=metrics,
        stamp=stamp(metrics),
        note=note(metrics),
        warnings=_warnings(metrics, describe_failures(first)),
        remarks=_remarks(metrics),
        others=[(run.path.name, note(run.metrics())) for run in runs[1:] if note(run.metrics())],
        rules=RULES,
        baseline=_majority_uf1(metrics),
        evaluations=str(count_evaluations(first)),
        shared=_shared(words),
        columns=list(shown.columns),
        rows=shown.to_numpy().tolist(),
        flagged=(words["Note"] != "").tolist(),
        intervals=figure_box(metrics_interval_figure(table)),
        confusions=[figure_box(confusion_figure(metrics, part)) for part in _parts(metrics)],
        strip=figure_box(subject_strip_figure(predictions, caption=stamp(metrics))),
        curves=figure_box(training_curves_figure(collect_history(first), caption=stamp(metrics))),
        hard=_hard_cases(predictions, flowset, metrics),
        run=first.path.name,
        settings=first.config_file.read_text(encoding="utf-8"),
        machine=first.environment(),
        data=first.data(),
        classes=predictions.classes,
        plotly=Markup(get_plotlyjs()),  # noqa: S704  a script of the package itself
    )


def _warnings(metrics: Mapping[str, Any], failures: str) -> list[tuple[str, str]]:
    """What a reader must know before any number: heading and sentence."""
    found = [SMOKE_WARNING] if is_smoke(metrics) else []
    if metrics["peeking"]:
        found.append(
            (
                "This run peeks at the test subject",
                "For every person, the epoch was chosen that does best on that person's own test"
                " clips. Nobody can do that for a person never seen before: the numbers are too"
                " high, and must not be compared with honest ones.",
            )
        )
    if metrics.get("weights") == LEAK:
        found.append(
            (
                "This run begins with weights that have seen test subjects",
                "Weights that the training begins with have been trained on people of the test:"
                " `hmrm audit` names them. The numbers must not be compared with honest ones.",
            )
        )
    if metrics["control"] != "none":
        found.append(("This run is a control", CONTROLS[metrics["control"]]))
    if not metrics["complete"]:
        found.append(
            (
                "This run is incomplete",
                f"Only {metrics['units_done']} of {metrics['units_expected']} folds are finished."
                " The numbers cover a part of the trainings, and are paired with no other run."
                f" {failures or 'Start the same command again: it goes on where it stopped'}.",
            )
        )
    return found


def _remarks(metrics: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What bounds the meaning of the numbers without making them wrong."""
    found = []
    if metrics["data"] == "synthetic":
        found.append(
            (
                "Procedural faces",
                "Nobody was recorded. The figures show that the whole way works, and how systems"
                " compare where the truth is known; they say nothing about real recordings.",
            )
        )
    if metrics.get("weights") == UNKNOWN:
        found.append(
            (
                "Weights of unknown origin",
                "A file of weights that the training begins with does not say whom it was trained"
                " on. If test subjects are among them, the numbers are too high.",
            )
        )
    subjects = metrics["all"]["subjects"]
    if subjects < FEW_SUBJECTS:
        found.append((f"Only {subjects} subjects", "An interval over so few people is rough."))
    return found


def _first_columns(words: pd.DataFrame) -> pd.DataFrame:
    """Notes to the front, and nothing that would be the same cell again and again."""
    idle = [name for name in SHOWN if words[name].isin(["", ALL]).all()]
    left_out = {*LEFT_OUT, *idle, *_shared(words)}
    order = [*SHOWN, *(name for name in words if name not in SHOWN)]
    return words[[name for name in order if name not in left_out]]


def _shared(words: pd.DataFrame) -> dict[str, str]:
    """What all rows have in common and a sentence can say."""
    return {name: words[name].iloc[0] for name in COMMON if words[name].nunique() == 1}


def _parts(metrics: Mapping[str, Any]) -> list[str]:
    return [ALL, *metrics["datasets"]]


def _majority_uf1(metrics: Mapping[str, Any]) -> float:
    """UF1 of always answering with the most frequent class."""
    sizes = np.array(metrics["all"]["confusion"]).sum(1)
    counts = np.zeros((len(sizes), len(sizes)), dtype=np.int64)
    counts[:, sizes.argmax()] = sizes
    return float(uf1(counts))


def _hard_cases(
    predictions: Predictions, flowset: FlowSet | None, metrics: dict[str, Any]
) -> Markup | None:
    if flowset is None:
        return None
    return figure_box(hard_cases_figure(predictions, flowset, caption=stamp(metrics)))
