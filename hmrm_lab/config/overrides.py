"""Changes of single settings: read from `key=value`, put in place, and refused where idle.

A setting is idle where the chosen system has no use for it. To take it and do nothing would make a
comparison say what it does not show.
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
    """`training.lr=1e-3` as (["training", "lr"], 0.001); values are TOML, bare words are text."""
    key, equals, value = text.partition("=")
    path = key.strip().split(".")
    if not equals or not all(path):
        raise ConfigError(f"override '{text}' is not key=value", mend="write training.lr=1e-3")
    if path == ["preset"]:
        raise ConfigError("preset is no setting", mend="name it with --preset")
    try:
        return path, tomllib.loads(f"value = {value.strip()}")["value"]
    except tomllib.TOMLDecodeError:
        return path, value.strip()


def split_overrides(text: str) -> list[str]:
    """`a.b=1,a.c=[1, 2]` as `a.b=1` and `a.c=[1, 2]`: split at commas outside brackets and quotes.

    The last may be left open; whoever reads its value says what is wrong with it.
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
                raise ConfigError(f"'{table}' is not a table", mend=f"set '{table}' itself")
            place[table] = dict(below)
            place = place[table]
        place[key] = value


def refuse_idle(system: Entry, names: Iterable[str]) -> None:
    """A `ConfigError` for the first of these settings that the system has no use for."""
    for name in names:
        for idle, why in _idle(system):
            if name == idle or name.startswith(f"{idle}."):
                raise ConfigError(
                    f"system '{system.name}' {why}: it has no use for {name}",
                    mend="leave this setting out, or give it to other systems in a run of theirs",
                )


def without_idle(system: Entry, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings meant for all systems, less those that this one has no use for."""
    kept = dict(settings)
    for name, _ in _idle(system):
        table, _, key = name.partition(".")
        if not key:
            kept.pop(table, None)
        elif table in kept:
            kept[table] = {k: value for k, value in kept[table].items() if k != key}
    return kept


def names_in(settings: Mapping[str, Any]) -> Iterator[str]:
    """`section.setting` of all that nested tables set."""
    for table, values in settings.items():
        if isinstance(values, Mapping):
            yield from (f"{table}.{key}" for key in values)
        else:
            yield table


def names_of(changes: Changes) -> list[str]:
    """`section.setting` of every change."""
    return [".".join(path) for path, _ in changes]


def refuse_channels(system: Entry, channels: tuple[str, ...]) -> None:
    """A `ConfigError` where these are not the channels that the system is made for."""
    needs = system.card.needs if system.card else ()
    if needs and channels != needs:
        raise ConfigError(
            f"system '{system.name}' reads the channels {', '.join(needs)},"
            f" not {', '.join(channels)}",
            mend="leave input.channels out",
        )


def _idle(system: Entry) -> Iterator[tuple[str, str]]:
    """Sections and settings without a use, each with the reason."""
    if system.is_estimator:
        yield from ((name, "is fitted in one step") for name in OF_TRAINING)
    if system.takes == "clip":
        yield from ((name, "takes clips, not flow maps") for name in OF_MAPS)
