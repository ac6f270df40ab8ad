"""The package as a stranger gets it: built, checked, installed and run outside the checkout."""

import json
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
COMMANDS = ("--version", "doctor", "systems", "notebooks list", "run --preset smoke --jobs 1")


@pytest.mark.full
def test_the_wheel_runs_in_an_empty_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A data file that the wheel lacks is found by users alone: a checkout has them all."""
    monkeypatch.delenv("PYTHONPATH", raising=False)

    def call(*words: str | Path) -> str:
        done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{words}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    tools, user = tmp_path / "tools" / "bin", tmp_path / "user" / "bin"
    venv.create(tools.parent, with_pip=True)
    call(tools / "pip", "install", "build", "twine")
    call(tools / "python", "-m", "build", "--outdir", tmp_path / "dist", ROOT)
    source, wheel = (next((tmp_path / "dist").glob(kind)) for kind in ("*.tar.gz", "*.whl"))
    call(tools / "twine", "check", "--strict", source, wheel)
    tracked = set(call("git", "-C", ROOT, "ls-files").split())
    inside = {name.partition("/")[2] for name in call("tar", "tzf", source).split()}
    assert inside - {"", "PKG-INFO"} <= tracked
    library = {one.removeprefix("widgets/") for one in tracked if one.startswith(("hmrm", "wid"))}
    assert library <= set(zipfile.ZipFile(wheel).namelist())

    venv.create(user.parent, with_pip=True)
    call(user / "pip", "install", "-c", ROOT / "constraints.txt", wheel, "nbformat")
    for command in COMMANDS:
        assert call(user / "hmrm", *command.split())
    assert "user" in call(user / "python", "-c", "import hmrm_lab as lab; print(lab.__file__)")


@pytest.mark.full
def test_the_constraints_go_with_the_torch_of_the_index(tmp_path: Path) -> None:
    """On a machine that is offered the build for CUDA, its Triton has to be the one of the list."""
    report = tmp_path / "report.json"
    dry = ("install", "--dry-run", "--ignore-installed", "-q", "--report", report)
    wanted = ("-c", ROOT / "constraints.txt", f"{ROOT}[jupyter,sweep]")
    subprocess.run([sys.executable, "-m", "pip", *dry, *wanted], check=True)
    found = (one["metadata"] for one in json.loads(report.read_text())["install"])
    versions = {one["name"].lower(): one["version"] for one in found}
    if "triton" not in versions:
        pytest.skip(f"the index has no build of torch {versions['torch']} for CUDA")
    assert f"triton=={versions['triton']}" in (ROOT / "constraints.txt").read_text().split()
