"""What the machine has and lacks, each with what it is needed for."""

import importlib.util
import os
import platform
import shutil
import sys

import torch

from hmrm_lab.runtime.store import cache_folder
from hmrm_lab.studies.places import count_cores

OPTIONAL = {
    "mamba_ssm": "model.scan=mamba_ssm on a GPU; nothing else needs it",
    "dlib": "68 landmarks of recorded faces (extra: faces)",
    "jupyterlab": "notebooks (extra: jupyter)",
    "papermill": "headless notebooks (extra: jupyter)",
    "optuna": "searches over settings (extra: sweep)",
    "distributed": "runs on a cluster (extra: cluster)",
    "tensorboard": "loss curves while a run goes on (extra: curves)",
    "playwright": "browser tests (extra: browser)",
}

Check = dict[str, str]


def examine() -> list[Check]:
    """One line per thing: name, state (ok, missing, failed) and detail."""
    checks = [_python(), _check("torch", "ok", torch.__version__), _threads(), _cuda(), _cache()]
    checks += [_optional(name, purpose) for name, purpose in OPTIONAL.items()]
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    checks.append(
        _check("chromium", "ok", chromium)
        if chromium
        else _check("chromium", "missing", "browser tests and image export")
    )
    return checks


def _check(name: str, state: str, detail: str) -> Check:
    return {"name": name, "state": state, "detail": detail}


def _python() -> Check:
    state = "ok" if sys.version_info >= (3, 11) else "failed"
    return _check("python", state, f"{platform.python_version()} on {platform.machine()}")


def _threads() -> Check:
    cores = count_cores()
    return _check("cores", "ok", f"{cores}; `hmrm run` starts one process of one thread for each")


def _cuda() -> Check:
    if torch.cuda.is_available():
        return _check("cuda", "ok", torch.cuda.get_device_name(0))
    return _check("cuda", "missing", "nothing needs it; training takes the CPU")


def _cache() -> Check:
    folder = cache_folder().absolute()
    place = next(parent for parent in (folder, *folder.parents) if parent.exists())
    if not os.access(place, os.W_OK):
        return _check("cache", "failed", f"{place} is not writable; set HMRM_CACHE to a folder")
    free_gb = shutil.disk_usage(place).free / 1e9
    return _check("cache", "ok", f"{cache_folder()}, {free_gb:.0f} GB free")


def _optional(name: str, purpose: str) -> Check:
    found = importlib.util.find_spec(name) is not None
    return _check(name, "ok" if found else "missing", "" if found else purpose)
