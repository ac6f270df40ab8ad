"""Tensors on disk: safetensors, written whole or not at all; no code in a file is ever run.

The header of weights names the subjects that they have been trained on, so that an audit can find a
test subject among them.
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

HEADER = "hmrm"  # a single entry: safetensors does not sort them, and files must be reproducible
PROCEDURAL = "procedural"  # in place of a subject: synthetic
UNKNOWN = "unknown"  # in place of a subject: not recorded


def write_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: dict[str, str]) -> None:
    """Write named tensors with a header of text."""
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
    """Write weights with the subjects (`dataset/subject`) that they have been trained on."""
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
