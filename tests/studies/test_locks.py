"""A lock is held by one process at a time, and goes with it however that ends."""

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from hmrm_lab.errors import InputError
from hmrm_lab.studies import locks, queue
from hmrm_lab.studies.locks import check_locks, held, holder

HOLDS = (
    "import sys, time; from pathlib import Path; from hmrm_lab.studies.locks import held\n"
    "with held(Path(sys.argv[1])): print('held', flush=True); time.sleep(60)"
)


def test_another_process_is_named_and_its_lock_goes_with_it(tmp_path: Path) -> None:
    lock = tmp_path / "search.lock"
    command = [sys.executable, "-c", HOLDS, str(lock)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=queue._environment()) as other:
        assert other.stdout.readline() == b"held\n"
        assert holder(lock).process == other.pid
        with pytest.raises(InputError, match=f"process {other.pid} on .+ works in"), held(lock):
            pytest.fail("two hold it")
        assert holder(lock).process == other.pid, "a refusal takes nothing away"
        other.send_signal(signal.SIGKILL)
    assert holder(lock) is None
    with held(lock):
        assert holder(lock) is not None
    assert holder(lock) is None


def test_it_is_let_go_when_the_work_fails(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), held(tmp_path / "search.lock"):
        raise ZeroDivisionError
    assert holder(tmp_path / "search.lock") is None


def test_looking_leaves_nothing_where_nothing_is(tmp_path: Path) -> None:
    assert holder(tmp_path / "runs" / "search.lock") is None
    assert not (tmp_path / "runs").exists()


def test_a_disk_without_locks_is_refused_in_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP):

        def refuse(handle: int, flags: int, number: int = number) -> None:
            raise OSError(number, os.strerror(number))

        monkeypatch.setattr("fcntl.flock", refuse)
        with pytest.raises(InputError, match=r"this disk has no file locks .+ on another disk"):
            check_locks(tmp_path / "runs" / "sweep")
        with pytest.raises(InputError, match="this disk has no file locks"), held(tmp_path / "a"):
            pytest.fail("it is not held")


def test_where_a_system_has_no_locks_the_work_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks, "find_spec", lambda name: None)
    with held(tmp_path / "search.lock"):
        assert not (tmp_path / "search.lock").exists()
