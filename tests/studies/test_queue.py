"""Locks, turns and words of background processes, with programs that do nothing but wait."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hmrm_lab.studies import queue
from hmrm_lab.studies.locks import guard
from hmrm_lab.studies.queue import Place

WAITS = [sys.executable, "-S", "-c", "import time; time.sleep(3600)"]
Launch = Callable[[Place], "subprocess.Popen[bytes]"]


@pytest.fixture
def launch() -> Iterator[Launch]:
    """Start a process that waits; all are ended after the test."""
    started = []

    def start(place: Place) -> "subprocess.Popen[bytes]":
        with guard(place.folder):
            started.append(place.launch(WAITS))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()


def lives(place: Place) -> bool:
    with guard(place.folder):
        return place.worker() is not None


def ahead(place: Place) -> list[str]:
    with guard(place.folder):
        return place.ahead()


def test_a_process_holds_the_lock_from_birth_to_death(tmp_path: Path, launch: Launch) -> None:
    place = Place(tmp_path, "one")
    assert not lives(place)
    process = launch(place)
    with guard(tmp_path):
        worker = place.worker()
    assert worker
    assert worker.process == process.pid
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not lives(place)


def test_a_second_start_is_refused(tmp_path: Path, launch: Launch) -> None:
    launch(Place(tmp_path, "one"))
    with pytest.raises(RuntimeError, match="run already"):
        launch(Place(tmp_path, "one"))


def test_a_recycled_process_id_is_not_taken_for_it(tmp_path: Path) -> None:
    place = Place(tmp_path, "one")
    place.lock.write_text(f'{{"process": {os.getpid()}, "host": "here", "number": 1}}')
    assert not lives(place), "this process lives, and does not hold the lock"


def test_first_come_first_served(tmp_path: Path, launch: Launch) -> None:
    first, second, third = (Place(tmp_path, name) for name in ("zebra", "ant", "m.v2"))
    processes = [launch(place) for place in (first, second, third)]
    assert [place.said()["phase"] for place in (first, second)] == ["preparing", "waiting"]
    assert [ahead(place) for place in (first, second, third)] == [[], ["zebra"], ["ant", "zebra"]]
    processes[0].kill()
    processes[0].wait()
    assert ahead(third) == ["ant"]
    launch(first)  # who comes back stands at the end
    assert ahead(first) == ["ant", "m.v2"]
    assert ahead(second) == []


def test_it_lives_in_a_session_of_its_own(tmp_path: Path, launch: Launch) -> None:
    process = launch(Place(tmp_path, "one"))
    assert os.getsid(process.pid) == process.pid != os.getsid(0)


def test_what_it_prints_is_in_the_log(tmp_path: Path) -> None:
    place = Place(tmp_path, "one")
    with guard(tmp_path):
        process = place.launch([sys.executable, "-c", "import sys; print(sys.argv[1]); 1 / 0"])
    assert process.wait() == 1
    log = place.log.read_text()
    assert log.splitlines()[0].isdecimal()
    assert "ZeroDivisionError" in log


def test_it_imports_what_this_process_imports(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path / "code"))
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "found_here.py").write_text("")
    with guard(tmp_path):
        process = Place(tmp_path, "one").launch([sys.executable, "-c", "import found_here"])
    assert process.wait() == 0


def test_the_guard_lets_one_in_at_a_time(tmp_path: Path) -> None:
    program = (
        "import sys, time; from pathlib import Path; from hmrm_lab.studies.locks import guard\n"
        "print('asks', flush=True)\n"
        "with guard(Path(sys.argv[1])): print(time.time())"
    )
    with guard(tmp_path):
        command = [sys.executable, "-c", program, str(tmp_path)]
        other = subprocess.Popen(command, stdout=subprocess.PIPE, env=queue._environment())
        assert other.stdout.readline() == b"asks\n"
        time.sleep(0.2)
        opened = time.time()
    said, _ = other.communicate(timeout=600)
    assert float(said) >= opened
