"""Class schemes: which classes there are, and what the words of coding files mean.

A scheme is a table with the columns `emotion` and `class`, or `action_units` and `class`: those of
this package lie in `schemes/`, and a person's own is named by its path. A blank class leaves the
clips of an emotion out, a column `dataset` limits a row to one data set, and the action units `*`
stand for all others, such as those of `12+6`, in any order.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from functools import cache
from pathlib import Path

from hmrm_lab.datasets.recordings.coding import data_set, read_coding
from hmrm_lab.datasets.recordings.findings import KNOWN, bad_input, shown
from hmrm_lab.errors import ConfigError, check_known
from hmrm_lab.records import MOST_CLASSES, are_classes

FOLDER = Path(__file__).parent / "schemes"
UNITS, EMOTIONS = "action_units", "emotion"
ALL_OTHERS = "*"
PAIRS = (("happiness", "happy"), ("sadness", "sad"), ("anger", "angry"), ("others", "other"))
SAME_WORD = {**dict(PAIRS), **{second: first for first, second in PAIRS}}
OBJECTIVE = ("I", "II", "III", "IV", "V", "VI", "VII")  # Davison et al. 2018


@dataclass(frozen=True)
class ClassScheme:
    """A table of emotion words, or of combinations of action units; names of classes are words."""

    name: str  # of its file, for a person's own
    classes: tuple[str, ...]  # in alphabetical order; a label is an index here
    words: Mapping[str, str]  # word to class, in lower case; an empty class leaves it out
    of_sets: Mapping[str, Mapping[str, str]] = field(default_factory=dict)  # by data set: its own
    read: str = EMOTIONS  # or UNITS: the column of a coding file that has the words

    def __post_init__(self) -> None:
        meant = {*self.words.values(), *(c for own in self.of_sets.values() for c in own.values())}
        if not are_classes(self.classes) or not meant <= {*self.classes, ""}:
            raise ValueError(f"class scheme {self.name}: {self.classes}, {self.words}")

    def label(self, word: str, dataset: str = "") -> int | None:
        """The label of a word or a class; None for those left out, `LookupError` if unknown."""
        word = word.strip().lower()
        named = {name.lower(): name for name in self.classes}
        known = {**named, **self.words, **self.of_sets.get(dataset, {})}
        if self.read == UNITS and word not in named:
            word = unit_key(word) or word
        names = (word, SAME_WORD.get(word, ""), ALL_OTHERS)
        found = next((name for name in names if name in known), None)
        if found is None:
            near = get_close_matches(word, known, n=1, cutoff=0.6)
            hint = f"did you mean '{near[0]}'?" if near else f"known are {', '.join(known)}"
            raise LookupError(f"unknown emotion '{shown(word)}'", hint)
        return self.classes.index(known[found]) if known[found] else None

    def label_of(self, text: str) -> int | None:
        """The label that is meant by the name of a class or by its number, or None."""
        for label, name in enumerate(self.classes):
            if text.lower() in (name.lower(), str(label)):
                return label
        return None

    @property
    def numbered(self) -> str:
        """The labels in words, such as `0 negative, 1 positive`."""
        return ", ".join(f"{label} {name}" for label, name in enumerate(self.classes))


def unit_key(text: str) -> str:
    """A combination of action units, without sides and intensities: 6+12 from R12B, AU6."""
    return "+".join(str(number) for number in sorted({int(n) for n in re.findall(r"\d+", text)}))


def scheme_names() -> list[str]:
    return sorted(path.stem for path in FOLDER.glob("*.csv"))


def scheme(name: str) -> ClassScheme:
    """The class scheme of this name, or of a file; a `ConfigError` or `InputError` if wrong."""
    if name.lower().endswith((".csv", ".xlsx", ".ods", ".tsv")):
        return read_scheme(Path(name))
    check_known("class scheme", name, scheme_names())
    return _shipped(name)


def read_scheme(path: Path) -> ClassScheme:
    """Read a class scheme; an `InputError` names the row that is wrong."""
    if not path.is_file():
        raise ConfigError("no such class scheme", where=path, hint="check its path")
    table = read_coding(path, KNOWN["scheme"]["columns"])
    kinds = [kind for kind in (EMOTIONS, UNITS) if kind in table.fields]
    if len(kinds) != 1:
        problem = "two columns, emotion and action_units," if kinds else "no column 'emotion'"
        raise bad_input(path, f"{problem} beside 'class'", "give one, emotion or action_units")
    words: dict[str, dict[str, str]] = {"": {}}
    for row in table.rows:
        try:
            text, name, dataset = row[kinds[0]], row["class"], data_set(row["dataset"])
            word = text.lower() if kinds == [EMOTIONS] or text == ALL_OTHERS else unit_key(text)
            if not word:
                what = f"no action units in '{text}'" if text else f"the {kinds[0]} is empty"
                raise ValueError(what)
            if "," in name or '"' in name:
                raise ValueError(f"the class '{name}' has a comma or quotation mark")
            known = words.setdefault(dataset, {}).setdefault(word, name)
            if known != name:
                both = f"{known or 'none'} and {name or 'none'}"
                raise ValueError(f"'{text}' is in two classes, {both}")
        except ValueError as error:
            raise bad_input(path, str(error), "correct this row", row.number) from None
    classes = tuple(sorted({name for own in words.values() for name in own.values() if name}))
    if not 2 <= len({name.lower() for name in classes}) == len(classes) <= MOST_CLASSES:
        problem = f"{len(classes)} classes ({', '.join(classes)}); 2 to {MOST_CLASSES} are possible"
        raise bad_input(path, problem, "name them in the column class, each in one spelling")
    return ClassScheme(str(path), classes, words.pop(""), words, kinds[0])


@cache
def _shipped(name: str) -> ClassScheme:
    return replace(read_scheme(FOLDER / f"{name}.csv"), name=name)


MEGC3 = _shipped("megc3")
"""The three classes of MEGC 2019 (See et al., 2019)."""
