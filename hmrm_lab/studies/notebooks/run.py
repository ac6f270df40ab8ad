"""Execute notebooks through papermill, leave all of a copy or nothing, and compare its outputs.

papermill stops at a cell that fails. It lets pass an exception inside an `Output` widget, in a
callback or in a thread, and what a cell prints on standard error; of a kernel that died it says
that all cells are completed. Everything that a kernel says arrives as a message, whatever widget it
is meant for and whether or not its cell has ended; so the faults are taken from the messages.

Import this after `require_extra`: papermill is in the extra `jupyter`.
"""

import os
import signal
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import chdir, contextmanager, suppress
from dataclasses import asdict, dataclass
from difflib import unified_diff
from pathlib import Path
from queue import Empty
from typing import Any

import nbformat
import papermill
from joblib import delayed
from jupyter_client.kernelspec import NoSuchKernel
from nbclient.exceptions import DeadKernelError
from nbclient.util import ensure_async, run_sync
from papermill.clientwrap import PapermillNotebookClient
from papermill.engines import NBClientEngine, papermill_engines
from papermill.log import logger

from hmrm_lab.errors import InputError, stoppable
from hmrm_lab.runtime.processes import workers
from hmrm_lab.runtime.store import cache_folder, write_atomic
from hmrm_lab.studies.notebooks import faults as reporter
from hmrm_lab.studies.notebooks.faults import Fault, first_line, name_error, told_by
from hmrm_lab.studies.notebooks.notebook import FAILED, SUFFIX, Notebook, Value, strip_widgets

ENGINE = "hmrm"
EXPECTS_STDERR = "expects-stderr"  # the tag of a cell that may print there
KERNEL_STDERR = "stderr"  # a file for what the kernel says before and after its cells
QUIET_S = 0.3  # nothing more is heard: the last words of threads and processes are in
IOPUB_TIMEOUT_S = 60
COMPARED = "nbval-check-output"  # the tag of a cell that prints the same each time, as nbval has it


@dataclass(frozen=True)
class Execution:
    name: str
    seconds: float  # from the start of its kernel to its end
    copy: Path  # `NAME.ipynb`, or `NAME.failed.ipynb`
    faults: tuple[Fault, ...]

    @property
    def ok(self) -> bool:
        return not self.faults

    def sentence(self) -> str:
        return reporter.describe(self.name, self.faults)

    def as_dict(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "ok": self.ok,
            "seconds": round(self.seconds, 2),
            "notebook": str(self.copy),
            "faults": [asdict(fault) for fault in self.faults],
        }


def execute(notebook: Notebook, out: Path, parameters: Mapping[str, Value]) -> Execution:
    """Execute a notebook where the command runs, and write its copy into `out`.

    The copy is complete, or it is not there; that of a notebook with faults has a name of its own.
    An earlier copy is replaced. The kernel, and what it has started, end with it. Raises
    `InputError` if the file is no notebook, or `out` is its folder.
    """
    if out.resolve() == notebook.path.parent.resolve():
        hint = "choose another folder"
        raise InputError("the executed copy would replace the notebook", where=out, hint=hint)
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as scratch:
        content, faults = _execute_in(Path(scratch), notebook, parameters)
    seconds = time.perf_counter() - start
    strip_widgets(content)
    plain, failed = out / f"{notebook.name}{SUFFIX}", out / f"{notebook.name}{FAILED}{SUFFIX}"
    copy, other = (failed, plain) if faults else (plain, failed)
    write_atomic(copy, nbformat.writes(content) + "\n")
    other.unlink(missing_ok=True)  # of an earlier run that ended in the other way
    return Execution(notebook.name, seconds, copy, tuple(faults))


def check_each(notebooks: Sequence[Notebook]) -> Iterator[tuple[Notebook, list[str]]]:
    """Execute notebooks with the parameters that stand in them, two at a time.

    Each runs in a folder that is gone afterwards, with the cache of the place where the command
    runs. Yields each notebook with its problems: one sentence for an execution that failed, one
    text for each marked cell that prints something else than what is stored.
    """
    os.environ["HMRM_CACHE"] = str(cache_folder().absolute())
    pool = workers(min(2, len(notebooks)), "generator")  # kernels have processes of their own
    yield from zip(notebooks, pool(delayed(_check)(book) for book in notebooks), strict=True)


def problems(notebook: Notebook, done: Execution) -> list[str]:
    """What went wrong in an execution, and where its copy differs from the stored outputs."""
    if not done.ok:
        return [done.sentence()]
    stored, executed = (
        [cell for cell in book.content.cells if COMPARED in cell.metadata.get("tags", [])]
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


class WatchfulEngine(NBClientEngine):
    @classmethod
    def execute_managed_notebook(
        cls, nb_man: Any, kernel_name: str, *, faults: list[Fault], scratch: Path, **_: Any
    ) -> Any:
        client = WatchfulClient(nb_man, faults, kernel_name=kernel_name, log=logger)
        env = {name: text for name, text in os.environ.items() if name != "PYTEST_CURRENT_TEST"}
        env[reporter.FILE] = str(scratch / reporter.REPORTS)
        env.setdefault("OMP_NUM_THREADS", "1")
        try:
            with (scratch / KERNEL_STDERR).open("w") as stderr:
                return client.execute(env=env, stderr=stderr)
        finally:  # a traceback arrives in pieces: a cell has one fault
            told = client.printed.values()
            faults += [_fault("stderr", told_by(text), cell) for cell, text in told]


papermill_engines.register(ENGINE, WatchfulEngine)


class WatchfulClient(PapermillNotebookClient):
    """Executes cells one after the other and keeps what goes wrong in `faults`."""

    def __init__(self, nb_man: Any, faults: list[Fault], **kwargs: Any) -> None:
        super().__init__(
            nb_man,
            iopub_timeout=IOPUB_TIMEOUT_S,
            on_notebook_start=self._listen,
            on_cell_execute=self._begin,
            on_cell_error=self._name_cell_error,
            **kwargs,
        )
        self.extra_arguments = [f"--ext={reporter.__name__}"]
        self.faults = faults
        self._executed: list[Any] = []
        self._cells: dict[str, Any] = {}  # by the message that asked for it
        self.printed: dict[int | None, tuple[Any, str]] = {}  # on standard error, by cell

    @contextmanager
    def setup_kernel(self, **kwargs: Any) -> Iterator[None]:
        """nbclient's; but an accident does not wait for the kernel, whose children end with it."""
        group = None
        try:
            with super().setup_kernel(**kwargs):
                group = self.km.provisioner.pid
                try:
                    yield
                    self._hear_last_words()
                except BaseException:
                    self.shutdown_kernel = "immediate"
                    raise
        finally:
            if group and hasattr(os, "killpg"):
                with suppress(ProcessLookupError):
                    os.killpg(group, signal.SIGKILL)

    def execute_cell(self, cell: Any, cell_index: int, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().execute_cell(cell, cell_index, *args, **kwargs)
        except DeadKernelError:
            self.faults.append(_fault("kernel", self._cause_of_death(), cell))
            self.nb_man.cell_exception(cell, cell_index=cell_index)  # or it counts as completed
            raise

    def _listen(self, **_: Any) -> None:
        """Look at every message, also at those that come late from an earlier cell.

        A widget that sends while the reply to a cell comes in can hide it from the socket that both
        share: the reply is asked for again every second.
        """
        assert self.kc
        iopub: Any = self.kc.iopub_channel
        shell: Any = self.kc.shell_channel
        get, get_reply = iopub.get_msg, shell.get_msg

        async def heard(*args: Any, **kwargs: Any) -> Any:
            message = await ensure_async(get(*args, **kwargs))
            self._judge(message)
            return message

        async def asked_again(timeout: float | None = None) -> Any:
            while timeout is None:
                with suppress(Empty):
                    return await ensure_async(get_reply(timeout=1))
            return await ensure_async(get_reply(timeout=timeout))

        iopub.get_msg, shell.get_msg = heard, asked_again

    def _begin(self, cell: Any, **_: Any) -> None:
        self._executed.append(cell)
        cell.execution_count = len(self._executed)  # the kernel says so, but may die first

    def _name_cell_error(self, cell: Any, execute_reply: Any, **_: Any) -> None:
        """The message of an error came before it was known to have ended the cell."""
        content = execute_reply["content"]
        fault = _fault("cell", name_error(content["ename"], content["evalue"]), cell)
        if self.faults and self.faults[-1].reason == fault.reason:
            self.faults.pop()
        self.faults.append(fault)

    async def _async_hear_last_words(self) -> None:
        with suppress(Empty):
            while self.kc:
                await ensure_async(self.kc.iopub_channel.get_msg(timeout=QUIET_S))

    _hear_last_words = run_sync(_async_hear_last_words)

    def _judge(self, message: dict[str, Any]) -> None:
        content, asked = message["content"], message["parent_header"].get("msg_id", "")
        if message["msg_type"] == "execute_input" and self._executed:
            self._cells[asked] = self._executed[-1]
        cell = self._cells.get(asked)
        tags = [] if cell is None else cell.metadata.get("tags", [])
        if message["msg_type"] == "error":
            reason = name_error(content["ename"], content["evalue"])
            self.faults.append(_fault("callback", reason, cell))
        elif content.get("name") == "stderr" and EXPECTS_STDERR not in tags:
            key = None if cell is None else cell.execution_count
            _, before = self.printed.get(key, (cell, ""))
            self.printed[key] = cell, before + content["text"]

    def _cause_of_death(self) -> str:
        status = self.km.provisioner.process.poll() if self.km else None
        if status is None or status >= 0:
            return f"it ended by itself, with status {status}"
        name = signal.Signals(-status).name
        return f"{name}, perhaps for want of memory" if name == "SIGKILL" else name


def _execute_in(
    scratch: Path, notebook: Notebook, values: Mapping[str, Value]
) -> tuple[Any, list[Fault]]:
    """The executed notebook and its faults; what papermill writes stays in `scratch`."""
    part, faults = scratch / f"part{SUFFIX}", list[Fault]()
    try:
        with stoppable(KeyboardInterrupt):
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
    return content, faults + reporter.read_reports(scratch / reporter.REPORTS, sources)


def _braced(path: Path) -> str:
    return str(path).replace("{", "{{").replace("}", "}}")


def _fault(kind: str, reason: str, cell: Any) -> Fault:
    if cell is None:
        return Fault(kind, reason)
    return Fault(kind, reason, cell.execution_count, first_line(cell.source))


def _check(notebook: Notebook) -> list[str]:
    path = Notebook(notebook.path.absolute())
    with tempfile.TemporaryDirectory() as folder, chdir(folder):
        return problems(path, execute(path, Path("executed"), {}))
