"""Compares what the marked cells of a notebook print with what is stored."""

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import chdir
from difflib import unified_diff
from pathlib import Path
from typing import Any

from joblib import delayed

from hmrm_lab.runtime.processes import workers
from hmrm_lab.runtime.store import cache_folder
from hmrm_lab.studies.notebooks.pages import Notebook
from hmrm_lab.studies.notebooks.run import Execution, execute

MARK = "# NBVAL_CHECK_OUTPUT"  # as nbval names it, which reads the same notebooks
PROCESSES = 2  # a notebook's kernel has processes of its own


def check_each(notebooks: Sequence[Notebook]) -> Iterator[tuple[Notebook, list[str]]]:
    """Execute notebooks with the parameters that stand in them, two at a time.

    Each runs in a folder that is gone afterwards, with the cache of the place where the command
    runs. Yields each notebook with its problems: one sentence for an execution that failed, one
    text for each marked cell that prints something else than what is stored.
    """
    os.environ["HMRM_CACHE"] = str(cache_folder().absolute())
    pool = workers(min(PROCESSES, len(notebooks)), "generator")
    yield from zip(notebooks, pool(delayed(_check)(book) for book in notebooks), strict=True)


def problems(notebook: Notebook, done: Execution) -> list[str]:
    """What went wrong in an execution, and where its copy differs from the stored outputs."""
    if not done.ok:
        return [done.sentence()]
    stored, executed = (
        [cell for cell in book.content.cells if MARK in cell.source.splitlines()]
        for book in (notebook, Notebook(done.copy))
    )
    found = []
    for before, after in zip(stored, executed, strict=True):
        old, new = printed(before), printed(after)
        for kind in sorted(old.keys() | new.keys()):
            was, now = (text.get(kind, "").splitlines() for text in (old, new))
            difference = "\n".join(unified_diff(was, now, "stored", "printed now", lineterm=""))
            if difference:
                name = f"{notebook.name}, cell [{after.execution_count}]"
                found.append(f"{name}: {kind} is not what is stored\n{difference}")
    return found


def printed(cell: Any) -> dict[str, str]:
    """The text of a cell's outputs, by the name of the stream or the type of the data."""
    texts: dict[str, str] = {}
    for output in cell.outputs:
        parts = {output.name: output.text} if output.output_type == "stream" else output.data
        for kind, text in parts.items():
            if kind in ("stdout", "stderr") or kind.startswith("text/"):
                texts[kind] = texts.get(kind, "") + text
    return texts


def _check(notebook: Notebook) -> list[str]:
    path = Notebook(notebook.path.absolute())
    with tempfile.TemporaryDirectory() as folder, chdir(folder):
        return problems(path, execute(path, Path("executed"), {}))
