"""Executes a notebook through papermill, and leaves all of its copy or nothing.

papermill stops at a cell that fails. It lets pass an exception inside an `Output` widget, in a
callback or in a thread, and what a cell prints on standard error; of a kernel that died it says
that all cells are completed; and it writes its copy piece by piece.
"""

import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from hmrm_lab.errors import InputError
from hmrm_lab.runtime.store import write_atomic
from hmrm_lab.studies.notebooks.faults import (
    Fault,
    describe,
    first_line,
    name_error,
    read_reports,
    told_by,
)
from hmrm_lab.studies.notebooks.finding import FAILED, SUFFIX, Notebook, require_package
from hmrm_lab.studies.notebooks.pages import strip_widgets, write_index, write_page
from hmrm_lab.studies.notebooks.parameters import Value, check_parameters
from hmrm_lab.studies.notebooks.watch import REPORTS


@dataclass(frozen=True)
class Execution:
    """What came of a notebook.

    Parameters
    ----------
    name
        Of the notebook.
    seconds
        From the start of its kernel to its end.
    copy
        The executed notebook: `NAME.ipynb`, or `NAME.failed.ipynb`.
    page
        The same as HTML.
    faults
        Empty if all is well.
    """

    name: str
    seconds: float
    copy: Path
    page: Path
    faults: tuple[Fault, ...]

    @property
    def ok(self) -> bool:
        return not self.faults

    def sentence(self) -> str:
        """Notebook, cell and reason of what went wrong."""
        return describe(self.name, self.faults)

    def as_dict(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "ok": self.ok,
            "seconds": round(self.seconds, 2),
            "notebook": str(self.copy),
            "page": str(self.page),
            "faults": [asdict(fault) for fault in self.faults],
        }


def execute_each(
    chosen: Iterable[tuple[Notebook, Mapping[str, Value]]], out: Path
) -> Iterator[Execution]:
    """Execute notebooks one after the other; the index of `out` grows with them."""
    for notebook, parameters in chosen:
        done = execute(notebook, out, parameters)
        write_index(out)
        yield done


def execute(notebook: Notebook, out: Path, parameters: Mapping[str, Value]) -> Execution:
    """Execute a notebook where the command runs, and write its copy and its page into `out`.

    The copy is complete, or it is not there; that of a notebook with faults has a name of its own.
    Earlier copies of the same notebook are replaced. The kernel, and what it has started, end
    with it.

    Raises
    ------
    ConfigError
        For a parameter that the notebook does not have, or of another type.
    InputError
        If the extra `jupyter` is not installed, the file is no notebook, or `out` is its folder.
    """
    require_extra()
    import nbformat

    if out.resolve() == notebook.path.parent.resolve():
        raise InputError(
            "the executed copy would replace the notebook", where=out, mend="choose another folder"
        )
    values = check_parameters(notebook, parameters)
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as scratch:
        content, faults = _execute_in(Path(scratch), notebook, values)
    seconds = time.perf_counter() - start
    strip_widgets(content)
    copy = out / f"{notebook.name}{FAILED if faults else ''}{SUFFIX}"
    write_atomic(copy, nbformat.writes(content) + "\n")
    page = write_page(content, copy.with_suffix(".html"), title=notebook.title)
    _remove_other(copy, notebook.name)
    return Execution(notebook.name, seconds, copy, page, tuple(faults))


def require_extra() -> None:
    """Raise an `InputError` unless what executes and shows notebooks is there."""
    for package in ("papermill", "nbconvert", "ipykernel", "latex2mathml"):
        require_package(package, "jupyter")


def _execute_in(
    scratch: Path, notebook: Notebook, values: Mapping[str, Value]
) -> tuple[Any, list[Fault]]:
    """The executed notebook and its faults; what papermill writes stays in `scratch`."""
    import papermill
    from jupyter_client.kernelspec import NoSuchKernel

    from hmrm_lab.studies.notebooks.engine import (
        ENGINE,
        KERNEL_STDERR,
        heard_warnings,
        stopped_at_once,
    )

    part, faults = scratch / f"part{SUFFIX}", list[Fault]()
    with heard_warnings(faults), stopped_at_once():
        try:
            papermill.execute_notebook(
                _braced(notebook.path),
                _braced(part),
                parameters=dict(values),
                engine_name=ENGINE,
                progress_bar=False,
                faults=faults,
                scratch=scratch,
            )
        except papermill.PapermillExecutionError as error:
            if not faults:
                faults.append(Fault("cell", name_error(error.ename, error.evalue)))
        except NoSuchKernel as error:
            faults.append(Fault("start", str(error)))
        except RuntimeError as error:  # nbclient's for a kernel that died: in a cell, or before
            if not any(fault.kind == "kernel" for fault in faults):
                said = told_by((scratch / KERNEL_STDERR).read_text(errors="replace"))
                faults.append(Fault("start", f"{error}: {said}"))
    content = Notebook(part).content
    content.metadata.papermill |= {"input_path": notebook.path.name, "output_path": ""}
    sources = {
        cell.execution_count: first_line(cell.source)
        for cell in content.cells
        if cell.cell_type == "code"
    }
    return content, faults + read_reports(scratch / REPORTS, sources)


def _braced(path: Path) -> str:
    """papermill fills parameters into paths."""
    return str(path).replace("{", "{{").replace("}", "}}")


def _remove_other(copy: Path, name: str) -> None:
    """An earlier copy that failed where this one did not, or the other way round."""
    for stem in {name, name + FAILED} - {copy.stem}:
        for suffix in (SUFFIX, ".html"):
            (copy.parent / f"{stem}{suffix}").unlink(missing_ok=True)
