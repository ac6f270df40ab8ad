"""The figures of a run, computed from its predictions only, and the stamp that goes with them."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from hmrm_lab.config import ExperimentConfig
from hmrm_lab.errors import IncompleteRunError, InputError
from hmrm_lab.evaluation.consistency import LEAK, OK, UNKNOWN
from hmrm_lab.evaluation.fold import NO_RULE, PEEKING, rule_of
from hmrm_lab.evaluation.leakage import judge_weights
from hmrm_lab.evaluation.metrics import METRICS, Doubles, confusion_by_subject, f1_per_class
from hmrm_lab.evaluation.protocols import Protocol
from hmrm_lab.evaluation.significance import (
    LEVEL,
    PRESENT,
    RESAMPLES,
    interval,
    resampled_counts,
    three_averages,
)
from hmrm_lab.records import CODED, PX, Predictions, units_of
from hmrm_lab.registry import systems
from hmrm_lab.runtime.store import RunFolder

ANSWERED = ("dataset", "subject", "clip", "fold", "seed")
DIGITS = 6
THRESHOLD = 0.5  # the probability from which on an action unit is predicted
REASONS = 3  # in one sentence
WEIGHTS = {
    LEAK: "WEIGHTS TRAINED ON TEST SUBJECTS: not comparable with honest results",
    UNKNOWN: "WEIGHTS UNKNOWN: they may have been trained on test subjects",
}


def collect_predictions(run: RunFolder) -> Predictions:
    """Read all finished folds into one table, ordered by data set, subject, clip and seed."""
    rows = [row for unit in run.records() for row in unit["predictions"]]
    if not rows:
        begin = f"{run.path} holds no finished fold; give its `hmrm run` command"
        raise IncompleteRunError(describe_failures(run) or begin)
    order = ["dataset", "subject", "clip", "seed"]
    table = Predictions.of_rows(rows).table.sort_values(order, kind="stable")
    return Predictions(table.reset_index(drop=True))


def summarise_run(run: RunFolder) -> dict[str, Any]:
    """Compute the content of `metrics.json`; the same folds always give the same bytes."""
    config, data = run.config(), run.data()
    predictions = collect_predictions(run)
    done = len(predictions.table[["fold", "seed"]].drop_duplicates())
    return {
        "system": config.model.name,
        "data": config.data.name,
        "flow": flow_of(config, data),
        **stamp_fields(config, data, done=done, failed=len(run.failures())),
        **summarise(predictions),
    }


def stamp_fields(
    config: ExperimentConfig, data: dict[str, Any], *, done: int, failed: int
) -> dict[str, Any]:
    """List the settings and the counts of folds that `stamp` reads."""
    weights, rule = judge_weights(config, data).state, rule_of(config)
    expected = data["folds"] * len(config.evaluation.seeds)
    return {
        "preset": config.preset,
        "protocol": str(Protocol.of(config.evaluation)),
        "epoch_rule": rule,
        "peeking": rule in PEEKING,
        "control": config.evaluation.control,
        **({} if weights == OK else {"weights": weights}),
        "units_done": done,
        "units_expected": expected,
        "units_failed": failed,
        "complete": done == expected,
    }


def summarise(predictions: Predictions) -> dict[str, Any]:
    """Compute pooled metrics with intervals, for all clips and for each data set."""
    names = sorted(predictions.table["dataset"].unique())
    parts = {name: predictions.only(name) for name in names} if len(names) > 1 else {}
    return {
        "seeds": predictions.seeds,
        "all": _figures(predictions),
        "datasets": {name: _figures(part) for name, part in parts.items()},
    }


def _figures(predictions: Predictions) -> dict[str, Any]:
    def rounded(values: Iterable[float]) -> list[float]:
        return [round(float(value), DIGITS) for value in values]

    subjects, seeds, counts = confusion_by_subject(predictions)
    by_seed, drawn = counts.sum(0), resampled_counts(counts)  # (S, K, K), (resamples, S, K, K)
    f1 = f1_per_class(drawn).mean(1)  # (resamples, K)
    mean_over_folds = three_averages(predictions)[PRESENT]
    return {
        "clips": int(by_seed[0].sum()),
        "subjects": len(subjects),
        **{name: round(float(m(by_seed).mean()), DIGITS) for name, m in METRICS.items()},
        **{f"{name}_interval": rounded(interval(m(drawn).mean(1))) for name, m in METRICS.items()},
        "interval": f"{LEVEL:.0%} percentile bootstrap over subjects, {RESAMPLES} resamples",
        "per_seed": {
            str(seed): {name: round(float(m(c)), DIGITS) for name, m in METRICS.items()}
            for seed, c in zip(seeds, by_seed, strict=True)
        },
        "f1": dict(zip(predictions.classes, rounded(f1_per_class(by_seed).mean(0)), strict=True)),
        "f1_interval": {
            name: rounded(interval(of)) for name, of in zip(predictions.classes, f1.T, strict=True)
        },
        "confusion": by_seed.sum(0).tolist(),
        "uf1_mean_over_folds_not_comparable": round(mean_over_folds, DIGITS),
        **({"action_units": units} if (units := unit_scores(predictions)) else {}),
    }


def unit_scores(predictions: Predictions) -> dict[str, dict[str, Any]]:
    """Score the learnt action units that move in some clip, and their `mean`; empty without any.

    Only coded clips count. `clips` are those that a unit moves in (of the mean: all of them), `f1`
    is of the counts of all folds, and `always` the F1 of predicting the unit for every clip; see
    decision 0023.
    """
    found: dict[str, dict[str, Any]] = {}
    drawn: list[Doubles] = []
    for unit in units_of(predictions.table):
        coded = predictions.table.dropna(subset=f"{unit}{CODED}")
        truth = coded[f"{unit}{CODED}"].astype(int)
        one = Predictions(coded.assign(truth=truth, prediction=coded[unit] >= THRESHOLD))
        counts = confusion_by_subject(one)[2][..., :2, :2]  # (P, S, 2, 2)
        clips, moving = counts[:, :1].sum(), counts[:, :1, 1].sum()
        if moving:
            drawn.append(f1_per_class(resampled_counts(counts))[..., 1].mean(1))
            f1, always = f1_per_class(counts.sum(0))[:, 1].mean(), 2 * moving / (moving + clips)
            found[unit] = _unit_figures(moving, drawn[-1], f1=f1, always=always)
    if found:
        means = {name: np.mean([of[name] for of in found.values()]) for name in ("f1", "always")}
        found["mean"] = _unit_figures(clips, np.mean(drawn, axis=0), **means)
    return found


def _unit_figures(clips: int, drawn: Doubles, **figures: np.floating[Any]) -> dict[str, Any]:
    rounded = {name: round(float(value), DIGITS) for name, value in figures.items()}
    ends = [round(end, DIGITS) for end in interval(drawn)]
    return {"clips": int(clips), **rounded, "f1_interval": ends}


def fuse_answers(
    given: Sequence[tuple[Predictions, Mapping[str, Any]]],
) -> tuple[Predictions, dict[str, Any]]:
    """Average the probabilities of several results, and join what their stamps tell.

    Raises `InputError` unless all are complete, and of the same clips, classes, folds and seeds.
    """
    (first, _), tables = given[0], list[pd.DataFrame]()
    for number, (answers, metrics) in enumerate(given, start=1):
        table = answers.table.set_index([*ANSWERED, "truth"]).sort_index()
        tables.append(table)
        alike = answers.classes == first.classes and table.index.equals(tables[0].index)
        sure = alike and bool(table[first.probabilities].notna().all(axis=None))
        if not sure or not metrics["complete"]:
            hint = "fuse complete runs of one data set, with the same classes, protocol and seeds"
            raise InputError(f"result {number} cannot be fused with the first", hint=hint)
    stacked = np.stack([table[first.probabilities].to_numpy(float) for table in tables])
    mean = pd.DataFrame(stacked.mean(0), tables[0].index, first.probabilities)
    mean["prediction"] = mean.to_numpy().argmax(axis=1)
    mean["epoch"] = np.max([table["epoch"] for table in tables], axis=0)
    told, about = [metrics for _, metrics in given], dict[str, Any]()
    for name in ("epoch_rule", "control", "protocol", "weights"):  # what `stamp` tells of each
        if of := dict.fromkeys(str(metrics[name]) for metrics in told if name in metrics):
            about[name] = LEAK if LEAK in of else ", ".join(of)
    about["peeking"] = any(metrics["peeking"] for metrics in told)
    about["preset"] = "smoke" if any(map(is_smoke, told)) else ""
    return Predictions(mean.reset_index()), about


def flow_of(config: ExperimentConfig, data: dict[str, Any]) -> str:
    if systems[config.model.name].takes == "clip":
        return "none (clips)"
    if not config.input.reads_flow:
        return f"none ({', '.join(config.input.channels)})"
    if data["unit"] != PX or config.data.name == "maps":
        return "as given" if config.data.name == "maps" else "as published"
    words = [config.flow.name]
    trained = not systems[config.model.name].is_estimator  # an estimator leaves its flow alone
    words += ["fine-tuned"] if config.flow.finetune and trained else []
    words += {"both": ["both phases"], "mm_cof": ["MM-COF"]}.get(config.flow.phases, [])
    frames, until = config.input.frames, config.input.until
    words += [f"to {frames} frames up to the {until}"] if frames > 1 else []
    return ", ".join(words)


def stamp(metrics: dict[str, Any]) -> str:
    """Write the line below every table and figure: rule, folds, obstacles to a comparison."""
    rule = metrics["epoch_rule"]
    words = ["SMOKE: a check of the installation, the numbers mean nothing"] * is_smoke(metrics)
    words += ["no epochs, a non-iterative estimator" if rule == NO_RULE else f"epoch rule {rule}"]
    if metrics["peeking"]:
        words.append("PEEKS AT THE TEST SUBJECT: not comparable with honest results")
    if "weights" in metrics:
        words.append(WEIGHTS[metrics["weights"]])
    if (protocol := metrics.get("protocol", "loso")) != "loso":
        words.append(f"protocol {protocol}")
    if metrics["control"] != "none":
        words.append(f"CONTROL: {metrics['control'].replace('_', ' ')}")
    counts = {"subject": metrics["all"]["subjects"], "seed": len(metrics["seeds"])}
    words += [", ".join(f"{n} {what}{'' if n == 1 else 's'}" for what, n in counts.items())]
    if not metrics["complete"]:
        done = f"INCOMPLETE: {metrics['units_done']} of {metrics['units_expected']} folds"
        failed = metrics.get("units_failed", 0)
        words.append(f"{done}, {failed} failed" if failed else done)
    return "; ".join(words)


def is_smoke(metrics: Mapping[str, Any]) -> bool:
    """Whether the settings started from the preset `smoke`, whose figures mean nothing."""
    return metrics.get("preset") == "smoke"


def describe_failures(run: RunFolder) -> str:
    """Describe how many folds failed, why, and what helps; empty if none did."""
    failures = run.failures()
    if not failures:
        return ""
    total = run.data()["folds"] * len(run.config().evaluation.seeds)
    reasons = Counter(f"{failure['kind']}: {failure['reason']}" for failure in failures)
    words = [f"{reason} ({count} x)" for reason, count in reasons.most_common(REASONS)]
    words += [f"{len(reasons) - REASONS} other reasons"] if len(reasons) > REASONS else []
    return (
        f"{len(failures)} of {total} folds failed ({', '.join(words)}), see "
        f"{run.path / 'failed'}; {'; '.join(dict.fromkeys(map(_advice, failures)))}"
    )


def _advice(failure: Mapping[str, Any]) -> str:
    """The remedy for a failure: the same command only where it may end otherwise."""
    again = "the same command tries them again"
    if failure.get("traceback"):
        again = "a traceback kept there is a fault of the program: report it"
    diverged = "the same training would diverge again: lower training.lr or set training.clip_norm"
    memory = "free memory or lower --jobs; the same command tries them again"
    return {"diverged": diverged, "memory": memory}.get(failure["kind"], again)
