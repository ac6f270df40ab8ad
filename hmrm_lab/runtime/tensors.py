"""Tensors on disk: safetensors, written whole or not at all; nothing in a file is ever run.

Weights carry in their header whose recordings they have been trained on, so that an audit can tell
whether a test subject is among them.
"""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from hmrm_lab.errors import InputError
from hmrm_lab.runtime.store import parse_json, write_atomic_bytes

HEADER = (
    "hmrm"  # one entry, so that the same file is the same bytes: safetensors does not sort them
)
PROCEDURAL = "procedural"  # in place of a subject: drawn, nobody was recorded
UNKNOWN = "unknown"  # in place of a subject: the file does not say


def write_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: dict[str, str]) -> None:
    """One file of named tensors with a header of text."""
    kept = {name: value.detach().cpu().clone().contiguous() for name, value in tensors.items()}
    write_atomic_bytes(path, save(kept, metadata))


def read_tensors(
    path: Path, *, problem: str, mend: str
) -> tuple[dict[str, str], dict[str, Tensor]]:
    """Header and tensors of a file; an `InputError` of these words if it is missing or damaged."""
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            return file.metadata() or {}, tensors
    except (SafetensorError, OSError) as error:
        raise InputError(f"{problem} ({error})", where=path, mend=mend) from None


def write_weights(
    path: Path, tensors: Mapping[str, Tensor], *, subjects: Iterable[str], **about: Any
) -> None:
    """Weights with the subjects (`dataset/subject`) that they have been trained on."""
    header = {**about, "subjects": sorted(set(subjects))}
    write_tensors(path, tensors, {HEADER: json.dumps(header)})


def read_header(metadata: Mapping[str, str]) -> dict[str, Any]:
    """What `write_weights` put into the header; empty for files of other programs."""
    try:
        header = parse_json(metadata.get(HEADER, "{}"))
    except ValueError:
        return {}
    return header if isinstance(header, dict) else {}


def read_subjects(path: Path) -> list[str]:
    """The subjects that weights have been trained on; `UNKNOWN` where the file does not say."""
    try:
        with safe_open(path, framework="pt") as file:
            subjects = read_header(file.metadata() or {}).get("subjects")
    except (SafetensorError, OSError):
        return [UNKNOWN]
    if isinstance(subjects, list) and all(isinstance(name, str) for name in subjects):
        return subjects
    return [UNKNOWN]
