"""Whether the records of a run agree with themselves, with the settings and with the data."""

from collections import Counter
from collections.abc import Iterator

from hmrm_lab.evaluation.audit_findings import (
    FAULT,
    Check,
    Records,
    folds_of,
    key_of,
    listed,
    no_data,
    verdict,
)
from hmrm_lab.records import classes_of, probability_columns

ROUNDING = 1e-4  # of probabilities that were written with six digits


def check_completeness(records: Records) -> Check:
    """Every clip is answered for once under every seed."""
    answers = Counter(
        (unit["seed"], key_of(row)) for unit in records.units for row in unit["predictions"]
    )
    wrong = [
        f"{'/'.join(key)} is answered {count} times under seed {seed}"
        for (seed, key), count in answers.items()
        if count > 1
    ]
    wrong += [*_wrong_units(records), *_wrong_clips(records, {key for _, key in answers})]
    fine = f"{answers.total()} answers, one for each clip and seed"
    return verdict("missing and doubled clips", FAULT, wrong, fine)


def _wrong_units(records: Records) -> Iterator[str]:
    """Units that are missing, and those with more or fewer clips than were held out."""
    held_out = records.data.get("held_out", {})
    there = {(unit["fold"], unit["seed"]) for unit in records.units}
    asked = {(fold, seed) for fold in held_out for seed in records.config.evaluation.seeds}
    if missing := len(asked - there):
        yield f"{missing} of {len(asked)} units are missing"
    for unit in records.units:
        count, fold = len(unit["predictions"]), unit["fold"]
        if held_out and count != held_out.get(fold):
            yield f"{fold} has {count} answers for {held_out.get(fold, 'no')} clips held out"


def _wrong_clips(records: Records, answered: set[tuple[str, str, str]]) -> Iterator[str]:
    if records.flowset is None:
        return
    there = folds_of(records)  # of a missing fold one line is enough
    known = {tuple(key) for key in records.flowset.keys}
    pairs = zip(records.flowset.keys, records.flowset.persons, strict=True)
    due = {tuple(key) for key, person in pairs if person in there}
    yield from (f"{'/'.join(key)} is not in the data" for key in sorted(answered - known))
    yield from (f"{'/'.join(key)} is not answered" for key in sorted(due - answered))


def check_truth(records: Records) -> Check:
    """The labels scored against are those of the data."""
    name = "labels"
    if records.flowset is None:
        return no_data(name)
    labels = dict(zip(map(tuple, records.flowset.keys), records.flowset.labels, strict=True))
    wrong = [
        f"{'/'.join(key_of(row))} is scored as {row['truth']} and labelled {labels[key_of(row)]}"
        for unit in records.units
        for row in unit["predictions"]
        if key_of(row) in labels and int(labels[key_of(row)]) != row["truth"]
    ]
    return verdict(name, FAULT, wrong, "every clip is scored against its label in the data")


def check_seeds(records: Records) -> Check:
    """The seeds are those that the settings name, and not the best of many."""
    asked, found = set(records.config.evaluation.seeds), {unit["seed"] for unit in records.units}
    wrong = [f"seed {seed} is not in the settings" for seed in sorted(found - asked)]
    wrong += [f"seed {seed} has no fold" for seed in sorted(asked - found)]
    wrong += [
        f"a row of {unit['fold']} has seed {row['seed']} in a file of seed {unit['seed']}"
        for unit in records.units
        for row in unit["predictions"]
        if row["seed"] != unit["seed"]
    ]
    return verdict("seeds", FAULT, wrong, listed(sorted(asked)))


def check_probabilities(records: Records) -> Check:
    """Each row adds up to one, and names its most probable class."""
    wrong = []
    for unit in records.units:
        for row in unit["predictions"]:
            scores = [row[name] for name in probability_columns(classes_of(row))]
            clip = "/".join(key_of(row))
            if not all(-ROUNDING <= score <= 1 + ROUNDING for score in scores):
                wrong.append(f"{clip} has a probability outside 0 to 1")
            elif abs(sum(scores) - 1) > ROUNDING:
                wrong.append(f"the probabilities of {clip} add up to {sum(scores):.4f}")
            elif scores[row["prediction"]] < max(scores) - ROUNDING:
                wrong.append(f"{clip} is answered by a class that is not the most probable")
    return verdict("probabilities", FAULT, wrong, "each row adds up to one")


def check_digest(records: Records) -> Check:
    """The folder is named by the settings in it."""
    digest, folder = records.config.digest()[:8], records.folder
    wrong = (
        []
        if folder.endswith(f"-{digest}")
        else [f"the settings have the digest {digest}, and the folder is named {folder}"]
    )
    return verdict("settings", FAULT, wrong, f"the folder is named by its settings ({digest})")


def check_fingerprint(records: Records) -> Check:
    """The data at hand are those of the run."""
    if records.flowset is None:
        return no_data("data")
    now, then = records.flowset.fingerprint(), str(records.data.get("fingerprint"))
    wrong = [] if now == then else [f"fingerprint {now[:8]}, and the run rests on {then[:8]}"]
    return verdict("data", FAULT, wrong, f"the data of the run ({then[:8]})")
