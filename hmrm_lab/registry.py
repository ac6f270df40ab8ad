"""Registries of data sets, face providers, flow estimators and systems: builders by name.

A builder takes plain keyword arguments with defaults; its signature is the list of its options,
so that `--set model.width=64` is checked against the very function that will be called.
"""

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError, create_model

from hmrm_lab.errors import ConfigError, unknown_name
from hmrm_lab.records import PX

if TYPE_CHECKING:
    import pandas as pd

Recipe = Mapping[str, Mapping[str, Any]]
Input = Literal["flow maps", "pictures", "flow maps and onset", "clip"]
Fidelity = Literal["faithful", "adapted", "sketch"]


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
    def reads_sequences(self) -> bool:
        """Whether `input.frames` may be above 1."""
        return self.card is not None and self.card.sequences

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
            problem = f"{self.kind} '{self.name}': {first_problem(error)}"
            raise ConfigError(problem, hint="correct this value") from None


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
        if name not in self._entries:
            raise unknown_name(self.kind, name, self._entries)
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


def first_problem(error: ValidationError) -> str:
    """Write pydantic's first error as `a.b: problem`."""
    detail = error.errors()[0]
    return f"{'.'.join(map(str, detail['loc']))}: {detail['msg']} (given: {detail['input']!r})"


datasets = Registry("data set", "hmrm_lab.datasets")
providers = Registry("face provider", "hmrm_lab.faces")
flows = Registry("flow estimator", "hmrm_lab.flow")
systems = Registry("system", "hmrm_lab.models")
