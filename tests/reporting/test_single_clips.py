"""Confusion, the strip of subjects, hard cases, features."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import make_flowset
from reporting.made_runs import make_run, two_sets
from reporting.shown import words_of

from hmrm_lab.datasets.classes import MEGC3
from hmrm_lab.evaluation.summary import collect_predictions, stamp
from hmrm_lab.records import FlowSet, Predictions, prediction_columns
from hmrm_lab.reporting.plots import single_clips


def test_confusion_and_strip_show_every_clip(tmp_path: Path) -> None:
    run = make_run(tmp_path, two_sets())
    metrics, predictions = run.metrics(), collect_predictions(run)
    figure = single_clips.confusion_figure(metrics)
    counts, words = np.array(metrics["all"]["confusion"]), np.array(figure.data[0].text)
    np.testing.assert_allclose(figure.data[0].z, counts / counts.sum(1, keepdims=True))
    assert all(f"<b>{count}</b>" in words[place] for place, count in np.ndenumerate(counts))
    assert stamp(metrics) in words_of(figure)
    part = single_clips.confusion_figure(metrics, "other")
    assert np.sum(part.data[0].customdata) == 12
    assert "2 subjects" in words_of(part)
    figure = single_clips.subject_strip_figure(predictions, caption="the stamp")
    assert sum(len(trace.x) for trace in figure.data if trace.text is not None) == 30
    table = predictions.table.assign(right=lambda t: t["truth"] == t["prediction"])
    means = table[table["dataset"] == "toy"].groupby("subject")["right"].mean()
    shown = [means[subject] for subject in figure.layout.xaxis2.ticktext]
    assert shown == sorted(means, reverse=True), "the best on the left"
    assert "the stamp" in words_of(figure)


def test_strip_fills_by_seeds_and_letters_predictions() -> None:
    guesses = {"a": (0, 0), "b": (0, 2), "c": (2, 2)}
    rows = [
        ("d", "<b>s</b>", clip, "d/s", seed, 1, 0, guess, *np.eye(3)[guess])
        for clip, of in guesses.items()
        for seed, guess in enumerate(of)
    ]
    columns = prediction_columns(MEGC3.classes)
    figure = single_clips.subject_strip_figure(Predictions(pd.DataFrame(rows, columns=columns)))
    full, pale, empty = figure.data[0].marker.color
    assert (pale, empty) == (f"{full}40", "rgba(0,0,0,0)")
    assert list(figure.data[0].text) == ["N", "N", "S"]
    assert "<b>s" not in figure.to_json(), "names from files are no markup"


def test_hard_cases_are_wrong_and_ordered(tmp_path: Path, toy_flowset: FlowSet) -> None:
    predictions = collect_predictions(make_run(tmp_path, toy_flowset, "evaluation.seeds=[0,1]"))
    cases = single_clips.hard_cases(predictions, toy_flowset, count=5)
    assert len(cases) == 5
    assert all(case.truth != case.prediction for case in cases)
    sure = [case.probability for case in cases]
    assert sure == sorted(sure, reverse=True)
    assert np.median(cases[0].flow, axis=(1, 2)) == pytest.approx(0, abs=1e-6)
    figure = single_clips.hard_cases_figure(predictions, toy_flowset, count=5, caption="stamp!")
    for words in ("stamp!", cases[0].key.clip, f"{sure[0]:.0%}"):
        assert words in words_of(figure)
    with pytest.raises(ValueError, match="hold no clip toy/s01/"):
        single_clips.hard_cases(predictions, toy_flowset.take([20, 21, 22]))
    right = collect_predictions(make_run(tmp_path / "right", toy_flowset, right=1.0))
    assert "No clip is wrong" in words_of(single_clips.hard_cases_figure(right, toy_flowset))


def test_classes_have_colours_and_held_out_clips_an_outline() -> None:
    flowset = make_flowset(subjects=2, per_subject=3)
    points = np.arange(12, dtype=np.float32).reshape(6, 2)
    held_out = np.array([person == "toy/s02" for person in flowset.subjects])
    given = (points, flowset.labels, flowset.keys, flowset.classes)
    figure = single_clips.feature_figure(*given, held_out=held_out)
    assert len(figure.data) == 6
    for trace in figure.data:
        new = trace.name.endswith("held out")
        assert (trace.marker.line.width > 0) == new
        assert all(("toy/s02" in text) == new for text in trace.hovertext)
    assert len(single_clips.feature_figure(*given).data) == 3
