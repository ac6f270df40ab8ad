"""Whatever names three, five or ten classes: systems, figures and files take them from the data."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import make_flowset, quick_config
from reporting.made_runs import make_run

from hmrm_lab.api.result import Result
from hmrm_lab.datasets.classes import MEGC3, ClassScheme, scheme
from hmrm_lab.errors import ConfigError
from hmrm_lab.evaluation.metrics import confusion_of
from hmrm_lab.evaluation.other_programs import read_predictions
from hmrm_lab.evaluation.summary import collect_predictions, summarise
from hmrm_lab.reporting.plots import single_clips
from hmrm_lab.reporting.report import write_report
from hmrm_lab.reporting.svg import confusion_cells, probability_bars
from hmrm_lab.reporting.tables import scores_table
from hmrm_lab.training.trainer import fit, load_model, save_model

FIVE = ("disgust", "happiness", "others", "repression", "surprise")
TEN = tuple("abcdefghij")
COUNTS = (MEGC3.classes, FIVE)


@pytest.mark.parametrize("classes", [*COUNTS, TEN])
def test_systems_learn_and_come_back_with_the_names_of_their_classes(
    classes: tuple[str, ...], tmp_path: Path
) -> None:
    flowset = make_flowset(3, 10, classes=classes)
    for system in (("hmrm", "augment.mixup=0.4", "training.epochs=1"), ("svm",)):
        config = quick_config(*system)
        fitted = fit(config, flowset, seed=0)
        save_model(tmp_path / "m", fitted)
        again = load_model(tmp_path / "m", config, 28)
        assert again.classes == classes
        believed = again.classify(flowset)
        assert believed.shape == (30, len(classes))
        assert (believed == fitted.classify(flowset)).all()
    assert (believed.argmax(1) == flowset.labels).mean() > 0.9


@pytest.mark.parametrize("classes", [*COUNTS, TEN])
def test_a_run_of_many_classes_is_scored_drawn_and_reported(
    classes: tuple[str, ...], tmp_path: Path
) -> None:
    flowset, count = make_flowset(4, 20, classes=classes), len(classes)
    run = make_run(tmp_path, flowset)
    other = make_run(tmp_path, flowset, system="ststnet", right=0.9)
    predictions, metrics = collect_predictions(run), run.metrics()
    assert summarise(predictions)["all"] == metrics["all"]
    again = read_predictions(run.path / "predictions.csv")[0]  # by the classes of its columns
    assert summarise(again)["all"] == metrics["all"]
    assert again.table[f"p_{classes[0]}"].notna().all()
    assert f"F1 {classes[-1]}" in scores_table(metrics).columns
    marks = single_clips.feature_figure(np.zeros((80, 2)), flowset.labels, flowset.keys, classes)
    assert len({trace.marker.symbol for trace in marks.data}) == count
    for named in (
        predictions.classes,
        metrics["all"]["f1"],
        single_clips.confusion_figure(metrics).data[0].x,
        [trace.name for trace in single_clips.subject_strip_figure(predictions).data],
        confusion_cells(confusion_of(predictions), classes, "words"),
        probability_bars([1 / count] * count, classes, truth=0),
        pytest.importorskip("hmrm_widgets").PredictionBrowser(Result(run), flowset).truth.options,
    ):
        assert all(name in named for name in classes)
    text = write_report([run, other], tmp_path / "report.html", flowset).read_text("utf-8")
    assert all(f"{name} {80 // count}" in text for name in classes)


def test_a_log_is_read_by_a_scheme(tmp_path: Path) -> None:
    log, five = tmp_path / "log.csv", ClassScheme("five", FIVE, {"joy": "happiness"})
    rows = "".join(f"s/{n},{name},{n + 1}\n" for n, name in enumerate(FIVE))
    log.write_text(f"clip,truth,prediction\n{rows}", encoding="utf-8")
    predictions, _ = read_predictions(log, five)
    assert predictions.classes == FIVE
    assert (predictions.table["truth"] == predictions.table["prediction"]).all()


def test_names_of_classes_are_checked() -> None:
    assert scheme("megc3") is MEGC3
    with pytest.raises(ConfigError, match="unknown class scheme 'megc5'"):
        scheme("megc5")
    for wrong in (("b", "a", "c"), ("a", "a", "b"), (), ("a", "b"), tuple("abcdefghijk")):
        with pytest.raises(ValueError, match=r"labels|classes"):
            replace(make_flowset(), classes=wrong)
    assert quick_config().digest() != quick_config("hmrm", "data.classes=smic-3").digest()
