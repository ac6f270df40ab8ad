"""The run folder: one immutable file per unit of work, and everything else computed from them.

```
runs/<name>-<digest8>/
    config.toml        the complete settings
    environment.json   machine, versions, command
    data.json          fingerprint of the flow maps, clips per class, folds expected
    folds/<fold>.seed<k>.json
    running/           of units in work: how far they are, and a checkpoint to go on from
    predictions.csv  history.csv  metrics.json  report.html
    model.safetensors  trained on all clips, for new recordings; no figure rests on it
```
"""

import json
import os
import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

from hmrm_lab.config import ExperimentConfig
from hmrm_lab.errors import InputError


def cache_folder() -> Path:
    """`$HMRM_CACHE`, or `data/cache` where the command runs."""
    return Path(os.environ.get("HMRM_CACHE", "data/cache"))


def write_atomic(path: Path, text: str) -> None:
    """Write all of the file or nothing: a temporary neighbour, flushed, then renamed."""
    write_atomic_bytes(path, text.encode("utf-8"))


def write_atomic_bytes(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def to_json(value: Any) -> str:
    """JSON with sorted keys, so that the same numbers are the same bytes."""
    return json.dumps(value, indent=2, sort_keys=True, allow_nan=False) + "\n"


def read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise InputError(
            f"not readable as JSON ({error})", where=path, mend="delete the file; it is made anew"
        ) from None


class RunFolder:
    """One run on disk. Reading never changes it; units are written once and never again."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def of(cls, config: ExperimentConfig, out: Path) -> "RunFolder":
        return cls(out / f"{config.name}-{config.digest()[:8]}")

    @classmethod
    def open(cls, path: Path) -> "RunFolder":
        """An existing run, or an `InputError`."""
        run = cls(path)
        if not run.config_file.is_file():
            raise InputError(
                "not a run folder (no config.toml)",
                where=path,
                mend="give a folder that `hmrm run` made",
            )
        return run

    @property
    def config_file(self) -> Path:
        return self.path / "config.toml"

    @property
    def folds(self) -> Path:
        return self.path / "folds"

    @property
    def running(self) -> Path:
        """What is in work: how far it is, and a checkpoint to go on from."""
        return self.path / "running"

    def begin(
        self, config: ExperimentConfig, data: dict[str, Any], environment: dict[str, Any]
    ) -> None:
        """Create the folder, or take it up again if it rests on the same data."""
        known = self.path / "data.json"
        if known.is_file() and read_json(known)["fingerprint"] != data["fingerprint"]:
            raise InputError(
                "the data have changed since this run began",
                where=self.path,
                mend="choose another --out, or delete this folder",
            )
        if not self.config_file.is_file():
            write_atomic(self.path / "environment.json", to_json(environment))
            write_atomic(known, to_json(data))
            write_atomic(self.config_file, to_toml(config.model_dump(mode="json")))

    def config(self) -> ExperimentConfig:
        return ExperimentConfig.model_validate(
            tomllib.loads(self.config_file.read_text(encoding="utf-8"))
        )

    def data(self) -> dict[str, Any]:
        return dict(read_json(self.path / "data.json"))

    def metrics(self) -> dict[str, Any]:
        """The figures as last computed."""
        return dict(read_json(self.path / "metrics.json"))

    def environment(self) -> dict[str, Any]:
        return dict(read_json(self.path / "environment.json"))

    def unit_file(self, fold: str, seed: int) -> Path:
        """The file of one fold and seed; `fold` is `dataset/subject`."""
        dataset, _, subject = fold.partition("/")
        return self.folds / f"{quote(dataset, safe='')}@{quote(subject, safe='')}.seed{seed}.json"

    def has_unit(self, fold: str, seed: int) -> bool:
        return self.unit_file(fold, seed).is_file()

    def write_unit(self, fold: str, seed: int, content: dict[str, Any]) -> None:
        write_atomic(self.unit_file(fold, seed), to_json(content))

    def units(self) -> Iterator[dict[str, Any]]:
        """Every finished unit in a fixed order."""
        for path in sorted(self.folds.glob("*.json")):
            yield read_json(path)


def to_toml(tables: dict[str, Any]) -> str:
    """Tables of plain values as TOML, which the standard library only reads. None is left out."""
    lines = [f"{key} = {_toml_value(v)}" for key, v in tables.items() if not isinstance(v, dict)]
    for key, table in tables.items():
        if isinstance(table, dict):
            lines += ["", f"[{key}]"]
            lines += [f"{k} = {_toml_value(v)}" for k, v in table.items() if v is not None]
    return "\n".join(lines) + "\n"


def _toml_value(value: Any) -> str:
    """JSON and TOML write texts, numbers, booleans and lists of them alike."""
    return json.dumps(value, ensure_ascii=False)
