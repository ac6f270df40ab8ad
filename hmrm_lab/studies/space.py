"""Search spaces: how they are typed, and the proposals that Optuna makes of them.

```
training.lr=1e-4..1e-2:log     numbers of a range, even over their logarithm
model.dropout=0..0.6           numbers of a range
model.width=32..128:32         32, 64, 96, 128
model.tokens=pixels|regions    one of these values
```

Proposals are kept in a journal file, and each has random numbers of its own, made of its place, so
that a search goes on where it was cut off: a proposal that has all of its values and no answer yet
is taken up again, and one that lacks values is given up and made anew.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hmrm_lab.config import parse_override
from hmrm_lab.errors import ConfigError, InputError

if TYPE_CHECKING:
    import optuna

FORM = "write key=low..high, key=low..high:log, key=low..high:step or key=a|b|c"
RANGE_FORM = "write LOW..HIGH, LOW..HIGH:log or LOW..HIGH:STEP"
RANGE = re.compile(r"(?P<low>[^|:]+?)\.\.(?P<high>[^|:]+)(?::(?P<how>[^|:]*))?")
DIGITS = 10  # of a number that steps lead to
WHOLE = "whole"  # of a trial that has all of its values: the answers before its batch


@dataclass(frozen=True)
class Range:
    """Numbers from `low` to `high`, whole ones if all given are; `log`: even over their logarithm.

    With a `step`: low, low + step and so on, up to `high` at most.
    """

    low: float
    high: float
    log: bool = False
    step: float | None = None

    @property
    def whole(self) -> bool:
        return all(isinstance(part, int) for part in (self.low, self.high, self.step or 1))

    @property
    def fractions(self) -> "Range":
        """The range with all numbers between its ends, whole ones or not."""
        return replace(self, low=float(self.low), high=float(self.high))

    @property
    def steps(self) -> int:
        return int((self.high - self.low) / (self.step or 1) + 1e-9)

    def values(self) -> tuple[float, ...]:
        numbers = range(self.steps + 1)
        return tuple(self.tidy(self.low + number * (self.step or 1)) for number in numbers)

    def tidy(self, value: float) -> float:
        """The number without what is left over from adding up steps."""
        return round(value, DIGITS) if self.step and not self.whole else value


Space = Mapping[str, Range | Sequence[Any]]  # a range, or the values to choose from, by setting
Progress = Callable[[int, int], None]
Answer = tuple[tuple[float, ...] | None, dict[str, Any]]  # a value for each aim, if any; notes


def parse_space(texts: Iterable[str]) -> dict[str, Range | Sequence[Any]]:
    """What was typed, one setting each; a `ConfigError` for what is neither range nor values."""
    space: dict[str, Range | Sequence[Any]] = {}
    for text in texts:
        name, equals, words = (part.strip() for part in text.partition("="))
        if not equals or not name or not words:
            raise ConfigError(f"the space '{text}' says too little", hint=FORM)
        if name in space:
            raise ConfigError(f"{name} is given twice", hint="give each setting once")
        found = RANGE.fullmatch(words)
        space[name] = _range(name, **found.groupdict()) if found else _choices(name, words)
    return space


def parse_range(name: str, text: str) -> Range:
    """The range of fractions that was typed; a `ConfigError` for anything else."""
    found = RANGE.fullmatch(text.strip())
    if found is None:
        raise ConfigError(f"{name} '{text}' is not a range", hint=RANGE_FORM)
    return _range(name, **found.groupdict()).fractions


def whole_numbers(name: str, text: str) -> tuple[int, ...]:
    """`"64 128"` as (64, 128); a `ConfigError` that names the setting for anything else."""
    if not text.split() or not all(word.isdigit() and int(word) for word in text.split()):
        raise ConfigError(f"{name}: '{text}' are not whole numbers", hint="write them as 64 128")
    return tuple(sorted({int(word) for word in text.split()}))


def refuse_empty(name: str, values: Range | Sequence[Any]) -> None:
    """A `ConfigError` for a range or a choice in which there is nothing."""
    if not (values.low < values.high if isinstance(values, Range) else values):
        raise ConfigError(f"the range of {name} is empty", hint="give low < high, or values")
    if not isinstance(values, Range):
        return
    if values.log and (values.low <= 0 or values.step):
        hint = "give a low end above 0, and no step"
        raise ConfigError(f"{name} has no even logarithms", hint=hint)
    if values.step is not None and not 0 < values.step <= values.high - values.low:
        raise ConfigError(f"the step of {name} does not fit", hint="take 0 < step <= high - low")


def grid_values(space: Space) -> dict[str, tuple[Any, ...]]:
    """The values of every setting, for a grid; a `ConfigError` for a range without a step."""
    values = {}
    for name, of_setting in space.items():
        refuse_empty(name, of_setting)
        if isinstance(of_setting, Range) and of_setting.step is None:
            hint = f"give a step, {name}={of_setting.low}..{of_setting.high}:STEP, or values a|b"
            raise ConfigError(f"a grid cannot try all numbers of {name}", hint=hint)
        listed = of_setting.values() if isinstance(of_setting, Range) else of_setting
        values[name] = tuple(dict.fromkeys(listed))
    return values


def grid(values: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
    """Every combination, the first setting slowest."""
    return [dict(zip(values, chosen, strict=True)) for chosen in product(*values.values())]


def in_kind(space: Space, settings: Mapping[str, Any]) -> dict[str, Range | Sequence[Any]]:
    """The space with ranges of whole ends taken for all numbers where the setting is a fraction.

    `settings` are nested tables; `model.dropout=0..1` means more than 0 and 1.
    """
    kinds = dict(space)
    for name, values in space.items():
        table, _, key = name.partition(".")
        known = settings.get(table)
        value = known.get(key) if isinstance(known, Mapping) else None
        if isinstance(values, Range) and isinstance(value, float):
            kinds[name] = values.fractions
    return kinds


def chosen(trial: "optuna.trial.BaseTrial", space: Space) -> dict[str, Any]:
    """The values that were proposed in a trial."""
    return {
        name: values.tidy(trial.params[name]) if isinstance(values, Range) else trial.params[name]
        for name, values in space.items()
    }


def _distribution(values: Range | Sequence[Any]) -> Any:
    """What Optuna draws a value from."""
    kinds = load_optuna().distributions
    if not isinstance(values, Range):
        return kinds.CategoricalDistribution(list(values))
    high = values.low + values.steps * values.step if values.step else values.high
    if values.whole:
        step = int(values.step or 1)
        return kinds.IntDistribution(int(values.low), int(high), values.log, step)
    return kinds.FloatDistribution(values.low, values.tidy(high), values.log, values.step)


def _range(name: str, low: str, high: str, how: str | None) -> Range:
    ends = _number(name, low), _number(name, high)
    log = how is not None and how.strip() == "log"
    found = Range(*ends, log=log, step=None if log or how is None else _number(name, how))
    refuse_empty(name, found)
    return found


def _number(name: str, text: str) -> float:
    value = parse_override(f"number={text}")[1]
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ConfigError(f"{name}: '{text.strip()}' is not a number", hint=RANGE_FORM)
    return value


def _choices(name: str, text: str) -> tuple[Any, ...]:
    words = [word.strip() for word in text.split("|")]
    if not all(words):
        raise ConfigError(f"{name}: a value of '{text}' is empty", hint=FORM)
    values = [parse_override(f"value={word}")[1] for word in words]
    # a list stays the text that it was typed as: a journal keeps plain values alone
    pairs = zip(values, words, strict=True)
    return tuple(v if isinstance(v, bool | int | float | str) else word for v, word in pairs)


def load_optuna() -> Any:
    """Import Optuna, or raise an `InputError` that says how to install it."""
    try:
        import optuna
    except ImportError:
        hint = "install the extra: pip install 'hmrm-lab[sweep]'"
        raise InputError("the search needs Optuna", hint=hint) from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


@dataclass(frozen=True)
class Journal:
    """A study of Optuna and the storage that keeps it."""

    study: "optuna.Study"
    storage: "optuna.storages.BaseStorage"

    @classmethod
    def open(cls, file: Path, name: str, directions: Sequence[str]) -> "Journal":
        """Open the study of this name, for the one process that works on it."""
        engine, storage = load_optuna(), _storage(file)
        study = engine.create_study(
            study_name=name, storage=storage, directions=list(directions), load_if_exists=True
        )
        states = engine.trial.TrialState
        for trial in study.get_trials(states=(states.RUNNING,)):
            if WHOLE not in trial.user_attrs:
                study.tell(trial.number, state=states.FAIL)
        return cls(study, storage)

    @classmethod
    def read(cls, file: Path, name: str) -> "Journal | None":
        """Read the study, whoever works on it; None if there is none. Nothing is written."""
        storage = _storage(file) if file.is_file() else None
        if storage is None or name not in load_optuna().get_all_study_names(storage):
            return None
        return cls(load_optuna().load_study(study_name=name, storage=storage), storage)

    @property
    def finished(self) -> list["optuna.trial.FrozenTrial"]:
        """Trials with an answer, in their order; those that have no score are among them."""
        return self._trials("COMPLETE", "PRUNED")

    def run(
        self,
        space: Space,
        total: int,
        *,
        batch: int,
        seed: int,
        sampler: Callable[[int], Any],
        score: Callable[[list[dict[str, Any]]], Iterable[Answer]],
        on_trial: Progress,
    ) -> None:
        """Propose, score and record so many at a time, until `total` have an answer.

        First come the proposals that have no answer yet. `sampler` makes a sampler of a seed,
        which is another one for each proposal.
        """
        distributions = {name: _distribution(values) for name, values in space.items()}
        done = len(self.finished)
        on_trial(done, total)
        while done < total:
            left = [trial for trial in self._trials("RUNNING") if WHOLE in trial.user_attrs]
            start = int(left[0].user_attrs[WHOLE]) if left else done
            count = min(max(1, batch - (done - start)), total - done)
            proposed = [(trial.number, chosen(trial, space)) for trial in left[:count]]
            while len(proposed) < count:
                number = len(self._trials("COMPLETE", "PRUNED", "RUNNING"))
                own = np.random.SeedSequence([seed, number]).generate_state(1)[0]
                self.study.sampler = sampler(int(own))
                trial = self.study.ask(distributions)
                proposed.append((trial.number, chosen(trial, space)))
                trial.set_user_attr(WHOLE, start)
            answers = score([point for _, point in proposed])
            for (number, _), (values, notes) in zip(proposed, answers, strict=True):
                self.record(number, values, notes)
                done += 1
                on_trial(done, total)

    def record(self, number: int, values: Sequence[float] | None, notes: Mapping[str, Any]) -> None:
        """Keep the answer to a trial: None where there is no score."""
        study = self.storage.get_study_id_from_name(self.study.study_name)
        trial = self.storage.get_trial_id_from_study_id_trial_number(study, number)
        for key, value in notes.items():
            self.storage.set_trial_user_attr(trial, key, value)
        if values is None:
            self.study.tell(number, state=load_optuna().trial.TrialState.PRUNED)
        else:
            self.study.tell(number, list(values[: len(self.study.directions)]))

    def _trials(self, *states: str) -> list["optuna.trial.FrozenTrial"]:
        return [trial for trial in self.study.trials if trial.state.name in states]


def nsga2(population: int, seed: int) -> Any:
    """Optuna's NSGA-II, with the parents of a generation always in the order of their trials.

    Optuna itself has them in the order of their ranks for the first child, and in that of their
    trials once they are in the journal: a search cut off there would draw other parents.
    """
    sampler = load_optuna().samplers.NSGAIISampler(population_size=population, seed=seed)
    select = sampler.select_parent

    def in_order(study: "optuna.Study", generation: int) -> "list[optuna.trial.FrozenTrial]":
        return sorted(select(study, generation), key=lambda trial: trial.number)

    sampler.select_parent = in_order
    return sampler


def _storage(file: Path) -> Any:
    storages = load_optuna().storages
    return storages.JournalStorage(storages.journal.JournalFileBackend(str(file)))
