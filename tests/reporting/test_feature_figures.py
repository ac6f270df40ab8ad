import numpy as np
from conftest import make_flowset

from hmrm_lab.datasets.classes import MEGC3
from hmrm_lab.reporting.feature_figures import feature_figure


def test_classes_have_colours_and_held_out_clips_an_outline() -> None:
    flowset = make_flowset(subjects=2, per_subject=3)
    points = np.arange(12, dtype=np.float32).reshape(6, 2)
    held_out = np.array([person == "toy/s02" for person in flowset.persons])
    figure = feature_figure(points, flowset.labels, flowset.keys, MEGC3.classes, held_out=held_out)
    assert len(figure.data) == 6
    for trace in figure.data:
        new = trace.name.endswith("held out")
        assert (trace.marker.line.width > 0) == new
        assert all(("toy/s02" in text) == new for text in trace.hovertext)
    assert sorted(x for trace in figure.data for x in trace.x) == points[:, 0].tolist()
    assert len({trace.marker.symbol for trace in figure.data}) == 3
    assert len({trace.marker.color for trace in figure.data}) == 3


def test_without_held_out_clips_it_says_that_all_are_known() -> None:
    flowset = make_flowset(subjects=2, per_subject=3)
    figure = feature_figure(
        np.zeros((6, 2), np.float32), flowset.labels, flowset.keys, MEGC3.classes
    )
    assert len(figure.data) == 3
    assert "No clip is of a subject that is new" in figure.layout.annotations[0].text
