"""Registries of data sets, face providers, flow estimators and systems: builders by name.

A builder takes plain keyword arguments with defaults; its signature is the list of its options,
so that `--set model.width=64` is checked against the very function that will be called.
"""

import inspect
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError, create_model

from hmrm_lab.errors import ConfigError, check_known, unknown_name
from hmrm_lab.records import PX

if TYPE_CHECKING:
    import pandas as pd

Recipe = Mapping[str, Mapping[str, Any]]
Input = Literal["flow maps", "pictures", "flow maps and onset", "clip"]
Fidelity = Literal["faithful", "adapted", "sketch"]
VALUES = {"integer": "a whole number", "number": "a number", "string": "text"}
LIMITS = {
    "minimum": "at least {}",
    "exclusiveMinimum": "above {}",
    "maximum": "at most {}",
    "exclusiveMaximum": "below {}",
    "pattern": "of the pattern {}",
}  # words for what a JSON schema says


@dataclass(frozen=True)
class Card:
    """The source of a system, and its fidelity to it.

    `faithful`: every layer and setting as published. `adapted`: the published design, changed
    as `departures` say. `sketch`: the publication leaves so much open that results are never to be
    shown as its authors'.
    """

    takes: Input
    citation: str
    fidelity: Fidelity
    departures: tuple[str, ...] = ()
    estimator: bool = False  # not trained in epochs
    needs: tuple[str, ...] = ()  # channels that it requires, in this order; empty if any will do
    idea: str = ""  # what is new in it, in a sentence
    lengths: bool = False  # answers with lengths of capsules, for which there is a margin loss
    sequences: bool = False  # reads several maps of a clip as well, in order of time

    @property
    def accepts(self) -> str:
        """Its input in words."""
        return f"{self.takes}, one or a sequence" if self.sequences else self.takes


@dataclass(frozen=True)
class Entry:
    """A registered builder with its recipe: the settings of its authors."""

    kind: str
    name: str
    build: Callable[..., Any]
    recipe: Recipe = field(default_factory=dict)
    source: str = ""
    card: Card | None = None
    unit: str = PX  # of the maps of a data set

    @cached_property
    def options(self) -> type[BaseModel]:
        """A model of the builder's keyword arguments."""
        given = inspect.signature(self.build).parameters.values()
        fields: Any = {
            p.name: (p.annotation, p.default)
            for p in given
            if p.default is not p.empty and p.name != "scheme"  # which `data.classes` names
        }
        config = ConfigDict(extra="forbid", frozen=True)
        return create_model(f"{self.name}_options", __config__=config, **fields)

    @property
    def needs_root(self) -> bool:
        """Whether the builder reads a folder that the user must name."""
        return "root" in inspect.signature(self.build).parameters

    def unit_of(self, options: Mapping[str, Any]) -> str:
        """The unit of a data set's maps with these options, one of which may name it."""
        known = self.options.model_fields
        return str(options.get("unit", known["unit"].default)) if "unit" in known else self.unit

    @property
    def is_estimator(self) -> bool:
        """Whether a system is fitted without epochs."""
        return self.card is not None and self.card.estimator

    @property
    def takes(self) -> Input:
        return "flow maps" if self.card is None else self.card.takes

    def complete(self, options: Mapping[str, Any], beside: Iterable[str] = ()) -> dict[str, Any]:
        """Fill in the builder's defaults, or raise a `ConfigError`.

        `beside` are other names in the same table: a mistyped option may have been one of them.
        """
        known = self.options.model_fields
        for name in options:
            if name not in known:
                kind = f"option of {self.kind} '{self.name}'"
                raise unknown_name(kind, name, [*known, *beside])
        try:
            return self.options(**options).model_dump(mode="json")
        except ValidationError as error:
            wrong = wrong_value(error, self.options)
            problem = f"{self.kind} '{self.name}': {wrong.problem}"
            raise ConfigError(problem, hint=wrong.hint) from None


class Registry:
    """The builders of one kind, by name. `package` holds them; it is imported at the first use."""

    def __init__(self, kind: str, package: str) -> None:
        self.kind = kind
        self.package = package
        self._entries: dict[str, Entry] = {}

    def register(
        self,
        name: str,
        *,
        recipe: Recipe | None = None,
        source: str = "",
        card: Card | None = None,
        unit: str = PX,
    ) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """Decorate a builder. A second builder under the same name is a programming error."""

        def decorate(build: Callable[..., Any]) -> Callable[..., Any]:
            if name in self._entries:
                raise ValueError(f"{self.kind} '{name}' is registered twice")
            self._entries[name] = Entry(self.kind, name, build, recipe or {}, source, card, unit)
            return build

        return decorate

    def __getitem__(self, name: str) -> Entry:
        import_module(self.package)
        check_known(self.kind, name, self._entries)
        return self._entries[name]

    def table(self, **columns: Callable[[Entry], Any]) -> "pd.DataFrame":
        """One row per builder: its name, these columns, and its options with their defaults."""
        import pandas as pd

        columns["options"] = lambda entry: entry.complete({})
        rows = {name: {key: value(self[name]) for key, value in columns.items()} for name in self}
        return pd.DataFrame.from_dict(rows, orient="index").rename_axis("name")

    def __iter__(self) -> Iterator[str]:
        import_module(self.package)
        return iter(sorted(self._entries))


def wrong_value(error: ValidationError, model: type[BaseModel]) -> ConfigError:
    """Make the error for the first value that pydantic refuses: what may be given instead."""
    detail = error.errors()[0]
    schema = model.model_json_schema()
    properties: dict[str, Any] = schema["properties"]
    allowed: dict[str, Any] = {}
    path: list[str] = []
    for key in map(str, detail["loc"]):
        allowed = properties[key]
        path.append(key)
        if "$ref" not in allowed:
            break
        properties = schema["$defs"][allowed["$ref"].rpartition("/")[2]]["properties"]
    name = ".".join(path)
    problem = f"{name}: {detail['input']!r} does not fit"
    if "$ref" in allowed:
        return ConfigError(problem, hint=f"set one of its settings: `hmrm settings {name}`")
    example = json.dumps(allowed.get("examples", [allowed["default"]])[0])
    return ConfigError(problem, hint=f"give {describe_values(allowed)}, such as {example}")


def describe_values(schema: Mapping[str, Any]) -> str:
    """Describe the values that a JSON schema allows: `a whole number, at least 1`."""
    if "anyOf" in schema:
        return " or ".join(map(describe_values, schema["anyOf"]))
    if "const" in schema:
        return str(schema["const"])
    if "enum" in schema:
        return f"one of {', '.join(schema['enum'])}"
    if schema["type"] == "boolean":
        return "true or false"
    if schema["type"] == "array":
        items = schema.get("prefixItems", [])
        count = f" of {len(items)}" if items else ""
        return f"a list{count}, each {describe_values(items[0] if items else schema['items'])}"
    limits = [words.format(schema[key]) for key, words in LIMITS.items() if key in schema]
    return ", ".join([VALUES[schema["type"]], *limits])


datasets = Registry("data set", "hmrm_lab.datasets")
providers = Registry("face provider", "hmrm_lab.faces")
flows = Registry("flow estimator", "hmrm_lab.flow")
systems = Registry("system", "hmrm_lab.models")
