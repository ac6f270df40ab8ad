from base64 import b64decode
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from conftest import make_flowset
from plotly import graph_objects as go
from reporting.made_runs import make_run, two_sets

from hmrm_lab.datasets.classes import MEGC3
from hmrm_lab.evaluation.summary import collect_history, collect_predictions, stamp
from hmrm_lab.records import FlowSet, Predictions, prediction_columns
from hmrm_lab.reporting.figures import (
    confusion_figure,
    flow_figure,
    hard_cases_figure,
    metrics_interval_figure,
    subject_strip_figure,
    training_curves_figure,
)
from hmrm_lab.reporting.flow_colour import colour_wheel, flow_to_rgb, wheel_picture
from hmrm_lab.reporting.flow_figures import hard_cases
from hmrm_lab.reporting.pictures import flow_picture, longest_px, magnified, strain_peak
from hmrm_lab.reporting.tables import results_table

MODES = ("colour", "quiver", "strain")


def words_of(figure: go.Figure) -> str:
    return " ".join(note.text.replace("<br>", " ") for note in figure.layout.annotations)


def uniform(u: float, v: float, side: int = 32) -> np.ndarray:
    return np.stack([np.full((side, side), u), np.full((side, side), v)]).astype(np.float32)


@pytest.mark.parametrize(
    ("u", "v", "colour"),
    [(1, 0, (255, 0, 0)), (0, 0, (255, 255, 255)), (-1, 0, (0, 208, 255))],
)
def test_directions_have_the_colours_of_middlebury(u: float, v: float, colour: tuple) -> None:
    pixel = flow_to_rgb(uniform(u, v), max_px=1.0)[0, 0]
    np.testing.assert_allclose(pixel, colour, atol=12)


def test_strength_is_saturation() -> None:
    weak, strong, beyond = (
        flow_to_rgb(uniform(u, 0), max_px=1.0)[0, 0].astype(int) for u in (0.25, 1.0, 2.0)
    )
    assert weak[1] > strong[1] + 100
    assert beyond.max() < strong.max() - 40


def test_unknown_flow_is_grey_and_spoils_nothing_else() -> None:
    flow = uniform(1, 0)
    flow[:, 3, 4] = np.nan
    image = flow_to_rgb(flow)
    assert image[3, 4].tolist() == [128, 128, 128]
    np.testing.assert_array_equal(image[0, 0], flow_to_rgb(uniform(1, 0))[0, 0])


def test_the_wheel_is_its_own_legend() -> None:
    wheel = colour_wheel(65)
    assert wheel.shape == (65, 65, 3)
    assert wheel[32, 32].tolist() == [255, 255, 255]
    np.testing.assert_array_equal(wheel[32, 64], flow_to_rgb(uniform(1, 0), max_px=1)[0, 0])
    assert wheel[0, 0].tolist() == [255, 255, 255]
    clear = wheel_picture(65)
    np.testing.assert_array_equal(clear[..., :3], wheel)
    assert (clear[0, 0, 3], clear[32, 32, 3], clear[32, 64, 3]) == (0, 255, 255)


def test_magnified_motion_goes_as_far_as_asked() -> None:
    onset = np.zeros((64, 64, 3), np.uint8)
    onset[:, 20] = 255
    moved = magnified(onset, uniform(1.5, 0, 64), 4.0)
    assert moved[32, :, 0].argmax() == 26


@pytest.mark.parametrize("mode", MODES)
def test_pictures_show_their_flow(mode: str) -> None:
    rng = np.random.default_rng(0)
    frame = rng.integers(0, 256, (48, 64, 3), dtype=np.uint8)
    flow = cv2.GaussianBlur(rng.normal(0, 9, (48, 64, 2)).astype(np.float32), (0, 0), 6)
    flow = flow.transpose(2, 0, 1)
    picture = flow_picture(flow, mode, frame=frame, scale=2)
    assert picture.shape == (96, 128, 3)
    still = flow_picture(np.zeros_like(flow), mode, frame=frame, scale=2)
    assert (picture != still).any()
    untouched = frame.copy()
    flow_picture(flow, mode, frame=frame)
    np.testing.assert_array_equal(frame, untouched)
    top = {"max_px": 10 * longest_px(flow), "max_strain": 10 * strain_peak(flow)}
    assert (flow_picture(flow, mode, frame=frame, scale=2, **top) != picture).any()


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("with_frame", [True, False])
def test_flow_figure_keeps_to_pixels(mode: str, with_frame: bool) -> None:
    frame = np.full((40, 56, 3), 90, np.uint8)
    flow = np.stack(np.meshgrid(np.linspace(-2, 2, 56), np.linspace(0, 1, 40))).astype(np.float32)
    figure = flow_figure(frame if with_frame else None, flow, mode=mode, caption="the caption")
    images = [trace for trace in figure.data if trace.type == "image"]
    assert len(images) == 1 + with_frame + (mode == "colour")
    panel = images[with_frame]
    assert decoded(panel.source).shape[1] * panel.dx == pytest.approx(56)
    assert "the caption" in words_of(figure)
    assert f"{longest_px(flow):.2f} px" in words_of(figure)
    assert figure.layout.xaxis.title.text == "x (px)"


def test_confusion_shows_counts_shares_and_stamp(tmp_path: Path, toy_flowset: FlowSet) -> None:
    metrics = make_run(tmp_path, toy_flowset).metrics()
    figure = confusion_figure(metrics)
    counts = np.array(metrics["all"]["confusion"])
    np.testing.assert_allclose(figure.data[0].z, counts / counts.sum(1, keepdims=True))
    words = words_of(figure)
    for count in counts.ravel():
        assert f"<b>{count}</b>" in words
    assert stamp(metrics) in words


def test_confusion_of_a_part_counts_that_part(tmp_path: Path) -> None:
    metrics = make_run(tmp_path, two_sets()).metrics()
    figure = confusion_figure(metrics, "other")
    assert np.sum(figure.data[0].customdata) == 12
    assert "other" in figure.layout.title.text
    assert "2 subjects" in words_of(figure)


def test_strip_has_a_square_for_every_clip_best_subject_first(tmp_path: Path) -> None:
    predictions = collect_predictions(make_run(tmp_path, two_sets()))
    figure = subject_strip_figure(predictions, caption="the stamp")
    squares = [trace for trace in figure.data if trace.text is not None]
    assert sum(len(trace.x) for trace in squares) == 30
    places = {
        (trace.xaxis, x, y) for trace in squares for x, y in zip(trace.x, trace.y, strict=True)
    }
    assert len(places) == 30
    table = predictions.table.assign(right=lambda t: t["truth"] == t["prediction"])
    means = table[table["dataset"] == "toy"].groupby("subject")["right"].mean()
    shown = [means[subject] for subject in figure.layout.xaxis2.ticktext]
    assert shown == sorted(means, reverse=True)
    assert "the stamp" in words_of(figure)


def test_strip_fills_by_seeds_and_letters_predictions() -> None:
    rows = [
        ("d", "s", "a", "d/s", 0, 1, 0, 0, 0.8, 0.1, 0.1),
        ("d", "s", "a", "d/s", 1, 1, 0, 0, 0.8, 0.1, 0.1),
        ("d", "s", "b", "d/s", 0, 1, 0, 0, 0.8, 0.1, 0.1),
        ("d", "s", "b", "d/s", 1, 1, 0, 2, 0.1, 0.1, 0.8),
        ("d", "s", "c", "d/s", 0, 1, 0, 2, 0.1, 0.1, 0.8),
        ("d", "s", "c", "d/s", 1, 1, 0, 2, 0.1, 0.1, 0.8),
    ]
    predictions = Predictions(pd.DataFrame(rows, columns=prediction_columns(MEGC3.classes)))
    squares = subject_strip_figure(predictions).data[0]
    full, pale, empty = squares.marker.color
    assert pale == f"{full}40"
    assert empty == "rgba(0,0,0,0)"
    assert list(squares.text) == ["N", "N", "S"]


def test_strip_leaves_room_for_68_subjects(tmp_path: Path) -> None:
    flowset = make_flowset(subjects=68, per_subject=3)
    figure = subject_strip_figure(collect_predictions(make_run(tmp_path, flowset)))
    assert len(figure.layout.xaxis.tickvals) == 68
    assert figure.layout.meta["least_width"] >= 68 * figure.data[0].marker.size


def test_curves_have_a_line_per_fold_and_their_median(tmp_path: Path) -> None:
    history = pd.DataFrame(
        [(f"d/s{fold}", 0, epoch, fold / epoch) for fold in (1, 2, 6) for epoch in range(1, 1001)],
        columns=["fold", "seed", "epoch", "loss"],
    )
    figure = training_curves_figure(history, caption="the stamp")
    *thin, median = figure.data
    assert len(thin) == 3
    assert max(len(trace.x) for trace in figure.data) <= 150
    assert (median.x[0], median.x[-1]) == (1, 1000)
    np.testing.assert_allclose(median.y, 2 / np.array(median.x), atol=1e-4)
    assert "the stamp" in words_of(figure)


def test_a_system_fitted_in_one_step_has_no_curve() -> None:
    figure = training_curves_figure(
        pd.DataFrame(columns=["fold", "seed", "epoch", "loss"]), caption="the stamp"
    )
    assert not figure.data
    assert "fitted in one step" in figure.layout.title.text
    assert "the stamp" in words_of(figure)


def test_curves_of_a_real_history(tmp_path: Path, toy_flowset: FlowSet) -> None:
    figure = training_curves_figure(collect_history(make_run(tmp_path, toy_flowset)))
    assert len(figure.data) == 4 + 1


def test_hard_cases_are_wrong_and_ordered(tmp_path: Path, toy_flowset: FlowSet) -> None:
    run = make_run(tmp_path, toy_flowset, "evaluation.seeds=[0,1]")
    cases = hard_cases(collect_predictions(run), toy_flowset, count=5)
    assert len(cases) == 5
    assert all(case.truth != case.prediction for case in cases)
    beliefs = [case.probability for case in cases]
    assert beliefs == sorted(beliefs, reverse=True)
    assert np.median(cases[0].flow, axis=(1, 2)) == pytest.approx(0, abs=1e-6)
    figure = hard_cases_figure(collect_predictions(run), toy_flowset, count=5, caption="stamp!")
    assert sum(trace.type == "image" for trace in figure.data) == 5 + 1
    assert "stamp!" in words_of(figure)
    first = cases[0]
    heading = figure.layout.annotations[0].text
    assert first.key.clip in heading
    assert f"{first.probability:.0%}" in heading


def test_no_hard_case_is_said_in_words(tmp_path: Path, toy_flowset: FlowSet) -> None:
    run = make_run(tmp_path, toy_flowset, right=1.0)
    figure = hard_cases_figure(collect_predictions(run), toy_flowset)
    assert not figure.data
    assert "No clip is wrong" in words_of(figure)


def test_hard_cases_refuse_maps_of_other_clips(tmp_path: Path, toy_flowset: FlowSet) -> None:
    predictions = collect_predictions(make_run(tmp_path, toy_flowset, right=0.0))
    with pytest.raises(ValueError, match="hold no clip toy/s01/"):
        hard_cases(predictions, toy_flowset.take([20, 21, 22]))


def test_a_peeking_result_looks_different(tmp_path: Path, toy_flowset: FlowSet) -> None:
    rules = ("last", "oracle_test")
    runs = [make_run(tmp_path, toy_flowset, f"evaluation.epoch_rule={rule}") for rule in rules]
    table = results_table(runs)
    figure = metrics_interval_figure(table)
    honest, peeking = figure.data
    assert (honest.name, peeking.name) == ("honest", "PEEKS")
    assert honest.marker.symbol != peeking.marker.symbol
    assert list(honest.x) == [table["UF1"][0]]
    assert honest.x[0] - honest.error_x.arrayminus[0] == pytest.approx(table["UF1 low"][0])
    assert honest.x[0] + honest.error_x.array[0] == pytest.approx(table["UF1 high"][0])
    assert list(figure.layout.yaxis.ticktext) == ["hmrm", "hmrm, PEEKS"]
    assert "PEEKS: not comparable" in words_of(figure)
    assert "last, oracle_test" in words_of(figure)


def test_parts_stand_under_headings(tmp_path: Path) -> None:
    runs = [make_run(tmp_path, two_sets(), system=name) for name in ("hmrm", "ststnet")]
    figure = metrics_interval_figure(results_table(runs))
    expected = ["<b>all data</b>", "hmrm", "ststnet", "<b>other</b>", "hmrm", "ststnet"]
    assert list(figure.layout.yaxis.ticktext)[:6] == expected
    assert 0 not in figure.data[0].y


def test_names_from_files_are_no_markup(tmp_path: Path) -> None:
    row = ("d", "<b>s</b>", "a", "d/<b>s</b>", 0, 1, 0, 0, 0.8, 0.1, 0.1)
    predictions = Predictions(pd.DataFrame([row], columns=prediction_columns(MEGC3.classes)))
    assert "<b>s" not in subject_strip_figure(predictions).to_json()


def decoded(uri: str) -> np.ndarray:
    return cv2.imdecode(np.frombuffer(b64decode(uri.partition(",")[2]), np.uint8), 1)
