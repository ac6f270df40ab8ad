"""Single answers as a table: filtered, put in order, and compared between systems (Table 4)."""

from collections.abc import Mapping

import pandas as pd

from hmrm_lab.errors import unknown_name
from hmrm_lab.records import Predictions

ANY = "any"
OUTCOMES = (ANY, "wrong", "right")
ORDERS = ("most confident first", "least confident first", "by clip")
CLIP = ["dataset", "subject", "clip"]
HARD = (
    *("data set", "subject", "clip", "truth", "taken for", "probability"),
    *("answers wrong", "systems wrong"),
)


def answers_table(
    predictions: Predictions,
    *,
    outcome: str = ANY,
    truth: str = ANY,
    prediction: str = ANY,
    dataset: str = ANY,
    person: str = ANY,
    order: str = ORDERS[0],
) -> pd.DataFrame:
    """One row per clip and seed that passes every filter, in the order asked for.

    The columns of `Predictions`, `probability` (of the predicted class) and `right`. A `person` is
    `dataset/subject`. An empty table is an answer too.

    Raises
    ------
    ConfigError
        If a filter or an order has an unknown name.
    """
    table = predictions.table.assign(
        person=predictions.persons,
        probability=predictions.table[predictions.probabilities].max(axis=1),
        right=predictions.table["truth"] == predictions.table["prediction"],
    )
    _refuse("outcome", outcome, OUTCOMES)
    _refuse("order", order, ORDERS)
    if outcome != ANY:
        table = table[table["right"] == (outcome == "right")]
    for column, name in (("truth", truth), ("prediction", prediction)):
        _refuse("class", name, (ANY, *predictions.classes))
        if name != ANY:
            table = table[table[column] == predictions.classes.index(name)]
    for column, name in (("dataset", dataset), ("person", person)):
        known = predictions.table["dataset"] if column == "dataset" else predictions.persons
        _refuse(column, name, (ANY, *known.unique()))
        if name != ANY:
            table = table[table[column] == name]
    keys = [*CLIP, "seed"]
    if order != ORDERS[2]:
        table = table.sort_values(
            ["probability", *keys], ascending=[order == ORDERS[1], *[True] * len(keys)]
        )
    else:
        table = table.sort_values(keys)
    return table.drop(columns="person").reset_index(drop=True)


def hard_answers_table(systems: Mapping[str, Predictions], count: int = 10) -> pd.DataFrame:
    """The clips that most answers got wrong, over all seeds of all systems, worst first.

    A row per clip: truth; the wrong class named most often and its mean probability among those
    who named it; how many answers, and how many systems, are wrong. A system is wrong if more than
    half of its seeds are. Clips that nobody got wrong are left out.

    Raises
    ------
    ValueError
        If there is no system.
    """
    if not systems:
        raise ValueError("no system to compare")
    answers = pd.concat(
        [answers_table(of).assign(system=name) for name, of in systems.items()], ignore_index=True
    )
    classes = next(iter(systems.values())).classes
    groups = [of for _, of in answers.groupby([*CLIP, "truth"]) if not of["right"].all()]
    rows = [_hard_row(of, classes) for of in groups]
    table = pd.DataFrame(rows, columns=[*HARD, "wrong"])
    table = table.sort_values(["wrong", "probability"], ascending=False, kind="stable")
    return table[list(HARD)].head(count).reset_index(drop=True)


def _hard_row(answers: pd.DataFrame, classes: tuple[str, ...]) -> list[object]:
    """All answers to one clip, of which one at least is wrong."""
    wrong = answers[~answers["right"]]
    named = wrong.groupby("prediction")["probability"].agg(["size", "mean"])
    named = named.sort_values(["size", "mean"], ascending=False)
    systems = answers.groupby("system")["right"].mean() < 0.5
    first = answers.iloc[0]
    return [
        *(first[name] for name in CLIP),
        classes[first["truth"]],
        classes[int(named.index[0])],
        round(float(named["mean"].iloc[0]), 3),
        f"{len(wrong)} of {len(answers)}",
        f"{systems.sum()} of {len(systems)}",
        len(wrong),
    ]


def _refuse(kind: str, name: str, known: tuple[str, ...]) -> None:
    if name not in known:
        raise unknown_name(kind, name, known)
