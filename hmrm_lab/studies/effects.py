"""Effects of single changes to HMRM's recipe, on the development subjects.

    plan = plan_effects(load_config("default", data="flowmaps"))
    sweep = run_effects(plan, flowset, jobs=2)
    table = plan.table(sweep)

Every change is a trial of an ordinary sweep (decision 0013): no leave-one-subject-out score is
looked at, and what has been tried is not trained again. A change that helps here may be taken into
the recipe; the other half of the subjects can then say whether it was luck.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from hmrm_lab.config import ExperimentConfig, parse_override
from hmrm_lab.errors import ConfigError, MixtureError
from hmrm_lab.records import FlowSet, Predictions
from hmrm_lab.reporting.study_table import effects_table
from hmrm_lab.studies.search import run_grid
from hmrm_lab.studies.study import Variant
from hmrm_lab.studies.trials import NOT_A_TEST, Point, Sweep, changed

BASE = "recipe"
ENSEMBLE = "mean of seeds"
CLIP = ["dataset", "subject", "clip"]


def _change(name: str, *overrides: str) -> Variant:
    return Variant(name, ", ".join(overrides), overrides)


CHANGES = (
    _change("raw maps", "input.normalise=none"),
    _change("normalised maps", "input.normalise=median_rms"),
    _change("u and v alone", 'input.channels=["u", "v"]'),
    _change("strain for magnitude", 'input.channels=["u", "v", "strain"]'),
    _change("strain beside magnitude", 'input.channels=["u", "v", "strain", "magnitude"]'),
    _change("no MotionMix", "augment.motionmix=0"),
    _change("MotionMix for all", "augment.motionmix=1"),
    _change("MotionMix blended", "augment.mix_lambda=[0.3, 1.0]"),
    _change("mixup", "augment.mixup=0.2"),
    _change("no flip", "augment.flip=false", "evaluation.tta_flip=false"),
    _change("no shift", "augment.shift_px=0", "evaluation.tta_shift_px=0"),
    _change("no zoom, no turn", "augment.scale=0", "augment.rotate_deg=0"),
    _change("one view answers", "evaluation.tta_flip=false", "evaluation.tta_shift_px=0"),
    _change("fused head answers", "evaluation.readout=fused"),
    _change("fused head alone", "loss.scale_weights=[1, 0, 0]", "evaluation.readout=fused"),
    _change("classes as they come", "loss.class_weight_power=0"),
    _change("classes alike", "loss.class_weight_power=1"),
    _change("focal 1", "loss.gamma=1"),
    _change("focal 2", "loss.gamma=2"),
    _change("no smoothing", "loss.label_smoothing=0"),
    _change("width 32", "model.width=32"),
    _change("width 128", "model.width=128"),
    _change("depth 2", "model.depth=2"),
    _change("depth 4", "model.depth=4"),
    _change("pixel tokens", "model.tokens=pixels"),
    _change("no fusion", "model.fusion=none"),
    _change("no feed-forward", "model.ffn_ratio=0"),
    _change("no dropout", "model.dropout=0"),
    _change("no drop path", "model.drop_path=0"),
    _change("no averaged weights", "training.ema=0"),
    _change("drawn faces first", "training.pretrain_epochs=12"),
    _change("12 epochs", "training.epochs=12"),
    _change("48 epochs", "training.epochs=48"),
    _change("the paper's rate", "training.lr=5e-4"),
    _change("constant rate", "training.schedule=constant"),
)


@dataclass(frozen=True)
class Effects:
    """The changes of a study by name: their words, their settings, and why others are left out."""

    recipe: ExperimentConfig
    words: dict[str, str]
    points: dict[str, Point]
    left_out: dict[str, str]

    def table(self, sweep: Sweep) -> pd.DataFrame:
        """`effects_table` of what has been tried so far, and the seeds' mean as one change more."""
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
        """The protocol, and that it is no test result."""
        trial = sweep.trial(self.points[BASE])
        return trial.caption() if trial and not trial.problem else NOT_A_TEST


def plan_effects(recipe: ExperimentConfig, changes: Sequence[Variant] = CHANGES) -> Effects:
    """Plan the changes of a study; nothing is trained.

    What changes nothing in this recipe, what another change does already, and what cannot go with
    the recipe or its data, is left out visibly.
    Raises `ConfigError` for what is not key=value, for a setting that does not exist or that a
    sweep may not vary, and for two changes of one name.
    """
    plan = Effects(recipe, {BASE: "unchanged"}, {BASE: {}}, {})
    names = {recipe.digest(): BASE}
    for change in changes:
        if change.name in (*plan.words, ENSEMBLE):
            raise ConfigError(f"two changes are named '{change.name}'", hint="rename one")
        point = dict(_setting(text) for text in change.overrides)
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


def run_effects(
    plan: Effects,
    flowset: FlowSet,
    out: Path = Path("runs"),
    *,
    jobs: int = 1,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> Sweep:
    """Score every change that has no trial yet; see `run_grid`."""
    sweep = Sweep.of(plan.recipe, flowset, out)
    run_grid(sweep, flowset, list(plan.points.values()), jobs=jobs, on_progress=on_progress)
    return sweep


def ensemble(predictions: Predictions) -> Predictions:
    """Average the probabilities of all seeds; the answer is repeated for each seed.

    No seed's model was trained on the clip, so their mean is a fair answer, too.
    """
    table = predictions.table.copy()
    columns = predictions.probabilities
    table[columns] = table.groupby(CLIP)[columns].transform("mean")
    table["prediction"] = table[columns].to_numpy().argmax(1)
    return Predictions(table)


def _setting(text: str) -> tuple[str, str]:
    """Split a change into the setting and its value as written, or raise a `ConfigError`."""
    path, _ = parse_override(text)
    return ".".join(path), text.partition("=")[2].strip()
