"""`Clips` and `MotionMaps`: a data set of recordings, and the motion of each of its clips."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from html import escape
from pathlib import Path
from typing import Any, Self, overload

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset

from hmrm_lab.config import ExperimentConfig, load_config, override
from hmrm_lab.datasets.classes import scheme
from hmrm_lab.datasets.recordings.findings import Finding
from hmrm_lab.datasets.recordings.manifest import write_manifest
from hmrm_lab.errors import InputError, check_known
from hmrm_lab.preparation import load_clips, load_flowset
from hmrm_lab.records import CHANNELS, PX, Clip, ClipKey, Floats, FlowSet, Ints, group_kfold
from hmrm_lab.reporting.drawing import enlarged_flow, flow_picture, image_uri
from hmrm_lab.runtime.processes import count_jobs, end_preparation_workers
from hmrm_lab.runtime.progress import progress_bars

Paths = str | Path | None
OWN = "own"  # the data set of arrays that a person brings
STRIP = 8  # pictures in a row


@dataclass(frozen=True)
class Source:
    """Where maps come from: the settings of data, faces and flow, the folder, and all subjects."""

    config: ExperimentConfig
    root: Path | None
    subjects: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class MotionMaps(FlowSet, Dataset[tuple[torch.Tensor, int]]):
    """Onset-to-apex motion of many clips, with classes and subjects; a torch `Dataset`.

    An index gives one clip, a slice, list or mask of rows gives `MotionMaps`. `len` counts clips.
    `clips.maps()` computes them, `MotionMaps.from_arrays` takes yours. `subjects` are n names
    (`dataset/subject`), `unit` is `px`, or `relative` where every channel has a scale of its own.

    Shapes
    ------
    X : (n, 3, H, W) float32, order (u, v, strain)
    y : (n,) int64, index into `classes`
    masks : (n, 2, H, W) bool, order (eyes, mouth); None without landmarks

    >>> maps.X.shape, maps.unit, maps.classes
    ((16, 3, 28, 28), 'px', ('negative', 'positive', 'surprise'))
    >>> train, test = maps.split(0.5)
    >>> len(train), len(test), set(train.subjects) & set(test.subjects)
    (8, 8, set())
    """

    source: Source | None = None

    @classmethod
    def from_flowset(cls, flowset: FlowSet, source: Source | None = None) -> Self:
        """The maps of a record, with where they come from."""
        known = {one.name: getattr(flowset, one.name) for one in fields(FlowSet)}
        return cls(**known, source=source)

    @classmethod
    def from_arrays(
        cls,
        X: NDArray[Any],
        y: Sequence[int] | Ints,
        subjects: Sequence[str] | NDArray[Any] | None = None,
        *,
        classes: Sequence[str] = (),
        unit: str = PX,
    ) -> Self:
        """Maps of your own: X (n, 3, H, W) in order (u, v, strain), y (n,), a subject for each.

        Without `subjects` each clip is taken for a subject of its own; without `classes`, their
        names are numbers. `InputError` if the shapes do not fit each other.
        """
        maps, labels = np.asarray(X, dtype=np.float32), np.asarray(y, dtype=np.int64)
        names = range(len(maps)) if subjects is None else subjects
        people = [str(name).removeprefix(f"{OWN}/").replace("/", " ") for name in names]
        if not len(maps) == len(labels) == len(people):
            sizes = f"{len(maps)} maps, {len(labels)} classes and {len(people)} subjects"
            raise InputError(sizes, hint="give as many of each")
        keys = tuple(ClipKey(OWN, name, str(row)) for row, name in enumerate(people))
        try:
            names_of_classes = classes or map(str, range(max(2, int(labels.max()) + 1)))
            return cls(maps, labels, keys, tuple(names_of_classes), unit=unit)
        except ValueError as error:
            raise InputError(str(error), hint="take (n, 3, H, W) in order (u, v, strain)") from None

    @property
    def X(self) -> Floats:  # noqa: N802  the name that scikit-learn uses
        return self.maps

    @property
    def y(self) -> Ints:
        return self.labels

    @property
    def shape(self) -> tuple[int, ...]:
        return self.maps.shape

    @property
    def held_out(self) -> tuple[str, ...]:
        """Subjects of the whole data set that are not here, in order; none if it is whole."""
        everyone = set(self.source.subjects) if self.source else set()
        return tuple(sorted(everyone - set(self.subjects)))

    @property
    def is_whole(self) -> bool:
        """Whether these are all clips of a data set that `lab.load` can read again."""
        return self.source is not None and len(self.source.subjects) == len(self)

    @overload
    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]: ...
    @overload
    def __getitem__(self, index: Any) -> "MotionMaps": ...
    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, (int, np.integer)):
            return torch.from_numpy(self.maps[index]), int(self.labels[index])
        rows = index[0] if isinstance(index, tuple) else index  # scikit-learn asks for [rows, ...]
        return self.take(np.arange(len(self))[rows])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.array(self.maps, dtype=dtype, copy=copy)

    def __repr__(self) -> str:
        return f"MotionMaps({len(self)} clips, {len(set(self.subjects))} subjects, {self.unit})"

    def of(self, expression: str) -> "MotionMaps":
        """The clips of one class."""
        check_known("expression", expression, self.classes)
        return self[self.labels == self.classes.index(expression)]

    def split(self, share: float = 0.5, seed: int = 0) -> tuple["MotionMaps", "MotionMaps"]:
        """Two parts without a common subject; the first has about this share of the clips.

        `InputError` if there are too few subjects for a part of this size.
        """
        groups = max(2, round(1 / min(share, 1 - share))) if 0 < share < 1 else 0
        if not groups:
            raise InputError(f"a share of {share}", hint="take one between 0 and 1")
        small = next(group_kfold(self.subjects, groups, seed))
        parts = self[small], self[~small]
        return parts if share <= 0.5 else parts[::-1]

    def to_frame(self) -> pd.DataFrame:
        """One row per clip: dataset, subject, clip, class, and mean `|u|`, `|v|` and strain."""
        means = np.abs(self.maps).mean(axis=(2, 3))
        table = pd.DataFrame(list(self.keys), columns=["dataset", "subject", "clip"])
        table["class"] = self.expressions
        return table.assign(**{name: means[:, n] for n, name in enumerate(CHANNELS)})

    def _repr_html_(self) -> str:
        facts = {
            "clips": len(self),
            "subjects": len(set(self.subjects)),
            "classes": _counts(self.labels, self.classes),
            "maps": f"{self.maps.shape[1:]}, order ({', '.join(CHANNELS)}), {self.unit}",
        }
        pictures = [
            (self.keys[row].clip, flow_picture(enlarged_flow(self.maps[row, :2], 96), "colour"))
            for row in _spread(len(self), STRIP // 2)
        ]
        return card("MotionMaps", facts, _strip(pictures))


class Clips(Sequence[Clip]):
    """The clips of a data set, with their class names; made by `lab.load`.

    An index gives one `Clip`, a slice gives `Clips`. A data set whose motion maps come ready-made
    has no clips: its `len` is 0, and `maps()` gives the maps.

    >>> len(clips), clips.classes, clips.subjects[:2]
    (16, ('negative', 'positive', 'surprise'), ('synthetic/s01', 'synthetic/s02'))
    >>> clips.of("surprise").table()["class"].unique().tolist()
    ['surprise']
    """

    def __init__(
        self,
        config: ExperimentConfig,
        root: Path | None,
        clips: Sequence[Clip] = (),
        *,
        is_whole: bool = True,
    ) -> None:
        self.config, self.root, self.is_whole = config, root, is_whole
        self._clips, found = list(clips), getattr(clips, "findings", ())
        self.left_out: list[Finding] = [finding for finding in found if finding.left_out]
        self._maps: dict[str, MotionMaps] = {}

    @property
    def name(self) -> str:
        return self.config.data.name

    @property
    def classes(self) -> tuple[str, ...]:
        return scheme(self.config.data.classes).classes

    @property
    def subjects(self) -> tuple[str, ...]:
        """`dataset/subject` of everybody, in order."""
        return tuple(sorted({clip.key.subject_key for clip in self}))

    @property
    def source(self) -> Source:
        """Where the clips come from."""
        return Source(self.config, self.root, tuple(clip.key.subject_key for clip in self))

    def __len__(self) -> int:
        return len(self._clips)

    @overload
    def __getitem__(self, index: int) -> Clip: ...
    @overload
    def __getitem__(self, index: slice) -> "Clips": ...
    def __getitem__(self, index: int | slice) -> "Clip | Clips":
        if isinstance(index, slice):
            return self._part(self._clips[index])
        if not self._clips:
            hint = "take 'synthetic' or a data set of recordings"
            raise InputError(f"data set '{self.name}' has no clips", hint=hint)
        return self._clips[index]

    def __iter__(self) -> Iterator[Clip]:
        return iter(self._clips)

    def __repr__(self) -> str:
        return f"Clips({self.name!r}, {len(self)} clips, {len(self.subjects)} subjects)"

    def of(self, expression: str) -> "Clips":
        """The clips of one class, in their order; an `InputError` if there is none."""
        check_known("expression", expression, self.classes)
        chosen = [clip for clip in self if clip.expression == expression]
        if not chosen:
            problem = f"none of these clips is {expression}"
            raise InputError(problem, hint="choose another expression")
        return self._part(chosen)

    def table(self) -> pd.DataFrame:
        """One row per clip: dataset, subject, clip, class, onset, apex, offset, frames, fps, units.

        The column "action units" has them as coded, 4+L12; it is None where nobody has coded them.
        Groups of a manifest have columns of their own.
        """
        named = ("onset", "apex", "offset")
        rows = [
            clip.key._asdict()
            | {"class": clip.expression, **{name: getattr(clip, name) for name in named}}
            | {"frames": len(clip.frames), "fps": clip.fps}
            | {"action units": None if clip.action_units is None else "+".join(clip.action_units)}
            | dict(clip.groups)
            for clip in self
        ]
        return pd.DataFrame(rows)

    def export(self, path: str | Path) -> Path:
        """Write the clips as a manifest, a table (.csv) that `lab.load("manifest")` reads again.

        Its paths are those below the root of the clips; drawn frames are written beside the table.
        `InputError` if there is such a file, or there are no clips. Returns the path.
        """
        if not self._clips:
            raise InputError(f"data set '{self.name}' has no clips", hint="take recordings")
        write_manifest(self._clips, Path(path), self.root, scheme(self.config.data.classes))
        return Path(path)

    def maps(self, flow: str | None = None, *, jobs: int = 1, **options: Any) -> MotionMaps:
        """Onset-to-apex flow, strain and masks of every clip; cached, so that it goes on.

        `flow` is a name of `lab.flows()`, that of the preset if not given, and `options` are its
        own, or `phases="both"` or `"mm_cof"` for the way back from apex to offset. `jobs`
        processes compute, 0 being one per core. `InputError` if no clip is usable.
        """
        named = {"name": flow} if flow else {}
        changes = {f"flow.{name}": value for name, value in (named | options).items()}
        config = override(self.config, changes)
        key = config.digest()
        if key not in self._maps:
            with progress_bars() as bars:
                flowset = load_flowset(config, self.root, jobs=count_jobs(jobs), watch=bars)
            end_preparation_workers()
            source = Source(config, self.root, flowset.subjects)
            self._maps[key] = MotionMaps.from_flowset(flowset, source)
        found = self._maps[key]
        if len(self) in (0, len(found)):
            return found
        here = {clip.key for clip in self}
        return found[[one in here for one in found.keys]]

    def _part(self, clips: Sequence[Clip]) -> "Clips":
        whole = self.is_whole and len(clips) == len(self)
        return Clips(self.config, self.root, clips, is_whole=whole)

    def _repr_html_(self) -> str:
        labels = [clip.label for clip in self]
        facts = {
            "data set": self.name,
            "clips": len(self) or "none: the motion maps come ready-made",
            "subjects": len(self.subjects),
            "classes": _counts([label for label in labels if label is not None], self.classes),
        }
        chosen = [self[row] for row in _spread(len(self), STRIP)]
        faces = [(clip.key.clip, clip.frames[clip.apex or clip.onset]) for clip in chosen]
        return card("Clips", facts, _strip(faces))


def load(
    data: str = "synthetic", root: Paths = None, *, preset: str = "default", **options: Any
) -> Clips:
    """Open a data set: its clips, classes and subjects. Nothing is computed.

    `ConfigError` for a name or an option that does not exist; `InputError` if the folder cannot be
    read.

    Parameters
    ----------
    data, root
        A name of `lab.datasets()`, and the folder of the data; `synthetic` needs no files.
    preset
        `smoke`, `demo`, `default`, `paper-literal`, `paper-sane`, or a TOML file: how many clips
        `synthetic` has, and which flow `maps()` takes.
    options
        Options of the data set, such as `subjects=8` or `coding="coding.xlsx"`; `classes` is the
        class scheme, such as `casme2-5`; `faces` names who finds the faces of recordings (dlib,
        mtcnn, template), `apex="spotted"` lets a rule find the apex where it is not annotated.

    >>> lab.load("synthetic", preset="smoke", clips=24, subjects=6)
    Clips('synthetic', 24 clips, 6 subjects)
    """
    of_faces = {"faces": "faces.name", "apex": "faces.apex"}
    changes = {of_faces.get(name, f"data.{name}"): value for name, value in options.items()}
    config = load_config(preset, data=data, overrides=changes)
    folder = Path(root) if root else None
    return Clips(config, folder, load_clips(config, folder) or [])


def card(kind: str, facts: Mapping[str, object], *below: str) -> str:
    """How a noun shows itself in a notebook: a heading, facts, and whatever HTML comes below."""
    rows = "".join(
        f"<tr><th style='text-align:left'>{escape(name)}</th>"
        f"<td style='text-align:left'>{escape(str(value))}</td></tr>"
        for name, value in facts.items()
    )
    return f"<div><b>{escape(kind)}</b><table>{rows}</table>{''.join(below)}</div>"


def _strip(pictures: Iterable[tuple[str, NDArray[np.uint8]]]) -> str:
    """Small pictures in a row, each with its name: (H, W, 3) uint8, RGB."""
    style = "display:inline-block;margin:2px"
    return "".join(
        f"<figure style='{style}'><img width=96 alt='{escape(name)}'"
        f" src='{image_uri(picture, 'jpeg')}'><figcaption>{escape(name)}</figcaption></figure>"
        for name, picture in pictures
    )


def _spread(length: int, count: int) -> list[int]:
    """Rows at even distances, the first and the last among them."""
    return [int(row) for row in np.linspace(0, length - 1, min(count, length))]


def _counts(labels: Sequence[int] | Ints, classes: Sequence[str]) -> str:
    counts = np.bincount(labels, minlength=len(classes))
    return ", ".join(f"{count} {name}" for count, name in zip(counts, classes, strict=True))
