"""What all benchmarks share: sides that take turns, medians, bounds, and the way they are shown.

A benchmark is a script whose `measure(options)` yields results, and that ends in `main(measure)`.
"""

import argparse
import json
import os
import platform
import statistics
import sys
import textwrap
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

Side = Callable[[], float]
"""Does its work once and returns how many seconds it took."""

PACKAGES = ("torch", "numba", "numpy")
WIDTH = 100


@dataclass(frozen=True)
class Bound:
    """What is claimed of a figure."""

    sense: Literal["at least", "at most"]
    value: float

    def is_met(self, figure: float) -> bool:
        return figure >= self.value if self.sense == "at least" else figure <= self.value


def at_least(value: float) -> Bound:
    return Bound("at least", value)


def at_most(value: float) -> Bound:
    return Bound("at most", value)


@dataclass(frozen=True)
class Ratio:
    """How many times the seconds of one side are those of the other, round by round."""

    name: str
    what: str
    slow: str
    fast: str
    slow_s: Sequence[float]
    fast_s: Sequence[float]
    bound: Bound | None = None

    @property
    def value(self) -> float:
        """The ratio of the medians."""
        return statistics.median(self.slow_s) / statistics.median(self.fast_s)

    def as_dict(self) -> dict[str, Any]:
        rounds = [slow / fast for slow, fast in zip(self.slow_s, self.fast_s, strict=True)]
        sides = [
            {"name": name, "median_s": statistics.median(taken), "rounds_s": list(taken)}
            for name, taken in ((self.slow, self.slow_s), (self.fast, self.fast_s))
        ]
        return {
            **_facts(self, "ratio", "times", rounds),
            "sides": sides,
        }


@dataclass(frozen=True)
class Level:
    """A figure that is no ratio, such as a time or a size."""

    name: str
    what: str
    unit: str
    values: Sequence[float]
    bound: Bound | None = None

    @property
    def value(self) -> float:
        return statistics.median(self.values)

    def as_dict(self) -> dict[str, Any]:
        return {**_facts(self, "level", self.unit, self.values), "sides": []}


@dataclass(frozen=True)
class Skipped:
    """A measurement that this machine does not allow, and why."""

    name: str
    why: str

    def as_dict(self) -> dict[str, Any]:
        return {"kind": "skipped", "name": self.name, "why": self.why}


Result = Ratio | Level | Skipped
Measure = Callable[[argparse.Namespace], Iterable[Result]]


def alternate(sides: Mapping[str, Side], rounds: int, *, warm: int = 1) -> dict[str, list[float]]:
    """Seconds of each side, all sides in every round; every second round runs backwards.

    The first `warm` rounds are not counted.
    """
    taken: dict[str, list[float]] = {name: [] for name in sides}
    for turn in range(warm + rounds):
        for name in list(sides)[:: 1 if turn % 2 == 0 else -1]:
            seconds = sides[name]()
            if turn >= warm:
                taken[name].append(seconds)
    return taken


def timed(work: Callable[[], object], *, for_s: float = 0.0) -> Side:
    """A side of this work: its mean over as many calls in a row as fill `for_s`, one at least.

    A single short call would mostly measure how cold the caches are after the other sides.
    """

    def side() -> float:
        started, calls = time.perf_counter(), 0
        while not calls or time.perf_counter() - started < for_s:
            work()
            calls += 1
        return (time.perf_counter() - started) / calls

    return side


def rounds_of(options: argparse.Namespace, usual: int) -> int:
    """How often each side is measured: as asked for, else as usual; once if it shall be quick."""
    return int(options.rounds or (1 if options.quick else usual))


def machine() -> dict[str, Any]:
    """What the figures were measured on, and how busy it was."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory_gib": _memory_gib(),
        "system": platform.platform(),
        "python": platform.python_version(),
        **{name: _version(name) for name in PACKAGES},
        "load": [round(load, 2) for load in os.getloadavg()],
    }


def main(measure: Measure, extra: Callable[[argparse.ArgumentParser], None] | None = None) -> None:
    """Run one benchmark as a script; `extra` adds arguments of its own."""
    parser = argparse.ArgumentParser(description=sys.modules["__main__"].__doc__)
    add_options(parser)
    if extra:
        extra(parser)
    options = parser.parse_args()
    here = machine()
    results = list(_told(measure(options)))
    show({"machine": here, "quick": options.quick, "results": results}, options.json)


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--quick", action="store_true", help="one round of the smallest shapes")
    parser.add_argument("--rounds", type=int, help="how often each side is measured")
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")


def show(document: dict[str, Any], as_json: bool) -> None:
    """The whole on standard output, for a program or for a person."""
    if as_json:
        print(json.dumps(document, indent=2))
        return
    facts = {name: value for name, value in document["machine"].items() if value is not None}
    print(textwrap.fill(", ".join(f"{name} {value}" for name, value in facts.items()), WIDTH))
    print("Medians; in brackets the lowest and the highest round.", end="\n\n")
    print("\n".join(line_of(result) for result in document["results"]))


def line_of(result: Mapping[str, Any]) -> str:
    """A figure with its bound, and what it was made of below it."""
    if result["kind"] in ("skipped", "failed"):
        return f"{result['name']}\n    {result['kind']}: {result['why']}"
    unit = "x" if result["kind"] == "ratio" else f" {result['unit']}"
    low, value, high = (f"{result[part]:.3g}" for part in ("low", "value", "high"))
    claim = ""
    if result["bound"] is not None:
        verdict = "met" if result["met"] else "MISSED"
        claim = f"{result['sense']} {result['bound']:g}: {verdict}"
    row = f"{result['name']:<54} {value + unit:>9} {f'[{low}, {high}]':<16} {claim}".rstrip()
    sides = " / ".join(f"{side['name']} {_duration(side['median_s'])}" for side in result["sides"])
    return f"{row}\n    {sides or result['what']}"


def _told(results: Iterable[Result]) -> Iterator[dict[str, Any]]:
    """The results, each named on standard error as it comes."""
    for result in results:
        found = result.as_dict()
        print(f"measured: {found['name']}", file=sys.stderr, flush=True)
        yield found


def _facts(
    result: "Ratio | Level", kind: str, unit: str, rounds: Sequence[float]
) -> dict[str, Any]:
    bound = result.bound
    return {
        "kind": kind,
        "name": result.name,
        "what": result.what,
        "value": result.value,
        "low": min(rounds),
        "high": max(rounds),
        "unit": unit,
        "sense": bound.sense if bound else None,
        "bound": bound.value if bound else None,
        "met": bound.is_met(result.value) if bound else None,
    }


def _duration(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds >= 1 else f"{1e3 * seconds:.3g} ms"


def _processor() -> str:
    known = Path("/proc/cpuinfo")
    lines = known.read_text(encoding="utf-8").splitlines() if known.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _memory_gib() -> float | None:
    try:
        size = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError):  # a system without these names
        return None
    return round(size / 2**30, 1)


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
