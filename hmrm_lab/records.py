"""The records from frames to tables: `Clip`, `FlowSet`, `Predictions`."""

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, Protocol, Self, runtime_checkable

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hmrm_lab.errors import InputError, unknown_name

MOST_CLASSES = 10
CHANNELS = ("u", "v", "strain")
MASKS = ("eyes", "mouth")
PICTURES = ("onset", "apex", "dynamic_image", "mesti")
PX, RELATIVE = "px", "relative"  # u and v on one scale; every channel on a scale of its own

UNITS = (
    *(1, 2, 4, 5, 6, 7, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 20, 22, 23, 24, 25, 26, 27, 28),
    *(29, 30, 31, 32, 33, 34, 35, 38, 39, 43, 45),
)
"""Numbers of action units (Ekman and Friesen 1978), the columns of `FlowSet.action_units`."""

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]


def are_classes(names: Sequence[object]) -> bool:
    """Whether these can be the names of classes: at most ten, each once, in alphabetical order."""
    texts = [name for name in names if isinstance(name, str)]
    return 0 < len(names) <= MOST_CLASSES and list(names) == sorted(set(texts))


class ClipKey(NamedTuple):
    """A clip's identity. Subject names collide between data sets: a subject is the first two.

    Two names can be declared one subject: `FlowSet.with_same_person`.
    """

    dataset: str
    subject: str
    clip: str

    @property
    def subject_key(self) -> str:
        """The subject as `dataset/subject`."""
        return f"{self.dataset}/{self.subject}"


class Frames(Protocol):
    """A sequence of images, read or rendered when asked for: (H, W, 3) uint8, RGB."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> NDArray[np.uint8]: ...


@runtime_checkable
class KnownMotion(Protocol):
    """Synthetic frames, whose exact flow is known: (2, H, W) float32, pixels.

    `clean` is a frame before sensor noise: (H, W, 3) float32, RGB in levels of 0..255.
    """

    def flow(self, source: int, target: int) -> Floats: ...

    def clean(self, index: int) -> Floats: ...


@runtime_checkable
class LandmarkedFrames(Protocol):
    """Frames with landmarks: (68, 2) float32, (x, y) pixels."""

    def landmarks(self, index: int) -> Floats: ...


@dataclass(frozen=True, slots=True)
class Clip:
    """One recording of one micro-expression. Onset, apex and offset index into `frames`.

    `label` is the index of its class in `classes`, None where nobody has named an emotion. The apex
    is None where it is not annotated, or where the annotation cannot be right. `action_units` are
    as coded, with sides and intensities, such as ("4", "L12", "R14B"); None where nobody has coded
    them.
    """

    key: ClipKey
    label: int | None
    frames: Frames
    onset: int
    apex: int | None
    offset: int
    fps: float
    classes: tuple[str, ...]
    emotion: str = ""  # the word of the coding file
    action_units: tuple[str, ...] | None = None
    groups: Mapping[str, str] = field(default_factory=dict, hash=False)  # others of a manifest

    @property
    def expression(self) -> str:
        """The name of its class; empty where it has no label."""
        return "" if self.label is None else self.classes[self.label]

    @property
    def known_apex(self) -> int:
        """The apex; an `InputError` where there is none."""
        if self.apex is None:
            problem = f"clip {'/'.join(self.key)} has no apex"
            raise InputError(problem, hint="spot the apex first (`hmrm prepare`)")
        return self.apex


@dataclass(frozen=True, slots=True, eq=False)
class FramePairs:
    """Onset and apex frames of many clips, reduced to one size, for fine-tuning a flow."""

    images: NDArray[np.uint8]  # (n, 2, side, side, 3), RGB, order (onset, apex)
    pixel: Floats  # (n, 2), width and height of one pixel in pixels of the clip's crop

    def __post_init__(self) -> None:
        n, side = len(self.images), self.images.shape[2]
        _require_shape("images", self.images, (n, 2, side, side, 3))
        _require_shape("pixel", self.pixel, (n, 2))

    def __len__(self) -> int:
        return len(self.images)

    def take(self, rows: Ints) -> "FramePairs":
        return FramePairs(self.images[rows].copy(), self.pixel[rows].copy())


@dataclass(frozen=True, slots=True, eq=False)
class FlowSet:
    """Onset-to-apex motion of many clips.

    In `RELATIVE` maps u and v have no common scale: their flow has neither direction nor magnitude.
    Where a crop reaches beyond its recording, the map has the median motion there, and no weight.
    """

    maps: Floats  # (n, 3, H, W), order (u, v, strain)
    labels: Ints  # (n,), indices into `classes`
    keys: tuple[ClipKey, ...]
    classes: tuple[str, ...]  # in alphabetical order
    masks: NDArray[np.bool_] | None = None  # (n, 2, H, W), order (eyes, mouth), from landmarks
    unit: str = PX
    inside: NDArray[np.bool_] | None = None  # (n, H, W), in the recording; None: all of it is
    outside_energy: Floats | None = None  # (n,), share of the motion that was removed outside
    frames: FramePairs | None = None  # where the flow is to be fine-tuned
    clips: NDArray[np.uint8] | None = None  # (n, T, S, S), gray, where a system takes clips
    pictures: Floats | None = None  # (n, 4, S, S), gray, order `PICTURES`, where one takes them
    same_person: Mapping[str, str] = field(default_factory=dict)  # the first of several names
    action_units: NDArray[np.int8] | None = None  # (n, len(UNITS)): 1 moves, 0 not, -1 unknown
    moving_units: tuple[int, ...] = ()  # that two subjects or more of the whole data set move
    sequence: Floats | None = None  # (n, T, 3, H, W), from the onset to T frames, where one is read
    until: str = ""  # the last frame of the sequence: apex or offset

    def __post_init__(self) -> None:
        n = len(self.keys)
        height, width = self.maps.shape[2:] if self.maps.ndim == 4 else (0, 0)
        _require_shape("maps", self.maps, (n, len(CHANNELS), height, width))
        _require_shape("labels", self.labels, (n,))
        if self.masks is not None:
            _require_shape("masks", self.masks, (n, len(MASKS), height, width))
        if self.inside is not None:
            _require_shape("inside", self.inside, (n, height, width))
        if self.pictures is not None:
            _require_shape("pictures", self.pictures, (n, len(PICTURES), *self.pictures.shape[2:]))
        if self.sequence is not None:
            _require_shape("sequence", self.sequence, (n, self.times, *self.maps.shape[1:]))
        if self.action_units is not None:
            _require_shape("action_units", self.action_units, (n, len(UNITS)))
        for beside in (self.frames, self.clips):
            if beside is not None and len(beside) != n:
                raise ValueError(f"frames of {len(beside)} clips beside {n} maps")
        if self.unit not in (PX, RELATIVE):
            raise ValueError(f"unit must be {PX} or {RELATIVE}, not {self.unit}")
        if not are_classes(self.classes):
            raise ValueError(f"no names of classes in alphabetical order: {self.classes}")
        if not np.isin(self.labels, range(len(self.classes))).all():
            raise ValueError(f"labels must be below {len(self.classes)}")
        # Sums over strided memory round differently: computed and loaded maps need one layout.
        object.__setattr__(self, "maps", np.ascontiguousarray(self.maps))
        if self.action_units is not None and not self.moving_units:  # parts keep those of the whole
            of_subjects = [set(np.array(self.subjects)[m]) for m in self.action_units.T == 1]
            moving = (unit for unit, who in zip(UNITS, of_subjects, strict=True) if len(who) > 1)
            object.__setattr__(self, "moving_units", tuple(moving))

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def times(self) -> int:
        """The number of maps of a clip's sequence; 1 where there is none."""
        return 1 if self.sequence is None else self.sequence.shape[1]

    @property
    def expressions(self) -> tuple[str, ...]:
        return tuple(self.classes[label] for label in self.labels)

    @property
    def subjects(self) -> tuple[str, ...]:
        """`dataset/subject` of every clip; the first of a subject's several names."""
        return tuple(self.same_person.get(key.subject_key, key.subject_key) for key in self.keys)

    def take(self, indices: Sequence[int] | Ints) -> Self:
        """Copy the clips at these positions, so that nothing of the others comes along."""
        rows = np.asarray(indices, dtype=np.int64)
        optional = ("masks", "inside", "outside_energy", "clips", "pictures", "sequence")
        names = ("maps", "labels", *optional, "action_units")
        arrays = {name: getattr(self, name) for name in names}
        return replace(
            self,
            keys=tuple(self.keys[row] for row in rows),
            frames=None if self.frames is None else self.frames.take(rows),
            **{name: one[rows].copy() for name, one in arrays.items() if one is not None},
        )

    def coding_of(self, units: Sequence[int]) -> NDArray[np.int8]:
        """The coding of these action units, (n, U): 1 moves, 0 not, -1 nobody has coded it."""
        if self.action_units is None:
            return np.full((len(self), len(units)), -1, dtype=np.int8)
        return self.action_units[:, [UNITS.index(unit) for unit in units]]

    def with_labels(self, labels: Ints) -> Self:
        return replace(self, labels=labels)

    def with_same_person(self, groups: Iterable[Iterable[str]]) -> Self:
        """Take the names (`dataset/subject`) of each group for one subject.

        Names of absent data sets are ignored; one that a data set here lacks is a `ConfigError`.
        """
        names, sets = {key.subject_key for key in self.keys}, {key.dataset for key in self.keys}
        known = names_of_subject(groups)
        for name in sorted(known.keys() - names):
            if name.partition("/")[0] in sets:
                raise unknown_name("subject in evaluation.same_person", name, names)
        here = {name: min(known[name] & names) for name in known.keys() & names}
        return replace(self, same_person=here)

    def fingerprint(self) -> str:
        """A digest of every value, in order, without the names of classes."""
        rule = " by channel" if self.unit == RELATIVE else ""
        digest = hashlib.sha256(f"{self.unit}{rule}".encode())
        for key in self.keys:
            digest.update("\0".join(key).encode())
        pairs = () if self.frames is None else (self.frames.images, self.frames.pixel)
        arrays = (self.maps, self.labels, self.masks, self.inside, *pairs)
        digest.update(self.until.encode())
        for array in (*arrays, self.clips, self.pictures, self.action_units, self.sequence):
            if array is not None:
                digest.update(repr((array.shape, array.dtype.str)).encode())
                digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()


def unit_columns(clips: Sequence[Clip]) -> NDArray[np.int8] | None:
    """The action units of clips, (n, len(UNITS)): 1 moves, 0 not, -1 nobody has coded it.

    Sides and intensities do not count, nor do units that are not in `UNITS`. None where no clip has
    any.
    """
    if all(clip.action_units is None for clip in clips):
        return None
    table = np.full((len(clips), len(UNITS)), -1, dtype=np.int8)
    for row, clip in enumerate(clips):
        if clip.action_units is not None:
            moved = {
                int(number) for unit in clip.action_units for number in re.findall(r"\d+", unit)
            }
            table[row] = [number in moved for number in UNITS]
    return table


def _require_shape(name: str, array: NDArray[Any], shape: tuple[int, ...]) -> None:
    if array.shape != shape:
        raise ValueError(f"{name} must be {shape}, not {array.shape}")


def names_of_subject(groups: Iterable[Iterable[str]]) -> dict[str, frozenset[str]]:
    """Map every name to all names of its subject, over groups that overlap."""
    found: dict[str, frozenset[str]] = {}
    for group in groups:
        whole = frozenset(group).union(*(found.get(name, frozenset()) for name in group))
        found |= dict.fromkeys(whole, whole)
    return found


def digest_of_keys(keys: Iterable[ClipKey]) -> str:
    """Sixteen hexadecimal digits for a set of clips, in any order."""
    lines = sorted("\0".join(key) for key in keys)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


KEYS_AND_LABELS = ("dataset", "subject", "clip", "fold", "seed", "epoch", "truth", "prediction")
PROBABILITY = "p_"  # before the name of a class
CODED = "_truth"  # after the name of an action unit


def prediction_columns(classes: Iterable[str], units: Iterable[str] = ()) -> list[str]:
    """The columns of `Predictions` for these classes and action units."""
    pairs = [(unit, f"{unit}{CODED}") for unit in units]
    return [*KEYS_AND_LABELS, *probability_columns(classes), *(of for pair in pairs for of in pair)]


def probability_columns(classes: Iterable[str]) -> list[str]:
    return [f"{PROBABILITY}{name}" for name in classes]


def classes_of(columns: Iterable[str]) -> tuple[str, ...]:
    """The classes that have a column of probabilities."""
    found = (name for name in columns if name.startswith(PROBABILITY))
    return tuple(sorted(name.removeprefix(PROBABILITY) for name in found))


def units_of(columns: Iterable[Any]) -> list[str]:
    """The action units that have a column of probabilities, such as `AU12`."""
    found = (name for name in columns if re.fullmatch(r"AU\d+", name))
    return sorted(found, key=lambda name: int(name.removeprefix("AU")))


@dataclass(frozen=True, slots=True, eq=False)
class Predictions:
    """One row per clip and seed: the only source of every metric.

    Columns: `prediction_columns` of the classes, of which truth and prediction are indices. `fold`
    is the held-out `dataset/subject`, or the name of a fold of several; `epoch` is the number of
    epochs behind the prediction. Logs of other programs may lack probabilities (NaN). A learnt
    action unit has its probability (`AU12`) and its coding (`AU12_truth`: 1, 0, or NA if unknown).
    """

    table: pd.DataFrame

    def __post_init__(self) -> None:
        missing = [name for name in KEYS_AND_LABELS if name not in self.table.columns]
        if missing or not self.classes:
            raise ValueError(f"predictions lack the columns {missing or [PROBABILITY]}")

    @classmethod
    def of_rows(cls, rows: Sequence[Mapping[str, Any]]) -> "Predictions":
        """A table of the rows of folds, in their order."""
        units = units_of(rows[0])
        table = pd.DataFrame(rows, columns=prediction_columns(classes_of(rows[0]), units))
        return cls(table.astype({f"{unit}{CODED}": "Int64" for unit in units}))

    def __len__(self) -> int:
        return len(self.table)

    @property
    def classes(self) -> tuple[str, ...]:
        return classes_of(self.table.columns)

    @property
    def probabilities(self) -> list[str]:
        """The columns of probabilities."""
        return probability_columns(self.classes)

    @property
    def seeds(self) -> list[int]:
        return sorted(int(seed) for seed in self.table["seed"].unique())

    @property
    def subjects(self) -> pd.Series:
        """`dataset/subject` of every row; of several names of a subject, that of the fold."""
        own = self.table["dataset"] + "/" + self.table["subject"]
        return self.table["fold"].where(self.table["fold"].isin(own), own)

    def only(self, dataset: str) -> "Predictions":
        """The rows of one data set."""
        return Predictions(self.table[self.table["dataset"] == dataset].reset_index(drop=True))


def group_kfold(subjects: Sequence[str], groups: int, seed: int) -> Iterator[NDArray[np.bool_]]:
    """Divide clips into groups by subject: for each group, whether a clip is in it, (n,).

    Subjects are drawn at random, those with most clips first, and each joins the group with fewest
    clips, so that groups are of similar size. `InputError` for fewer subjects than groups.
    """
    of_clips = np.array(subjects)
    names, counts = np.unique(of_clips, return_counts=True)
    if len(names) < groups:
        problem = f"{len(names)} subjects cannot be divided into {groups} inner folds"
        raise InputError(problem, hint="take more subjects or fewer folds")
    shuffled = np.random.default_rng(seed).permutation(len(names))
    sizes = np.zeros(groups, dtype=int)
    members: list[list[str]] = [[] for _ in range(groups)]
    for index in shuffled[np.argsort(-counts[shuffled], kind="stable")]:
        smallest = int(sizes.argmin())
        members[smallest].append(names[index])
        sizes[smallest] += counts[index]
    for group in members:
        yield np.isin(of_clips, group)
