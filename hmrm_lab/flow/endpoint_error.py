"""Evaluation of flow methods: end-point error, angular error, time and parameters."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, pairwise
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hmrm_lab.datasets.flow_pairs import TruePair, procedural, with_noise
from hmrm_lab.datasets.flow_pairs.stored import find_pairs
from hmrm_lab.errors import InputError, check_known
from hmrm_lab.flow.estimator import FlowEstimator, no_motion
from hmrm_lab.flow.gru_attention import FrozenFlow
from hmrm_lab.records import Clip, Floats
from hmrm_lab.registry import flows

HELD_OUT_SEED = 30_000
PEOPLE, PICTURES = 10, 12
NOISES = (0.0, 1.0, 2.0, 4.0)  # standard deviation in levels of 255
FACIAL = tuple((kind, peak_px) for kind in ("local", "smooth") for peak_px in (0.5, 1.0, 2.0))
SCENES = ((0.2, 1.0), (1.0, 5.0), (5.0, 20.0))  # longest vector in pixels
SCENE_PX = 224
_PAIR, _GRAIN = 31, 32  # streams of random numbers
METHODS = ("gru_attention", "tvl1", "farneback", "dis", "deepflow")
ZERO = "zero"
SIZES_PX = (0.0, 0.5, 1.0, 5.0, 20.0, np.inf)  # bounds of the classes of motion size
CELL = ["group", "motion", "noise"]


@dataclass(frozen=True, slots=True)
class Trial:
    """One pair, (H, W, 3) uint8, RGB, and its true flow, (2, H, W), NaN where it is not known."""

    group: str
    motion: str
    noise: float
    pair: str
    onset: NDArray[np.uint8]
    apex: NDArray[np.uint8]
    flow_px: NDArray[np.float32]


def facial_trials(
    pairs: int = 10,
    noises: Sequence[float] = NOISES,
    seed: int = HELD_OUT_SEED,
    motions: Sequence[tuple[str, float]] = FACIAL,
) -> Iterator[Trial]:
    """Held-out synthetic faces under local and smooth motion of .5, 1 and 2 px, or some of it."""
    faces = procedural.face_pictures(seed, range(min(PEOPLE, pairs)))
    for column, (kind, peak_px) in enumerate(FACIAL):
        if (kind, peak_px) not in motions:
            continue
        motion = f"{kind} {peak_px:g} px"
        for number in range(pairs):
            field = procedural.facial_field(_rng(seed, _PAIR, column, number), kind, peak_px)
            pair = procedural.moved_face(faces[number % len(faces)], field)
            yield from _noisy(pair, "faces", motion, noises, (seed, column, number))


def procedural_trials(
    pairs: int = 10, noises: Sequence[float] = NOISES, seed: int = HELD_OUT_SEED
) -> Iterator[Trial]:
    pictures = procedural.procedural_pictures(seed, PICTURES)
    for row, motion_px in enumerate(SCENES):
        source = procedural.ProceduralPairs(
            pictures, SCENE_PX, motion_px, large=0.0, layered=0.7, still=0.0
        )
        motion = f"{motion_px[0]:g}-{motion_px[1]:g} px"
        for number in range(pairs):
            pair = source(_rng(seed, _PAIR, 100 + row, number))
            yield from _noisy(pair, "scenes", motion, noises, (seed, 100 + row, number))


def clip_trials(
    clips: Sequence[Clip], noises: Sequence[float] = NOISES, seed: int = HELD_OUT_SEED
) -> Iterator[Trial]:
    """Onset and apex of synthetic clips, with this noise in place of the camera's."""
    for number, clip in enumerate(clips):
        yield from _noisy(
            procedural.clip_pair(clip), "clips", "onset to apex", noises, (seed, 200, number)
        )


def folder_trials(root: Path, limit: int | None = None) -> Iterator[Trial]:
    """The pairs of a folder without added noise; at most `limit`, at even distances."""
    files = find_pairs(root)
    if limit is not None and len(files) > limit:
        files = [files[place] for place in np.linspace(0, len(files) - 1, limit).astype(int)]
    for item in files:
        pair = item.read()
        onset, apex = (frame.astype(np.uint8) for frame in (pair.onset, pair.apex))
        yield Trial(root.name, "as recorded", 0.0, item.name, onset, apex, pair.flow_px)


TRIALS: dict[str, Callable[..., Iterator[Trial]]] = {
    "faces": facial_trials,
    "scenes": procedural_trials,
}


def _noisy(
    pair: TruePair, group: str, motion: str, noises: Sequence[float], key: tuple[int, int, int]
) -> Iterator[Trial]:
    """The pair at every strength of noise, with one pattern; the key is seed, stream, number."""
    seed, stream, number = key
    for noise in noises:
        rng = _rng(seed, _GRAIN, stream, number)
        onset, apex = with_noise(pair.onset, noise, rng), with_noise(pair.apex, noise, rng)
        yield Trial(group, motion, noise, f"{number:03d}", onset, apex, pair.flow_px)


def _rng(*key: int) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence(list(key)))


@dataclass(frozen=True, eq=False)
class FlowReport:
    """Errors of every method on every pair, a row each, and the number of its learnt parameters."""

    pairs: pd.DataFrame
    parameters: Mapping[str, int]

    def table(self) -> pd.DataFrame:
        """Mean end-point error in pixels: a row for each cell, a column for each method."""
        return self.pairs.pivot_table("epe_px", CELL, "method", sort=False)

    def by_size(self) -> pd.DataFrame:
        sizes = self.pairs.set_index("method").filter(like="_to_")
        return sizes.groupby(level=0, sort=False).mean()

    def summary(self) -> pd.DataFrame:
        """Each method over all pairs: errors, median time per pair, parameters."""
        grouped = self.pairs.groupby("method", sort=False)
        table = grouped[["epe_px", "angle_deg"]].mean().assign(ms=grouped["ms"].median())
        return table.assign(parameters=pd.Series(self.parameters))

    def wins(self, method: str = "gru_attention", against: str = "tvl1") -> pd.DataFrame:
        """Number of pairs of each cell that each of two methods wins; a tie counts for neither."""
        errors = self.pairs.pivot_table("epe_px", [*CELL, "pair"], "method", sort=False)
        first, second = errors[method], errors[against]
        counted = pd.DataFrame({"wins": first < second, "losses": first > second})
        cells = counted.groupby(level=CELL, sort=False)
        return cells.sum().assign(pairs=cells.size())

    def as_text(self) -> str:
        tables = [table for table in self._tables().values() if len(table)]
        short = [of.rename(columns=lambda name: f"{name}".replace("_to_", "-")) for of in tables]
        return "\n\n".join(table.to_string(float_format="{:.3f}".format) for table in short)

    def as_json(self) -> dict[str, object]:
        return {name: _records(table) for name, table in self._tables().items()}

    def _tables(self) -> dict[str, pd.DataFrame]:
        both = {"tvl1", "gru_attention"} <= set(self.pairs["method"])
        wins = self.wins() if both else pd.DataFrame()
        tables = {"cells": self.table(), "wins_against_tvl1": wins, "by_size": self.by_size()}
        return tables | {"methods": self.summary()}


def evaluate(
    *,
    methods: Iterable[str] = METHODS,
    sets: Iterable[str] = tuple(TRIALS),
    folders: Iterable[Path] = (),
    pairs: int = 10,
    noises: Iterable[float] | None = None,
    limit: int | None = None,
    weights: str = "",
    on_trial: Callable[[int], None] | None = None,
) -> FlowReport:
    """Measure methods on held-out pairs of these `sets` and on `folders` with ground truth.

    A folder is in the layout of Sintel, Middlebury or FlyingChairs; `weights` are a file for
    `gru_attention`; `on_trial` is called with the number of pairs so far. All methods see a pair
    one after the other, so that other load on the machine affects all alike.
    """
    options = {} if noises is None else {"noises": tuple(noises)}
    streams = []
    for name in sets:
        check_known("set of pairs", name, TRIALS)
        streams.append(TRIALS[name](pairs=pairs, **options))
    streams += [folder_trials(folder, limit) for folder in folders]
    own = {"gru_attention": {"weights": weights}} if weights else {}
    estimators = {name: flows[name].build(**own.get(name, {})) for name in methods}
    return evaluate_trials(chain.from_iterable(streams), estimators, on_trial)


def evaluate_trials(
    trials: Iterable[Trial],
    estimators: Mapping[str, FlowEstimator],
    on_trial: Callable[[int], None] | None = None,
) -> FlowReport:
    """Measure estimators, and the zero flow, on these pairs."""
    everyone = {**estimators, ZERO: no_motion}
    rows: list[dict[str, object]] = []
    for count, trial in enumerate(trials, start=1):
        about = {field: getattr(trial, field) for field in (*CELL, "pair")}
        for name, method in everyone.items():
            start = time.perf_counter()
            estimate = method(trial.onset[None], trial.apex[None])[0]
            spent = {"method": name, "ms": 1e3 * (time.perf_counter() - start)}
            rows.append(about | spent | errors_of(estimate, trial.flow_px))
        if on_trial is not None:
            on_trial(count)
    learnt = {n: m.network.parameters() for n, m in everyone.items() if isinstance(m, FrozenFlow)}
    numbers = {name: sum(part.numel() for part in parts) for name, parts in learnt.items()}
    return FlowReport(pd.DataFrame(rows), dict.fromkeys(everyone, 0) | numbers)


def errors_of(estimate_px: Floats, truth_px: Floats) -> dict[str, float]:
    """End-point error, also by motion size, and angular error (Barron et al. 1994).

    Both are (2, H, W) in pixels; pixels whose truth is NaN do not count.
    """
    known = np.isfinite(truth_px).all(axis=0)
    estimate, truth = estimate_px[:, known], truth_px[:, known]
    if truth.size == 0:
        raise InputError("no pixel of this pair has a known motion", hint="leave the pair out")
    distance = np.hypot(*(estimate - truth))
    size = np.hypot(*truth)
    found = {"epe_px": float(distance.mean()), "angle_deg": float(_angle(estimate, truth).mean())}
    for low, high in pairwise(SIZES_PX):
        inside = (size >= low) & (size < high)
        mean = float(distance[inside].mean()) if inside.any() else np.nan
        found[f"epe_{low:g}_to_{high:g}"] = mean
    return found


def _records(table: pd.DataFrame) -> list[dict[str, object]]:
    plain = table.reset_index().astype(object)
    rows = plain.where(plain.notna(), None).to_dict("records")
    return [{str(name): value for name, value in row.items()} for row in rows]


def _angle(estimate: Floats, truth: Floats) -> Floats:
    """Degrees between (u, v, 1) of both."""
    inner = 1 + (estimate * truth).sum(axis=0)
    lengths = np.sqrt((1 + (estimate**2).sum(axis=0)) * (1 + (truth**2).sum(axis=0)))
    return np.rad2deg(np.arccos(np.clip(inner / lengths, -1, 1))).astype(np.float32)
