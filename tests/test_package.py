"""The package as a stranger gets it: built, checked, installed and run outside the checkout."""

import os
import subprocess
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
COMMANDS = ("--version", "doctor", "systems", "notebooks list", "run --preset smoke --jobs 1")
CODE = "import hmrm_lab as lab; print(lab.__file__, lab.load(preset='smoke'))"


@pytest.mark.full
def test_the_wheel_runs_in_an_empty_environment(tmp_path: Path) -> None:
    """A data file that the wheel lacks is found by users alone: a checkout has them all."""
    env = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    env |= {"HMRM_CACHE": str(tmp_path / "cache"), "SOURCE_DATE_EPOCH": "1700000000"}

    def call(*words: str | Path) -> str:
        options = {"cwd": tmp_path, "env": env, "capture_output": True, "text": True}
        done = subprocess.run(words, **options, check=False)
        assert done.returncode == 0, f"{words}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    for name in ("tools", "user"):
        venv.create(tmp_path / name, with_pip=True)
    tools, user = (tmp_path / name / "bin" for name in ("tools", "user"))
    call(tools / "pip", "install", "build", "twine")
    call(tools / "python", "-m", "build", "--outdir", tmp_path / "dist", ROOT)
    source, wheel = (next((tmp_path / "dist").glob(kind)) for kind in ("*.tar.gz", "*.whl"))
    call(tools / "twine", "check", "--strict", source, wheel)
    with tarfile.open(source) as archive, zipfile.ZipFile(wheel) as files:
        inside = {name.partition("/")[2] for name in archive.getnames()}
        installed = set(files.namelist())
    tracked = subprocess.check_output(["git", "ls-files"], cwd=ROOT, text=True).split()
    assert inside - {"", "PKG-INFO", ".gitignore"} <= set(tracked)
    assert {name for name in tracked if name.startswith("hmrm_lab/")} <= installed

    call(user / "pip", "install", "-c", ROOT / "constraints.txt", wheel, "nbformat")
    for command in COMMANDS:
        assert call(user / "hmrm", *command.split())
    assert str(tmp_path / "user") in call(user / "python", "-c", CODE)
