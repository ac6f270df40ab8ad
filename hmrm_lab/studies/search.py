"""A search by Optuna's tree-structured Parzen estimator, where a grid would be too large.

It proposes settings, and a sweep scores them on the development subjects alone: the same cells as
those of a grid, kept the same way. The extra `sweep` brings Optuna.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

from hmrm_lab.errors import ConfigError, InputError
from hmrm_lab.records import FlowSet
from hmrm_lab.studies.sweep import Sweep, begin, make_cell

if TYPE_CHECKING:
    import optuna

RANDOM_TRIALS = 10


@dataclass(frozen=True)
class Range:
    """Numbers from `low` to `high`, whole ones if both are; `log`: even over their logarithm."""

    low: float
    high: float
    log: bool = False


Space = Mapping[str, Range | Sequence[Any]]  # a range, or the values to choose from, by setting


def search(
    sweep: Sweep,
    flowset: FlowSet,
    space: Space,
    *,
    trials: int,
    seed: int = 0,
    random_trials: int = RANDOM_TRIALS,
    on_trial: Callable[[int, int], None] = lambda done, total: None,
) -> pd.DataFrame:
    """Try settings until there are `trials` in the journal; every trial, in order.

    A search that was cut off goes on: trials in the journal count. The first `random_trials` are
    drawn blindly; from then on the proposals depend on what came before. A setting that was tried
    before is not trained again.

    Returns
    -------
    One row per trial: `Trial` from 1, the settings, `UF1`, and `Best`, the best UF1 so far. A
    training that diverged has no UF1.
    """
    engine = _optuna()
    _check(sweep, space)
    half = begin(sweep, flowset)
    study = _study(engine, sweep, space, seed, random_trials)
    done = len(_finished(study))
    on_trial(done, trials)

    def objective(trial: "optuna.Trial") -> float:
        point = {name: _suggest(trial, name, values) for name, values in space.items()}
        cell = sweep.cell(point) or make_cell(sweep, half, point)
        if cell.problem:
            raise engine.TrialPruned(cell.problem)
        return cell.score

    def tell(study: "optuna.Study", trial: "optuna.trial.FrozenTrial") -> None:
        on_trial(len(_finished(study)), trials)

    if done < trials:
        study.optimize(objective, n_trials=trials - done, callbacks=[tell])
    return _history(study, list(space))


def _optuna() -> Any:
    try:
        import optuna
    except ImportError:
        raise InputError(
            "the search needs Optuna", mend="install the extra: pip install 'hmrm-lab[sweep]'"
        ) from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


def _check(sweep: Sweep, space: Space) -> None:
    """Refuse what no trial could use, before the first."""
    if not space:
        raise ConfigError("nothing to search over", mend="name a setting and its range")
    for name, values in space.items():
        ends = (values.low, values.high) if isinstance(values, Range) else tuple(values)
        if not ends or (isinstance(values, Range) and not values.low < values.high):
            raise ConfigError(f"the range of {name} is empty", mend="give low < high, or values")
        for end in ends:
            sweep.config({name: end})


def _study(
    engine: Any, sweep: Sweep, space: Space, seed: int, random_trials: int
) -> "optuna.Study":
    """The study of this space in the journal of the sweep. Going on draws other random numbers."""
    backend = engine.storages.journal.JournalFileBackend(str(sweep.folder / "optuna.journal"))
    name = hashlib.sha256(repr((sorted(space.items(), key=str), seed)).encode()).hexdigest()[:8]
    study: optuna.Study = engine.create_study(
        study_name=name,
        storage=engine.storages.JournalStorage(backend),
        direction="maximize",
        load_if_exists=True,
    )
    study.sampler = engine.samplers.TPESampler(
        seed=seed + len(study.trials), n_startup_trials=random_trials
    )
    return study


def _suggest(trial: "optuna.Trial", name: str, values: Range | Sequence[Any]) -> Any:
    if not isinstance(values, Range):
        return trial.suggest_categorical(name, list(values))
    if isinstance(values.low, int) and isinstance(values.high, int):
        return trial.suggest_int(name, values.low, values.high, log=values.log)
    return trial.suggest_float(name, values.low, values.high, log=values.log)


def _finished(study: "optuna.Study") -> list["optuna.trial.FrozenTrial"]:
    return [trial for trial in study.trials if trial.state.name in ("COMPLETE", "PRUNED")]


def _history(study: "optuna.Study", names: list[str]) -> pd.DataFrame:
    trials = _finished(study)
    table = pd.DataFrame(
        [{**{name: t.params[name] for name in names}, "UF1": t.value} for t in trials]
    )
    table.insert(0, "Trial", range(1, len(trials) + 1))
    return table.assign(UF1=table["UF1"].astype(float), Best=table["UF1"].astype(float).cummax())
