import json
import re
from dataclasses import replace
from html import unescape
from pathlib import Path

import pytest
from conftest import make_flowset
from reporting.made_runs import make_run, two_sets

from hmrm_lab.evaluation.live_progress import SnapshotReader
from hmrm_lab.evaluation.summary import stamp
from hmrm_lab.records import ClipKey, FlowSet
from hmrm_lab.registry import Registry
from hmrm_lab.reporting import report
from hmrm_lab.reporting.report import cards_page, render_report, write_loss_page, write_report
from hmrm_lab.reporting.tables import note, render_text, results_table
from hmrm_lab.studies.experiment import write_figures

SYSTEMS = Path(__file__).parents[2] / "docs" / "systems.md"


class Page:
    """What a page says outside its scripts, and the titles of its figures."""

    def __init__(self, html: str) -> None:
        plots = re.findall(r'<script type="application/json">(.*?)</script>', html, re.DOTALL)
        self.titles = [json.loads(plot)["layout"]["title"]["text"] for plot in plots]
        self.html, self.outside = (
            html,
            re.sub(r"<(script|style)>.*?</\1>", "", html, flags=re.DOTALL),
        )
        self.words = " ".join(unescape(re.sub(r"<[^>]*>", " ", self.outside)).split())


def test_page_is_one_file_that_says_what_was_measured(tmp_path: Path, toy_flowset: FlowSet) -> None:
    run = make_run(tmp_path, toy_flowset)
    file = write_report([run], tmp_path / "new" / "report.html", toy_flowset)
    assert list(file.parent.iterdir()) == [file]
    page = Page(file.read_text(encoding="utf-8"))
    assert not re.search(r'<[^>]* (src|href)="(?!data:)', page.outside), "it fetches nothing"
    assert "default-src 'none'" in page.html
    assert page.html.count("plotly.js v") == 1
    figures = run.metrics()["all"]
    low, high = figures["uf1_interval"]
    for words in (
        f"UF1 {figures['uf1']:.3f} (95 % interval {low:.3f} to {high:.3f}",
        *("On 24 clips of 4 subjects", "epoch rule last", 'epoch_rule = "last"'),
        *("hmrm run --preset smoke", "the model after the last epoch answers", "Only 4 subjects"),
    ):
        assert words in page.words
    assert len(page.titles) == 4
    assert "Most confidently wrong" in page.words
    assert 'class="banner"' not in page.html, "an honest page has no alarm"
    assert 'class="flag"' not in page.html
    without = Page(render_report([run], None))
    assert "Most confidently wrong" not in without.words
    assert f"hmrm report {run.path.name} --root DIR" in without.words


@pytest.mark.parametrize(
    ("override", "unfinished", "flag", "heading"),
    [
        ("epoch_rule=oracle_test", 0, "PEEKS", "This run peeks at the test subject"),
        ("control=shuffled_labels", 0, "CONTROL", "This run is a control"),
        ("control=shuffled_within_subjects", 0, "CONTROL", "among the clips of each subject"),
        ("epoch_rule=last", 2, "INCOMPLETE 2/4", "This run is incomplete"),
        ("epoch_rule=oracle_test", 1, "PEEKS, INCOMPLETE 3/4", "This run peeks"),
        ("epoch_rule=inner_subjects", 0, "", ""),
    ],
)
def test_what_is_not_comparable_is_stamped(
    tmp_path: Path, toy_flowset: FlowSet, override: str, unfinished: int, flag: str, heading: str
) -> None:
    run = make_run(tmp_path, toy_flowset, f"evaluation.{override}", unfinished=unfinished)
    html, table = render_report([run], toy_flowset), results_table([run])
    assert table["Note"].tolist() == [flag]
    assert flag in render_text(table)
    assert all(word in stamp(run.metrics()) for word in re.findall("[A-Z]+", flag))
    assert heading in html
    for mark in (f'<span class="flag">{flag}</span>', 'class="banner"', '<tr class="flagged">'):
        assert (mark in html) == bool(flag)


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


def test_a_flagged_run_beside_an_honest_one(tmp_path: Path, toy_flowset: FlowSet) -> None:
    rules = ("last", "oracle_test")
    honest, peeking = (
        make_run(tmp_path, toy_flowset, f"evaluation.epoch_rule={rule}") for rule in rules
    )
    html = render_report([honest, peeking], toy_flowset)
    assert f"{peeking.path.name} in the table below: PEEKS" in html
    assert html.count('<tr class="flagged">') == 1


def test_every_data_set_has_its_confusion_and_names_are_no_markup(tmp_path: Path) -> None:
    plain = two_sets()
    keys = tuple(key._replace(subject=f"</script><script>x{key.subject}") for key in plain.keys)
    flowset = replace(plain, keys=keys)
    page = Page(render_report([make_run(tmp_path, flowset, right=0.0)], flowset))
    assert page.titles[1:4] == ["Confusion", "Confusion, other", "Confusion, toy"]
    assert "<script>x" not in page.html


def test_a_failed_report_leaves_the_old_one(tmp_path: Path, toy_flowset: FlowSet) -> None:
    run = make_run(tmp_path, toy_flowset, right=0.0)
    file = tmp_path / "report.html"
    file.write_text("old")
    keys = tuple(ClipKey("x", "y", str(number)) for number in range(len(toy_flowset)))
    others = replace(toy_flowset, keys=keys)
    for runs, flowset, message in (
        ([], None, "at least one run"),
        ([run], others, "hold no clip"),
        ([run], make_flowset(subjects=1), "hold no clip"),
    ):
        with pytest.raises(ValueError, match=message):
            write_report(runs, file, flowset)
    assert file.read_text() == "old"


def test_the_loss_page_loads_itself_until_the_training_is_done(tmp_path: Path) -> None:
    def page(done: int, steps: int) -> str:
        rows = [f"{n},{3 / n:.6f},{0.5 / n:.6f},1e-3" for n in range(1, done + 1)]
        history = tmp_path / "loss.csv"
        history.write_text("\n".join(["step,loss,epe_px,learning_rate", *rows]) + "\n")
        return write_loss_page(history, tmp_path / "a.html", steps).read_text(encoding="utf-8")

    running = page(900, 1000)
    assert "step 900 of 1000" in running
    assert 'http-equiv="refresh"' in running
    assert 'http-equiv="refresh"' not in page(900, 900)
    assert "step 0 of 10" in page(0, 10)


def test_the_page_is_what_the_cards_say() -> None:
    """If this fails, a card has changed: `make cards` prints the page anew."""
    assert SYSTEMS.read_text(encoding="utf-8") == cards_page(SYSTEMS.parent / "studies")


def test_a_system_without_a_card_is_on_the_page(monkeypatch: pytest.MonkeyPatch) -> None:
    own = Registry("system", "hmrm_lab.models")

    @own.register("bare", source="Me | you")
    def bare(channels: int, size: int, classes: int):
        """Nothing."""

    monkeypatch.setattr(report, "systems", own)
    monkeypatch.setattr(report, "published_cost", lambda _: {"parameters": None})
    page = cards_page(SYSTEMS.parent / "studies")
    assert "| [`bare`](#bare) |  | no card |  |  |  |  |" in page
    assert "## bare\n\nMe | you.\n" in page
    assert "`--set model.NAME=VALUE`: none.\n" in page
