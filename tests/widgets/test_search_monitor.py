"""The monitor of an evolutionary search: trials arrive, and the buttons do what they say."""

from dataclasses import replace
from pathlib import Path

import pytest
from conftest import make_flowset, quick_config
from loops import in_loop, until

from hmrm_lab.errors import InputError
from hmrm_lab.runtime.processes import held
from hmrm_lab.studies.evolve import JOURNAL, LOCK, Evolution, breed, name_of
from hmrm_lab.studies.jobs import Job, JobState
from hmrm_lab.studies.space import Journal
from hmrm_lab.studies.supernet import Choice, Fitness

pytest.importorskip("ipywidgets", reason="the extra 'jupyter' is not installed")
pytest.importorskip("optuna", reason="the extra 'sweep' is not installed")

from hmrm_widgets import SearchMonitor


@pytest.fixture
def evolution(tmp_path: Path) -> Evolution:
    config = quick_config("ammsm_temporal", "model.width=8", "model.head=8")
    return Evolution.of(config, make_flowset(), tmp_path, population=4, generations=3)


def rate(choices: list[Choice]) -> list[Fitness]:
    return [Fitness(1 / choice.alpha, choice.alpha) for choice in choices]


def bred(evolution: Evolution, generations: int) -> object:
    evolution.sweep.folder.mkdir(parents=True, exist_ok=True)
    journal = Journal.open(evolution.sweep.folder / JOURNAL, name_of(evolution), ["maximize"])
    breed(replace(evolution, generations=generations), journal, rate, lambda done, total: None)
    return journal


def drawn(monitor: SearchMonitor) -> list[str]:
    """The captions of the figures."""
    return [
        " ".join(note.get("text", "") for note in figure["layout"]["annotations"]).replace(
            "<br>", " "
        )
        for output in monitor.plot.outputs
        for figure in output["data"].values()
    ]


def test_before_the_start_there_is_a_button(evolution: Evolution) -> None:
    monitor = SearchMonitor(evolution)
    assert "0 of 12 trials, not begun" in monitor.progress.value
    assert "not a test result" in monitor.progress.value
    assert monitor.best.value == monitor.table.value == ""
    assert not monitor.plot.outputs
    assert (monitor.button.description, monitor.button.disabled) == ("Start the search", False)
    assert not evolution.sweep.folder.exists()


def test_trials_arrive(evolution: Evolution) -> None:
    bred(evolution, generations=1)
    monitor = SearchMonitor(evolution)
    assert "4 of 12 trials, stopped" in monitor.progress.value
    assert "Fittest of 4 trials" in monitor.best.value
    assert len(monitor.plot.outputs) == 2
    sent: list[object] = []
    monitor.plot.observe(sent.append, "outputs")
    assert "The 4 fittest of 4 trials" in drawn(monitor)[0]
    assert monitor.update()
    assert not sent, "nothing has arrived"
    bred(evolution, generations=3)
    assert monitor.update() is False, "complete: it looks no more"
    assert "12 of 12 trials, complete" in monitor.progress.value
    assert len(sent) == 1
    assert monitor.button.disabled
    best = evolution.found()
    assert f"factor {best.winner.alpha:.2f}" in monitor.best.value
    assert monitor.table.value.count("<tr") == 1 + 5


def test_how_many_are_drawn(evolution: Evolution) -> None:
    bred(evolution, generations=2)
    monitor = SearchMonitor(evolution)
    monitor.count.value = 3
    assert "The 3 fittest of 8 trials" in drawn(monitor)[0]
    assert monitor.count.description


def test_a_search_by_command_is_seen_and_cannot_be_stopped_here(evolution: Evolution) -> None:
    with held(evolution.sweep.folder / LOCK):
        monitor = SearchMonitor(evolution)
        assert "0 of 12 trials, training super-networks by a command" in monitor.progress.value
        assert monitor.button.disabled
        bred(evolution, generations=1)
        monitor.update()
        assert "4 of 12 trials, running by a command" in monitor.progress.value
        assert monitor.button.disabled
    monitor.update()
    assert "4 of 12 trials, stopped" in monitor.progress.value
    assert not monitor.button.disabled


def test_waiting_looks_until_nobody_works_on_it(
    evolution: Evolution, monkeypatch: pytest.MonkeyPatch
) -> None:
    monitor = SearchMonitor(evolution)
    monkeypatch.setattr(Job, "state", lambda job: JobState("running", expected=12))
    assert monitor.wait(timeout_s=0.01).phase == "running"
    monkeypatch.undo()
    bred(evolution, generations=3)
    assert monitor.wait().phase == "complete"
    assert "Fittest of 12 trials" in monitor.best.value


def test_the_button_starts_and_stops(
    evolution: Evolution, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked: list[object] = []
    monkeypatch.setattr(Job, "start", lambda self, **how: asked.append(how))
    monkeypatch.setattr(Job, "stop", lambda self: asked.append("stop"))
    monitor = SearchMonitor(evolution, root=tmp_path, jobs=2)
    monitor.button.click()
    monkeypatch.setattr(Job, "state", lambda job: JobState("running", expected=12))
    monitor.update()
    assert (monitor.button.description, monitor.button.icon) == ("Stop the search", "stop")
    monitor.button.click()
    assert asked == [{"root": tmp_path, "jobs": 2}, "stop"]


def test_a_refusal_is_told_and_the_views_are_empty(
    evolution: Evolution, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: object, **_: object) -> None:
        raise InputError("no <locks> here", hint="run it yourself")

    bred(evolution, generations=1)
    monitor = SearchMonitor(evolution)
    monkeypatch.setattr(Job, "start", refuse)
    monitor.button.click()
    assert "no &lt;locks&gt; here" in monitor.problem.value
    assert monitor.best.value == ""
    assert not monitor.plot.outputs
    monitor.update()
    assert monitor.best.value
    assert monitor.plot.outputs


def test_it_looks_by_itself_until_it_is_closed(
    evolution: Evolution, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def watch() -> None:
        monitor = SearchMonitor(evolution)
        assert monitor._poll.going
        monitor._poll.end()
        monitor._poll._every_s = 0.01
        monitor._poll.begin()
        bred(evolution, generations=1)
        await until(lambda: "Fittest of 4 trials" in monitor.best.value)
        monitor.close()
        assert not monitor._poll.going

    in_loop(watch)
