"""An evolutionary search in a process of its own, and one that others work on."""

from dataclasses import replace
from pathlib import Path

import pytest
from conftest import make_flowset, quick_config

from hmrm_lab.errors import InputError, Stopped
from hmrm_lab.preparation import load_flowset
from hmrm_lab.studies import background_evolve, places
from hmrm_lab.studies.background_child import load_maps
from hmrm_lab.studies.background_evolve import BackgroundEvolution
from hmrm_lab.studies.evolve import JOURNAL, LOCK, Evolution, breed, name_of
from hmrm_lab.studies.journal import open_study
from hmrm_lab.studies.locks import held
from hmrm_lab.studies.queue import Place
from hmrm_lab.studies.supernet import Choice, Fitness

pytest.importorskip("optuna", reason="the extra 'sweep' is not installed")

SIZE = {"population": 3, "generations": 2}
SMALL = ("training.epochs=1", "data.subjects=4", "data.clips=8", "model.width=8", "model.head=8")


def rate(choices: list[Choice]) -> list[Fitness]:
    return [Fitness(1 / choice.alpha, choice.alpha) for choice in choices]


@pytest.fixture
def evolution(tmp_path: Path) -> Evolution:
    config = quick_config("ammsm_temporal", *SMALL)
    return Evolution.of(config, make_flowset(), tmp_path, **SIZE)


def bred(evolution: Evolution, generations: int) -> object:
    evolution.sweep.folder.mkdir(parents=True, exist_ok=True)
    study = open_study(evolution.sweep.folder / JOURNAL, name_of(evolution), ["maximize"])
    breed(replace(evolution, generations=generations), study, rate, lambda done, total: None)
    return study


@pytest.mark.slow
def test_in_a_process_of_its_own(tmp_path: Path) -> None:
    config = quick_config("ammsm_temporal", *SMALL)
    evolution = Evolution.of(config, load_flowset(config), tmp_path, seed=3, **SIZE)
    background = BackgroundEvolution(evolution)
    assert background.state().phase == "absent"
    background.start()
    assert background.state().going
    state = background.wait(600)
    assert (state.phase, state.done, state.expected) == ("complete", 6, 6), state.problem
    found = background.look().found
    assert len(found.table) == 6
    assert (evolution.sweep.folder / "winner.json").is_file()
    background.start()  # nothing is left to do
    assert not background.state().going
    background.stop()  # nothing is going


def test_no_number_of_processes_is_one_per_core(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = quick_config("ammsm_temporal", *SMALL)
    evolution = Evolution.of(config, load_flowset(config), tmp_path, **SIZE)
    used: list[int] = []

    def note(*_: object, jobs: int, **__: object) -> None:
        used.append(jobs)
        raise Stopped(143)

    monkeypatch.setattr(Place, "launch", lambda place, command: used.append(int(command[-1])))
    monkeypatch.setattr(background_evolve, "count_cores", lambda: 7)
    monkeypatch.setattr(background_evolve, "evolve", note)
    background = BackgroundEvolution(evolution)
    background.start(jobs=0)
    with pytest.raises(Stopped):
        background_evolve._work(background._study.place, None, used[0])
    assert used == [0, 7]
    with pytest.raises(InputError, match="-1 jobs; take one or more, or 0"):
        background.start(jobs=-1)


def test_it_says_how_far_flow_is_and_lets_its_workers_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place, seen = Place(tmp_path, "search"), []

    def load(config: object, root: object, *, jobs: int, on_faces: object, on_progress: object):
        on_progress(3, 8)
        seen.append((jobs, place.said()["phase"], place.said()["note"]))
        return "maps"

    monkeypatch.setattr("hmrm_lab.preparation.load_flowset", load)
    monkeypatch.setattr(places, "end_preparation_workers", lambda: seen.append("ended"))
    assert load_maps(place, None, None, 2) == "maps"
    assert seen == [(2, "preparing", "flow of 3 of 8 clips"), "ended"]


def test_what_is_there_is_seen_without_a_word_written(evolution: Evolution) -> None:
    background = BackgroundEvolution(evolution)
    assert background.look().found is None
    assert not evolution.sweep.folder.exists()
    bred(evolution, generations=1)
    before = (evolution.sweep.folder / JOURNAL).read_bytes()
    look = background.look()
    assert (look.state.phase, look.state.done, look.state.expected) == ("stopped", 3, 6)
    assert look.found.winner.alpha == look.found.table["alpha"].min()
    assert (evolution.sweep.folder / JOURNAL).read_bytes() == before
    other = BackgroundEvolution(replace(evolution, seed=1)).look()
    assert other.found is None, "of another seed there is nothing"


def test_a_command_works_on_it(evolution: Evolution) -> None:
    """Whatever it is at, and whoever it was that left a proposal without an answer."""
    bred(evolution, generations=1).ask()
    background = BackgroundEvolution(evolution)
    assert not background.look().by_command
    with held(evolution.sweep.folder / LOCK):
        look = background.look()
        assert look.by_command
        assert look.state.phase == "running"
        with pytest.raises(InputError, match="by a command of its own; stop it there"):
            background.stop()
        background.start()
        assert not (evolution.sweep.folder.parent / ".background").exists(), "not started twice"
    look = background.look()
    assert (look.by_command, look.state.phase) == (False, "stopped")


def test_a_command_trains_super_networks(evolution: Evolution) -> None:
    with held(evolution.sweep.folder / LOCK):
        look = BackgroundEvolution(evolution).look()
    assert (look.by_command, look.state.phase, look.found) == (True, "preparing", None)
    assert BackgroundEvolution(evolution).state().phase == "absent"
