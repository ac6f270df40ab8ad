"""Class schemes: which classes there are, and what the words of coding files mean."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from hmrm_lab.errors import unknown_name
from hmrm_lab.records import are_classes


@dataclass(frozen=True)
class ClassScheme:
    """A table of emotion words; the names of the classes are such words as well."""

    name: str
    classes: tuple[str, ...]  # in alphabetical order; a label is an index here
    words: Mapping[str, str]  # emotion to class, in lower case
    outside: Mapping[str, Sequence[str]] = field(default_factory=dict)  # by data set: no class

    def __post_init__(self) -> None:
        if not are_classes(self.classes) or not {*self.words.values()} <= {*self.classes}:
            raise ValueError(f"class scheme {self.name}: {self.classes}, {self.words}")

    def label(self, word: str, dataset: str = "") -> int | None:
        """The label of an emotion word or a class; None for those outside of the classes."""
        word = word.lower()
        name = self.words.get(word, word)
        excluded = word in self.outside.get(dataset, ())
        return None if excluded or name not in self.classes else self.classes.index(name)

    def label_of(self, text: str) -> int | None:
        """The label that is meant by the name of a class or by its number, or None."""
        for label, name in enumerate(self.classes):
            if text.lower() in (name, str(label)):
                return label
        return None

    @property
    def numbered(self) -> str:
        """The labels in words, such as `0 negative, 1 positive`."""
        return ", ".join(f"{label} {name}" for label, name in enumerate(self.classes))


MEGC3 = ClassScheme(
    "megc3",
    ("negative", "positive", "surprise"),
    {
        **dict.fromkeys(("happiness", "happy", "joy"), "positive"),
        **dict.fromkeys(("anger", "angry", "contempt", "disgust", "fear"), "negative"),
        **dict.fromkeys(("sadness", "sad", "repression"), "negative"),
    },
    outside={"casme2": ("sadness", "fear")},
)
"""The three classes of MEGC 2019 (See et al., 2019)."""

SCHEMES = {one.name: one for one in (MEGC3,)}


def scheme(name: str) -> ClassScheme:
    """The class scheme of this name, or a `ConfigError`."""
    if name not in SCHEMES:
        raise unknown_name("class scheme", name, SCHEMES)
    return SCHEMES[name]
