"""Search spaces: what a sweep or a search goes over, and how it is typed.

```
training.lr=1e-4..1e-2:log     numbers of a range, even over their logarithm
model.dropout=0..0.6           numbers of a range
model.width=32..128:32         32, 64, 96, 128
model.tokens=pixels|regions    one of these values
```
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import TYPE_CHECKING, Any

from hmrm_lab.config.overrides import parse_override
from hmrm_lab.errors import ConfigError

if TYPE_CHECKING:
    import optuna

PAPER_GRID = {
    "model.width": tuple(range(64, 385, 64)),
    "model.depth": tuple(range(2, 13, 2)),
}  # Figure 7
FORM = "write key=low..high, key=low..high:log, key=low..high:step or key=a|b|c"
RANGE_FORM = "write LOW..HIGH, LOW..HIGH:log or LOW..HIGH:STEP"
RANGE = re.compile(r"(?P<low>[^|:]+?)\.\.(?P<high>[^|:]+)(?::(?P<how>[^|:]*))?")
DIGITS = 10  # of a number that steps lead to


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
        """Whether all of its numbers are whole."""
        return all(isinstance(part, int) for part in (self.low, self.high, self.step or 1))

    @property
    def steps(self) -> int:
        """How many steps there are room for."""
        return int((self.high - self.low) / (self.step or 1) + 1e-9)

    def values(self) -> tuple[float, ...]:
        """All numbers of a range with a step."""
        return tuple(
            self.tidy(self.low + number * (self.step or 1)) for number in range(self.steps + 1)
        )

    def tidy(self, value: float) -> float:
        """The number without what is left over from adding up steps."""
        return round(value, DIGITS) if self.step and not self.whole else value


Space = Mapping[str, Range | Sequence[Any]]  # a range, or the values to choose from, by setting


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
    """The range that was typed for this setting; a `ConfigError` for anything else."""
    found = RANGE.fullmatch(text.strip())
    if found is None:
        raise ConfigError(f"{name} '{text}' is not a range", hint=RANGE_FORM)
    return _range(name, **found.groupdict())


def whole_numbers(name: str, text: str) -> tuple[int, ...]:
    """`"64 128"` as (64, 128); a `ConfigError` that names the setting for anything else."""
    if not text.split() or not all(word.isdigit() and int(word) for word in text.split()):
        raise ConfigError(f"{name}: '{text}' are not whole numbers", hint="write them as 64 128")
    return tuple(sorted({int(word) for word in text.split()}))


def refuse_empty(name: str, values: Range | Sequence[Any]) -> None:
    """A `ConfigError` for a range or a choice in which there is nothing."""
    if not isinstance(values, Range):
        if not values:
            raise ConfigError(f"the range of {name} is empty", hint="give low < high, or values")
        return
    if not values.low < values.high:
        raise ConfigError(f"the range of {name} is empty", hint="give low < high")
    if values.log and (values.low <= 0 or values.step):
        raise ConfigError(
            f"{name} has no even logarithms", hint="give a low end above 0, and no step"
        )
    if values.step is not None and not 0 < values.step <= values.high - values.low:
        raise ConfigError(f"the step of {name} does not fit", hint="take 0 < step <= high - low")


def grid_values(space: Space) -> dict[str, tuple[Any, ...]]:
    """The values of every setting, for a grid; a `ConfigError` for a range without a step."""
    values = {}
    for name, of_setting in space.items():
        refuse_empty(name, of_setting)
        if isinstance(of_setting, Range) and of_setting.step is None:
            raise ConfigError(
                f"a grid cannot try all numbers of {name}",
                hint=f"give a step, {name}={of_setting.low}..{of_setting.high}:STEP, or values a|b",
            )
        listed = of_setting.values() if isinstance(of_setting, Range) else of_setting
        values[name] = tuple(dict.fromkeys(listed))
    return values


def grid(values: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
    """Every combination, the first setting slowest."""
    return [
        dict(zip(values, combination, strict=True)) for combination in product(*values.values())
    ]


def in_kind(space: Space, settings: Mapping[str, Any]) -> dict[str, Range | Sequence[Any]]:
    """The space with ranges of whole ends taken for all numbers where the setting is a fraction.

    `settings` are nested tables; `model.dropout=0..1` means more than 0 and 1.
    """
    return {
        name: replace(values, low=float(values.low), high=float(values.high))
        if isinstance(values, Range) and isinstance(_value_at(settings, name), float)
        else values
        for name, values in space.items()
    }


def _value_at(settings: Any, name: str) -> Any:
    for key in name.split("."):
        settings = settings.get(key) if isinstance(settings, Mapping) else None
    return settings


def suggest(trial: "optuna.Trial", space: Space) -> dict[str, Any]:
    """A value for every setting, as the sampler of this trial proposes it."""
    return {name: _suggest(trial, name, values) for name, values in space.items()}


def chosen(trial: "optuna.trial.FrozenTrial", space: Space) -> dict[str, Any]:
    """The values that were proposed in a trial, those that `suggest` gave."""
    return {name: _tidy(space[name], trial.params[name]) for name in space}


def _suggest(trial: "optuna.Trial", name: str, values: Range | Sequence[Any]) -> Any:
    if not isinstance(values, Range):
        return trial.suggest_categorical(name, list(values))
    high = values.low + values.steps * values.step if values.step else values.high
    if values.whole:
        step = int(values.step or 1)
        return trial.suggest_int(name, int(values.low), int(high), log=values.log, step=step)
    proposed = trial.suggest_float(
        name, values.low, values.tidy(high), log=values.log, step=values.step
    )
    return values.tidy(proposed)


def _tidy(values: Range | Sequence[Any], value: Any) -> Any:
    return values.tidy(value) if isinstance(values, Range) else value


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
    # A list stays the text that it was typed as: the journal of a search keeps plain values alone.
    plain = (bool, int, float, str)
    return tuple(
        value if isinstance(value, plain) else word
        for value, word in zip(values, words, strict=True)
    )
