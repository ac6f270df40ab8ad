"""Pages of HTML that need no network, server or kernel: the report of runs, the loss page."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import pandas as pd
from markupsafe import Markup
from plotly import graph_objects as go
from plotly.offline import get_plotlyjs

from hmrm_lab.evaluation.consistency import LEAK, UNKNOWN
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
from hmrm_lab.reporting.plots.results import metrics_interval_figure, training_curves_figure
from hmrm_lab.reporting.plots.single_clips import (
    confusion_figure,
    hard_cases_figure,
    subject_strip_figure,
)
from hmrm_lab.reporting.style import BLUE, ORANGE
from hmrm_lab.reporting.svg import log_curve_svg
from hmrm_lab.reporting.tables import ALL, SMOKE_WARNING, display_table, note, results_table
from hmrm_lab.runtime.store import RunFolder, write_atomic

FEW_SUBJECTS = 12
RULES = {
    "last": "the model after the last epoch answers; nothing is chosen",
    "inner_subjects": "the number of epochs is chosen on held-back training subjects",
    "none": "the system is a non-iterative estimator, so that there is no epoch to choose",
    "oracle_test": "the epoch is chosen by looking at the test subject's own labels",
}
CONTROLS = {
    "shuffled_labels": "The training labels were shuffled, so that there is nothing to learn."
    " Whatever is scored here is chance, or a leak.",
    "shuffled_within_subjects": "The training labels were shuffled among the clips of each"
    " subject, so that there is nothing to learn but how often subjects show each class."
    " Whatever is scored beyond that is chance, or a leak.",
}
PEEKING = (
    "For every subject, the epoch was chosen that does best on the test clips of that subject."
    " This is not possible for a subject never seen before: the numbers are too high, and must not"
    " be compared with honest ones."
)
SHOWN = ("Run", "Note", "System", "Data", "Flow", "Part")  # first; the notes say what these leave
COMMON = ("Data", "Flow", "Protocol")
LEFT_OUT = ("Complete", "Control")

STRETCHES = 90  # of a loss page: each point is the mean of its stretch of steps
RELOAD_S = 10
LOSS_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
{reload}<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
<style>body {{ margin: 2rem auto; max-width: 46rem; padding: 0 1rem; font: 16px/1.5 system-ui, \
"DejaVu Sans", sans-serif; }} h1 {{ font-size: 1.3rem; }}</style>
</head>
<body>
<h1>{title}</h1>
{curves}
<p>Each point is the mean of its stretch of steps, on a logarithmic scale. Steps differ in how hard
their pairs are.</p>
</body>
</html>
"""


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


def write_loss_page(history: Path, page: Path, steps: int) -> Path:
    """Draw the loss and the end-point error of `loss.csv` against the step.

    Parameters
    ----------
    steps
        Of the whole training. Until they are done the page loads itself again and again.
    """
    table = pd.read_csv(history)
    done = int(table["step"].max()) if len(table) else 0
    stretch = np.arange(len(table)) * STRETCHES // max(len(table), STRETCHES)
    means = table.groupby(stretch)[["step", "loss", "epe_px"]].mean()
    curves = [
        log_curve_svg(means["step"].to_numpy(), means[column].to_numpy(), steps, name, colour)
        for column, name, colour in (
            ("loss", "loss", BLUE),
            ("epe_px", "end-point error (px)", ORANGE),
        )
    ]
    reload = f'<meta http-equiv="refresh" content="{RELOAD_S}">\n' if done < steps else ""
    title = f"Pre-training: step {done} of {steps}"
    write_atomic(page, LOSS_PAGE.format(reload=reload, title=title, curves="\n".join(curves)))
    return page


def _warnings(metrics: Mapping[str, Any], failures: str) -> list[tuple[str, str]]:
    """Reasons against comparing this run: heading and sentence."""
    done, expected = metrics["units_done"], metrics["units_expected"]
    again = failures or "Start the same command again: it goes on where it stopped"
    found = (
        (is_smoke(metrics), *SMOKE_WARNING),
        (metrics["peeking"], "This run peeks at the test subject", PEEKING),
        (
            metrics.get("weights") == LEAK,
            "This run begins with weights that have seen test subjects",
            "Weights that the training begins with have been trained on test subjects: `hmrm audit`"
            " names them. The numbers must not be compared with honest ones.",
        ),
        (metrics["control"] != "none", "This run is a control", CONTROLS.get(metrics["control"])),
        (
            not metrics["complete"],
            "This run is incomplete",
            f"Only {done} of {expected} folds are finished. The numbers cover a part of the"
            f" trainings, and are paired with no other run. {again}.",
        ),
    )
    return [(heading, str(sentence)) for holds, heading, sentence in found if holds]


def _remarks(metrics: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Limits of what the numbers mean: heading and sentence."""
    subjects = metrics["all"]["subjects"]
    found = (
        (
            metrics["data"] == "synthetic",
            "Procedural faces",
            "No person was recorded. The figures show that every step works, and how systems"
            " compare where the truth is known; they say nothing about real recordings.",
        ),
        (
            metrics.get("weights") == UNKNOWN,
            "Weights of unknown origin",
            "A file of weights that the training begins with does not say whom it was trained on."
            " If test subjects are among them, the numbers are too high.",
        ),
        (
            subjects < FEW_SUBJECTS,
            f"Only {subjects} subjects",
            "An interval over so few subjects is rough.",
        ),
    )
    return [(heading, sentence) for holds, heading, sentence in found if holds]


def _first_columns(words: pd.DataFrame) -> pd.DataFrame:
    """Notes to the front, and nothing that would be the same cell again and again."""
    idle = [name for name in SHOWN if words[name].isin(["", ALL]).all()]
    left_out = {*LEFT_OUT, *idle, *_shared(words)}
    order = [*SHOWN, *(name for name in words if name not in SHOWN)]
    return words[[name for name in order if name not in left_out]]


def _shared(words: pd.DataFrame) -> dict[str, str]:
    """Columns with one value, which a sentence can say."""
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


def render_page(template: str, **values: Any) -> str:
    """A template with its values; text is escaped, and a value that is missing is an error."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("hmrm_lab.reporting", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template).render(**values)


def figure_box(figure: go.Figure) -> Markup:
    """A figure as a box with its JSON, which the script of the page draws."""
    meta = figure.layout.meta
    widths = f"min-width:{meta['least_width']}px;" if meta["least_width"] else ""
    widths += f"max-width:{meta['most_width']}px;" if meta["most_width"] else ""
    content = json.dumps(json.loads(figure.to_json())).replace("<", "\\u003c")
    title = figure.layout.title.text
    return Markup(
        '<div class="scroll" tabindex="0" role="group" aria-label="{}">'
        '<div class="plot" style="height:{}px;{}">'
        '<script type="application/json">{}</script></div></div>'
    ).format(title, figure.layout.height, widths, Markup(content))  # noqa: S704  "<" is escaped above
