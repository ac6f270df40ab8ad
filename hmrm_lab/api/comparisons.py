"""Studies: systems, variants, settings or inputs side by side, on the same maps and folds."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from hmrm_lab.api.clips import Clips, MotionMaps
from hmrm_lab.api.result import Result, Study
from hmrm_lab.api.runs import RUNS, Data, Recipe, Seeds, maps_of, root_of, settings
from hmrm_lab.api.system import System, place_of, suited
from hmrm_lab.config import ExperimentConfig
from hmrm_lab.config.sections import LOSO, tested_sets
from hmrm_lab.errors import InputError, MixtureError
from hmrm_lab.evaluation.protocols import Protocol
from hmrm_lab.preparation import load_clips
from hmrm_lab.registry import systems as registered
from hmrm_lab.reporting.plots.searches import EVOLVED_CAPTION, fittest
from hmrm_lab.reporting.study_table import BESIDE, CLAIMED_ON, HONEST, NULL, NULL_WITHIN, ORACLE
from hmrm_lab.reporting.study_words import effects_words
from hmrm_lab.reporting.tables import ALL
from hmrm_lab.runtime.processes import count_jobs
from hmrm_lab.runtime.progress import progress_bars
from hmrm_lab.studies.ablate import WHOLE, plan_ablation
from hmrm_lab.studies.effects import CHANGES, plan_effects
from hmrm_lab.studies.evolve import Evolution, keep_evolved
from hmrm_lab.studies.evolve import evolve as run_evolution
from hmrm_lab.studies.search import POPULATION, RANDOM_TRIALS, points_of, run_grid
from hmrm_lab.studies.search import search as run_search
from hmrm_lab.studies.space import grid, load_optuna, parse_range, parse_space
from hmrm_lab.studies.study import (
    NETWORKS,
    SharedProtocol,
    Variant,
    plan_comparison,
    plan_inputs,
    reason_of,
    refuse_dishonest,
)
from hmrm_lab.studies.trials import Point, Sweep, Trial, overrides_of, trials_table

Recipes = Sequence[Recipe] | SharedProtocol  # of several systems


def compare(
    systems: Recipes,
    maps: Data,
    protocol: Protocol | str = LOSO,
    *,
    recipe: str = "own",
    fuse: Sequence[str] = (),
    seeds: Seeds = None,
    epoch_rule: str | None = None,
    oracle: bool = False,
    null: bool = False,
    null_within_subjects: bool = False,
    out: str | Path = RUNS,
    jobs: int = 1,
) -> Study:
    """Evaluate systems on the same maps, folds and seeds, ranked by honest UF1.

    All of `lab.systems()` if none is named. With `recipe="common"` every network is trained as hmrm
    is, which must be one of them: normalisation, augmentation, loss, epochs, rates, averaged
    weights and views. `fuse` names systems whose answers are averaged, as one row more. `oracle`
    and `null` also run each under the rule that peeks, and on labels shuffled among all clips, or
    within each subject. What cannot take part is left out, and one that fails does not stop the
    others; `notes` says why. On a part of the clips, what takes frames as well fails.

    >>> study = lab.compare(["svm", "mdmo"], maps, seeds=1)
    >>> sorted(study), sorted(study.table["System"])
    (['mdmo', 'svm'], ['mdmo', 'svm'])
    """
    maps = maps if maps.is_whole else maps_of(maps, jobs, protocol)
    shared = _agreed(systems or list(registered), maps, protocol, seeds, epoch_rule)
    kinds = {HONEST: True, ORACLE: oracle, NULL: null, NULL_WITHIN: null_within_subjects}
    wanted = [kind for kind, asked in kinds.items() if asked]
    how: Any = {"kinds": wanted, "recipe": recipe, "fuse": fuse}
    plan = plan_comparison(shared, framed=_framed(maps), **how)
    known = maps_of(maps, jobs, protocol)
    part = {} if known.is_whole else {"flowset": known}
    return run_study(plan, known.source.root if known.source else None, out, jobs, **part)


def ablate(
    system: Recipe,
    maps: Data,
    variants: Mapping[str, Mapping[str, Any]] | None = None,
    *,
    part: str | None = None,
    protocol: Protocol | str = LOSO,
    seeds: Seeds = None,
    out: str | Path = RUNS,
    jobs: int = 1,
) -> Study:
    """Evaluate a system with one component changed at a time, paired with the full model.

    `variants` are settings by the variant's name: `{"thin": {"width": 32}}`; the full model is then
    the system as it stands. Without any, its known components, of hmrm the paper's and more; a
    `ConfigError` where nobody has listed them. The table is of `part`, one data set of several: of
    CASME II if it is among them, as in the paper.

    >>> list(lab.ablate(mlp, maps, {"no dropout": {"dropout": 0.0}}, seeds=1))
    ['full', 'no dropout']
    """
    config, root = settings(system, maps, protocol, seeds), root_of(maps)
    own = None if variants is None else [_variant(config, *one) for one in variants.items()]
    if part is None:
        keys = [clip.key for clip in maps] if isinstance(maps, Clips) else []
        named = {key.dataset for key in keys or maps_of(maps, jobs).keys}
        sets = tested_sets(config.evaluation.protocol, named)
        part = CLAIMED_ON if CLAIMED_ON in sets and len(sets) > 1 else ALL
    plan = plan_ablation(config, own, full=WHOLE if variants else None, root=root, part=part)
    study = run_study(plan, root, out, jobs, part=part)
    study.notes = [f"{name}: is left out: {why}" for name, why in plan.left_out.items()]
    study.notes += [f"{name}: {why}" for (name, _), why in study.found.problems.items()]
    return study


def inputs(
    systems: Recipes,
    clips: Data,
    *,
    inputs: Sequence[str] = (),
    protocol: Protocol | str = LOSO,
    seeds: Seeds = None,
    out: str | Path = RUNS,
    jobs: int = 1,
) -> Study:
    """Evaluate each input on each network: what a system is given of a clip, compared.

    `inputs` are of apex, flow, dual_phase, mm_cof, dynamic_image, mesti, or all. Those that need
    frames are left out where the data have none. The networks are the paper's if none is named.

    >>> list(lab.inputs(["ststnet"], clips, inputs=["flow", "apex"], seeds=1))
    [('ststnet', 'flow'), ('ststnet', 'apex')]
    """
    shared, root = _agreed(systems or NETWORKS, clips, protocol, seeds), root_of(clips)
    plan = plan_inputs(shared, framed=_framed(clips), inputs=inputs)
    return run_study(plan, root, out, jobs)


def effects(
    system: Recipe,
    maps: Data,
    variants: Mapping[str, Mapping[str, Any]] | None = None,
    *,
    seeds: Seeds = None,
    out: str | Path = RUNS,
    jobs: int = 1,
) -> Study:
    """Score single changes of a recipe on inner folds of one half of the subjects: no test result.

    `variants` are as for `lab.ablate`; without any, a list of changes to hmrm's recipe. Each is
    paired with the recipe, subject by subject. What has been tried is not trained again.

    >>> lab.effects(mlp, maps, {"thin": {"width": 8}}, seeds=1).table["Change"].tolist()
    ['recipe', 'thin']
    """
    config = settings(system, maps, seeds=seeds)
    own = CHANGES if variants is None else [_variant(config, *one) for one in variants.items()]
    plan, known = plan_effects(config, own), suited(maps_of(maps, jobs), config)
    begun = _score_all(Sweep.of(config, known, Path(out)), known, list(plan.points.values()), jobs)
    trials = {name: begun.trial(point) for name, point in plan.points.items()}
    results = {name: _result_of(one) for name, one in trials.items() if one and not one.problem}
    table, caption = plan.table(begun), plan.caption(begun)
    return Study(results, table, effects_words(table), caption, sweep=begun, maps=known)


def sweep(
    system: Recipe,
    maps: Data,
    values: Mapping[str, Sequence[Any]],
    *,
    seeds: Seeds = None,
    out: str | Path = RUNS,
    jobs: int = 1,
) -> Study:
    """Score every combination of settings on inner folds of one half of the subjects.

    The other half is left out of the choice, and can test it: see `Study.outer_score`. Each
    combination is kept as soon as it is done.

    >>> lab.sweep(mlp, maps, {"width": [8, 16]}, seeds=1).table["width"].tolist()
    [8, 16]
    """
    begun, flowset, places = _begin(system, maps, values, seeds, out, jobs)
    axes = dict(zip(places, values.values(), strict=True))
    points = grid(axes)
    _score_all(begun, flowset, points, jobs)
    study = _study_of_trials(begun, points, flowset, places)
    study.axes = axes
    return study


def search(
    system: Recipe,
    maps: Data,
    space: Mapping[str, Any],
    *,
    trials: int = 20,
    method: str = "tpe",
    random_trials: int = RANDOM_TRIALS,
    population: int = POPULATION,
    seeds: Seeds = None,
    out: str | Path = RUNS,
    jobs: int = 1,
) -> Study:
    """Look for good settings with Optuna, on inner folds of one half of the subjects.

    `space` has for each setting a list of values, or a range as text: `"1e-4..1e-2:log"`,
    `"0..0.6"`. `method` is `tpe`, or `nsga2` for high UF1 and few parameters at once.

    >>> lab.search(mlp, maps, {"dropout": "0..0.5"}, trials=2, seeds=1).table["Trial"].tolist()
    [1, 2]
    """
    begun, flowset, places = _begin(system, maps, space, seeds, out, jobs)
    chosen = dict(zip(places, space.values(), strict=True))
    for place, value in chosen.items():
        if isinstance(value, str):
            chosen |= parse_space([f"{place}={value}"])
    with progress_bars() as bars:
        history = run_search(
            begun,
            flowset,
            chosen,
            trials=trials,
            sampler=method,
            random_trials=random_trials,
            population=population,
            jobs=count_jobs(jobs),
            on_trial=bars.stage("trials"),
        )
    study = _study_of_trials(begun, points_of(history, chosen), flowset, places)
    study.table = history.rename(columns=places)
    study.words, study.found = study.table.round(4), history
    return study


def evolve(
    system: Recipe,
    maps: Data,
    *,
    alpha: str = "1..16:log",
    ratio: str = "0.2..1:0.05",
    population: int = 16,
    generations: int = 12,
    seed: int = 0,
    fine_tuning: float = 0.5,
    seeds: Seeds = None,
    out: str | Path = RUNS,
    jobs: int = 1,
) -> Study:
    """Breed alpha and the sparsity ratio of every stage on weight-shared super-networks.

    These are trained once, on inner folds of one half of the subjects; choices are tried on the
    groups held out, without training. More generations are added to those there are. The system is
    one whose network can choose, such as `ammsm`; ranges are LOW..HIGH, with :log or :STEP; and
    `fine_tuning` is the share of a training that `best` leaves to the winner alone.

    >>> ammsm = lab.system("ammsm", preset="smoke", epochs=1)
    >>> study = lab.evolve(ammsm, maps, population=2, generations=1, seeds=1)
    >>> study.table["Trial"].tolist(), sorted(study.best)
    ([1, 2], ['model.alpha', 'model.ratios', 'model.super_steps'])
    """
    config = settings(system, maps, seeds=seeds)
    ranges = {"alphas": parse_range("alpha", alpha), "ratios": parse_range("ratio", ratio)}
    bred = {"population": population, "generations": generations, "seed": seed}
    load_optuna()
    Evolution.check(config, **ranges, **bred)  # before there are maps
    flowset = suited(maps_of(maps, jobs), config)
    evolution = Evolution.of(config, flowset, Path(out), **ranges, **bred)
    with progress_bars() as bars:
        found = run_evolution(
            evolution,
            flowset,
            jobs=count_jobs(jobs),
            on_supernets=bars.stage("super-networks"),
            on_trials=bars.stage("trials"),
        )
    best = found.settings(len(flowset), fine_tuning)
    keep_evolved(found, best)
    words = fittest(found.table, len(found.table)).round(4)
    kept = {"best": best, "maps": flowset, "recipe": config, "found": found}
    return Study({}, found.table, words, EVOLVED_CAPTION, sweep=evolution.sweep, **kept)


def run_study(plan: Any, root: Path | None, out: str | Path, jobs: int, **options: Any) -> Study:
    """Run what is missing of a plan of `compare`, `ablate` or `inputs`."""
    with progress_bars() as bars:
        found = plan.run(root=root, out=Path(out), jobs=count_jobs(jobs), watch=bars, **options)
    results = {
        row if column in ("", HONEST) else (row, column): Result(run)
        for (row, column), run in found.runs.items()
        if column not in BESIDE
    }
    remarks = list(getattr(found, "remarks", ()))
    place = plan.folder(Path(out)) if hasattr(plan, "folder") else None
    return Study(
        results, found.table, found.words, found.caption, remarks, found=found, place=place
    )


def _agreed(
    systems: Recipes,
    data: Data,
    protocol: Protocol | str,
    seeds: Seeds,
    epoch_rule: str | None = None,
) -> SharedProtocol:
    """The settings of all systems on these data; those that cannot go together are left out."""
    if isinstance(systems, SharedProtocol):
        return systems
    shared = SharedProtocol(settings("hmrm", data, protocol, seeds, epoch_rule))
    refuse_dishonest(shared.shared)
    for one in systems:
        name = _name(one)
        if name in (*shared.configs, *shared.left_out):
            hint = "name each once: `lab.ablate` varies one"
            raise InputError("a system is named twice", hint=hint)
        try:
            shared.configs[name] = settings(one, data, protocol, seeds, epoch_rule)
        except MixtureError as error:
            shared.left_out[name] = reason_of(error)
    return shared


def _framed(data: Data) -> bool:
    """Whether the data have frames, and are not maps that came ready-made."""
    if isinstance(data, Clips) and len(data):
        return True
    return data.source is not None and load_clips(data.source.config, data.source.root) is not None


def _name(one: Recipe) -> str:
    if isinstance(one, str):
        return one
    return one.name if isinstance(one, System) else one.model.name


def _variant(config: ExperimentConfig, name: str, changes: Mapping[str, Any]) -> Variant:
    places = {place_of(config.model.name, key): value for key, value in changes.items()}
    overrides = tuple(overrides_of(places))
    return Variant(name, ", ".join(overrides), overrides)


def _begin(
    system: Recipe, data: Data, names: Iterable[str], seeds: Seeds, out: str | Path, jobs: int
) -> tuple[Sweep, MotionMaps, dict[str, str]]:
    """A sweep, what its system reads of the maps, and the names of settings by their full ones."""
    config = settings(system, data, seeds=seeds)
    places = {place_of(config.model.name, name): name for name in names}
    maps = suited(maps_of(data, jobs), config)
    return Sweep.of(config, maps, Path(out)), maps, places


def _score_all(begun: Sweep, maps: MotionMaps, points: Sequence[Point], jobs: int) -> Sweep:
    """Score the settings that have no trial yet."""
    with progress_bars() as bars:
        run_grid(begun, maps, points, jobs=count_jobs(jobs), on_progress=bars.stage("settings"))
    return begun


def _study_of_trials(
    begun: Sweep, points: Sequence[Point], maps: MotionMaps, places: Mapping[str, str]
) -> Study:
    """The trials of a sweep as a study, its settings by the names that were given."""
    trials = [trial for point in points if (trial := begun.trial(point))]
    scored = [trial for trial in trials if not trial.problem]
    results = {tuple(trial.settings.values()): _result_of(trial) for trial in scored}
    best = max(scored, key=lambda trial: trial.score).settings if scored else {}
    table = trials_table(trials).rename(columns=places)
    words = table.sort_values("UF1", ascending=False, kind="stable").round(3)
    caption = next(iter(results.values())).caption if results else ""
    return Study(results, table, words, caption, sweep=begun, best=best, maps=maps)


def _result_of(trial: Trial) -> Result:
    about = trial.metrics() | {"caption": trial.caption()}
    return Result(answers=trial.predictions, history=trial.history(), about=about)
