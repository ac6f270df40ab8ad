"""The outer score of the setting that a search has chosen: computed on request, and counted.

The development half was used for selection, so that the leave-one-subject-out score of all subjects
is a little too good; that of the held-out half stands beside it (decision 0013). Looks are counted,
for each is one more choice that the score may enter.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hmrm_lab.config import ExperimentConfig
from hmrm_lab.errors import FailedFoldsError
from hmrm_lab.evaluation.ledger import Evaluations, count_evaluations
from hmrm_lab.evaluation.significance import paired_test
from hmrm_lab.evaluation.summary import collect_predictions, describe_failures, stamp, summarise
from hmrm_lab.records import FlowSet, Predictions
from hmrm_lab.runtime.progress import UNWATCHED, Watcher
from hmrm_lab.runtime.store import RunFolder, read_json, to_json, write_once
from hmrm_lab.studies.experiment import run_experiment
from hmrm_lab.studies.trials import Sweep

ALL = "all subjects"
HELD_OUT = "held-out half, not used for selection"
DEVELOPMENT = "development half, used for selection"


@dataclass(frozen=True)
class OuterScore:
    """The outer score of one setting, and how many such scores have been computed."""

    settings: Mapping[str, Any]
    run: RunFolder
    parts: Mapping[str, Mapping[str, Any]]  # figures as those of a run, by whom they rest on
    gains: Mapping[str, Mapping[str, float]]  # UF1 less that of the recipe; empty if it is that
    seen: int  # settings of this sweep whose outer score is known, this one included
    evaluations: Evaluations  # all of the test set from this folder
    first_look: str  # when it was computed first, in UTC
    again: bool

    def as_dict(self) -> dict[str, Any]:
        return {
            "settings": dict(self.settings),
            "run": str(self.run.path),
            "parts": {name: dict(figures) for name, figures in self.parts.items()},
            "gains": {name: dict(gain) for name, gain in self.gains.items()},
            "seen": self.seen,
            "test_set_evaluations": self.evaluations._asdict(),
            "first_look": self.first_look,
            "again": self.again,
            "note": self.caveat(),
        }

    def caveat(self) -> str:
        """How many outer scores are known, and what that means."""
        times = f"{self.seen} time{'' if self.seen == 1 else 's'}"
        words = f"outer score seen {times}; after the first look it is no longer unseen"
        again = f"; this setting was seen first on {self.first_look}, and is counted once"
        return f"{words}; {self.evaluations}{again if self.again else ''}"

    def as_text(self) -> str:
        """Score and count, a line each."""
        names = ", ".join(f"{name}={value}" for name, value in self.settings.items())
        width = max(map(len, self.parts))
        return "\n".join(
            [
                f"Outer score (leave-one-subject-out, {stamp(self.run.metrics())}) of {names}",
                *(f"  {name:<{width}}  {_figures(part)}" for name, part in self.parts.items()),
                *(["less that of the recipe as it was, paired by subject:"] if self.gains else []),
                *(f"  {name:<{width}}  {_gained(gain)}" for name, gain in self.gains.items()),
                f"{self.caveat()}.",
                f"run  {self.run.path}",
            ]
        )


def outer_score(
    sweep: Sweep,
    flowset: FlowSet,
    settings: Mapping[str, Any],
    *,
    recipe: ExperimentConfig | None = None,
    jobs: int = 1,
    watch: Watcher = UNWATCHED,
) -> OuterScore:
    """Run leave-one-subject-out with these settings on all subjects, and count the evaluation.

    It is the run that `hmrm run` makes of the same settings, beside the folder of the sweep; so is
    that of the recipe it is compared with, `recipe` or else that of the sweep. Raises
    `FailedFoldsError`, and counts nothing, if folds are missing.
    """
    config, out = sweep.config(settings), sweep.folder.parent

    def complete_run(of: ExperimentConfig) -> RunFolder:
        run = run_experiment(
            of, out=out, jobs=jobs, watch=watch, flowset=flowset, final_model=False
        )
        if not run.metrics()["complete"]:
            raise FailedFoldsError(
                f"{describe_failures(run) or f'{run.path} lacks folds'};"
                " the outer score stays sealed until no fold is missing"
            )
        return run

    run = complete_run(config)
    recipe = recipe or sweep.base
    before = None if config.digest() == recipe.digest() else complete_run(recipe)
    record = {
        "settings": dict(settings),
        "run": run.path.name,
        "looked": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    file = sweep.folder / "unsealed" / f"{config.digest()}.json"
    first = write_once(file, to_json(record))
    halves = read_json(sweep.folder / "sweep.json")
    ours = _by_half(collect_predictions(run), halves)
    theirs = _by_half(collect_predictions(before), halves) if before else {}
    return OuterScore(
        settings,
        run,
        {name: summarise(predictions)["all"] for name, predictions in ours.items()},
        {name: paired_test(ours[name], theirs[name])._asdict() for name in theirs},
        seen=count_outer_scores(sweep.folder),
        evaluations=count_evaluations(run),
        first_look=read_json(file)["looked"],
        again=not first,
    )


def count_outer_scores(folder: Path) -> int:
    """Count the settings of a sweep whose outer score is known."""
    return len(list((folder / "unsealed").glob("*.json")))


def _by_half(predictions: Predictions, halves: Mapping[str, Any]) -> dict[str, Predictions]:
    parts = {ALL: predictions}
    for name, half in ((HELD_OUT, "other_subjects"), (DEVELOPMENT, "development_subjects")):
        table = predictions.table[predictions.subjects.isin(halves[half])]
        parts[name] = Predictions(table.reset_index(drop=True))
    return parts


def _gained(gain: Mapping[str, float]) -> str:
    interval = f"[{gain['low']:+.3f}, {gain['high']:+.3f}]"
    return f"UF1 {gain['difference']:+.3f} {interval}, p {gain['p_value']:.3f}"


def _figures(part: Mapping[str, Any]) -> str:
    low, high = part["uf1_interval"]
    return (
        f"UF1 {part['uf1']:.3f} [{low:.3f}, {high:.3f}], UAR {part['uar']:.3f};"
        f" {part['clips']} clips of {part['subjects']} subjects"
    )
