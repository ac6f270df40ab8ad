"""Where a command computes: the devices and the executor that its options name, checked early."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec

import torch
from joblib import cpu_count
from joblib.externals.loky import get_reusable_executor

from hmrm_lab.errors import ConfigError, unknown_name
from hmrm_lab.evaluation.workers import Executor, processes

EXECUTORS = ("processes", "dask")


def parse_devices(text: str) -> tuple[str, ...]:
    """`cuda:0,cuda:1` as its parts, each of which this machine has; else a `ConfigError`."""
    devices = tuple(part.strip() for part in text.split(","))
    for device in devices:
        check_device(device)
    if len({device.partition(":")[0] for device in devices}) > 1:
        raise ConfigError(
            f"'{text}' mixes kinds of devices, which round differently",
            mend="take cpu alone, or cuda devices alone",
        )
    return devices


def check_device(device: str) -> None:
    """Refuse a device that this machine does not have."""
    if not _is_here(device):
        raise ConfigError(f"no device '{device}' here", mend="take cpu; see `hmrm doctor`")


def count_cores() -> int:
    """Those that this process may use: of a shared machine not all."""
    return int(cpu_count())


def count_jobs(jobs: int, devices: tuple[str, ...], cores: int) -> int:
    """What `--jobs 0` means: one process per core, or one per CUDA device."""
    return jobs or (cores if devices == ("cpu",) else len(devices))


@contextmanager
def open_executor(
    name: str, *, jobs: int, devices: tuple[str, ...], scheduler: str | None = None
) -> Iterator[Executor]:
    """The executor of that name, for as long as the command needs it."""
    if name not in EXECUTORS:
        raise unknown_name("executor", name, EXECUTORS)
    if name == "processes":
        if scheduler:
            raise ConfigError("--scheduler is for Dask", mend="add --executor dask")
        yield processes(jobs, devices)
        return
    if find_spec("distributed") is None:
        raise ConfigError(
            "--executor dask needs a package that is not here",
            mend="pip install 'hmrm-lab[cluster]'",
        )
    if len(devices) > 1:
        raise ConfigError(
            "--executor dask takes one device, the same for every worker",
            mend="start one worker per GPU, and give --devices cuda",
        )
    from hmrm_lab.evaluation.dask import open_dask

    with open_dask(scheduler, jobs=jobs, device=devices[0]) as executor:
        yield executor


def end_preparation_workers() -> None:
    """Let the processes that prepared the maps go: they idle on, and hold memory."""
    get_reusable_executor(kill_workers=True).shutdown(wait=False, kill_workers=True)


def _is_here(device: str) -> bool:
    if device == "cpu":
        return True
    kind, _, number = device.partition(":")
    if kind != "cuda" or not torch.cuda.is_available():
        return False
    return number == "" or (number.isdecimal() and int(number) < torch.cuda.device_count())
