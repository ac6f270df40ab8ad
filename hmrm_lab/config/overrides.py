"""Changes of single settings: parsed from `key=value`, put in place, and refused where unused.

A setting that the chosen system does not use is refused: to accept it and do nothing would make a
comparison claim what it does not show.
"""

import tomllib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from hmrm_lab.errors import ConfigError
from hmrm_lab.registry import Entry

Changes = list[tuple[list[str], Any]]  # of `parse_override`

OF_TRAINING = (
    *("augment", "loss", "training", "flow.finetune", "flow.finetune_lr_scale"),
    *("flow.finetune_side_px", "evaluation.readout", "evaluation.tta_flip"),
    "evaluation.tta_shift_px",
)
OF_MAPS = ("input",)


def parse_override(text: str) -> tuple[list[str], Any]:
    """Parse `training.lr=1e-3` as (["training", "lr"], 0.001): a TOML value, or bare text."""
    key, equals, value = text.partition("=")
    path = key.strip().split(".")
    if not equals or not all(path):
        raise ConfigError(f"override '{text}' is not key=value", hint="write training.lr=1e-3")
    if path == ["preset"]:
        raise ConfigError("preset is no setting", hint="name it with --preset")
    try:
        return path, tomllib.loads(f"value = {value.strip()}")["value"]
    except tomllib.TOMLDecodeError:
        return path, value.strip()


def split_overrides(text: str) -> list[str]:
    """Split `a.b=1,a.c=[1, 2]` at commas outside brackets and quotes.

    An open bracket or quote is left to the parser of the value.
    """
    parts, depth, quote = [""], 0, ""
    for sign in text:
        if quote:
            quote = "" if sign == quote else quote
        elif sign in "\"'":
            quote = sign
        elif sign in "[{":
            depth += 1
        elif sign in "]}":
            depth -= 1
        elif sign == "," and depth <= 0:
            parts.append("")
            continue
        parts[-1] += sign
    return [part.strip() for part in parts]


def assign(settings: dict[str, Any], changes: Changes) -> None:
    """Put every change in its place in nested tables."""
    for (*tables, key), value in changes:
        place = settings
        for table in tables:
            below = place.setdefault(table, {})
            if not isinstance(below, dict):
                raise ConfigError(f"'{table}' is not a table", hint=f"set '{table}' itself")
            place[table] = dict(below)
            place = place[table]
        place[key] = value


def refuse_idle(system: Entry, names: Iterable[str]) -> None:
    """Raise a `ConfigError` for the first of these settings that the system does not use."""
    for name in names:
        for idle, why in _idle(system):
            if name == idle or name.startswith(f"{idle}."):
                raise ConfigError(
                    f"system '{system.name}' {why}: it has no use for {name}",
                    hint="leave this setting out, or give it to other systems in a run of theirs",
                )


def without_idle(system: Entry, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Drop from settings for all systems those that this one does not use."""
    kept = dict(settings)
    for name, _ in _idle(system):
        table, _, key = name.partition(".")
        if not key:
            kept.pop(table, None)
        elif table in kept:
            kept[table] = {k: value for k, value in kept[table].items() if k != key}
    return kept


def names_in(settings: Mapping[str, Any]) -> Iterator[str]:
    """List `section.setting` of all settings in nested tables."""
    for table, values in settings.items():
        if isinstance(values, Mapping):
            yield from (f"{table}.{key}" for key in values)
        else:
            yield table


def names_of(changes: Changes) -> list[str]:
    """List `section.setting` of every change."""
    return [".".join(path) for path, _ in changes]


def refuse_channels(system: Entry, channels: tuple[str, ...]) -> None:
    """Raise a `ConfigError` where these are not the channels that the system needs."""
    needs = system.card.needs if system.card else ()
    if needs and channels != needs:
        raise ConfigError(
            f"system '{system.name}' reads the channels {', '.join(needs)},"
            f" not {', '.join(channels)}",
            hint="leave input.channels out",
        )


def _idle(system: Entry) -> Iterator[tuple[str, str]]:
    """Unused sections and settings, each with the reason."""
    if system.is_estimator:
        yield from ((name, "is a non-iterative estimator") for name in OF_TRAINING)
    if system.takes == "clip":
        yield from ((name, "takes clips, not flow maps") for name in OF_MAPS)
