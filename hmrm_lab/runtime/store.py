"""Files written whole, and the run folder: one immutable file per fold and seed.

```
runs/<name>-<digest8>/
    config.toml        the complete settings
    environment.json   machine, versions, command
    data.json          fingerprint of the flow maps, clips per class, folds expected and their
                       subjects, files of starting weights and the subjects that these have seen
    folds/<fold>.seed<k>.json    written once, never replaced
    failed/<fold>.seed<k>.json   why it is missing; removed when it is there
    running/           progress and checkpoints of folds in work
    predictions.csv  history.csv  metrics.json  report.html    computed from the folds
    model.safetensors  trained on all clips, for new recordings; no figure rests on it
runs/test_set_evaluations.csv    a row for each run that has evaluated a test set
```
"""

import errno
import json
import os
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from secrets import token_hex
from tempfile import TemporaryFile
from typing import Any
from urllib.parse import quote

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from hmrm_lab.config import ExperimentConfig, read_config
from hmrm_lab.errors import DiskFullError, InputError

FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
NO_LINKS = frozenset({errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK})
ABANDONED_S = 86400.0  # longer than any file takes to write
HEADER = "hmrm"  # a single entry: safetensors does not sort them, and files must be reproducible
KEPT = {"fingerprint": "data", "classes": "classes", "folds_digest": "folds"}  # while a run grows
PROCEDURAL = "procedural"  # in place of a subject: synthetic
UNKNOWN = "unknown"  # in place of a subject: not recorded


def cache_folder() -> Path:
    """`$HMRM_CACHE`, or `data/cache` in the working directory."""
    return Path(os.environ.get("HMRM_CACHE", "data/cache"))


def check_cache() -> None:
    """Refuse a cache that cannot be written, before the work for it is done."""
    check_writable(cache_folder(), hint="set HMRM_CACHE to a folder that can be written")


def check_writable(*folders: Path, hint: str = "name another place") -> None:
    """Refuse folders that cannot be written or made, before the work for them is done."""
    for folder in folders:
        there = nearest_folder(folder)
        try:
            str(folder).encode("utf-8")  # the curves of TensorBoard take no other name
            with TemporaryFile(dir=there):
                pass
        except UnicodeEncodeError:
            where = ascii(str(folder))
            raise InputError("a name that is not UTF-8", where=where, hint=hint) from None
        except OSError as error:
            refuse_full_disk(error, there)
            problem = f"no file can be written here ({error.strerror})"
            raise InputError(problem, where=there, hint=hint) from None


def nearest_folder(folder: Path) -> Path:
    """The folder, or its first parent that exists."""
    there = folder.absolute()
    while not os.path.lexists(there):
        there = there.parent
    return there


def check_target(*files: Path | None) -> None:
    """Refuse files that cannot be written, before the work for them is done."""
    for file in files:
        if file is not None and file.is_dir():
            raise InputError("a folder, not a file", where=file, hint="name a file")
        if file is not None:
            check_writable(file.parent)


def write_atomic(path: Path, text: str) -> None:
    """Write a text file whole or not at all; a `DiskFullError` where there is no room."""
    write_atomic_bytes(path, text.encode("utf-8"))


def write_atomic_bytes(path: Path, content: bytes) -> None:
    """Write a binary file whole or not at all: a temporary neighbour, flushed, then renamed."""
    with _neighbour(path, content) as temporary:
        temporary.replace(path)


def write_once(path: Path, text: str) -> bool:
    """Write a file whole unless it exists; False if another writer was first, whose file stays."""
    if path.exists():
        return False
    with _neighbour(path, text.encode("utf-8")) as temporary:
        try:
            path.hardlink_to(temporary)
        except FileExistsError:
            return False
        except OSError as error:
            if error.errno not in NO_LINKS:
                raise
            temporary.replace(path)  # a disk without links: the last of two equal files stays
    return True


@contextmanager
def _neighbour(path: Path, content: bytes) -> Iterator[Path]:
    """A flushed file with a name of its own beside `path`, removed at the end."""
    temporary = path.parent / f".{token_hex(8)}.part"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        yield temporary
        temporary.unlink(missing_ok=True)
        _flush_folder(path.parent)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        refuse_full_disk(error, path.parent)
        raise


def _flush_folder(folder: Path) -> None:
    """Make the name of a new file survive a power cut."""
    if os.name == "nt":  # which cannot open folders, and flushes names by itself
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def refuse_full_disk(error: BaseException, folder: Path) -> None:
    """Raise a `DiskFullError` that names the folder, if `error` means a full disk."""
    if isinstance(error, OSError) and error.errno in FULL:
        free = shutil.disk_usage(nearest_folder(folder)).free / 2**20
        raise DiskFullError(f"{folder}: the disk is full ({free:.1f} MiB free)") from None


def to_json(value: Any) -> str:
    """Write JSON with sorted keys, so that the same numbers are the same bytes."""
    return json.dumps(value, indent=2, sort_keys=True, allow_nan=False) + "\n"


def parse_json(text: str) -> Any:
    """Parse JSON; any fault of the text is a `ValueError`."""
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def read_json(path: Path) -> Any:
    """Read a JSON file; an `InputError` if it is damaged."""
    try:
        return parse_json(path.read_text(encoding="utf-8"))
    except ValueError as error:
        hint = "delete the file; it is computed again"
        raise InputError(f"not readable as JSON ({error})", where=path, hint=hint) from None


def write_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: dict[str, str]) -> None:
    """Write named tensors with a header of text, as safetensors: no code in them is ever run."""
    kept = {name: value.detach().cpu().clone().contiguous() for name, value in tensors.items()}
    write_atomic_bytes(path, save(kept, metadata))


def read_tensors(
    path: Path, *, problem: str, hint: str
) -> tuple[dict[str, str], dict[str, Tensor]]:
    """Read header and tensors; an `InputError` of these words if the file is missing or damaged."""
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            return file.metadata() or {}, tensors
    except (SafetensorError, OSError) as error:
        raise InputError(f"{problem} ({error})", where=path, hint=hint) from None


def write_weights(
    path: Path, tensors: Mapping[str, Tensor], *, subjects: Iterable[str], **about: Any
) -> None:
    """Write weights with the subjects that they have been trained on, for an audit to find."""
    header = {**about, "subjects": sorted(set(subjects))}
    write_tensors(path, tensors, {HEADER: json.dumps(header)})


def read_header(metadata: Mapping[str, str]) -> dict[str, Any]:
    """Parse the header of `write_weights`; empty for files of other programs."""
    try:
        header = parse_json(metadata.get(HEADER, "{}"))
    except ValueError:
        return {}
    return header if isinstance(header, dict) else {}


def read_subjects(path: Path) -> list[str]:
    """Read the subjects that weights have been trained on; `UNKNOWN` if not recorded."""
    try:
        with safe_open(path, framework="pt") as file:
            subjects = read_header(file.metadata() or {}).get("subjects")
    except (SafetensorError, OSError):
        return [UNKNOWN]
    if isinstance(subjects, list) and all(isinstance(name, str) for name in subjects):
        return subjects
    return [UNKNOWN]


class RunFolder:
    """One run on disk. Reading never changes it; the record of a fold is written once."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def of(cls, config: ExperimentConfig, out: Path) -> "RunFolder":
        return cls(out / f"{config.name}-{config.digest()[:8]}")

    @classmethod
    def open(cls, path: Path) -> "RunFolder":
        """Open an existing run, or raise an `InputError`."""
        run = cls(path)
        if not run.config_file.is_file():
            hint = "give a folder that `hmrm run` made"
            lacking = "config.toml in it" if path.is_dir() else "such folder"
            raise InputError(f"not a run folder (no {lacking})", where=path, hint=hint)
        return run

    @property
    def config_file(self) -> Path:
        return self.path / "config.toml"

    @property
    def folds(self) -> Path:
        return self.path / "folds"

    @property
    def running(self) -> Path:
        return self.path / "running"

    def begin(
        self, config: ExperimentConfig, data: dict[str, Any], environment: dict[str, Any]
    ) -> None:
        """Create the folder, or resume it if it rests on the same data and kind of device."""
        known = self.path / "data.json"
        before = read_json(known) if known.is_file() else {}
        for name, what in KEPT.items():
            if before and before.get(name) != data.get(name):
                problem = f"the {what} have changed since this run began"
                hint = "choose another --out, or delete this folder"
                raise InputError(problem, where=self.path, hint=hint)
        device = before.get("device")
        if device and device != data.get("device", device):
            problem = f"this run began on {device}, which rounds differently from {data['device']}"
            hint = f"go on with --devices {device}, or choose another --out"
            raise InputError(problem, where=self.path, hint=hint)
        for part in self.path.rglob("*.part"):  # half-written, by writers that were killed
            with suppress(FileNotFoundError):  # its writer removes it at this moment
                if time.time() - part.stat().st_mtime > ABANDONED_S:
                    part.unlink()
        if not self.config_file.is_file():
            write_atomic(self.path / "environment.json", to_json(environment))
            write_atomic(known, to_json(data))
            write_atomic(self.config_file, to_toml(config.model_dump(mode="json")))

    def config(self) -> ExperimentConfig:
        return read_config(self.config_file)

    def data(self) -> dict[str, Any]:
        return dict(read_json(self.path / "data.json"))

    def metrics(self) -> dict[str, Any]:
        """The figures as last computed."""
        return dict(read_json(self.path / "metrics.json"))

    def environment(self) -> dict[str, Any]:
        return dict(read_json(self.path / "environment.json"))

    def fold_file(self, fold: str, seed: int) -> Path:
        """The file of one fold and seed; `fold` is `dataset/subject` or another name."""
        dataset, _, subject = fold.partition("/")
        return self.folds / f"{quote(dataset, safe='')}@{quote(subject, safe='')}.seed{seed}.json"

    def has_fold(self, fold: str, seed: int) -> bool:
        return self.fold_file(fold, seed).is_file()

    def write_fold(self, fold: str, seed: int, content: dict[str, Any]) -> bool:
        """Write the record of a fold, and remove its failure; False if another was first."""
        first = write_once(self.fold_file(fold, seed), to_json(content))
        self.failed_file(fold, seed).unlink(missing_ok=True)
        return first

    def failed_file(self, fold: str, seed: int) -> Path:
        return self.path / "failed" / self.fold_file(fold, seed).name

    def write_failure(self, fold: str, seed: int, content: dict[str, Any]) -> None:
        """Write why a fold failed, unless another process has finished it."""
        if not self.has_fold(fold, seed):
            record = {"fold": fold, "seed": seed, **content}
            write_atomic(self.failed_file(fold, seed), to_json(record))

    def failures(self) -> list[dict[str, Any]]:
        """Why folds are missing, in a fixed order."""
        found = []
        for file in sorted((self.path / "failed").glob("*.json")):
            if (self.folds / file.name).is_file():
                continue
            with suppress(FileNotFoundError):  # another process finishes the fold at this moment
                note = read_json(file)
                if not isinstance(note, dict):
                    problem = "not the note of a failure"
                    raise InputError(problem, where=file, hint="delete the file")
                found.append(note)
        return found

    def records(self) -> Iterator[dict[str, Any]]:
        """The record of every finished fold, in a fixed order."""
        for path in sorted(self.folds.glob("*.json")):
            yield read_json(path)


def to_toml(tables: dict[str, Any]) -> str:
    """Write tables of plain values as TOML, which the standard library only reads, without None."""

    def line(key: str, value: Any) -> str:  # texts, numbers and lists of them are those of JSON
        return f"{key} = {json.dumps(value, ensure_ascii=False)}"

    lines = [line(key, value) for key, value in tables.items() if not isinstance(value, dict)]
    for name, table in tables.items():
        if isinstance(table, dict):
            values = [line(key, value) for key, value in table.items() if value is not None]
            lines += ["", f"[{name}]", *values]
    return "\n".join(lines) + "\n"
