"""`MotionMaps`: onset-to-apex flow and strain of many clips, as arrays and as a torch data set."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Self, overload

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset

from hmrm_lab.api.html import STRIP, card, strip
from hmrm_lab.config import ExperimentConfig
from hmrm_lab.errors import InputError, unknown_name
from hmrm_lab.records import CHANNELS, PX, ClipKey, Floats, FlowSet, Ints, group_kfold

OWN = "own"  # the data set of arrays that a person brings


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
    `clips.maps()` computes them, `MotionMaps.from_arrays` takes yours.

    Shapes
    ------
    X : (n, 3, H, W) float32, order (u, v, strain)
    y : (n,) int64, index into `classes`
    subjects : n names, `dataset/subject`
    unit : `px`, or `relative` where every channel was scaled on its own
    masks : (n, 2, H, W) bool, order (eyes, mouth); None without landmarks

    Examples
    --------
    >>> maps = lab.load("synthetic", preset="smoke").maps()
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
        names are numbers.

        Raises
        ------
        InputError
            If the shapes do not fit each other.
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
        if expression not in self.classes:
            raise unknown_name("expression", expression, self.classes)
        return self[self.labels == self.classes.index(expression)]

    def split(self, share: float = 0.5, seed: int = 0) -> tuple["MotionMaps", "MotionMaps"]:
        """Two parts without a common subject; the first has about this share of the clips.

        Raises
        ------
        InputError
            If there are too few subjects for a part of this size.
        """
        groups = max(2, round(1 / min(share, 1 - share))) if 0 < share < 1 else 0
        if not groups:
            raise InputError(f"a share of {share}", hint="take one between 0 and 1")
        small = next(group_kfold(self.subjects, groups, seed))
        parts = self[small], self[~small]
        return parts if share <= 0.5 else parts[::-1]

    def to_frame(self) -> pd.DataFrame:
        """One row per clip: dataset, subject, clip, class, and means of |u|, |v| and strain."""
        means = np.abs(self.maps).mean(axis=(2, 3))
        table = pd.DataFrame(list(self.keys), columns=["dataset", "subject", "clip"])
        table["class"] = self.expressions
        return table.assign(**{name: means[:, n] for n, name in enumerate(CHANNELS)})

    def with_labels(self, labels: Ints) -> "MotionMaps":
        return replace(self, labels=labels)

    def _repr_html_(self) -> str:
        from hmrm_lab.reporting.drawing import enlarged_flow, flow_picture

        counts = np.bincount(self.labels, minlength=len(self.classes)).tolist()
        facts = {
            "clips": len(self),
            "subjects": len(set(self.subjects)),
            "classes": ", ".join(map("{} {}".format, counts, self.classes)),
            "maps": f"{self.maps.shape[1:]}, order ({', '.join(CHANNELS)}), {self.unit}",
        }
        rows = np.linspace(0, len(self) - 1, min(STRIP // 2, len(self))).astype(int)
        pictures = [
            (self.keys[row].clip, flow_picture(enlarged_flow(self.maps[row, :2], 96), "colour"))
            for row in rows
        ]
        return card("MotionMaps", facts, strip(pictures))
