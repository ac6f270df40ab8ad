"""`hmrm systems` and `settings`: what can be run, and what can be set."""

import inspect
import re
from collections.abc import Iterator
from typing import Any

from hmrm_lab.cli.shared import show


def systems(name: str | None = None, as_json: bool = False) -> None:
    """List the systems, or show the card of one."""
    from hmrm_lab.registry import Card
    from hmrm_lab.registry import systems as known
    from hmrm_lab.reporting.svg import render_page

    cards = [_card(one) for one in ([name] if name else known)]
    words = f"{inspect.getdoc(Card)}".partition("\n\n")[2]
    page = "system.txt.j2" if name else "systems.txt.j2"
    show({"systems": cards}, render_page(page, cards=cards, fidelities=words), as_json)


def settings(
    name: str = "",
    preset: str = "default",
    system: str | None = None,
    overrides: list[str] | None = None,
    as_json: bool = False,
) -> None:
    """List the settings with their values, and what may be given."""
    from hmrm_lab.config import COMPONENTS, load_config, why_unused
    from hmrm_lab.errors import unknown_name
    from hmrm_lab.registry import systems as known
    from hmrm_lab.reporting.svg import render_page

    config = load_config(preset, system=system, overrides=overrides or ())
    rows: list[dict[str, Any]] = []
    for section, values in config.model_dump(mode="json", exclude={"name", "preset"}).items():
        fields = type(getattr(config, section))
        rows += _rows(section, fields, fields, values)
        if section in COMPONENTS:
            builder = COMPONENTS[section][values["name"]]
            rows += _rows(section, builder.options, builder.build, values)
    entry = known[config.model.name]
    rows = [row for row in rows if not why_unused(entry, row["setting"])]
    chosen = [row for row in rows if row["setting"].startswith(name)]
    if not chosen:
        raise unknown_name("setting", name, (row["setting"] for row in rows))
    facts: dict[str, Any] = {"preset": preset, "system": entry.name, "settings": chosen}
    show(facts, render_page("settings.txt.j2", **facts), as_json)


def _card(name: str) -> dict[str, Any]:
    """The facts about one system."""
    from hmrm_lab.evaluation.cost import published_cost
    from hmrm_lab.registry import systems as known

    entry = known[name]
    about = entry.card
    return {
        "system": name,
        "takes": about.accepts if about else entry.takes,
        "fidelity": about.fidelity if about else "no card",
        "source": about.citation if about else entry.source,
        "idea": about.idea if about else "",
        "departures": list(about.departures if about else ()),
        "parameters": published_cost(name, flops=False)["parameters"],
        "recipe": dict(entry.recipe),
        "options": list(_rows("model", entry.options, entry.build, entry.complete({}))),
    }


def _rows(section: str, model: Any, code: Any, values: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A row for each field of a model; its meaning is the comment beside it in the code."""
    from hmrm_lab.registry import describe_values

    source = inspect.getsource(getattr(code, "func", code))  # a builder may be a partial function
    about = dict(re.findall(r"^\s+(\w+): .*  # (.+)$", source, re.MULTILINE))
    for key, schema in model.model_json_schema()["properties"].items():
        row = {"setting": f"{section}.{key}", "value": values[key]}
        yield row | {"allowed": describe_values(schema), "about": about.get(key, "")}
