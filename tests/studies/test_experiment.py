"""The figures of a run while others still add to it."""

from pathlib import Path

import pytest
from conftest import make_flowset
from reporting.made_runs import make_run

from hmrm_lab.studies import experiment


def test_of_two_commands_the_slower_leaves_nothing_older(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flowset = make_flowset()
    whole = make_run(tmp_path / "whole", flowset)
    run = make_run(tmp_path / "half", flowset, unfinished=1)
    assert not run.metrics()["complete"]
    summarise = experiment.summarise_run

    def meanwhile(of: object) -> dict[str, object]:
        """The other command finishes while this one computes."""
        metrics = summarise(of)
        for file in whole.folds.iterdir():
            target = run.folds / file.name
            if not target.exists():
                target.write_bytes(file.read_bytes())
        return metrics

    monkeypatch.setattr(experiment, "summarise_run", meanwhile)
    experiment.write_figures(run)
    for name in ("metrics.json", "predictions.csv", "history.csv"):
        assert (run.path / name).read_bytes() == (whole.path / name).read_bytes()
