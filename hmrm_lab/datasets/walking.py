"""The folder of a clip beneath the root, and the numbered frames in it; never outside the root."""

import os
import re
from dataclasses import dataclass, field
from pathlib import Path

from hmrm_lab.datasets.findings import shown
from hmrm_lab.datasets.images import SUFFIXES
from hmrm_lab.errors import InputError

NUMBER = re.compile(r"(\d+)\D*$")


@dataclass(frozen=True)
class FrameList:
    """The images of a folder in order of their numbers, and what was wrong in it."""

    numbers: tuple[int, ...]
    paths: tuple[Path, ...]
    unnumbered: tuple[str, ...]
    twice: tuple[int, ...]
    outside: tuple[str, ...]


class OutsideError(InputError):
    """A path leads out of the root of the data set."""


@dataclass
class Tree:
    """The folders below a root, each listed once."""

    root: Path
    _folders: dict[Path, dict[str, list[str]]] = field(default_factory=dict)
    _frames: dict[Path, FrameList] = field(default_factory=dict)

    def find(self, base: Path, parts: tuple[str, ...]) -> Path | None:
        """The folder `base/parts...`, or None.

        A part that is not there to the letter is looked for without case and leading zeros of its
        numbers, if that names one folder only.
        """
        folder = base
        for part in parts:
            known = self._list(folder)
            names = known.get(loose(part), [])
            if part in names:
                folder = folder / part
            elif len(names) == 1:
                folder = folder / names[0]
            else:
                return None
        return self.inside(folder)

    def inside(self, path: Path) -> Path:
        """The same path, or an `OutsideError` if links lead it out of the root."""
        if self._leads_out(path):
            raise OutsideError(
                "leads out of the root of the data set",
                where=shown(path),
                mend="put the files themselves below the root, or give the root that holds them",
            )
        return path

    def frames(self, folder: Path) -> FrameList:
        """The numbered images of a folder."""
        if folder not in self._frames:
            self._frames[folder] = self._read_frames(folder)
        return self._frames[folder]

    def _leads_out(self, path: Path) -> bool:
        real = Path(os.path.realpath(path))  # unlike resolve, it bears a link to itself
        return not real.is_relative_to(os.path.realpath(self.root))

    def _list(self, folder: Path) -> dict[str, list[str]]:
        if folder not in self._folders:
            found: dict[str, list[str]] = {}
            if folder.is_dir():
                for entry in sorted(os.scandir(self.inside(folder)), key=lambda entry: entry.name):
                    if Path(entry.path).is_dir():  # False for a link to itself
                        found.setdefault(loose(entry.name), []).append(entry.name)
            self._folders[folder] = found
        return self._folders[folder]

    def _read_frames(self, folder: Path) -> FrameList:
        numbered: dict[int, Path] = {}
        unnumbered, twice, outside = [], [], []
        with os.scandir(folder) as entries:
            files = sorted((entry for entry in entries if _is_image(entry)), key=lambda e: e.name)
        for entry in files:
            path = Path(entry.path)
            number = NUMBER.search(path.stem)
            if entry.is_symlink() and self._leads_out(path):
                outside.append(shown(path))
            elif number is None:
                unnumbered.append(shown(entry.name))
            elif int(number[1]) in numbered:
                twice.append(int(number[1]))
            else:
                numbered[int(number[1])] = path
        order = sorted(numbered)
        return FrameList(
            tuple(order),
            tuple(numbered[number] for number in order),
            tuple(unnumbered),
            tuple(twice),
            tuple(outside),
        )


def loose(name: str) -> str:
    """A name without case and without the leading zeros of its numbers: EP01_02f is ep1_2f."""
    return re.sub(r"\d+", lambda digits: str(int(digits[0])), name.strip().lower())


def check_name(name: str, what: str) -> None:
    """Refuse what is no plain name: empty, hidden, or with a path in it."""
    if not name:
        raise ValueError(f"{what} is empty")
    if name.startswith(".") or any(sign in name for sign in "/\\\0:"):
        raise ValueError(f"{what} '{shown(name)}' is a path, not a name")


def _is_image(entry: os.DirEntry[str]) -> bool:
    """Whether the name is that of an image; names such as ._img1.jpg are left by other systems."""
    return not entry.name.startswith(".") and Path(entry.name).suffix.lower() in SUFFIXES
