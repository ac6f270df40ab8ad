import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from conftest import make_flowset
from reporting.made_runs import make_run, two_sets

from hmrm_lab.datasets.classes import MEGC3
from hmrm_lab.evaluation.live_progress import SnapshotReader
from hmrm_lab.evaluation.summary import stamp
from hmrm_lab.records import ClipKey, FlowSet
from hmrm_lab.reporting.report import render_report, write_loss_page, write_report
from hmrm_lab.reporting.tables import note
from hmrm_lab.studies.experiment import write_figures


class Page(HTMLParser):
    """Text outside scripts, the figures, and every address that a browser would fetch."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.inside: list[str] = []
        self.text: list[str] = []
        self.scripts: list[tuple[str | None, str]] = []
        self.fetched: list[str] = []
        self.open: list[str] = []
        self.kind: str | None = None
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.fetched += [given[name] for name in ("src", "href") if given.get(name)]
        if tag not in ("meta", "link", "br"):
            self.open.append(tag)
        self.kind = given.get("type")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "script":
            self.scripts.append((self.kind, data))
        elif self.open and self.open[-1] != "style":
            self.text.append(data)

    @property
    def words(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.text))

    @property
    def figures(self) -> list[dict]:
        return [json.loads(data) for kind, data in self.scripts if kind == "application/json"]


def titles(page: Page) -> list[str]:
    return [figure["layout"]["title"]["text"] for figure in page.figures]


def test_page_is_one_file_without_network(tmp_path: Path, toy_flowset: FlowSet) -> None:
    run = make_run(tmp_path, toy_flowset)
    file = write_report([run], tmp_path / "new" / "report.html", toy_flowset)
    page = Page(file.read_text(encoding="utf-8"))
    assert page.open == []
    assert page.fetched == []
    assert "default-src 'none'" in file.read_text(encoding="utf-8")
    assert sum("plotly.js v" in data for _, data in page.scripts) == 1
    assert list(file.parent.iterdir()) == [file]


def test_page_says_what_was_measured_and_how(tmp_path: Path, toy_flowset: FlowSet) -> None:
    run = make_run(tmp_path, toy_flowset)
    page = Page(render_report([run], toy_flowset))
    figures = run.metrics()["all"]
    low, high = figures["uf1_interval"]
    assert f"UF1 {figures['uf1']:.3f} (95 % interval {low:.3f} to {high:.3f}" in page.words
    assert "On 24 clips of 4 subjects" in page.words
    assert "epoch rule last" in page.words
    assert "hmrm run --preset smoke" in page.words
    assert 'epoch_rule = "last"' in page.words
    assert titles(page) == [
        "UF1 with 95 % interval over subjects",
        "Confusion",
        "Every clip of every subject",
        "Most confidently wrong",
        "Training loss of 4 folds",
    ]


def test_an_honest_page_has_no_alarm(tmp_path: Path, toy_flowset: FlowSet) -> None:
    html = render_report([make_run(tmp_path, toy_flowset)], toy_flowset)
    assert 'class="banner"' not in html
    assert 'class="flag"' not in html
    assert "Only 4 subjects" in html


@pytest.mark.parametrize(
    ("override", "unfinished", "flag", "heading"),
    [
        ("evaluation.epoch_rule=oracle_test", 0, "PEEKS", "This run peeks at the test subject"),
        ("evaluation.control=shuffled_labels", 0, "CONTROL", "This run is a control"),
        (
            "evaluation.control=shuffled_within_subjects",
            0,
            "CONTROL",
            "This run is a control</strong><p>The training labels were shuffled among the clips of"
            " each subject",
        ),
        ("evaluation.epoch_rule=last", 2, "INCOMPLETE 2/4", "This run is incomplete"),
    ],
)
def test_what_is_not_comparable_is_stamped(
    tmp_path: Path, toy_flowset: FlowSet, override: str, unfinished: int, flag: str, heading: str
) -> None:
    run = make_run(tmp_path, toy_flowset, override, unfinished=unfinished)
    html = render_report([run], toy_flowset)
    assert f'<span class="flag">{flag}</span>' in html
    assert f'<div class="banner" role="note"><strong>{heading}' in html
    assert '<tr class="flagged">' in html
    assert flag.split(maxsplit=1)[0] in Page(html).figures[0]["data"][0]["name"]


@pytest.mark.parametrize(
    ("subjects", "flag", "told"),
    [
        (["toy/s02"], "WEIGHTS LEAK", "begins with weights that have seen test subjects"),
        (["unknown"], "WEIGHTS UNKNOWN", "Weights of unknown origin"),
        (["toy/s9"], "", "trained on: toy/s9."),
    ],
)
def test_weights_that_a_run_begins_with_are_stamped(
    tmp_path: Path, toy_flowset: FlowSet, subjects: list[str], flag: str, told: str
) -> None:
    run = make_run(tmp_path, toy_flowset)
    one = {"setting": "model.weights", "file": "w", "sha256": "ab" * 32, "subjects": subjects}
    (run.path / "data.json").write_text(json.dumps({**run.data(), "weights": [one]}))
    write_figures(run)
    html = render_report([run], toy_flowset)
    assert told in html
    assert (f'<span class="flag">{flag}</span>' in html) == bool(flag)
    assert note(run.metrics()) == flag
    assert (flag.split(maxsplit=1)[0] if flag else "epoch") in stamp(run.metrics())
    assert SnapshotReader(run).read().stamp == stamp(run.metrics())


def test_a_flagged_run_beside_an_honest_one_is_stamped_too(
    tmp_path: Path, toy_flowset: FlowSet
) -> None:
    rules = ("last", "oracle_test")
    honest, peeking = (
        make_run(tmp_path, toy_flowset, f"evaluation.epoch_rule={rule}") for rule in rules
    )
    html = render_report([honest, peeking], toy_flowset)
    assert f"<strong>{peeking.path.name} in the table below: PEEKS</strong>" in html
    assert html.count('<tr class="flagged">') == 1
    assert 'class="flag"' not in html


def test_every_data_set_has_its_confusion(tmp_path: Path) -> None:
    page = Page(render_report([make_run(tmp_path, two_sets())], two_sets()))
    assert titles(page)[1:4] == ["Confusion", "Confusion, other", "Confusion, toy"]


def test_missing_maps_are_explained(tmp_path: Path, toy_flowset: FlowSet) -> None:
    run = make_run(tmp_path, toy_flowset)
    page = Page(render_report([run], None))
    assert "Most confidently wrong" not in titles(page)
    assert f"hmrm report {run.path.name} --root DIR" in page.words


def test_names_from_files_cannot_become_markup(tmp_path: Path) -> None:
    plain = make_flowset(subjects=2)
    keys = tuple(ClipKey("toy", f"</script><script>x{key.subject}", key.clip) for key in plain.keys)
    flowset = FlowSet(plain.maps, plain.labels, keys, MEGC3.classes)
    run = make_run(tmp_path, flowset, right=0.0)
    page = Page(render_report([run], flowset))
    assert page.open == []
    assert len(page.figures) == 5
    assert not any(data.startswith("x") for _, data in page.scripts)


def test_a_failed_report_leaves_the_old_one(tmp_path: Path, toy_flowset: FlowSet) -> None:
    run = make_run(tmp_path, toy_flowset, right=0.0)
    file = tmp_path / "report.html"
    file.write_text("old")
    others = FlowSet(
        toy_flowset.maps,
        toy_flowset.labels,
        tuple(ClipKey("x", "y", str(number)) for number in np.arange(len(toy_flowset))),
        MEGC3.classes,
    )
    with pytest.raises(ValueError, match="at least one run"):
        write_report([], file, None)
    with pytest.raises(ValueError, match="hold no clip"):
        write_report([run], file, others)
    assert file.read_text() == "old"


def test_the_loss_page_loads_itself_until_the_training_is_done(tmp_path: Path) -> None:
    def page(done: int, steps: int) -> str:
        rows = [f"{n},{3 / n:.6f},{0.5 / n:.6f},1e-3" for n in range(1, done + 1)]
        history = tmp_path / "loss.csv"
        history.write_text("\n".join(["step,loss,epe_px,learning_rate", *rows]) + "\n")
        return write_loss_page(history, tmp_path / "a.html", steps).read_text(encoding="utf-8")

    running = page(900, 1000)
    assert "step 900 of 1000" in running
    assert running.count("<svg") == running.count("<path") == 2
    assert 'http-equiv="refresh"' in running
    assert 'http-equiv="refresh"' not in page(900, 900)
    assert page(0, 10).count("nothing yet") == 2
