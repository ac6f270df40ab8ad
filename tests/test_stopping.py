"""Ctrl-C, SIGTERM and SIGKILL, given to a real command at work on two processes."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

HMRM = str(Path(sys.executable).with_name("hmrm"))
GENEROUS_S = 5.0  # the promise is two seconds; the machine of a test may be busy


@pytest.mark.parametrize("signal_number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_stopped_command_ends_at_once_and_leaves_no_process(
    tmp_path: Path, signal_number: signal.Signals
) -> None:
    command = [HMRM, "run", "--preset", "smoke", "--system", "ststnet", "--jobs", "2"]
    command += ["--set", "evaluation.seeds=" + str(list(range(500)))]
    with subprocess.Popen(
        command, cwd=tmp_path, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as running:
        try:
            while not (kept := list(tmp_path.glob("runs/*/folds/*.json"))):
                assert running.poll() is None, running.stderr.read()
                time.sleep(0.01)
            family = psutil.Process(running.pid).children(recursive=True)
            assert len(family) >= 2
            told = time.monotonic()
            if signal_number == signal.SIGINT:  # a terminal tells the whole group
                os.killpg(running.pid, signal_number)
            else:
                running.send_signal(signal_number)
            _, said = running.communicate(timeout=60)
            assert time.monotonic() - told < GENEROUS_S
            _, alive = psutil.wait_procs(family, timeout=GENEROUS_S)
            assert alive == []
        finally:
            running.kill()
    if signal_number == signal.SIGKILL:
        assert running.returncode == -signal.SIGKILL
        return
    assert running.returncode == 128 + signal_number
    last = said.splitlines()[-1]
    assert last.startswith("hmrm: stopped; ")
    assert last.endswith(" of 2000 folds are kept; the same command goes on")
    assert int(last.split()[2]) >= len(kept)
    assert "Traceback" not in said
