import errno
import json
import os
import stat
from multiprocessing import get_context
from pathlib import Path

import pytest

from hmrm_lab.config import load_config
from hmrm_lab.errors import DiskFullError, InputError
from hmrm_lab.runtime import store


def test_a_failed_write_keeps_the_old_file(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    store.write_atomic(file, "old")
    with pytest.raises(UnicodeEncodeError):
        store.write_atomic(file, "new \ud800")
    assert file.read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 1


def test_what_cannot_be_written_is_refused_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    (tmp_path / "gone").symlink_to(tmp_path / "nowhere")
    before = sorted(tmp_path.rglob("*"))
    store.check_writable(tmp_path, tmp_path / "new" / "folder")
    store.check_target(None, tmp_path / "new" / "page.html", tmp_path / "file")
    for place in (tmp_path / "file" / "runs", tmp_path / "gone" / "runs", Path("/proc/runs")):
        with pytest.raises(InputError, match=r"no file can be written here .+name another place"):
            store.check_writable(tmp_path, place)
        with pytest.raises(InputError, match="no file can be written here"):
            store.check_target(place / "page.html")
    with pytest.raises(InputError, match="a folder, not a file"):
        store.check_target(tmp_path)
    with pytest.raises(InputError, match=r"runs\\udce9': a name that is not UTF-8; name another"):
        store.check_writable(tmp_path / os.fsdecode(b"runs\xe9"))
    assert sorted(tmp_path.rglob("*")) == before


def test_names_of_units_do_not_collide(tmp_path: Path) -> None:
    run = store.RunFolder(tmp_path)
    names = ["a/b", "a__b/c", "a/b@c", "a/b.seed1", "casme2/sub01", "samm/006", "x/..", "x/é"]
    files = {run.fold_file(name, seed) for name in names for seed in (0, 1, 10)}
    assert len(files) == 3 * len(names)
    assert all(file.parent == run.folds for file in files)


def test_no_run_folder_and_a_damaged_fold_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not a run folder"):
        store.RunFolder.open(tmp_path)
    (tmp_path / "fold.json").write_text("{")
    with pytest.raises(InputError, match=r"fold\.json"):
        store.read_json(tmp_path / "fold.json")


def test_json_is_canonical_and_refuses_nan() -> None:
    assert store.to_json({"b": 1, "a": 2}) == store.to_json(json.loads('{"a": 2, "b": 1}'))
    with pytest.raises(ValueError, match="JSON compliant"):
        store.to_json({"a": float("nan")})


def write_units(path: str, writer: int, units: int) -> int:
    """Half of the units are this writer's own, half are every writer's. How many did it write?"""
    run, wins = store.RunFolder(Path(path)), 0
    for unit in range(units):
        fold = f"all/{unit}" if unit % 2 else f"{writer}/{unit}"
        wins += run.write_fold(fold, 0, {"fold": fold, "writer": writer, "pad": "x" * 2000})
        seen = store.read_json(run.fold_file(fold, 0))["writer"]
        again = run.write_fold(fold, 0, {"fold": fold, "writer": -1})
        assert not again
        assert store.read_json(run.fold_file(fold, 0))["writer"] == seen
    return wins


@pytest.mark.slow
@pytest.mark.parametrize(
    ("writers", "units"), [(4, 60), pytest.param(32, 1000, marks=pytest.mark.full)]
)
def test_of_many_writers_none_is_lost_none_counts_twice_none_is_unreadable(
    tmp_path: Path, writers: int, units: int
) -> None:
    with get_context("spawn").Pool(writers) as pool:
        tasks = [(str(tmp_path), writer, units) for writer in range(writers)]
        wins = pool.starmap(write_units, tasks, 1)
    own, shared = writers * ((units + 1) // 2), units // 2
    found = list(store.RunFolder(tmp_path).records())
    assert len(found) == len({unit["fold"] for unit in found}) == own + shared == sum(wins)
    assert all(unit["pad"] == "x" * 2000 for unit in found)
    assert not [path for path in (tmp_path / "folds").iterdir() if path.suffix != ".json"]


def test_the_first_writer_of_a_file_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "a.json"
    assert store.write_once(file, "first")
    assert not store.write_once(file, "second")
    monkeypatch.setattr(Path, "exists", lambda self: False)  # both looked at the same moment
    assert not store.write_once(file, "second")
    assert file.read_text() == "first"
    assert len(list(tmp_path.iterdir())) == 1


def test_a_disk_without_links_takes_units_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    assert store.write_once(tmp_path / "a.json", "first")
    assert not store.write_once(tmp_path / "a.json", "second")
    assert [path.read_text() for path in tmp_path.iterdir()] == ["first"]


def test_files_have_the_mode_of_the_mask(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        store.write_atomic(tmp_path / "a", "x")
        store.write_once(tmp_path / "b", "x")
    finally:
        os.umask(before)
    assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == {0o640}


def test_a_file_and_its_name_are_flushed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flushed, really = [], os.fsync

    def watch(handle: int) -> None:
        flushed.append(stat.S_ISDIR(os.fstat(handle).st_mode))
        really(handle)

    monkeypatch.setattr(os, "fsync", watch)
    store.write_atomic(tmp_path / "a", "x")
    store.write_once(tmp_path / "b", "x")
    assert flushed == [False, True, False, True]


def test_no_room_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    store.write_atomic(tmp_path / "a", "old")
    monkeypatch.setattr(os, "fsync", full)
    for write in (store.write_atomic, store.write_once):
        with pytest.raises(DiskFullError, match=r": the disk is full \(\d+\.\d MiB free\)$"):
            write(tmp_path / ("a" if write is store.write_atomic else "b"), "new")
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("a", "old")]


def test_a_failure_is_forgotten_with_success(tmp_path: Path) -> None:
    run = store.RunFolder(tmp_path)
    why = {"kind": "memory", "reason": "much", "attempts": 2}
    run.write_failure("a/b", 0, why)
    assert run.failures() == [{"fold": "a/b", "seed": 0, **why}]
    run.write_fold("a/b", 0, {"fold": "a/b"})
    run.write_failure("a/b", 0, why)  # by another command, later
    assert run.failures() == []
    assert not run.failed_file("a/b", 0).exists()


def test_what_killed_writers_left_is_swept_up_another_day(tmp_path: Path) -> None:
    run = store.RunFolder.of(load_config("smoke"), tmp_path)
    old, new = run.folds / ".old.part", run.running / ".new.part"
    for part in (old, new):
        part.parent.mkdir(parents=True)
        part.write_text("{")
    os.utime(old, (0, 0))
    run.begin(load_config("smoke"), {"fingerprint": "x"}, {})
    assert new.exists() and not old.exists()


def test_a_note_that_goes_away_meanwhile_is_none(tmp_path: Path) -> None:
    run = store.RunFolder(tmp_path)
    run.write_failure("toy/s01", 0, {"kind": "crashed"})
    run.failed_file("toy/s02", 0).symlink_to(tmp_path / "gone")  # listed, and not to be read
    assert [note["fold"] for note in run.failures()] == ["toy/s01"]


def test_a_run_stays_on_one_kind_of_device(tmp_path: Path) -> None:
    config = load_config("smoke")
    run = store.RunFolder.of(config, tmp_path)
    data = {"fingerprint": "f", "device": "cpu"}
    run.begin(config, data, {})
    with pytest.raises(InputError, match="began on cpu, which rounds differently from cuda; go on"):
        run.begin(config, {**data, "device": "cuda"}, {})
    run.begin(config, data, {})
