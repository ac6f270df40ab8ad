"""The verbs: evaluate a system, compare several, vary one, ask it, check it, report on it."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from hmrm_lab.api.clips import Clips
from hmrm_lab.api.maps import MotionMaps
from hmrm_lab.api.result import Result, Study, results_of
from hmrm_lab.api.system import System, place_of, suited
from hmrm_lab.config import ExperimentConfig, override
from hmrm_lab.errors import InputError
from hmrm_lab.evaluation.prediction import RecordingPrediction
from hmrm_lab.evaluation.protocols import LOSO, Protocol
from hmrm_lab.records import digest_of_keys
from hmrm_lab.runtime.progress import progress_bars
from hmrm_lab.runtime.store import RunFolder

Seeds = int | str | Sequence[int] | None
Systems = Sequence[System | str]
RUNS = Path("runs")


def evaluate(
    system: System | str,
    maps: MotionMaps | Clips,
    protocol: Protocol | str = LOSO,
    *,
    seeds: Seeds = None,
    epoch_rule: str | None = None,
    control: str = "none",
    out: str | Path = RUNS,
    jobs: int = 1,
    devices: Sequence[str] = ("cpu",),
    background: bool = False,
    final_model: bool = True,
) -> Result:
    """Train and test a system fold by fold, every subject held out once; goes on where it stopped.

    Each fold is a file in the run folder, which settings and data name: called again, it reads
    what is there and computes the rest.

    Parameters
    ----------
    system
        A `System`, or a name of `lab.systems()`, whose preset is then that of the maps.
    protocol
        `loso`, `kfold:K`, `holdout:DATASET`, a split file, or a `Protocol`.
    seeds
        How many, or which (`[0, 1]`, or as text "0, 1"); those of the preset if not given.
    epoch_rule
        `last`, `inner_subjects`, or `oracle_test`, which peeks and is stamped.
    control
        `shuffled_labels` or `shuffled_within_subjects`: there is nothing to learn.
    out
        Folder of run folders.
    jobs
        Processes.
    background
        Return at once; the run goes on in a process of its own, which outlives this one. See
        `Result.progress`, `stop` and `wait`.
    final_model
        Train once more on all clips, for `lab.predict`. No figure depends on it.

    Raises
    ------
    ConfigError
        For settings that do not exist or cannot go together.
    InputError
        If the data cannot be used, or have changed since the run began.

    Examples
    --------
    >>> maps = lab.load("synthetic", preset="smoke").maps()
    >>> result = lab.evaluate(lab.system("hmrm", preset="smoke"), maps, seeds=1)
    >>> print(result.caption.partition("; ")[2])
    epoch rule last; 4 subjects, 1 seed
    """

    from hmrm_lab.studies.experiment import run_experiment

    known = maps_of(maps)
    config = settings(system, known, protocol, seeds, epoch_rule, control)
    source = known.source
    assert source is not None  # `settings` has refused
    if background:
        return _start(config, known, Path(out), jobs)
    with progress_bars() as bars:
        run = run_experiment(
            config,
            root=source.root,
            out=Path(out),
            jobs=jobs,
            devices=devices,
            watch=bars,
            flowset=suited(known, config),
            final_model=final_model,
        )
    return Result(run, config=config, root=source.root, jobs=jobs)


def compare(
    systems: Systems,
    maps: MotionMaps | Clips,
    protocol: Protocol | str = LOSO,
    *,
    seeds: Seeds = None,
    oracle: bool = False,
    null: bool = False,
    out: str | Path = RUNS,
    jobs: int = 1,
) -> Study:
    """Evaluate systems on the same maps, folds and seeds, ranked by honest UF1.

    `oracle` and `null` also run each under the rule that peeks, and on shuffled labels. One that
    fails does not stop the others; `notes` says what happened to it.

    Examples
    --------
    >>> maps = lab.load("synthetic", preset="smoke").maps()
    >>> study = lab.compare(["svm", "mdmo"], maps, seeds=1)
    >>> sorted(study), sorted(study.table["System"])
    (['mdmo', 'svm'], ['mdmo', 'svm'])
    """
    from hmrm_lab.reporting.comparison import HONEST, NULL, ORACLE, Outcome, comparison_table
    from hmrm_lab.reporting.comparison_page import protocol as protocol_words
    from hmrm_lab.reporting.comparison_words import result_words
    from hmrm_lab.studies.compare import CHANGES
    from hmrm_lab.training.estimators import has_epochs

    known, kinds = maps_of(maps), {HONEST: True, ORACLE: oracle, NULL: null}
    wanted = [kind for kind, asked in kinds.items() if asked]
    configs = {_name(one): settings(one, known, protocol, seeds) for one in systems}
    outcome = Outcome(next(iter(configs.values())).data.name, {kind: {} for kind in wanted})
    for kind in wanted:
        here = {
            name: override(config, CHANGES[kind])
            for name, config in configs.items()
            if kind != ORACLE or has_epochs(config)
        }
        runs, problems = _run_each(here, known, Path(out), jobs)
        outcome.runs[kind].update(runs)
        outcome.problems.update({f"{name}, {kind}": why for name, why in problems.items()})
    table = comparison_table(outcome)
    results = {name: Result(run) for name, run in outcome.runs[HONEST].items()}
    words = result_words(table)
    return Study(results, table, words, protocol_words(outcome), _told(outcome.problems))


def ablate(
    system: System | str,
    maps: MotionMaps | Clips,
    variants: Mapping[str, Mapping[str, Any]] | None = None,
    *,
    seeds: Seeds = None,
    out: str | Path = RUNS,
    jobs: int = 1,
) -> Study:
    """Evaluate a system with one component changed at a time, paired with the full model.

    Parameters
    ----------
    variants
        Settings by the variant's name: `{"thin": {"width": 32}}`. Without any, the components that
        the paper takes away.

    Raises
    ------
    ConfigError
        For a setting that does not exist, or where nobody has listed the system's components.

    Examples
    --------
    >>> maps = lab.load("synthetic", preset="smoke").maps()
    >>> mlp = lab.system("mlp", preset="smoke")
    >>> list(lab.ablate(mlp, maps, {"no dropout": {"dropout": 0.0}}, seeds=1))
    ['full', 'no dropout']
    """
    from hmrm_lab.reporting.ablation_table import ablation_caption, ablation_table, ablation_words
    from hmrm_lab.studies.ablate import run_ablation

    known = maps_of(maps)
    plan, part = ablation(system, known, variants, seeds)
    name = plan.full_config.model.name
    root = _root_of_whole(known)
    with progress_bars() as bars:
        ran = run_ablation(plan, root=root, out=Path(out), jobs=jobs, watch=bars)
    table = ablation_table(
        plan.words, ran.runs, full=plan.full, system=name, part=part, left_out=plan.left_out
    )
    caption = ablation_caption(ran.runs, full=plan.full, system=name, part=part)
    notes = [*_told(plan.left_out, "is left out: "), *_told(ran.problems)]
    results = {variant: Result(run) for variant, run in ran.runs.items()}
    return Study(results, table, ablation_words(table), caption, notes)


def sweep(
    system: System | str,
    maps: MotionMaps | Clips,
    values: Mapping[str, Sequence[Any]],
    *,
    seeds: Seeds = None,
    out: str | Path = RUNS,
    jobs: int = 1,
) -> Study:
    """Score every combination of settings on inner folds of one half of the subjects.

    The other half has no say, so that it can test what was chosen. Each combination is kept as
    soon as it is done.

    Examples
    --------
    >>> maps = lab.load("synthetic", preset="smoke").maps()
    >>> mlp = lab.system("mlp", preset="smoke", epochs=1)
    >>> lab.sweep(mlp, maps, {"width": [8, 16]}, seeds=1).table["width"].tolist()
    [8, 16]
    """
    from hmrm_lab.studies.sweep import Sweep, grid, run_cells

    known = maps_of(maps)
    config = settings(system, known, seeds=seeds)
    places = {place_of(config.model.name, name): name for name in values}
    points = grid(dict(zip(places, values.values(), strict=True)))
    flowset = suited(known, config)
    study = Sweep.of(config, flowset, Path(out))
    with progress_bars() as bars:
        run_cells(study, flowset, points, jobs=jobs, on_progress=bars.stage("settings"))
    found = _study_of_cells([study.cell(point) for point in points], places, study.folder)
    found.sweep, found.axes = study, dict(zip(places, values.values(), strict=True))
    found.root = known.source.root if known.source else None
    return found


def search(
    system: System | str,
    maps: MotionMaps | Clips,
    space: Mapping[str, Any],
    *,
    trials: int = 20,
    method: str = "tpe",
    random_trials: int = 10,
    seeds: Seeds = None,
    out: str | Path = RUNS,
    jobs: int = 1,
) -> Study:
    """Look for good settings with Optuna, on inner folds of one half of the subjects.

    Parameters
    ----------
    space
        By setting: a list of values, or a range as text: `"1e-4..1e-2:log"`, `"0..0.6"`.
    method
        `tpe`, or `nsga2` for high UF1 and few parameters at once.

    Examples
    --------
    >>> maps = lab.load("synthetic", preset="smoke").maps()
    >>> mlp = lab.system("mlp", preset="smoke", epochs=1)
    >>> lab.search(mlp, maps, {"dropout": "0..0.5"}, trials=2, seeds=1).table["Trial"].tolist()
    [1, 2]
    """
    from hmrm_lab.studies.search import points_of
    from hmrm_lab.studies.search import search as run_search
    from hmrm_lab.studies.space import parse_space
    from hmrm_lab.studies.sweep import Sweep

    known = maps_of(maps)
    config = settings(system, known, seeds=seeds)
    places = {place_of(config.model.name, name): name for name in space}
    given = dict(zip(places, space.values(), strict=True))
    chosen = {
        place: parse_space([f"{place}={value}"])[place] if isinstance(value, str) else tuple(value)
        for place, value in given.items()
    }
    flowset = suited(known, config)
    study = Sweep.of(config, flowset, Path(out))
    with progress_bars() as bars:
        history = run_search(
            study,
            flowset,
            chosen,
            trials=trials,
            sampler=method,
            random_trials=random_trials,
            jobs=jobs,
            on_trial=bars.stage("trials"),
        )
    cells = [study.cell(point) for point in points_of(history, chosen)]
    found = _study_of_cells(cells, places, study.folder)
    table = history.rename(columns=places)
    return Study(found.results, table, table.round(4), found.caption, folder=study.folder)


def inputs(
    systems: Systems,
    clips: Clips,
    *,
    inputs: Sequence[str] = (),
    seeds: Seeds = None,
    out: str | Path = RUNS,
    jobs: int = 1,
) -> Study:
    """Evaluate each input on each network: what a system is given of a clip, compared.

    Parameters
    ----------
    systems
        Names of `lab.systems()`.
    inputs
        Of apex, flow, dual_phase, dynamic_image, mesti; all if not given. Those that need frames
        are left out where the data have none.

    Examples
    --------
    >>> clips = lab.load("synthetic", preset="smoke")
    >>> list(lab.inputs(["ststnet"], clips, inputs=["flow", "apex"], seeds=1))
    [('ststnet', 'flow'), ('ststnet', 'apex')]
    """
    from hmrm_lab.reporting.inputs_table import (
        NOTE,
        inputs_caption,
        inputs_remarks,
        inputs_table,
        inputs_words,
    )
    from hmrm_lab.studies.inputs import plan_inputs, run_inputs

    config, root = clips.config, clips.root
    known = settings("hmrm", clips, seeds=seeds).evaluation.seeds
    changes = overrides_of_data(config, known)
    with progress_bars() as bars:
        plan = plan_inputs(
            config.preset,
            data=config.data.name,
            root=root,
            systems=[_name(one) for one in systems],
            inputs=inputs,
            overrides=changes,
            jobs=jobs,
            watch=bars,
        )
        found = run_inputs(plan, root=root, runs=Path(out), jobs=jobs, watch=bars)
    table = inputs_table(found)
    results = {cell: Result(run) for cell, run in found.runs.items()}
    caption = f"{inputs_caption(found)}.\n{NOTE}"
    return Study(results, table, inputs_words(table), caption, inputs_remarks(found))


def predict(
    recording: str | Path,
    result: Result | None = None,
    *,
    onset: int = 0,
    apex: int | None = None,
    offset: int | None = None,
    faces: str | None = None,
    face: int = 0,
) -> RecordingPrediction:
    """Class probabilities of a video, or a folder of frames, with what they rest on.

    Parameters
    ----------
    result
        Whose model is asked; the newest below `runs` if not given.
    onset, apex, offset
        Frame numbers from 0; the apex is spotted, and the offset the last frame, if not given.
    faces
        dlib, mtcnn or template; that of the run if not given.
    face
        Which of several, counted from the left, from 1; 0 takes the largest nearest the middle.

    Raises
    ------
    InputError
        If the recording, the frame numbers or the model cannot be used.

    Examples
    --------
    >>> lab.predict("absent.mp4", lab.result("runs/none"))
    Traceback (most recent call last):
    hmrm_lab.errors.InputError: runs/none: not a run folder (no config.toml); ...
    """
    from hmrm_lab.studies.predict import find_run, predict_recording

    run = find_run(result.folder if result else None)
    return predict_recording(
        Path(recording), run, onset=onset, apex=apex, offset=offset, provider=faces, face=face
    )


def audit(result: Result, root: str | Path | None = None) -> pd.DataFrame:
    """Did anything of a test subject reach the training? One row per check; nothing is trained.

    `state` is `OK`, `LEAK`, `FAULT` (records that contradict themselves), or not checkable.

    Examples
    --------
    >>> maps = lab.load("synthetic", preset="smoke").maps()
    >>> result = lab.evaluate(lab.system("hmrm", preset="smoke"), maps, seeds=1)
    >>> lab.audit(result).loc["held-out subjects", "state"]
    'OK'
    """
    from hmrm_lab.studies.audit import audit_run

    folder = Path(root) if root else result.root
    checks = audit_run(RunFolder.open(result.folder), folder)
    rows = [(check.name, check.state, check.why) for check in checks]
    return pd.DataFrame(rows, columns=["check", "state", "why"]).set_index("check")


def report(results: Result | Study | Sequence[Result], out: str | Path | None = None) -> Path:
    """Write one HTML page that needs neither Python nor a network; the first result in depth.

    Returns
    -------
    Path
        Of the page: `out`, or `report.html` in the first run folder.

    Examples
    --------
    >>> maps = lab.load("synthetic", preset="smoke").maps()
    >>> result = lab.evaluate(lab.system("hmrm", preset="smoke"), maps, seeds=1)
    >>> lab.report(result).name
    'report.html'
    """
    from hmrm_lab.preparation import load_flowset
    from hmrm_lab.registry import datasets
    from hmrm_lab.reporting.report import write_report

    chosen = results_of(results)
    first = chosen[0]
    config = RunFolder(first.folder).config()
    readable = first.root is not None or not datasets[config.data.name].needs_root
    flowset = load_flowset(config, first.root) if readable else None
    folders = [RunFolder(one.refresh().folder) for one in chosen]
    return write_report(folders, Path(out) if out else first.folder / "report.html", flowset)


def maps_of(data: MotionMaps | Clips) -> MotionMaps:
    """The maps, computed where clips are given."""
    return data.maps() if isinstance(data, Clips) else data


def settings(
    system: System | str,
    data: MotionMaps | Clips,
    protocol: Protocol | str = LOSO,
    seeds: Seeds = None,
    epoch_rule: str | None = None,
    control: str = "none",
) -> ExperimentConfig:
    """The complete settings of `lab.evaluate` with these arguments; nothing is computed.

    A part of a data set gives the run another name.

    Raises
    ------
    ConfigError
        For settings that do not exist or cannot go together.
    InputError
        For maps that were made from arrays: a run could not say what it rests on.

    Examples
    --------
    >>> clips = lab.load("synthetic", preset="smoke")
    >>> lab.settings("hmrm", clips, seeds="0, 1").evaluation.seeds
    (0, 1)
    """
    source = data.source
    if source is None:
        raise InputError(
            "maps of arrays have no data set that a run could name",
            mend="use sklearn.model_selection.cross_val_predict, and lab.score for the figures",
        )
    chosen = System(system, preset=source.config.preset) if isinstance(system, str) else system
    name = protocol.name if isinstance(protocol, Protocol) else Protocol(protocol).name
    changes = [] if seeds is None else [f"evaluation.seeds={_listed(seeds)}"]
    changes += [f"evaluation.epoch_rule={epoch_rule}"] if epoch_rule else []
    changes += [f"evaluation.control={control}"] if control != "none" else []
    changes += [f'evaluation.protocol="{name}"'] if name != LOSO else []
    config = chosen.settings(source, changes)
    if isinstance(data, Clips) or data.is_whole:
        return config
    part = f"{config.name}-part-{digest_of_keys(data.keys)[:8]}"
    return config.model_copy(update={"name": part})


def ablation(
    one: System | str,
    maps: MotionMaps,
    variants: Mapping[str, Mapping[str, Any]] | None,
    seeds: Seeds,
) -> tuple[Any, str]:
    """The plan of an ablation, and the part of the data that its table is of."""
    from hmrm_lab.studies.ablate import Variant, plan_ablation
    from hmrm_lab.studies.sweep import overrides_of

    config = settings(one, maps, seeds=seeds)
    own = None
    if variants is not None:
        own = [
            Variant(
                name,
                ", ".join(f"{key} {value}" for key, value in changes.items()),
                tuple(overrides_of({_full(config, k): v for k, v in changes.items()})),
            )
            for name, changes in variants.items()
        ]
    root = _root_of_whole(maps)
    sets = {key.dataset for key in maps.keys}
    return plan_ablation(config, own, root=root), "casme2" if "casme2" in sets > {
        "casme2"
    } else "all"


def _listed(seeds: int | str | Sequence[int]) -> list[Any]:
    """The seeds one by one; what is no number is told where the settings are read."""
    if isinstance(seeds, int):
        return list(range(seeds))
    return seeds.replace(",", " ").split() if isinstance(seeds, str) else list(seeds)


def _full(config: ExperimentConfig, setting: str) -> str:
    return setting if "." in setting else place_of(config.model.name, setting)


def overrides_of_data(config: ExperimentConfig, seeds: Sequence[int]) -> list[str]:
    """The settings of data, faces and flow as overrides, for studies that begin with a preset."""
    tables = config.model_dump(mode="json", include={"data", "faces", "flow"})
    changes = [
        f"{table}.{key}={json.dumps(value)}"
        for table, settings_ in tables.items()
        for key, value in settings_.items()
        if (table, key) not in (("data", "name"), ("flow", "phases"))
    ]
    return [*changes, f"evaluation.seeds={list(seeds)}"]


def _root_of_whole(maps: MotionMaps) -> Path | None:
    """The folder of the data; an `InputError` for a part of them, for they are read again."""
    if not maps.is_whole or maps.source is None:
        problem = f"{len(maps)} maps that are a part of a data set"
        raise InputError(
            problem, mend="give all of its maps: what evaluates a part is lab.evaluate"
        )
    return maps.source.root


def _name(one: System | str) -> str:
    return one if isinstance(one, str) else one.name


def _run_each(
    configs: Mapping[str, ExperimentConfig], maps: MotionMaps, out: Path, jobs: int
) -> tuple[dict[str, RunFolder], dict[str, str]]:
    from hmrm_lab.studies.harness import run_each

    root = _root_of_whole(maps)
    with progress_bars() as bars:
        ran = run_each(configs, root=root, runs=out, jobs=jobs, watch=bars)
    return ran.runs, ran.problems


def _start(config: ExperimentConfig, maps: MotionMaps, out: Path, jobs: int) -> Result:
    from hmrm_lab.studies.background import BackgroundRun

    root = _root_of_whole(maps)
    run = BackgroundRun.start(config, root=root, out=out, jobs=jobs).folder
    return Result(run, config=config, root=root, jobs=jobs)


def _study_of_cells(cells: Sequence[Any], places: Mapping[str, str], folder: Path) -> Study:
    """Cells of a sweep as a study, its settings by their flat names."""
    from hmrm_lab.studies.cells import cells_table

    results = {
        tuple(cell.settings.values()): Result(
            answers=cell.predictions,
            history=cell.history(),
            about=cell.metrics() | {"caption": cell.caption()},
        )
        for cell in cells
        if not cell.problem
    }
    table = cells_table(cells).rename(columns=places)
    words = table.sort_values("UF1", ascending=False).round(3)
    caption = next(iter(results.values())).caption if results else ""
    return Study(results, table, words, caption, folder=folder)


def _told(notes: Mapping[Any, str], how: str = "") -> list[str]:
    return [f"{name}: {how}{why}" for name, why in notes.items()]
