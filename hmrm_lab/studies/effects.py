"""Effects of single changes to HMRM's recipe, on the development subjects.

    plan, sweep = plan_effects(recipe), Sweep.of(recipe, flowset)
    run_grid(sweep, flowset, list(plan.points.values()))
    table = plan.table(sweep)

Every change of `effects.toml` is a trial of an ordinary sweep (decision 0013): no leave-one-
subject-out score is looked at, and what has been tried is not trained again.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from hmrm_lab.config import ExperimentConfig, parse_override
from hmrm_lab.errors import ConfigError, MixtureError
from hmrm_lab.records import Predictions
from hmrm_lab.reporting.study_table import effects_table
from hmrm_lab.studies.study import Variant, read_table
from hmrm_lab.studies.trials import NOT_A_TEST, Point, Sweep, changed

BASE = "recipe"
ENSEMBLE = "mean of seeds"
CLIP = ["dataset", "subject", "clip"]
CHANGES = tuple(
    Variant(name, ", ".join(overrides), tuple(overrides))
    for name, overrides in read_table("effects.toml").items()
)


@dataclass(frozen=True)
class Effects:
    """The changes of a study by name: their words, their settings, and why others are left out."""

    recipe: ExperimentConfig
    words: dict[str, str]
    points: dict[str, Point]
    left_out: dict[str, str]

    def table(self, sweep: Sweep) -> pd.DataFrame:
        """What has been tried so far, and the seeds' mean as one change more."""
        answers: dict[str, Predictions] = {}
        words, notes = dict(self.words), dict(self.left_out)
        for name, point in self.points.items():
            trial = sweep.trial(point)
            if trial is None or trial.problem:
                notes[name] = trial.problem if trial else "not tried yet"
            else:
                answers[name] = trial.predictions
        seeds = self.recipe.evaluation.seeds
        if BASE in answers and len(seeds) > 1:
            words[ENSEMBLE] = f"probabilities of {len(seeds)} seeds averaged"
            answers[ENSEMBLE] = ensemble(answers[BASE])
        return effects_table(words, answers, base=BASE, notes=notes)

    def caption(self, sweep: Sweep) -> str:
        trial = sweep.trial(self.points[BASE])
        return trial.caption() if trial and not trial.problem else NOT_A_TEST


def plan_effects(recipe: ExperimentConfig, changes: Sequence[Variant] = CHANGES) -> Effects:
    """Plan the changes of a study; nothing is trained.

    What changes nothing in this recipe, what another change does already, and what cannot go with
    the recipe or its data, is left out visibly. Raises `ConfigError` for what is not key=value, a
    setting that a sweep may not vary, and two changes of one name.
    """
    plan = Effects(recipe, {BASE: "unchanged"}, {BASE: {}}, {})
    names = {recipe.digest(): BASE}
    for change in changes:
        if change.name in (*plan.words, ENSEMBLE):
            raise ConfigError(f"two changes are named '{change.name}'", hint="rename one")
        point = {
            ".".join(parse_override(text)[0]): text.partition("=")[2].strip()
            for text in change.overrides
        }
        plan.words[change.name] = change.words
        try:
            digest = changed(recipe, point).digest()
        except MixtureError as error:
            plan.left_out[change.name] = error.problem
            continue
        if digest in names:
            plan.left_out[change.name] = f"the same as {names[digest]}"
        else:
            plan.points[change.name] = point
            names[digest] = change.name
    return plan


def ensemble(predictions: Predictions) -> Predictions:
    """Average the probabilities of all seeds; the answer is repeated for each seed."""
    table = predictions.table.copy()
    columns = predictions.probabilities
    table[columns] = table.groupby(CLIP)[columns].transform("mean")
    table["prediction"] = table[columns].to_numpy().argmax(1)
    return Predictions(table)
