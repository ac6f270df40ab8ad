"""The engine that papermill executes with: its own, with eyes for what it lets pass.

Everything that a kernel says arrives as a message, whatever widget it is meant for and whether or
not its cell has ended; so the faults are taken from the messages, not from the saved outputs.
Imports papermill, which is in the extra `jupyter`.
"""

import logging
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from queue import Empty
from typing import Any

from nbclient.exceptions import CellExecutionComplete, CellExecutionError, DeadKernelError
from nbclient.util import ensure_async, run_sync
from papermill.clientwrap import PapermillNotebookClient
from papermill.engines import NBClientEngine, papermill_engines
from papermill.log import logger

from hmrm_lab.errors import Stopped
from hmrm_lab.studies.notebooks import watch
from hmrm_lab.studies.notebooks.faults import Fault, first_line, name_error, told_by

ENGINE = "hmrm"
EXPECTS_STDERR = "expects-stderr"  # the tag of a cell that may print there
KERNEL_STDERR = "stderr"  # a file for what the kernel says before and after its cells
QUIET_S = 0.3  # nothing more is heard: the last words of threads and processes are in
IOPUB_TIMEOUT_S = 60


class WatchfulEngine(NBClientEngine):
    """papermill's engine with a `WatchfulClient`; takes the keywords of `execution`."""

    @classmethod
    def execute_managed_notebook(
        cls, nb_man: Any, kernel_name: str, *, faults: list[Fault], scratch: Path, **_: Any
    ) -> Any:
        client = WatchfulClient(nb_man, kernel_name=kernel_name, log=logger)
        client.faults = faults
        env = {name: text for name, text in os.environ.items() if name != "PYTEST_CURRENT_TEST"}
        env[watch.FILE] = str(scratch / watch.REPORTS)
        env.setdefault("OMP_NUM_THREADS", "1")
        with (scratch / KERNEL_STDERR).open("w") as stderr:
            return client.execute(env=env, stderr=stderr)


class WatchfulClient(PapermillNotebookClient):
    """Executes cells one after the other and keeps what goes wrong in `faults`."""

    faults: list[Fault]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, iopub_timeout=IOPUB_TIMEOUT_S, **kwargs)
        self.extra_arguments = [f"--ext={watch.__name__}"]
        self._cells: dict[str, Any] = {}
        self._printed: dict[int | None, tuple[str, Fault | None]] = {}

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
        except CellExecutionError as error:
            fault = _fault("cell", name_error(error.ename, error.evalue), cell)
            if self.faults and self.faults[-1].reason == fault.reason:
                self.faults.pop()  # its message, before it was known to have ended the cell
            self.faults.append(fault)
            raise
        except DeadKernelError:
            self.faults.append(_fault("kernel", self._cause_of_death(), cell))
            self.nb_man.cell_exception(cell, cell_index=cell_index)  # or it counts as completed
            raise

    async def _async_poll_output_msg(self, parent_msg_id: str, cell: Any, cell_index: int) -> None:
        """nbclient's; but what comes late from an earlier cell is heard too."""
        self._cells[parent_msg_id] = cell
        cell.execution_count = len(self._cells)  # before the kernel says so, which may die first
        while True:
            message = await ensure_async(self.kc.iopub_channel.get_msg(timeout=None))
            if message["parent_header"].get("msg_id") == parent_msg_id:
                try:
                    self.process_message(message, cell, cell_index)
                except CellExecutionComplete:
                    return
            self._judge(message)

    async def _async_hear_last_words(self) -> None:
        with suppress(Empty):
            while True:
                self._judge(await ensure_async(self.kc.iopub_channel.get_msg(timeout=QUIET_S)))

    _hear_last_words = run_sync(_async_hear_last_words)

    def _judge(self, message: dict[str, Any]) -> None:
        content = message["content"]
        cell = self._cells.get(message["parent_header"].get("msg_id", ""))
        if message["msg_type"] == "error":
            reason = name_error(content["ename"], content["evalue"])
            self.faults.append(_fault("callback", reason, cell))
        elif content.get("name") == "stderr" and not _expects_stderr(cell):
            self._hear_printed(content["text"], cell)

    def _hear_printed(self, text: str, cell: Any) -> None:
        """A traceback may arrive in pieces: a cell has one fault, told by all that it printed."""
        key = None if cell is None else cell.execution_count
        before, known = self._printed.get(key, ("", None))
        if known is not None and known in self.faults:
            self.faults.remove(known)
        fault = _fault("stderr", told_by(before + text), cell)
        self._printed[key] = before + text, fault
        self.faults.append(fault)

    def _cause_of_death(self) -> str:
        status = self.km.provisioner.process.poll() if self.km else None
        if status is None or status >= 0:
            return f"it ended by itself, with status {status}"
        name = signal.Signals(-status).name
        return f"{name}, perhaps for want of memory" if name == "SIGKILL" else name


@contextmanager
def stopped_at_once() -> Iterator[None]:
    """Ctrl-C and SIGTERM as `KeyboardInterrupt` inside, and as `Stopped` outside.

    asyncio keeps any other exception for the task that it happens to run at that moment.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    heard: list[int] = []

    def interrupt(number: int, frame: object) -> None:
        if heard:
            os._exit(128 + number)
        heard.append(number)
        raise KeyboardInterrupt

    before = {
        number: signal.signal(number, interrupt) for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield
    except KeyboardInterrupt:
        raise Stopped(128 + heard[0]) from None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class Warnings(logging.Handler):
    """Keeps what papermill warns of."""

    def __init__(self, faults: list[Fault]) -> None:
        super().__init__(logging.WARNING)
        self.faults = faults

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno == logging.WARNING:  # what is worse is raised
            self.faults.append(Fault("papermill", told_by(record.getMessage())))


@contextmanager
def heard_warnings(faults: list[Fault]) -> Iterator[None]:
    """papermill's own warnings become faults, instead of lines on standard error."""
    handler = Warnings(faults)
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


def _expects_stderr(cell: Any) -> bool:
    return cell is not None and EXPECTS_STDERR in cell.metadata.get("tags", [])


def _fault(kind: str, reason: str, cell: Any) -> Fault:
    if cell is None:
        return Fault(kind, reason)
    return Fault(kind, reason, cell.execution_count, first_line(cell.source))


papermill_engines.register(ENGINE, WatchfulEngine)
