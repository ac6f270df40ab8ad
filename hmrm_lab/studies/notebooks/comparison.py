"""Compares what marked cells print with what is stored, by nbval."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from importlib.util import find_spec

from hmrm_lab.runtime.processes import count_cores
from hmrm_lab.runtime.store import cache_folder
from hmrm_lab.studies.notebooks.finding import Notebook, require_package

PROCESSES = 2  # a notebook's kernel has processes of its own


def compare(notebooks: Sequence[Notebook]) -> bool:
    """Whether every cell runs, and those with `# NBVAL_CHECK_OUTPUT` print what is stored.

    nbval executes copies in a folder that is gone afterwards, with the parameters as they stand in
    the notebooks and the cache of the place where the command runs; two notebooks at a time where
    pytest-xdist is installed. What it finds goes to standard output. Raises `InputError` if nbval
    is not installed.
    """
    require_package("nbval", "dev")
    with tempfile.TemporaryDirectory() as folder:
        for notebook in notebooks:
            shutil.copy(notebook.path, folder)
        options = ["--nbval-lax", "--nbval-current-env", "-p", "no:cacheprovider"]
        if len(notebooks) > 1 and find_spec("xdist"):  # each notebook stays with one process
            options += ["--numprocesses", str(min(PROCESSES, count_cores())), "--dist", "loadfile"]
        done = subprocess.run(
            [
                sys.executable,
                "-m",
                "pytest",
                *options,
                f"--rootdir={folder}",
                "-c",
                os.devnull,
                ".",
            ],
            cwd=folder,
            env=os.environ | {"HMRM_CACHE": str(cache_folder().absolute())},
            check=False,
        )
    return done.returncode == 0
