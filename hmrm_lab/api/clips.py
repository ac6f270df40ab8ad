"""`Clips`: a data set of recordings, and what is seen of a single clip."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, overload

import numpy as np
import pandas as pd

from hmrm_lab.api.html import STRIP, card, strip
from hmrm_lab.api.maps import MotionMaps, Source
from hmrm_lab.config import ExperimentConfig, load_config, override
from hmrm_lab.datasets.classes import scheme
from hmrm_lab.errors import InputError
from hmrm_lab.records import Clip, clips_of
from hmrm_lab.runtime.progress import progress_bars

Paths = str | Path | None


def assignments(prefix: str, settings: dict[str, Any]) -> list[str]:
    """Settings of one section as overrides: `data.clips=16`."""
    return [f"{prefix}.{name}={json.dumps(value)}" for name, value in settings.items()]


class Clips(Sequence[Clip]):
    """The clips of a data set, with their class names; made by `lab.load`.

    An index gives one `Clip`, a slice gives `Clips`. A data set whose motion maps come ready-made
    has no clips: its `len` is 0, and `maps()` gives the maps.

    Examples
    --------
    >>> clips = lab.load("synthetic", preset="smoke")
    >>> len(clips), clips.classes, clips.subjects[:2]
    (16, ('negative', 'positive', 'surprise'), ('synthetic/s01', 'synthetic/s02'))
    >>> clips.of("surprise").table()["class"].unique().tolist()
    ['surprise']
    """

    def __init__(self, config: ExperimentConfig, root: Path | None, clips: Sequence[Clip]) -> None:
        self.config, self.root = config, root
        self._clips = list(clips)
        self._maps: dict[str, MotionMaps] = {}

    @property
    def name(self) -> str:
        """The data set's name."""
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
            return Clips(self.config, self.root, self._clips[index])
        if not self._clips:
            raise InputError(
                f"data set '{self.name}' has no clips",
                hint="take 'synthetic' or a data set of recordings",
            )
        return self._clips[index]

    def __iter__(self) -> Iterator[Clip]:
        return iter(self._clips)

    def __repr__(self) -> str:
        return f"Clips({self.name!r}, {len(self)} clips, {len(self.subjects)} subjects)"

    def of(self, expression: str) -> "Clips":
        """The clips of one class, in their order; an `InputError` if there is none."""
        return Clips(self.config, self.root, clips_of(self._clips, expression))

    def table(self) -> pd.DataFrame:
        """One row per clip: dataset, subject, clip, class, onset, apex, offset, frames, fps."""
        rows = [
            {
                **clip.key._asdict(),
                "class": clip.expression,
                "onset": clip.onset,
                "apex": clip.apex,
                "offset": clip.offset,
                "frames": len(clip.frames),
                "fps": clip.fps,
            }
            for clip in self
        ]
        return pd.DataFrame(rows)

    def maps(self, flow: str | None = None, *, jobs: int = 1, **options: Any) -> MotionMaps:
        """Onset-to-apex flow, strain and masks of every clip; cached, so that it goes on.

        Parameters
        ----------
        flow
            A name of `lab.flows()`; that of the preset if not given.
        jobs
            Processes.
        options
            Options of the flow, and `phases="both"` for the way back from apex to offset.

        Raises
        ------
        InputError
            If no clip is usable.
        """
        from hmrm_lab.preparation import load_flowset

        changes = assignments("flow", ({"name": flow} if flow else {}) | options)
        config = override(self.config, changes)
        key = config.digest()
        if key not in self._maps:
            with progress_bars() as bars:
                found = load_flowset(config, self.root, jobs=jobs, watch=bars)
            self._maps[key] = MotionMaps.from_flowset(
                found, Source(config, self.root, found.subjects)
            )
        if len(self) in (0, len(self._maps[key])):
            return self._maps[key]
        here = {clip.key for clip in self}
        return self._maps[key][[one in here for one in self._maps[key].keys]]

    def _repr_html_(self) -> str:
        counts = np.bincount([clip.label for clip in self], minlength=len(self.classes)).tolist()
        facts = {
            "data set": self.name,
            "clips": len(self) or "none: the motion maps come ready-made",
            "subjects": len(self.subjects),
            "classes": ", ".join(map("{} {}".format, counts, self.classes)),
        }
        rows = np.linspace(0, len(self) - 1, min(STRIP, len(self))).astype(int).tolist()
        chosen = [self[row] for row in rows]
        faces = [(clip.key.clip, clip.frames[clip.apex or clip.onset]) for clip in chosen]
        return card("Clips", facts, strip(faces))


def load(
    data: str = "synthetic", root: Paths = None, *, preset: str = "default", **options: Any
) -> Clips:
    """Open a data set: its clips, classes and subjects. Nothing is computed.

    Parameters
    ----------
    data
        A name of `lab.datasets()`. `synthetic` needs no files.
    root
        The folder of the data, where they lie in one.
    preset
        `smoke`, `demo`, `default`, `paper`, or a TOML file: how many synthetic clips there are,
        and which flow `maps()` takes.
    options
        Options of the data set, such as `subjects=8` or `coding="coding.xlsx"`; `classes` is the
        class scheme, such as `casme2-5`; `faces` names who
        finds the faces of recordings (dlib, mtcnn, template), `apex="spotted"` lets a rule find
        the apex where it is not annotated.

    Raises
    ------
    ConfigError
        For a name or an option that does not exist; the nearest one is named.
    InputError
        If the folder cannot be read.

    Examples
    --------
    >>> lab.load("synthetic", preset="smoke", clips=24, subjects=6)
    Clips('synthetic', 24 clips, 6 subjects)
    """
    from hmrm_lab.preparation import load_clips

    of_faces = {"faces": "name", "apex": "apex"}
    faces = {key: options.pop(name) for name, key in of_faces.items() if name in options}
    changes = [*assignments("faces", faces), *assignments("data", options)]
    config = load_config(preset, data=data, overrides=changes)
    folder = Path(root) if root else None
    return Clips(config, folder, load_clips(config, folder) or [])


def prepare(clips: Clips, *, sheet: Paths = None, jobs: int = 1) -> pd.Series:
    """Find faces and apexes of recordings, compute their flow, and say what became of each clip.

    What is done is kept in the cache, so that it may be interrupted; `clips.maps()` is quick
    afterwards. `sheet` is an HTML page to write, with every crop, its landmarks and its motion.

    Raises
    ------
    InputError
        For a data set that needs no preparation, such as `synthetic`.

    Examples
    --------
    >>> lab.prepare(lab.load("synthetic", preset="smoke"))
    Traceback (most recent call last):
    hmrm_lab.errors.InputError: data set 'synthetic' needs no preparation; run it directly
    """
    from hmrm_lab.studies.prepare import prepare as make_ready

    with progress_bars() as bars:
        page = Path(sheet) if sheet else None
        found = make_ready(clips.config, clips.root, jobs=jobs, sheet=page, watch=bars)
    return pd.Series(found, name=clips.name)
