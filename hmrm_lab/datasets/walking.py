"""The folder of a clip beneath the root, and the numbered frames in it; never outside the root."""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise, zip_longest
from pathlib import Path
from typing import Any, NamedTuple

from hmrm_lab.datasets.images import SUFFIXES, VIDEO_SUFFIXES
from hmrm_lab.datasets.recordings.findings import bad_input, shown
from hmrm_lab.errors import InputError

NUMBER = re.compile(r"(\d+)\D*$")
FRACTION = re.compile(r"(?<!\d)(?<!\d[.,])(\d+[.,])(\d+)(?![.,]?\d)")
CLOCK = re.compile(r"(?<!\d)(\d{1,2})((?:\D\d\d){1,2})\s*([ap])\.?m\b")

FOLLOW = "allow it with --follow-links"


class FrameList(NamedTuple):
    """The images of a folder in order of their last numbers, and what was wrong in it."""

    numbers: tuple[int, ...]
    paths: tuple[Path, ...]
    outside: list[str]
    oddities: dict[str, str]  # the first problem of each hint


class OutsideError(InputError):
    """A path leads out of the root of the data set."""


@dataclass
class Tree:
    """The folders and videos below a root, each folder listed once."""

    root: Path
    follow_links: bool = False
    _folders: dict[Path, dict[str, list[str]]] = field(default_factory=dict)
    _frames: dict[Path, FrameList] = field(default_factory=dict)

    def find(self, base: Path, parts: tuple[str, ...]) -> Path | None:
        """The folder or video `base/parts...`, or None.

        A part that is not there to the letter is looked for without case and leading zeros of its
        numbers, if that names one folder only.
        """
        folder = base
        for part in parts:
            names = self._list(folder).get(loose(part), [])
            if part not in names and len(names) != 1:
                return None
            folder = folder / (part if part in names else names[0])
        return self.inside(folder)

    def inside(self, path: Path) -> Path:
        """The same path, or an `OutsideError` if links lead it out of the root."""
        if self._leads_out(path):
            hint = f"put the files themselves below the root, or {FOLLOW}"
            problem = "leads out of the root of the data set"
            raise OutsideError(problem, where=shown(path), hint=hint)
        return path

    def images(self, folder: Path) -> tuple[list[Path], list[str]]:
        """The images of a folder by name, and those that links lead out of the root.

        Names such as ._img1.jpg are left by other systems, and no images.
        """
        paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
        files = [path for path in paths if not path.name.startswith(".")]
        outside = [path for path in files if path.is_symlink() and self._leads_out(path)]
        return [path for path in files if path not in outside], [shown(path) for path in outside]

    def frames(self, folder: Path) -> FrameList:
        if folder in self._frames:
            return self._frames[folder]
        numbered: dict[int, Path] = {}
        oddities: dict[str, str] = {}
        files, outside = self.images(folder)
        for path in files:
            found = NUMBER.search(path.stem)
            number = int(found[1]) if found else -1
            if found is None:
                problem = f"'{shown(path.name)}' in {shown(folder)} has no frame number"
                oddities.setdefault("rename or remove it", problem)
            elif number in numbered:
                problem = f"frame {number} is there twice in {shown(folder)}"
                oddities.setdefault("remove one of the two", problem)
            else:
                numbered[number] = path
        order = tuple(sorted(numbered))
        paths = tuple(numbered[number] for number in order)
        if not oddities and order_frames(paths)[0] != paths:
            problem = f"the frames in {shown(folder)} are counted by the last number of their names"
            oddities["nothing to do, unless the other numbers count as well"] = problem
        return self._frames.setdefault(folder, FrameList(order, paths, outside, oddities))

    def _leads_out(self, path: Path) -> bool:
        """Whether a path is outside of the root: after its links, or, if they may, before them."""
        real = os.path.abspath if self.follow_links else os.path.realpath
        return not Path(real(path)).is_relative_to(real(self.root))

    def _list(self, folder: Path) -> dict[str, list[str]]:
        if folder not in self._folders:
            found: dict[str, list[str]] = {}
            for path in sorted(self.inside(folder).iterdir()) if folder.is_dir() else ():
                if path.suffix.lower() in VIDEO_SUFFIXES or path.is_dir():  # no link to itself
                    found.setdefault(loose(path.name), []).append(path.name)
            self._folders[folder] = found
        return self._folders[folder]


def order_frames(paths: Sequence[Path]) -> tuple[tuple[Path, ...], str]:
    """Sort images by all numbers of their names, from left to right, as one counts them.

    Fractions, and times with am or pm, are understood. Where words decide between two names, the
    last numbers do instead. The note says which order was taken where another is possible. If an
    image has no number, or two have the same, an `InputError` says so.
    """
    keys, notes = _natural_keys([path.stem.lower() for path in paths])
    numbers, last = [key[1::2] for key in keys], [key[1::2][-1:] for key in keys]
    order = sorted(range(len(paths)), key=keys.__getitem__)
    by_last = sorted(order, key=last.__getitem__)
    bare = [at for at in order if not numbers[at]]  # as the first of: img, img (1), img (2)
    begins = bare and all(str(key[0]).startswith(keys[bare[0]][0]) for key in keys)
    if len(bare) > 1 or (bare and not begins):
        raise _disorder("an image without a number", paths[bare[-1]])
    worded = any(_words_decide(keys[one], keys[two]) for one, two in pairwise(order))
    followed = last if worded else numbers
    for one, two in pairwise(sorted(order, key=followed.__getitem__)):
        if followed[one] == followed[two]:
            raise _disorder(f"more than one image with the number {followed[two][-1]}", paths[two])
    if worded:
        order, notes = by_last, ["sorted by the last number, as words differ", *notes]
    elif sum(len(set(column)) > 1 for column in zip_longest(*filter(None, numbers))) > 1:
        other = order != by_last and len({*map(tuple, last)}) == len(last)
        notes = [f"sorted by all numbers{', not by the last alone' if other else ''}", *notes]
    ordered = tuple(paths[at] for at in order)
    if not notes:
        return ordered, ""
    ends = f"{shown(ordered[0].name)} to {shown(ordered[-1].name)}"
    return ordered, f"Frames {ends}: {'; '.join(notes)}."


def _natural_keys(stems: list[str]) -> tuple[list[list[Any]], list[str]]:
    """Words and numbers of each name in turn; and how digits behind a point were understood."""
    stems = [
        CLOCK.sub(lambda at: f"{int(at[1]) % 12 + 12 * (at[3] == 'p'):02d}{at[2]}", stem)
        for stem in stems
    ]
    found = [fraction[2] for stem in stems for fraction in FRACTION.finditer(stem)]
    longest, notes = max(map(len, found), default=0), []
    if any(len(digits) < longest for digits in found):
        leading = any(len(digits) == longest and digits[0] == "0" for digits in found)
        counted = not leading and any(len(digits) > 1 and digits[-1] == "0" for digits in found)
        notes = [f"digits behind a point are {'counted' if counted else 'a fraction'}"]  # 1.9, 1.10
        if not counted:  # 0.04, 0.5
            stems = [
                FRACTION.sub(lambda f: f[1] + f[2].ljust(longest, "0"), stem) for stem in stems
            ]
    parts = [re.split(r"(\d+)", stem) for stem in stems]
    return [[int(p) if at % 2 else p for at, p in enumerate(part)] for part in parts], notes


def _words_decide(one: list[Any], two: list[Any]) -> bool:
    """Whether the first part in which two names differ is a word that is not the other's begin."""
    at = next((at for at, (a, b) in enumerate(zip_longest(one, two)) if a != b), 1)
    return at % 2 == 0 and at < len(two) and not two[at].startswith(one[at])


def _disorder(problem: str, path: Path) -> InputError:
    hint = "number the frames of one recording, or move this one away"
    return bad_input(path.parent, f"{problem}: {shown(path.name)}", hint)


def loose(name: str) -> str:
    """A name without case and without the leading zeros of its numbers: EP01_02f is ep1_2f."""
    return re.sub(r"\d+", lambda digits: str(int(digits[0])), name.strip().lower())


def check_name(name: str, what: str) -> None:
    """Refuse what is no plain name: empty, hidden, or with a path in it."""
    if not name:
        raise ValueError(f"{what} is empty")
    if name.startswith(".") or any(sign in name for sign in "/\\\0:"):
        raise ValueError(f"{what} '{shown(name)}' is a path, not a name")
