"""Jobs: the same figures, stopped, killed, taken up, queued, refused; and their locks."""

import errno
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from conftest import make_flowset, quick_config
from evaluation.test_live_progress import write_status
from loops import LONG_S, wait_for
from reporting.made_runs import figures_of, make_run

from hmrm_lab.errors import ConfigError, InputError, Stopped
from hmrm_lab.preparation import load_flowset
from hmrm_lab.runtime import processes as locks
from hmrm_lab.runtime.processes import check_locks, held, holder
from hmrm_lab.runtime.store import RunFolder, to_json, write_atomic
from hmrm_lab.studies import experiment
from hmrm_lab.studies import jobs as module
from hmrm_lab.studies.evolve import JOURNAL, LOCK, Evolution, breed, name_of
from hmrm_lab.studies.experiment import run_experiment
from hmrm_lab.studies.jobs import Job, JobFiles
from hmrm_lab.studies.search import sweep_job
from hmrm_lab.studies.space import Journal, grid
from hmrm_lab.studies.supernet import Choice, Fitness
from hmrm_lab.studies.trials import Sweep

FILES = ("metrics.json", "predictions.csv", "history.csv", "model.safetensors")
CONFIG = quick_config("ststnet", "training.epochs=60")
SMALL = ("training.epochs=1", "data.subjects=4", "data.clips=8", "model.width=8", "model.head=8")
SIZE = {"population": 3, "generations": 2}
Patch = pytest.MonkeyPatch


def job_in(out: Path) -> Job:
    return Job.of(RunFolder.of(CONFIG, out), CONFIG)


def worker(job: Job) -> locks.Worker:
    found = holder(JobFiles.of(job.folder).file("lock"))
    assert found
    return found


def kept(job: Job) -> dict[str, int]:
    """The finished folds, and when each was written."""
    return {file.name: file.stat().st_mtime_ns for file in (job.folder / "folds").glob("*.json")}


@pytest.mark.full
def test_cut_off_twice_it_ends_in_the_figures_of_a_run_here(tmp_path: Path) -> None:
    """Killed, stopped, seen and taken up from another process, and complete in the end."""
    here = run_experiment(CONFIG, out=tmp_path / "here")
    job = job_in(tmp_path / "there")
    job.stop()  # nothing is going
    assert not (tmp_path / "there").exists(), "looking writes nothing"

    assert job.start().state().phase == "preparing"
    state = job.wait(LONG_S, done=1)
    assert (state.phase, state.expected) == ("running", 4)
    psutil.Process(worker(job).process).kill()
    assert job.wait(LONG_S).phase == "stopped"
    folds = kept(job)

    starts = (
        "import psutil, sys; from pathlib import Path\n"
        "from hmrm_lab.runtime.store import RunFolder\n"
        "from hmrm_lab.studies.jobs import Job\n"
        "Job.of(RunFolder(Path(sys.argv[1]))).start()\n"
        "psutil.Process().kill()"
    )
    subprocess.run([sys.executable, "-c", starts, str(job.folder)], check=False)
    assert job.state().going, "it has outlived the process that started it"
    before = worker(job)
    assert worker(job_in(tmp_path / "there").start()) == before, "two starts are one process"

    wait_for(lambda: job.state().epochs_per_s > 0 or job.state().done > len(folds))
    Job.of(RunFolder(job.folder)).stop()  # its settings are in the folder
    assert job.wait(LONG_S).phase == "stopped"
    assert folds.items() <= kept(job).items(), "a finished fold was written again"

    state = job.start().wait(LONG_S)
    assert (state.phase, state.done, state.failed, state.progress) == ("complete", 4, 0, 1.0)
    for name in FILES:
        assert (job.folder / name).read_bytes() == (here.path / name).read_bytes(), name
    assert job.start().state().phase == "complete", "it is not started again"


def test_the_second_waits_and_wrong_input_is_told(tmp_path: Path) -> None:
    out = tmp_path / "runs"
    second = job_in(out)
    with held(JobFiles.of(out / "first").file("lock"), 1):
        assert second.start().state().phase == "waiting"
        wait_for(lambda: second.state().note)
        assert second.state().note == "1 run ahead: first"
        second.stop()
        assert second.wait(LONG_S).phase == "stopped"
    lost = quick_config("ststnet", "data.name=flowmaps")
    third = Job.of(RunFolder.of(lost, out), lost).start(root=tmp_path / "nowhere")
    assert "nowhere" in third.wait(LONG_S).problem
    assert not third.folder.exists(), "nothing is written for data that are not there"


def test_a_run_by_another_command_is_left_alone(tmp_path: Path, monkeypatch: Patch) -> None:
    folder = make_run(tmp_path, make_flowset())
    job = Job.of(folder)
    assert job.state().phase == "complete"
    unit = next(folder.records())
    folder.fold_file(unit["fold"], unit["seed"]).unlink()
    assert job.state().phase == "stopped"
    write_status(folder, unit["fold"])
    state = job.state()
    assert (state.phase, state.by_command) == ("running", True)
    monkeypatch.setattr(module, "_launch", lambda *_: pytest.fail("started again"))
    job.start()
    with pytest.raises(InputError, match="by a command of its own; stop it there"):
        job.stop()
    assert job.wait(0.05) == job.wait(done=1) == state, "waiting has an end"


def test_what_cannot_be_started_or_stopped_is_a_sentence(tmp_path: Path) -> None:
    job = job_in(tmp_path / "runs")
    with pytest.raises(InputError, match="-1 jobs; take one or more, or 0"):
        job.start(jobs=-1)
    with pytest.raises(InputError, match="start it with its settings"):
        Job.of(RunFolder(tmp_path / "runs" / "none")).start()
    assert not (tmp_path / "runs").exists()
    elsewhere = replace(locks.Worker.of(os.getpid()), host="elsewhere")
    with held(JobFiles.of(job.folder).file("lock")):
        locks.write_worker(JobFiles.of(job.folder).file("lock"), elsewhere)
        with pytest.raises(InputError, match="is run on elsewhere; stop it there"):
            job.stop()


def test_a_sweep_and_a_search(tmp_path: Path, monkeypatch: Patch) -> None:
    """What their process does, here."""
    pytest.importorskip("optuna", reason="the extra 'sweep' is not installed")
    config = quick_config("ammsm_temporal", *SMALL)
    flowset = load_flowset(config)
    evolution = Evolution.of(config, flowset, tmp_path, seed=3, **SIZE)
    sweep = Sweep.of(config, flowset, tmp_path)
    with pytest.raises(ConfigError, match="did you mean 'width'"):
        sweep_job(sweep, [{"model.widht": 1}])
    launched: list[list[str]] = []

    def launch(files: JobFiles, work: str) -> None:
        launched.append(["", str(files.folder), files.name, work, "1"])

    monkeypatch.setattr(module, "_launch", launch)
    scored, searched = sweep_job(sweep, grid({"model.width": (8, 16)})), evolution.job()
    for job, expected in ((scored, 2), (searched, 6)):
        job.start()
        monkeypatch.setattr(sys, "argv", launched[-1])
        with pytest.raises(SystemExit, match="0"):
            module.main()
        state = job.start().state()
        assert (state.phase, state.done, state.expected) == ("complete", *[expected] * 2), state
    assert len(launched) == 2, "what is complete is not started again"
    assert len(evolution.found().table) == 6


def test_no_number_of_jobs_is_one_per_core(tmp_path: Path, monkeypatch: Patch) -> None:
    files, seen = JobFiles(tmp_path, "run"), []

    def load(config: object, root: object, *, jobs: int, watch: Callable[..., None]) -> None:
        watch("flow", 3, 8)
        status = files.read_status()
        seen.append((jobs, status["phase"], status["note"]))
        raise Stopped(143)

    monkeypatch.setattr("hmrm_lab.preparation.load_flowset", load)
    monkeypatch.setattr("hmrm_lab.runtime.processes.count_cores", lambda: 7)
    plan = {"recipe": CONFIG.model_dump(mode="json"), "root": "", "jobs": 0}
    write_atomic(files.file("plan.json"), to_json(plan))
    monkeypatch.setattr(sys, "argv", ["", str(tmp_path), "run", f"{module.__name__}:evaluate", "1"])
    with pytest.raises(SystemExit, match="143"):
        module.main()
    assert seen == [(7, "preparing", "flow of 3 of 8 clips")]
    assert files.read_status() == {"ended": "stopped"}


def rate(choices: list[Choice]) -> list[Fitness]:
    return [Fitness(1 / choice.alpha, choice.alpha) for choice in choices]


def test_a_search_by_command_is_seen_and_left_alone(tmp_path: Path) -> None:
    pytest.importorskip("optuna", reason="the extra 'sweep' is not installed")
    config = quick_config("ammsm_temporal", *SMALL)
    evolution = Evolution.of(config, make_flowset(), tmp_path, **SIZE)
    job, folder = evolution.job(), evolution.sweep.folder
    assert evolution.found() is None
    with held(folder / LOCK):
        assert (job.state().phase, job.state().by_command) == ("preparing", True)
    journal = Journal.open(folder / JOURNAL, name_of(evolution), ["maximize"])
    breed(replace(evolution, generations=1), journal, rate, lambda done, total: None)
    journal.study.ask()
    before = (folder / JOURNAL).read_bytes()
    state = job.state()
    assert (state.phase, state.done, state.expected) == ("stopped", 3, 6)
    assert evolution.found().winner.alpha == evolution.found().table["alpha"].min()
    assert (folder / JOURNAL).read_bytes() == before
    assert replace(evolution, seed=1).found() is None, "of another seed there is nothing"
    with held(folder / LOCK):
        job.start()
        assert (job.state().phase, job.state().by_command) == ("running", True)
    assert not JobFiles.of(folder).file("log").exists(), "not started twice"


def test_a_lock_names_its_process_and_goes_with_it(tmp_path: Path) -> None:
    lock = tmp_path / "search.lock"
    assert holder(tmp_path / "runs" / "search.lock") is None
    assert not (tmp_path / "runs").exists(), "looking leaves nothing"
    program = (
        "import sys; from pathlib import Path; from hmrm_lab.runtime.processes import held\n"
        "with held(Path(sys.argv[1])): print('held', flush=True); input()"
    )
    command = [sys.executable, "-c", program, str(lock)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout.readline() == b"held\n"
        with pytest.raises(InputError, match=f"process {other.pid} on .+ works in"), held(lock):
            pytest.fail("two hold it")
        assert holder(lock).process == other.pid, "a refusal takes nothing away"
        other.kill()
    assert holder(lock) is None
    with pytest.raises(ZeroDivisionError), held(lock):
        with pytest.raises(InputError, match=f"process {os.getpid()} on"), held(lock):
            pytest.fail("one process holds it twice")
        raise ZeroDivisionError
    assert holder(lock) is None
    locks.write_worker(lock, replace(locks.Worker.of(os.getpid()), born=1e9))
    assert holder(lock) is None, "this process lives, and is another of the same id"


def test_a_disk_without_locks_is_refused(tmp_path: Path, monkeypatch: Patch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(locks.FileLock, "acquire", refuse)
    with pytest.raises(InputError, match=r"this disk has no file locks .+ on another disk"):
        check_locks(tmp_path / "runs" / "sweep")
    with pytest.raises(InputError, match="this disk has no file locks"), held(tmp_path / "a"):
        pytest.fail("it is not held")


def test_the_slower_of_two_leaves_nothing_older(tmp_path: Path, monkeypatch: Patch) -> None:
    flowset = make_flowset()
    whole = make_run(tmp_path / "whole", flowset)
    run = make_run(tmp_path / "half", flowset, unfinished=1)
    assert not run.metrics()["complete"]
    summarise = experiment.summarise_run

    def meanwhile(of: object) -> dict[str, object]:
        metrics = summarise(of)  # the other command finishes while this one computes
        shutil.copytree(whole.folds, run.folds, dirs_exist_ok=True)
        return metrics

    monkeypatch.setattr(experiment, "summarise_run", meanwhile)
    experiment.write_figures(run)
    assert figures_of(run) == figures_of(whole)
