"""Evaluate a system, ask it, check it, and report on it."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, overload

import pandas as pd

from hmrm_lab.api.clips import Clips, MotionMaps
from hmrm_lab.api.result import Result, Results, results_of
from hmrm_lab.api.system import System, suited
from hmrm_lab.config import ExperimentConfig, override
from hmrm_lab.config.sections import LOSO
from hmrm_lab.datasets.video import check_recording
from hmrm_lab.errors import ConfigError, InputError
from hmrm_lab.evaluation.loso import Executor, open_executor
from hmrm_lab.evaluation.protocols import Protocol
from hmrm_lab.evaluation.recording_prediction import RecordingPrediction
from hmrm_lab.records import digest_of_keys
from hmrm_lab.runtime.processes import count_jobs
from hmrm_lab.runtime.progress import progress_bars
from hmrm_lab.runtime.store import RunFolder
from hmrm_lab.studies.audit import audit_run
from hmrm_lab.studies.experiment import report_runs, run_experiment
from hmrm_lab.studies.predict import find_run, predict_clips, predict_recording
from hmrm_lab.studies.prepare import prepare as make_ready

Recipe = System | str | ExperimentConfig  # complete settings are taken as they are
Data = MotionMaps | Clips
Seeds = int | str | Sequence[int] | None
Model = Result | str | Path | None  # whose answers are asked for; None: the newest run
RUNS = Path("runs")


def evaluate(
    system: Recipe,
    maps: Data,
    protocol: Protocol | str = LOSO,
    *,
    seeds: Seeds = None,
    epoch_rule: str | None = None,
    control: str = "none",
    out: str | Path = RUNS,
    jobs: int = 1,
    devices: Sequence[str] = ("cpu",),
    executor: str | Executor = "processes",
    scheduler: str | None = None,
    stack: int | None = None,
    background: bool = False,
    final_model: bool = True,
) -> Result:
    """Train and test a system fold by fold, every subject held out once.

    Each fold is a file in the run folder, which settings and data name: called again, it reads
    what is there and computes the rest. `ConfigError` for settings that do not exist or cannot go
    together; `InputError` if the data cannot be used, or have changed since the run began.

    Parameters
    ----------
    system
        A `System`, or a name of `lab.systems()`, whose preset is then that of the maps; or complete
        settings, as `lab.settings` and `result.config` give them.
    protocol
        `loso`, `kfold:K`, `holdout:DATASET`, `holdout:each`, a split file, or a `Protocol`, which
        can limit the training to some data sets.
    seeds
        How many, or which (`[0, 1]`, or as text "0, 1"); those of the preset if not given.
    epoch_rule
        `last`, `inner_subjects`, or `oracle_test`, which peeks and is stamped.
    control
        `shuffled_labels` or `shuffled_within_subjects`: there is nothing to learn.
    out
        Folder of run folders.
    jobs, devices
        Processes (0: one per core), assigned to these devices in turn.
    executor, scheduler
        `processes`, or `dask` with the address of its scheduler, for a cluster.
    stack
        The most folds that are trained as one model, which a GPU does faster: as many as fit there
        if not given, else 1.
    background
        Return at once: the run goes on in a process of its own, on the CPU. See `Result.progress`
        and `wait`.
    final_model
        Train once more on all clips, for `lab.predict`. No figure depends on it.

    >>> result = lab.evaluate(mlp, maps, seeds=1)
    >>> print(result.caption.partition("; ")[2])
    epoch rule last; 4 subjects, 1 seed
    """
    known = maps_of(maps, jobs, protocol)
    config = settings(system, known, protocol, seeds, epoch_rule, control)
    root, out = known.source.root if known.source else None, Path(out)
    if background:
        if (stack or 1) > 1 or tuple(devices) != ("cpu",) or executor != "processes":
            problem = "a run in the background is computed by processes on the CPU"
            raise ConfigError(problem, hint="leave out devices, executor and stack, or background")
        later = Result(RunFolder.of(config, out), config=config, root=root_of(known), jobs=jobs)
        return later.resume()
    where: Any = {"jobs": count_jobs(jobs, tuple(devices)), "devices": tuple(devices)}
    opened: AbstractContextManager[Executor] = (
        open_executor(executor, **where, scheduler=scheduler)
        if isinstance(executor, str)
        else nullcontext(executor)
    )
    with opened as execute, progress_bars() as bars:
        run = run_experiment(
            config,
            out=out,
            devices=devices,
            execute=execute,
            stack=stack,
            watch=bars,
            flowset=suited(known, config),
            final_model=final_model,
        )
    return Result(run, config=config, root=root, jobs=jobs)


@overload
def predict(recording: str | Path, result: Model = None, **options: Any) -> RecordingPrediction: ...
@overload
def predict(recording: Clips, result: Model = None, **options: Any) -> pd.DataFrame: ...
def predict(  # type: ignore[misc]
    recording: str | Path | Clips,
    result: Model = None,
    *,
    onset: int = 0,
    apex: int | None = None,
    offset: int | None = None,
    faces: str | None = None,
    face: int = 0,
    follow_links: bool = False,
) -> RecordingPrediction | pd.DataFrame:
    """Class probabilities of a video, or a folder of frames, with what they rest on.

    Of `Clips`, with labels or without: a table with a row for each, its probabilities, prediction,
    apex, warnings, and the problem of one without an answer; what they are worth is in
    `attrs["caveats"]`. `InputError` if the recording, the frame numbers or the model cannot be
    used.

    Parameters
    ----------
    recording
        The path of one, or the clips of a data set, whose marks and links are those of its table.
    result
        Whose model is asked, or its folder; the newest below `runs` if not given.
    onset, apex, offset
        Frame numbers from 0; the apex is spotted, and the offset the last frame, if not given.
    faces, face
        dlib, mtcnn or template; and which of several faces, from the left, from 1 (0: the largest
        nearest the middle).
    follow_links
        Also read what links to other folders lead to.

    >>> lab.predict("absent.mp4", "runs/none")
    Traceback (most recent call last):
    hmrm_lab.errors.InputError: absent.mp4: no such recording; ...
    """
    if isinstance(recording, str | Path):
        check_recording(Path(recording))
    folder = result.folder if isinstance(result, Result) else result
    run = find_run(Path(folder) if folder else None)
    if isinstance(recording, Clips):
        if (onset, apex, offset) != (0, None, None):
            raise InputError("onset, apex and offset of many clips", hint="give them in the table")
        with progress_bars() as bars:
            who: Any = {"provider": faces, "face": face, "on_progress": bars.stage("clips")}
            return predict_clips(recording, run, lost=recording.left_out, **who)
    return predict_recording(
        Path(recording),
        run,
        onset=onset,
        apex=apex,
        offset=offset,
        provider=faces,
        face=face,
        follow_links=follow_links,
    )


def prepare(
    clips: Clips, *, systems: Sequence[Recipe] = (), sheet: str | Path | None = None, jobs: int = 1
) -> pd.Series:
    """Find faces and apexes of recordings, compute their flow, and say what became of each clip.

    What is done is kept in the cache, so that it may be interrupted; `clips.maps()` is quick
    afterwards. With `systems`, what these take of the frames is made, too. `sheet` is an HTML page
    to write, with every crop, its landmarks and its motion. `InputError` for a data set that needs
    no preparation.

    >>> lab.prepare(lab.load("synthetic", preset="smoke"))
    Traceback (most recent call last):
    hmrm_lab.errors.InputError: data set 'synthetic' needs no preparation; run it directly
    """
    others = [settings(one, clips) for one in systems]
    page = Path(sheet) if sheet else None
    with progress_bars() as bars:
        found = make_ready(
            clips.config, clips.root, systems=others, jobs=count_jobs(jobs), sheet=page, watch=bars
        )
    return pd.Series(found, name=clips.name)


def audit(result: Result, root: str | Path | None = None) -> pd.DataFrame:
    """Did anything of a test subject reach the training? One row per check; nothing is trained.

    `state` is `OK`, `LEAK`, `FAULT` (records that contradict themselves), or not checkable.

    >>> lab.audit(result).loc["held-out subjects", "state"]
    'OK'
    """
    checks = audit_run(RunFolder.open(result.folder), Path(root) if root else result.root)
    rows = [(check.name, check.state, check.why) for check in checks]
    return pd.DataFrame(rows, columns=["check", "state", "why"]).set_index("check")


def report(results: Results, out: str | Path | None = None) -> Path:
    """Write one HTML page that needs neither Python nor a network; the first result in depth.

    It goes to `out`, or to `report.html` in the first run folder.

    >>> lab.report(result).name
    'report.html'
    """
    chosen = results_of(results)
    folders = [RunFolder(one.folder) for one in chosen]
    return report_runs(folders, chosen[0].root, Path(out) if out else None)


def settings(
    system: Recipe,
    data: Data,
    protocol: Protocol | str = LOSO,
    seeds: Seeds = None,
    epoch_rule: str | None = None,
    control: str = "none",
) -> ExperimentConfig:
    """The complete settings of `lab.evaluate` with these arguments; nothing is computed.

    A part of a data set gives the run another name. `ConfigError` for settings that do not exist or
    cannot go together; `InputError` for maps of arrays: a run could not say what it rests on.

    >>> lab.settings("hmrm", clips, seeds="0, 1").evaluation.seeds
    (0, 1)
    """
    source = data.source
    if source is None:
        hint = "use sklearn.model_selection.cross_val_predict, and lab.score for the figures"
        raise InputError("maps of arrays have no data set that a run could name", hint=hint)
    changes: dict[str, Any] = {} if seeds is None else {"evaluation.seeds": _listed(seeds)}
    changes |= {"evaluation.epoch_rule": epoch_rule} if epoch_rule else {}
    changes |= {"evaluation.control": control} if control != "none" else {}
    asked = as_protocol(protocol)
    changes |= {"evaluation.protocol": asked.name} if asked.name != LOSO else {}
    changes |= {"evaluation.train_on": list(asked.train_on)} if asked.train_on else {}
    if isinstance(system, ExperimentConfig):
        config = override(system, changes) if changes else system
    else:
        chosen = System(system, preset=source.config.preset) if isinstance(system, str) else system
        config = chosen.settings(source, changes)
    if isinstance(data, Clips) or data.is_whole:
        return config
    part = f"{config.name}-part-{digest_of_keys(data.keys)[:8]}"
    return config.model_copy(update={"name": part})


def as_protocol(protocol: Protocol | str) -> Protocol:
    return protocol if isinstance(protocol, Protocol) else Protocol(protocol)


def _listed(seeds: int | str | Sequence[int]) -> list[Any]:
    """The seeds one by one; what is no number is told where the settings are read."""
    if isinstance(seeds, int):
        return list(range(seeds))
    return seeds.replace(",", " ").split() if isinstance(seeds, str) else list(seeds)


def maps_of(data: Data, jobs: int = 1, protocol: Protocol | str = LOSO) -> MotionMaps:
    """The maps, computed where clips are given; first, a protocol that does not fit is refused."""
    if isinstance(data, Clips):
        as_protocol(protocol).check({clip.key.dataset for clip in data})
    return data.maps(jobs=jobs) if isinstance(data, Clips) else data


def root_of(data: Data) -> Path | None:
    """The folder of the data; an `InputError` for a part of them, for they are read again."""
    if not data.is_whole or data.source is None:
        hint = "give all of them: what evaluates a part is lab.evaluate"
        raise InputError(f"{len(data)} clips that are a part of a data set", hint=hint)
    return data.source.root
