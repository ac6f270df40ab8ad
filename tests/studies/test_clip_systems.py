"""AMMSM and MEGANet beside HMRM: recordings in the layout of CASME II and SAMM, one comparison."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from datasets import trees
from test_cli import hmrm

SYSTEMS = ("ammsm", "meganet_mesti", "hmrm")


def write_casme2(root: Path) -> Path:
    return trees.write_casme2(root, few(trees.casme2_rows(), others="others"))


def write_samm(root: Path) -> Path:
    return trees.write_samm(root, few(trees.samm_rows(), others="Other"))


def few(rows: trees.Rows, *, others: str, subjects: int = 3, each: int = 3) -> trees.Rows:
    """The first clips of the first subjects that have enough of them."""
    chosen: dict[object, trees.Rows] = {}
    for row in rows:
        if others not in row:
            chosen.setdefault(row[0], []).append(row)
    usable = [part[:each] for part in chosen.values() if len(part) >= each]
    return [row for part in usable[:subjects] for row in part]


@pytest.mark.parametrize(("data", "write"), [("casme2", write_casme2), ("samm", write_samm)])
def test_one_comparison_on_recordings(
    data: str, write: Callable[[Path], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HMRM_CACHE", str(tmp_path / "cache"))
    root = write(tmp_path / data)
    quick = ("faces.name=template", "flow.name=dis", "training.epochs=1")
    done = hmrm(
        *("compare", "--preset", "smoke", "--data", data, "--root", root, "--jobs", 1),
        *("--systems", ",".join(SYSTEMS), "--json"),
        *(part for text in quick for part in ("--set", text)),
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)["systems"]
    assert {row["System"] for row in rows} == set(SYSTEMS)
    for row in rows:
        assert 0 <= row["UF1 low"] <= row["UF1"] <= row["UF1 high"] <= 1
    takes = {row["System"]: row["Takes"] for row in rows}
    assert takes == {
        "ammsm": "flow maps and onset",
        "meganet_mesti": "pictures",
        "hmrm": "flow maps",
    }
