"""AMMSM and MEGANet beside HMRM: recordings in the layout of CASME II and SAMM, one comparison."""

import json
from pathlib import Path

import pytest
from datasets import trees
from test_cli import hmrm

TAKES = {"ammsm": "flow maps and onset", "meganet_mesti": "pictures", "hmrm": "flow maps"}


def few(rows: trees.Rows, others: str) -> trees.Rows:
    """The first three clips of the first three subjects that have as many."""
    chosen: dict[object, trees.Rows] = {}
    for row in rows:
        if others not in row:
            chosen.setdefault(row[0], []).append(row)
    usable = [part[:3] for part in chosen.values() if len(part) >= 3]
    return [row for part in usable[:3] for row in part]


def test_one_comparison_on_recordings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HMRM_CACHE", str(tmp_path / "cache"))
    quick = ("faces.name=template", "flow.name=dis", "training.epochs=1")
    for data, root in (
        ("casme2", trees.write_casme2(tmp_path / "casme2", few(trees.casme2_rows(), "others"))),
        ("samm", trees.write_samm(tmp_path / "samm", few(trees.samm_rows(), "Other"))),
    ):
        done = hmrm(
            *("compare", "--preset", "smoke", "--data", data, "--root", root, "--jobs", 1),
            *("--systems", ",".join(TAKES), "--json"),
            *(part for text in quick for part in ("--set", text)),
            cwd=tmp_path,
        )
        assert done.returncode == 0, done.stderr
        rows = json.loads(done.stdout)["systems"]
        assert {row["System"]: row["Takes"] for row in rows} == TAKES
        for row in rows:
            assert 0 <= row["UF1 low"] <= row["UF1"] <= row["UF1 high"] <= 1
