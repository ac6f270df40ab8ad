"""Tensors on disk: safetensors, written whole or not at all; nothing in a file is ever run."""

from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from hmrm_lab.errors import InputError
from hmrm_lab.store import write_atomic_bytes


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
