"""Dask: a local cluster of worker processes, some of which are killed while they work."""

import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import quick_config
from evaluation import troubles

from hmrm_lab.errors import ConfigError, HmrmError
from hmrm_lab.evaluation import loso, workers
from hmrm_lab.evaluation.workers import Executor
from hmrm_lab.runtime.store import RunFolder
from hmrm_lab.studies.experiment import run_experiment

FILES = ("metrics.json", "predictions.csv", "history.csv")
ABSENT = "tcp://127.0.0.1:9"  # nobody listens at the port of "discard"


@pytest.fixture
def dask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Executor]:
    marks = tmp_path / "marks"
    marks.mkdir()
    monkeypatch.setenv(troubles.MARKS, str(marks))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # sockets of workers that were killed
        with workers.open_executor("dask", jobs=2, devices=("cpu",)) as execute:
            yield execute


def run(out: Path, execute: Executor | None = None) -> RunFolder:
    config, flowset = quick_config("ststnet"), troubles.eight_subjects()
    return run_experiment(config, out=out, flowset=flowset, execute=execute)


def content(folder: RunFolder) -> list[bytes]:
    return [(folder.path / name).read_bytes() for name in FILES]


@pytest.mark.full
def test_workers_that_die_cost_nothing_but_their_own_fold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dask: Executor
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(loso, "run_fold", troubles.troubled)
        folder = run(tmp_path / "dask", dask)
    diverged, killed, raised = folder.failures()
    assert (diverged["fold"], diverged["kind"], diverged["attempts"]) == ("toy/s01", "diverged", 1)
    assert (killed["fold"], killed["kind"], killed["attempts"]) == ("toy/s04", "crashed", 2)
    assert killed["reason"] == "the worker died"
    assert (raised["fold"], raised["attempts"]) == ("toy/s05", 2)
    turns = troubles.turns()
    assert len(turns["toy-s03"]) >= 2
    assert len({process for tries in turns.values() for process in tries}) > 1
    assert content(run(tmp_path / "dask", dask)) == content(run(tmp_path / "here"))


def test_what_dask_lacks_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hmrm_lab.evaluation.dask.PATIENCE", "1s")
    with (
        pytest.raises(ConfigError, match=rf"no Dask scheduler answers at '{ABSENT}'.*; start"),
        workers.open_executor("dask", jobs=1, devices=("cpu",), scheduler=ABSENT),
    ):
        pass
    for arguments, words in (
        (("dusk", {}), "did you mean 'dask'"),
        (("processes", {"scheduler": ABSENT}), "add --executor dask"),
        (("dask", {"devices": ("cuda:0", "cuda:1")}), "takes one device"),
    ):
        name, options = arguments
        with (
            pytest.raises(ConfigError, match=words),
            workers.open_executor(name, **{"jobs": 1, "devices": ("cpu",), **options}),
        ):
            pass
    monkeypatch.setattr(workers, "find_spec", lambda name: None)
    with (
        pytest.raises(HmrmError, match=r"pip install 'hmrm-lab\[cluster\]'"),
        workers.open_executor("dask", jobs=1, devices=("cpu",)),
    ):
        pass
