"""Class schemes: which classes there are, and what the words of coding files mean.

A scheme is a table with the columns `emotion` and `class`, or `action_units` and `class`: those of
this package lie in `schemes/`, and a person's own is named by its path. A blank class leaves the
clips of an emotion out, a column `dataset` limits a row to one data set, and the action units `*`
stand for all others, such as those of `12+6`, in any order.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cache
from pathlib import Path

from hmrm_lab.datasets.recordings.coding import Columns, read_coding
from hmrm_lab.datasets.recordings.findings import bad_input, shown
from hmrm_lab.errors import ConfigError, InputError, unknown_name
from hmrm_lab.records import MOST_CLASSES, are_classes

FOLDER = Path(__file__).parent / "schemes"
UNITS, EMOTIONS = "action_units", "emotion"
TABLE: Columns = {"class": ("class",), "dataset?": ("dataset", "data set")}
ALL_OTHERS = "*"


@dataclass(frozen=True)
class ClassScheme:
    """A table of emotion words, or of combinations of action units; names of classes are words."""

    name: str
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
        if word not in known and ALL_OTHERS in known:
            word = ALL_OTHERS
        if word not in known:
            near = get_close_matches(word, known, n=1, cutoff=0.6)
            hint = f"did you mean '{near[0]}'?" if near else f"known are {', '.join(known)}"
            raise LookupError(f"unknown emotion '{shown(word)}'", hint)
        return self.classes.index(known[word]) if known[word] else None

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
    if name not in scheme_names():
        raise unknown_name("class scheme", name, scheme_names())
    return _shipped(name)


def read_scheme(path: Path) -> ClassScheme:
    """Read a class scheme; an `InputError` names the row that is wrong."""
    if not path.is_file():
        raise ConfigError("no such class scheme", where=path, hint="check data.classes")
    read = EMOTIONS
    try:
        table = read_coding(path, {"word": (EMOTIONS, "word"), **TABLE})
    except InputError:
        read, table = UNITS, read_coding(path, {"word": (UNITS, "AU", "AUs"), **TABLE})
    words: dict[str, dict[str, str]] = {"": {}}
    for row in table.rows:
        try:
            text, name, dataset = row["word"], row["class"], row["dataset"].lower()
            if not text:
                raise ValueError("the emotion is empty")
            if "," in name or '"' in name:
                raise ValueError(f"the class '{name}' has a comma or quotation mark")
            word = unit_key(text) or text if read == UNITS else text.lower()
            known = words.setdefault(dataset, {}).setdefault(word, name)
            if known != name:
                raise ValueError(f"'{text}' is in two classes, {known or 'none'} and {name}")
        except ValueError as error:
            raise bad_input(path, str(error), "correct this row", row.number) from None
    classes = tuple(sorted({name for own in words.values() for name in own.values() if name}))
    if not 2 <= len(classes) <= MOST_CLASSES:
        problem = f"{len(classes)} classes ({', '.join(classes)}), and 2 to {MOST_CLASSES} are"
        raise bad_input(path, f"{problem} possible", "correct the column class")
    return ClassScheme(path.stem, classes, words.pop(""), words, read)


@cache
def _shipped(name: str) -> ClassScheme:
    return read_scheme(FOLDER / f"{name}.csv")


MEGC3 = _shipped("megc3")
"""The three classes of MEGC 2019 (See et al., 2019)."""
