"""Studies: systems, variants, settings or inputs side by side, on the same maps and folds."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from hmrm_lab.api.clips import Clips, assignments
from hmrm_lab.api.maps import MotionMaps
from hmrm_lab.api.result import Result, Study
from hmrm_lab.api.runs import RUNS, Seeds, maps_of, root_of_whole, settings
from hmrm_lab.api.system import System, place_of, suited
from hmrm_lab.config import ExperimentConfig
from hmrm_lab.errors import InputError
from hmrm_lab.evaluation.protocols import LOSO, Protocol
from hmrm_lab.reporting.study_table import CLAIMED_ON
from hmrm_lab.reporting.tables import ALL
from hmrm_lab.runtime.progress import progress_bars
from hmrm_lab.runtime.store import RunFolder
from hmrm_lab.studies.trials import Sweep

Systems = Sequence[System | str]


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
    from hmrm_lab.reporting.study_table import HONEST, NULL, ORACLE
    from hmrm_lab.studies.study import comparison_of

    known, kinds = maps_of(maps), {HONEST: True, ORACLE: oracle, NULL: null}
    configs = {_name(one): settings(one, known, protocol, seeds) for one in systems}
    if len(configs) < len(systems):
        raise InputError("a system is named twice", hint="name each once: `lab.ablate` varies one")
    wanted = [kind for kind, asked in kinds.items() if asked]
    plan = comparison_of(configs, next(iter(configs.values())).data.name, wanted)
    with progress_bars() as bars:
        found = plan.run(root=root_of_whole(known), out=Path(out), jobs=jobs, watch=bars)
    runs = {name: run for (name, kind), run in found.runs.items() if kind == HONEST}
    return _study(found, runs)


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
    known = maps_of(maps)
    plan, part = ablation(system, known, variants, seeds)
    with progress_bars() as bars:
        root = root_of_whole(known)
        found = plan.run(root=root, out=Path(out), jobs=jobs, watch=bars, part=part)
    study = _study(found, found.by_name)
    study.notes = _reasons(plan.left_out, "is left out: ") + _reasons(
        {name: why for (name, _), why in found.problems.items()}
    )
    return study


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
    from hmrm_lab.studies.search import run_grid
    from hmrm_lab.studies.space import grid

    known = maps_of(maps)
    study, flowset, places = _begin_sweep(system, known, values, seeds, out)
    axes = dict(zip(places, values.values(), strict=True))
    points = grid(axes)
    with progress_bars() as bars:
        run_grid(study, flowset, points, jobs=jobs, on_progress=bars.stage("settings"))
    found = _study_of_cells([study.trial(point) for point in points], places, study.folder)
    found.sweep, found.axes = study, axes
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

    study, flowset, places = _begin_sweep(system, maps_of(maps), space, seeds, out)
    chosen = {
        place: parse_space([f"{place}={value}"])[place] if isinstance(value, str) else tuple(value)
        for place, value in zip(places, space.values(), strict=True)
    }
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
    cells = [study.trial(point) for point in points_of(history, chosen)]
    found = _study_of_cells(cells, places, study.folder)
    found.table = history.rename(columns=places)
    found.words = found.table.round(4)
    return found


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
    from hmrm_lab.studies.study import plan_inputs

    config, root = clips.config, clips.root
    known = settings("hmrm", clips, seeds=seeds).evaluation.seeds
    with progress_bars() as bars:
        plan = plan_inputs(
            config.preset,
            data=config.data.name,
            root=root,
            systems=[_name(one) for one in systems],
            inputs=inputs,
            overrides=overrides_of_data(config, known),
            jobs=jobs,
            watch=bars,
        )
        found = plan.run(root=root, out=Path(out), jobs=jobs, watch=bars)
    return _study(found, found.runs)


def overrides_of_data(config: ExperimentConfig, seeds: Sequence[int]) -> list[str]:
    """The settings of data, faces and flow as overrides, for studies that begin with a preset."""
    tables = config.model_dump(mode="json", include={"data", "faces", "flow"})
    del tables["data"]["name"], tables["flow"]["phases"]
    changes = [text for table in tables for text in assignments(table, tables[table])]
    return [*changes, f"evaluation.seeds={list(seeds)}"]


def ablation(
    one: System | str,
    maps: MotionMaps,
    variants: Mapping[str, Mapping[str, Any]] | None,
    seeds: Seeds,
) -> tuple[Any, str]:
    """The plan of an ablation, and the part of the data that its table is of."""
    from hmrm_lab.studies.ablate import plan_ablation
    from hmrm_lab.studies.study import Variant
    from hmrm_lab.studies.trials import overrides_of

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
    root = root_of_whole(maps)
    sets = {key.dataset for key in maps.keys}
    part = CLAIMED_ON if CLAIMED_ON in sets and len(sets) > 1 else ALL
    return plan_ablation(config, own, root=root), part


def _full(config: ExperimentConfig, setting: str) -> str:
    return setting if "." in setting else place_of(config.model.name, setting)


def _name(one: System | str) -> str:
    return one if isinstance(one, str) else one.name


def _study(found: Any, runs: Mapping[Any, RunFolder]) -> Study:
    """The result of a study, with these of its runs by name."""
    results = {name: Result(run) for name, run in runs.items()}
    remarks = list(getattr(found, "remarks", ()))
    return Study(results, found.table, found.words, found.caption, remarks)


def _begin_sweep(
    system: System | str,
    maps: MotionMaps,
    names: Iterable[str],
    seeds: Seeds,
    out: str | Path,
) -> tuple[Sweep, MotionMaps, dict[str, str]]:
    """A sweep on these maps, what its system reads of them, and its flat settings by full name."""
    config = settings(system, maps, seeds=seeds)
    places = {place_of(config.model.name, name): name for name in names}
    flowset = suited(maps, config)
    return Sweep.of(config, flowset, Path(out)), flowset, places


def _study_of_cells(cells: Sequence[Any], places: Mapping[str, str], folder: Path) -> Study:
    """Cells of a sweep as a study, its settings by their flat names."""
    from hmrm_lab.studies.trials import trials_table

    results = {
        tuple(cell.settings.values()): Result(
            answers=cell.predictions,
            history=cell.history(),
            about=cell.metrics() | {"caption": cell.caption()},
        )
        for cell in cells
        if not cell.problem
    }
    table = trials_table(cells).rename(columns=places)
    words = table.sort_values("UF1", ascending=False).round(3)
    caption = next(iter(results.values())).caption if results else ""
    return Study(results, table, words, caption, folder=folder)


def _reasons(notes: Mapping[Any, str], how: str = "") -> list[str]:
    return [f"{name}: {how}{why}" for name, why in notes.items()]
