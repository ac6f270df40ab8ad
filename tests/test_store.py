import json
from multiprocessing import get_context
from pathlib import Path

import pytest

from hmrm_lab.config import load_config
from hmrm_lab.errors import InputError
from hmrm_lab.store import RunFolder, read_json, to_json, write_atomic


def write_many(path: str, text: str) -> None:
    for _ in range(50):
        write_atomic(Path(path), text)


def test_concurrent_writers_leave_one_whole_file(tmp_path: Path) -> None:
    file = tmp_path / "unit.json"
    texts = [to_json({"writer": number, "pad": "x" * 100_000}) for number in range(4)]
    context = get_context("spawn")
    writers = [context.Process(target=write_many, args=(str(file), text)) for text in texts]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
        assert writer.exitcode == 0
    assert file.read_text() in texts
    assert [path.name for path in tmp_path.iterdir()] == ["unit.json"]


def test_a_failed_write_keeps_the_old_file(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    write_atomic(file, "old")
    with pytest.raises(UnicodeEncodeError):
        write_atomic(file, "new \ud800")
    assert file.read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 1


def test_names_of_units_do_not_collide(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    names = ["a/b", "a__b/c", "a/b@c", "a/b.seed1", "casme2/sub01", "samm/006", "x/..", "x/é"]
    files = {run.unit_file(name, seed) for name in names for seed in (0, 1, 10)}
    assert len(files) == 3 * len(names)
    assert all(file.parent == run.folds for file in files)


def test_a_run_refuses_other_data(tmp_path: Path) -> None:
    config, run = load_config("smoke"), RunFolder(tmp_path / "run")
    run.begin(config, {"fingerprint": "one"}, {})
    run.begin(config, {"fingerprint": "one"}, {})
    with pytest.raises(InputError, match="data have changed"):
        run.begin(config, {"fingerprint": "two"}, {})


def test_not_a_run_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not a run folder"):
        RunFolder.open(tmp_path)


def test_a_damaged_unit_is_named(tmp_path: Path) -> None:
    (tmp_path / "unit.json").write_text("{")
    with pytest.raises(InputError, match=r"unit\.json"):
        read_json(tmp_path / "unit.json")


def test_json_is_canonical_and_refuses_nan() -> None:
    assert to_json({"b": 1, "a": 2}) == to_json(json.loads('{"a": 2, "b": 1}'))
    with pytest.raises(ValueError, match="JSON compliant"):
        to_json({"a": float("nan")})
