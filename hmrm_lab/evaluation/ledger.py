"""The ledger of test-set evaluations: a row for each run of a folder that has evaluated a test set.

Trying many settings on one test set is choosing among them, wittingly or not. The ledger lies
beside the run folders and is only appended to; deleting a run removes no row.
"""

import csv
import hashlib
import io
import os
from contextlib import suppress
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from hmrm_lab.errors import InputError
from hmrm_lab.evaluation.fold import rule_of
from hmrm_lab.runtime.store import RunFolder, refuse_full_disk

LEDGER = "test_set_evaluations.csv"
COLUMNS = (
    *("when", "run", "settings", "data", "test_set", "clips", "system", "epoch_rule", "control"),
    *("seeds", "command"),
)
KEY = ("run", "settings", "test_set")


class Evaluations(NamedTuple):
    """Number of runs of a folder that have evaluated one test set, and of their settings."""

    runs: int
    settings: int

    def __str__(self) -> str:
        times = f"{self.runs} time{'' if self.runs == 1 else 's'} from this folder"
        settings = f"{self.settings} setting{'' if self.settings == 1 else 's'}"
        return f"this test set has been evaluated {times}, under {settings}"


def record_evaluation(run: RunFolder) -> None:
    if not any(run.folds.glob("*.json")):
        return
    config, data = run.config(), run.data()
    row = {
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "run": run.path.name,
        "settings": config.digest(),
        "data": config.data.name,
        "test_set": data["test_set"],
        "clips": str(data["clips"]),
        "system": config.model.name,
        "epoch_rule": rule_of(config),
        "control": config.evaluation.control,
        "seeds": " ".join(map(str, config.evaluation.seeds)),
        "command": hashlib.sha256(run.environment()["command"].encode()).hexdigest()[:8],
    }
    path = run.path.parent / LEDGER
    try:
        with path.open("a+", encoding="utf-8", newline="") as file:
            # Without locks two processes may write the same row, which counts once all the same.
            if find_spec("fcntl"):
                import fcntl

                with suppress(OSError):  # a disk without locks
                    fcntl.flock(file, fcntl.LOCK_EX)  # until the file is closed
            file.seek(0)
            known = file.read()
            if not any(all(old[name] == row[name] for name in KEY) for old in _rows(path, known)):
                writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
                if not known:
                    writer.writeheader()
                writer.writerow(row)
                file.flush()
                os.fsync(file.fileno())
    except OSError as error:
        refuse_full_disk(error, path.parent)
        raise


def count_evaluations(run: RunFolder) -> Evaluations:
    test_set = run.data()["test_set"]
    rows = [row for row in read_ledger(run.path.parent) if row["test_set"] == test_set]
    runs = {(row["run"], row["settings"]) for row in rows}
    return Evaluations(len(runs), len({row["settings"] for row in rows}))


def read_ledger(folder: Path) -> list[dict[str, str]]:
    """Read the rows of a folder's ledger, if any; an `InputError` if it is another file."""
    path = folder / LEDGER
    if not path.is_file():
        return []
    return _rows(path, path.read_text(encoding="utf-8", errors="replace"))


def _rows(path: Path, text: str) -> list[dict[str, str]]:
    reader = csv.DictReader(io.StringIO(text))
    try:
        rows = list(reader)
        sound = not text or tuple(reader.fieldnames or ()) == COLUMNS
    except csv.Error:
        rows, sound = [], False
    if not sound or any(None in row.values() for row in rows):
        raise InputError("not a ledger of test-set evaluations", where=path, hint="move it away")
    return rows
