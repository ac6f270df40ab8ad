"""JupyterLab and Voila on a folder of notebooks, for as long as the tests run."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import pytest

STARTED_S = 60.0
TESTS = Path(__file__).parents[1]

LAB = (
    "jupyterlab",
    "--allow-root",
    "--ServerApp.root_dir={folder}",
    "--ServerApp.ip=127.0.0.1",
    "--ServerApp.port={port}",
    "--ServerApp.open_browser=False",
    "--IdentityProvider.token=",  # in tests only: no password on this machine's own address
)
VOILA = (
    "voila",
    "--no-browser",
    "--Voila.ip=127.0.0.1",
    "--port={port}",
    "--show_tracebacks=True",
    "{folder}",
)


@contextmanager
def serving(arguments: tuple[str, ...], notebooks: Path, home: Path, path: str) -> Iterator[str]:
    """The address of a server on `notebooks`, with settings and runtime files under `home`."""
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    command = [part.format(folder=notebooks, port=port) for part in arguments]
    log = home / f"{arguments[0]}.log"
    with log.open("w") as out:
        server = subprocess.Popen(
            [sys.executable, "-m", *command],
            cwd=notebooks,
            env={**os.environ, **homes(home)},
            stdout=out,
            stderr=subprocess.STDOUT,
        )
    try:
        wait_for(address + path, server, log)
        yield address
    finally:
        server.terminate()
        try:
            server.wait(20)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def homes(home: Path) -> dict[str, str]:
    """Nothing of the user's settings, and no place but `home` to write to."""
    folders = {
        "JUPYTER_CONFIG_DIR": "config",
        "JUPYTER_DATA_DIR": "data",
        "JUPYTER_RUNTIME_DIR": "runtime",
        "JUPYTERLAB_SETTINGS_DIR": "settings",
        "JUPYTERLAB_WORKSPACES_DIR": "workspaces",
        "IPYTHONDIR": "ipython",
        "HMRM_CACHE": "cache",
    }
    path = [str(TESTS), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {
        **{name: str(home / folder) for name, folder in folders.items()},
        "PYTHONPATH": os.pathsep.join(path),  # runs that are made up for tests
    }


def quiet_lab(home: Path) -> None:
    """No question about news on the first page."""
    folder = home / "settings" / "@jupyterlab" / "apputils-extension"
    folder.mkdir(parents=True)
    settings = folder / "notification.jupyterlab-settings"
    settings.write_text('{"fetchNews": "false", "checkForUpdates": false}')


def wait_for(url: str, server: "subprocess.Popen[bytes]", log: Path) -> None:
    until = time.monotonic() + STARTED_S
    while time.monotonic() < until:
        if server.poll() is not None:
            break
        try:
            with urlopen(url, timeout=5):
                return
        except (URLError, TimeoutError):
            time.sleep(0.2)
    pytest.fail(f"no answer from {url}:\n{log.read_text()[-2000:]}")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
