"""Pages that need no network, server or kernel: runs, a loss, the cards of the systems."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from markupsafe import Markup
from plotly import graph_objects as go
from plotly.subplots import make_subplots

from hmrm_lab.evaluation.cost import published_cost
from hmrm_lab.evaluation.fold import history_of
from hmrm_lab.evaluation.ledger import count_evaluations
from hmrm_lab.evaluation.metrics import uf1
from hmrm_lab.evaluation.summary import collect_predictions, describe_failures, is_smoke, stamp
from hmrm_lab.models.interface import SYSTEMS
from hmrm_lab.records import FlowSet
from hmrm_lab.registry import systems
from hmrm_lab.reporting import tables
from hmrm_lab.reporting.plots.kit import Pictures
from hmrm_lab.reporting.plots.results import metrics_interval_figure, training_curves_figure
from hmrm_lab.reporting.plots.single_clips import (
    confusion_figure,
    hard_cases_figure,
    subject_strip_figure,
)
from hmrm_lab.reporting.study_table import published
from hmrm_lab.reporting.style import BLUE, ORANGE, apart, finish
from hmrm_lab.reporting.svg import piece, render_page
from hmrm_lab.reporting.tables import ALL, SMOKE_WARNING, display_table, note, results_table
from hmrm_lab.runtime.store import RunFolder, write_atomic

FIRST = ("Run", "Note", "System", "Data", "Flow", "Part")  # columns; notes say what is left out
COMMON = ("Data", "Flow", "Protocol")  # where all rows agree, a sentence says it
LEFT_OUT = ("Complete", "Control")
CLAIMED = ["classes", "note", "source"]  # columns
STRETCHES = 90  # of a loss page: each point is the mean of its stretch of steps
CURVES = (("loss", "loss", BLUE), ("epe_px", "end-point error (px)", ORANGE))


def write_report(runs: Sequence[RunFolder], file: Path, flowset: FlowSet | None) -> Path:
    """Write the page of the first run, with the other runs beside it in table and figure.

    Without `flowset`, the maps of the first, the page lacks the pictures of its hard cases and says
    how to get them.
    """
    if not runs:
        raise ValueError("a report needs at least one run")
    write_atomic(file, render_report(runs, flowset))
    return file


def render_report(runs: Sequence[RunFolder], flowset: FlowSet | None) -> str:
    first = runs[0]
    metrics = first.metrics()
    predictions, caption = collect_predictions(first), stamp(metrics)
    table = results_table(runs)
    words = display_table(table.filter(regex=tables.ALL_BUT_CLASSES))
    shared = {name: words[name].iloc[0] for name in COMMON if words[name].nunique() == 1}
    idle = [name for name in FIRST if words[name].isin(["", ALL]).all()]
    left_out = {*LEFT_OUT, *shared, *idle}
    order = [*FIRST, *(name for name in words if name not in FIRST)]
    hard = None
    if flowset is not None:
        hard = figure_box(hard_cases_figure(predictions, flowset, caption=caption))
    sizes = np.array(metrics["all"]["confusion"]).sum(1)
    majority = np.zeros((len(sizes), len(sizes)), dtype=np.int64)
    majority[:, sizes.argmax()] = sizes
    return render_page(
        "report.html.j2",
        metrics=metrics,
        stamp=caption,
        note=note(metrics),
        smoke=is_smoke(metrics),
        smoke_warning=SMOKE_WARNING,
        failures=describe_failures(first),
        others=[(run.path.name, note(run.metrics())) for run in runs[1:] if note(run.metrics())],
        baseline=float(uf1(majority)),
        evaluations=str(count_evaluations(first)),
        shared=shared,
        units=display_table(tables.units_table(metrics["all"])),
        results=words[[name for name in order if name not in left_out]],
        flagged=(words["Note"] != "").tolist(),
        classes=tables.class_words(metrics),
        intervals=figure_box(metrics_interval_figure(table)),
        confusions=[figure_box(confusion_figure(metrics, p)) for p in (ALL, *metrics["datasets"])],
        strip=figure_box(subject_strip_figure(predictions, caption=caption)),
        curves=figure_box(training_curves_figure(history_of(first.records()), caption=caption)),
        hard=hard,
        run=first,
        plotly=True,
    )


def write_loss_page(history: Path, page: Path, steps: int) -> Path:
    """Draw the loss and the end-point error of `loss.csv` against the step.

    Until all steps of the training are done the page loads itself again and again.
    """
    table = pd.read_csv(history)
    done = int(table["step"].max()) if len(table) else 0
    stretch = np.arange(len(table)) * STRETCHES // max(len(table), STRETCHES)
    means = table.groupby(stretch)[["step", "loss", "epe_px"]].mean()
    figure = make_subplots(rows=len(CURVES), shared_xaxes=True, vertical_spacing=0.06)
    for row, (column, name, colour) in enumerate(CURVES, start=1):
        line = {"color": colour, "width": 2}
        figure.add_scatter(x=means["step"], y=means[column], name=name, line=line, row=row, col=1)
    figure.update_yaxes(type="log")
    figure.update_xaxes(title="step", range=[0, max(steps, 1)], row=len(CURVES), col=1)
    title = f"Pre-training: step {done} of {steps}"
    shown = render_page(
        "loss.html.j2",
        title=title,
        curves=figure_box(finish(figure, title, height=440, widths=(0, 760))),
        running=done < steps,
        plotly=True,
    )
    write_atomic(page, shown)
    return page


def cards_page(compared: str | Path) -> str:
    """The cards of all systems as a page of Markdown (`make cards`), with claims and results.

    The folder has the tables that `hmrm compare` wrote (comparison.csv) for the published maps and
    for the built-in faces: `systems-maps.csv` and `systems-faces.csv`.
    """
    results = {
        on: pd.read_csv(Path(compared) / f"systems-{on}.csv", index_col="System").to_dict("index")
        for on in ("maps", "faces")
    }
    known = {
        "systems": [systems[name] for name in systems],
        "costs": {name: published_cost(name) for name in systems},
        "claims": {name: _claims_in_words(name) for name in systems},
        "unbuilt": SYSTEMS["unbuilt"],
    }
    return render_page("systems.md.j2", **known, **results).rstrip() + "\n"


def _claims_in_words(system: str) -> list[str]:
    """What each source claims of a system, on one data set after the other."""
    full = published().query("system == @system and variant == 'full'")
    words = []
    for key, claims in full.groupby(CLAIMED, sort=False):
        classes, remark, source = map(str, key)
        scores = []
        for data, rows in claims.groupby("data", sort=False):
            pairs = zip(rows["metric"].str.upper(), rows["value"].astype(float), strict=True)
            values = ", ".join(
                f"{metric} {value:.4f}".replace(" 0.", " .") for metric, value in pairs
            )
            scores.append(f"{values} on {'the composite' if data == 'all' else str(data)}")
        of = "classes not stated" if classes == "not stated" else f"classes {classes}"
        words.append(f"{', '.join(scores)} ({'; '.join(filter(None, [of, remark, source]))})")
    return words


def figure_box(figure: go.Figure) -> Markup:
    """A figure as a box with its JSON, which the script of the page draws; pictures as HTML."""
    if isinstance(figure, Pictures):
        return Markup(figure.html())  # noqa: S704  its headings are escaped
    bare, caption = apart(figure)
    content = json.dumps(json.loads(bare.to_json())).replace("<", "\\u003c")
    given = (bare.layout.title.text, bare.layout.height, *list(bare.layout.meta.values())[:2])
    box = piece("plot", *given, Markup(content), Markup(caption))  # noqa: S704  "<" is escaped above
    return Markup(box)  # noqa: S704
