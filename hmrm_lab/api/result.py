"""`Result`: what an evaluation has found, finished or not; `Study`: several side by side."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hmrm_lab.api.clips import MotionMaps, card
from hmrm_lab.config import ExperimentConfig
from hmrm_lab.datasets.classes import scheme
from hmrm_lab.errors import HmrmError, InputError
from hmrm_lab.evaluation.fold import history_of
from hmrm_lab.evaluation.live_progress import SnapshotReader
from hmrm_lab.evaluation.other_programs import read_predictions
from hmrm_lab.evaluation.summary import (
    collect_predictions,
    fuse_answers,
    stamp,
    summarise,
    summarise_run,
)
from hmrm_lab.preparation.clip_arrays import MAP_SIDE_PX
from hmrm_lab.records import Predictions, probability_columns
from hmrm_lab.reporting.svg import table_html
from hmrm_lab.reporting.tables import display_table, results_table, scores_table, units_table
from hmrm_lab.runtime.processes import count_jobs
from hmrm_lab.runtime.progress import progress_bars
from hmrm_lab.runtime.store import RunFolder
from hmrm_lab.studies.experiment import write_figures
from hmrm_lab.studies.jobs import Job, JobState
from hmrm_lab.studies.trials import OuterScore, outer_score
from hmrm_lab.training.trainer import MODEL_NAME, load_model

if TYPE_CHECKING:
    from hmrm_lab.api.system import System

Scored = str | Path | pd.DataFrame | MotionMaps
NO_RUN = {"epoch_rule": "not known", "control": "none", "peeking": False, "complete": True}


class Result:
    """Predictions and history of an evaluation, and the figures computed from them.

    Made by `lab.evaluate`, `lab.result` (of a run folder) and `lab.score` (of predictions alone).
    Shows UF1, UAR and accuracy with their intervals, the epoch rule and the number of folds. What
    needs predictions raises `IncompleteRunError` before the first fold is finished.

    >>> len(result.predictions), sorted(result.scores)[:3], result.progress().phase
    (16, ['acc', 'acc_interval', 'clips'], 'complete')
    """

    def __init__(
        self,
        run: RunFolder | None = None,
        *,
        answers: Predictions | None = None,
        history: pd.DataFrame | None = None,
        about: Mapping[str, Any] | None = None,
        config: ExperimentConfig | None = None,
        root: Path | None = None,
        jobs: int = 1,
    ) -> None:
        self.run, self.root, self.jobs, self._config = run, root, jobs, config
        self._answers, self._history, self._about = answers, history, dict(about or {})

    @property
    def folder(self) -> Path:
        """The run folder; an `InputError` where there are predictions alone."""
        return self._folder.path

    @property
    def answers(self) -> Predictions:
        """The record behind `predictions`, with subjects and seeds."""
        return self._answers or collect_predictions(self._folder)

    @property
    def predictions(self) -> pd.DataFrame:
        """One row per clip and seed: dataset, subject, clip, fold, seed, epoch, truth, prediction,
        and a probability for each class; for each learnt action unit its probability (`AU12`) and
        coding (`AU12_truth`). The only source of every figure.
        """
        return self.answers.table

    @property
    def history(self) -> pd.DataFrame:
        """Training loss: columns fold, seed, epoch, loss."""
        return history_of(self._folder.records()) if self._history is None else self._history

    @property
    def metrics(self) -> dict[str, Any]:
        """All figures: `scores` for the whole and for each data set, rule, seeds, folds."""
        if self._answers is not None:
            return NO_RUN | self._about | self._summary
        file = self._folder.path / "metrics.json"
        if file.is_file() and (metrics := self._folder.metrics())["complete"]:
            return metrics
        return summarise_run(self._folder)

    @cached_property
    def _summary(self) -> dict[str, Any]:
        return summarise(self.answers)

    @property
    def scores(self) -> dict[str, Any]:
        """UF1, UAR, accuracy, their intervals, F1 of each class and the confusion matrix."""
        return dict(self.metrics["all"])

    @property
    def units(self) -> pd.DataFrame:
        """F1 of each action unit learnt beside the class, and their mean; empty if none was."""
        return units_table(self.scores)

    @property
    def table(self) -> pd.DataFrame:
        """One row for the whole, and one for each data set; figures are numbers."""
        if self.run is None:
            return scores_table(self.metrics)
        if not (self.run.path / "metrics.json").is_file():
            self.refresh()
        return results_table([self.run])

    @property
    def caption(self) -> str:
        """What stands under every table and figure: epoch rule, folds, what bars a comparison."""
        return str(self._about.get("caption") or stamp(self.metrics))

    @cached_property
    def system(self) -> "System":
        """The evaluated system, trained on all clips where the run has kept that model."""
        from hmrm_lab.api.system import System

        config, file = self.config, self.folder / MODEL_NAME
        fitted = load_model(file, config, MAP_SIDE_PX) if file.is_file() else None
        return System.of_settings(config, fitted)

    def refresh(self) -> "Result":
        """Compute the figures of the folds that are there, and write them into the folder."""
        write_figures(self._folder)
        return self

    @property
    def config(self) -> ExperimentConfig:
        """The complete settings of the run."""
        return self._config or self._folder.config()

    @property
    def job(self) -> Job:
        """The work on the run folder, by whatever process."""
        return Job.of(self._folder, self._config)

    def progress(self) -> JobState:
        """How far the run is: phase, folds done and expected, what went wrong."""
        return self.job.state()

    def stop(self) -> None:
        """Ask a background run to end; what is finished is kept, and `resume` goes on."""
        self.job.stop()

    def resume(self) -> "Result":
        """Go on in the background where the run was stopped; nothing if it is going or complete."""
        self.job.start(root=self.root, jobs=self.jobs)
        return self

    def folds(self) -> pd.DataFrame:
        """One row per held-out subject, while the run is going, too: its state (waiting, in work,
        done, failed), clips, and how many were answered right.
        """
        snapshot = SnapshotReader(self._folder).read()
        table = pd.DataFrame([asdict(fold) for fold in snapshot.folds])
        return table.set_index("fold") if len(table) else table

    def wait(self, timeout_s: float | None = None, *, folds: int | None = None) -> JobState:
        """Wait until nobody works on the run, `folds` of it are done, or the time is over."""
        return self.job.wait(timeout_s, done=folds)

    def __repr__(self) -> str:
        return f"Result({str(self.run.path) if self.run else f'{len(self.answers)} predictions'})"

    def _repr_html_(self) -> str:
        if self.run is not None and not any(self.run.folds.glob("*.json")):
            state = self.progress()
            return card("Result", {"folder": self.run.path.name, "phase": state.phase})
        words = display_table(self.table).T
        return card("Result", {}, table_html(words, header=False), f"<p>{self.caption}</p>")

    @property
    def _folder(self) -> RunFolder:
        if self.run is None:
            raise InputError("predictions without a run folder", hint="take a result of evaluate")
        return self.run


@dataclass
class Study(Mapping[Any, Result]):
    """Results side by side, by name, with the table that compares them.

    >>> study = lab.compare(["svm", "mdmo"], maps, seeds=1)
    >>> study["svm"].system
    System('svm', preset='smoke')
    """

    results: dict[Any, Result]
    table: pd.DataFrame  # figures as numbers, one row per system, variant, setting or trial
    words: pd.DataFrame  # the same, rounded, each figure with its interval
    caption: str = ""
    notes: list[str] = field(default_factory=list)  # what was left out, what failed, and why
    sweep: Any = None  # the `Sweep` that keeps the trials of a sweep or a search
    axes: Mapping[str, Sequence[Any]] = field(default_factory=dict)  # settings of a sweep, values
    best: Mapping[str, Any] = field(default_factory=dict)  # of a search, as `lab.system` takes it
    maps: MotionMaps | None = None
    recipe: ExperimentConfig | None = None  # that `best` is compared with; else that of the sweep
    found: Any = None  # what the study beneath has found
    place: Path | None = None  # where `write` puts the files of a comparison

    @property
    def folder(self) -> Path:
        """Where a search keeps its trials, or a comparison its files; else an `InputError`."""
        if folder := self.place or (self.sweep and self.sweep.folder):
            return Path(folder)
        raise InputError("a study without a folder", hint="take one of lab.sweep or lab.compare")

    @property
    def root(self) -> Path | None:
        """The folder of the data."""
        return self.maps.source.root if self.maps is not None and self.maps.source else None

    def write(self, folder: str | Path | None = None) -> dict[str, Path]:
        """Write tables and page of a comparison (CSV, LaTeX, JSON, HTML); their paths by suffix."""
        if not hasattr(self.found, "write"):
            raise InputError("no comparison", hint="take a study of lab.compare or lab.inputs")
        return dict(self.found.write(Path(folder or self.folder)))

    def outer_score(self, *, jobs: int = 1) -> OuterScore:
        """Run the best setting of a sweep, and the recipe unchanged, on all subjects.

        These evaluations of the test set are counted. `HmrmError` where no setting has a score.
        """
        if self.maps is None or not self.best:
            raise HmrmError(f"no setting of {self.folder} has a score: every training failed")
        with progress_bars() as bars:
            where: Any = {"recipe": self.recipe, "jobs": count_jobs(jobs), "watch": bars}
            return outer_score(self.sweep, self.maps, self.best, **where)

    def __getitem__(self, name: Any) -> Result:
        return self.results[name]

    def __iter__(self) -> Iterator[Any]:
        return iter(self.results)

    def __len__(self) -> int:
        return len(self.results)

    def _repr_html_(self) -> str:
        notes = "".join(f"<p>{note}</p>" for note in self.notes)
        caption = f"<p>{self.caption}</p>" if self.caption else ""
        return card("Study", {}, table_html(self.words, index=False), caption, notes)


def result(folder: str | Path, root: str | Path | None = None) -> Result:
    """Open a run folder: the result of an evaluation, by whatever command it was made.

    `root` is the folder of the data, where `resume`, `lab.audit` or `lab.report` is to read them.
    `InputError` if it is no run folder.

    >>> lab.result("no/such/run")
    Traceback (most recent call last):
    hmrm_lab.errors.InputError: no/such/run: not a run folder (no such folder); ...
    """
    return Result(RunFolder.open(Path(folder)), root=Path(root) if root else None)


def score(predictions: Scored, answers: Any = None, classes: str = "megc3") -> Result:
    """Pooled UF1, UAR, accuracy and weighted F1 of predictions, with intervals over subjects.

    `predictions` is a table in a file, or a log as MEGC, STSTNet or HTNet print it, with the words
    or numbers of the class scheme `classes`: `metrics["read_as"]` says how it was read; a DataFrame
    with the columns of `Result.predictions`; or the `MotionMaps` that were answered, with (n,)
    classes or (n, K) probabilities as `answers`.
    `InputError` if the file cannot be read as predictions, or the numbers do not fit.

    >>> lab.score(maps, maps.y).scores["uf1"]
    1.0
    """
    if isinstance(predictions, MotionMaps):
        return Result(answers=_answers(predictions, np.asarray(answers)))
    if isinstance(predictions, pd.DataFrame):
        return Result(answers=Predictions(predictions))
    found, told = read_predictions(Path(predictions), scheme(classes))
    return Result(answers=found, about={"read_as": told})


def fuse(results: "Results") -> Result:
    """Late fusion: the mean of the probabilities of several results, clip by clip and seed by seed.

    No weight is chosen, so that there is nothing a test subject could have had a say in. Protocol,
    epoch rules, controls and doubtful weights of all stand under the figures. `InputError` unless
    all are complete, and of the same clips, classes, folds and seeds.

    >>> svm = lab.evaluate("svm", maps, seeds=1)
    >>> fused, both = (one.predictions["p_positive"] for one in (lab.fuse([result, svm]), svm))
    >>> float((fused - (result.predictions["p_positive"] + both) / 2).abs().max()) < 1e-9
    True
    >>> lab.fuse([result])
    Traceback (most recent call last):
    hmrm_lab.errors.InputError: there is nothing to fuse; give two results or more
    """
    chosen = results_of(results)
    if len(chosen) < 2:
        raise InputError("there is nothing to fuse", hint="give two results or more")
    fused, about = fuse_answers([(one.answers, one.metrics) for one in chosen])
    return Result(answers=fused, about=about)


def _answers(maps: MotionMaps, given: NDArray[Any]) -> Predictions:
    """What was answered for these maps; probabilities stay open where classes are given."""
    known = given.ndim == 2
    if given.shape[:1] != (len(maps),) or (known and given.shape[1] != len(maps.classes)):
        wanted = f"give ({len(maps)},) classes, or ({len(maps)}, {len(maps.classes)})"
        raise InputError(f"answers of shape {given.shape}", hint=f"{wanted} probabilities")
    table = pd.DataFrame(list(maps.keys), columns=["dataset", "subject", "clip"])
    table = table.assign(fold=maps.subjects, seed=0, epoch=0, truth=maps.labels)
    table["prediction"] = given.argmax(1) if known else given.astype(np.int64)
    for number, name in enumerate(probability_columns(maps.classes)):
        table[name] = given[:, number] if known else np.nan
    return Predictions(table)


Results = Result | Mapping[Any, Result] | Sequence[Result]


def results_of(items: Results) -> list[Result]:
    """The results in whatever a person hands over."""
    if isinstance(items, Result):
        return [items]
    return list(items.values()) if isinstance(items, Mapping) else list(items)
