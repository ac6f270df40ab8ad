"""Which notebooks there are, and what they say of themselves."""

import re
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from hmrm_lab.errors import InputError, unknown_name

_INSTALLED = Path(__file__).parents[2] / "notebooks"
_CHECKOUT = Path(__file__).parents[3] / "notebooks"
SUFFIX = ".ipynb"
FAILED = ".failed"  # of the copy of a notebook with faults, before the suffix


@dataclass(frozen=True)
class Notebook:
    """A notebook file, read when it is asked for something."""

    path: Path

    @property
    def name(self) -> str:
        return self.path.stem

    @cached_property
    def content(self) -> Any:
        """The notebook as nbformat reads it. Raises `InputError` if it is none."""
        require_package("nbformat", "jupyter")
        import nbformat

        try:
            return nbformat.read(self.path, as_version=4)
        except (ValueError, KeyError, AttributeError, nbformat.ValidationError) as error:
            raise InputError(
                "this is no notebook", where=self.path, mend="open it in JupyterLab to see why"
            ) from error

    @property
    def title(self) -> str:
        """The first heading, or the name."""
        found = re.search(r"^# +(.+)$", self._opening, re.MULTILINE)
        return found[1].strip() if found else self.name

    @property
    def promise(self) -> str:
        """The sentence that says what the reader will see, or nothing."""
        found = re.search(r"^You will see .*?[.!](?=\s|$)", self._opening, re.MULTILINE | re.DOTALL)
        return " ".join(found[0].split()) if found else ""

    @property
    def _opening(self) -> str:
        return "\n".join(
            cell.source for cell in self.content.cells[:4] if cell.cell_type == "markdown"
        )


def notebooks_folder() -> Path:
    """The notebooks of the checkout, or those installed with the package."""
    return _INSTALLED if _INSTALLED.is_dir() else _CHECKOUT


def all_notebooks() -> list[Notebook]:
    """The notebooks of the project in reading order."""
    return [Notebook(path) for path in sorted(notebooks_folder().glob(f"*{SUFFIX}"))]


def find_notebooks(names: list[str]) -> list[Notebook]:
    """Those named, each once; all of them if none is.

    A name is a number (`05`, `5`), a name (`05_loso`), a file's name, or a path to any notebook.
    Raises `ConfigError` for a name that there is not, and `InputError` for a path.
    """
    known = {notebook.name: notebook for notebook in all_notebooks()}
    found = {found.path.resolve(): found for found in (_find(name, known) for name in names)}
    return list(found.values()) if names else list(known.values())


def require_package(package: str, extra: str) -> None:
    """Raise an `InputError` if a package of an extra is not installed."""
    if find_spec(package) is None:
        raise InputError(
            f"the package '{package}' is not installed", mend=f"pip install 'hmrm-lab[{extra}]'"
        )


def _find(name: str, known: dict[str, Notebook]) -> Notebook:
    stem = name.removesuffix(SUFFIX)
    if stem in known:
        return known[stem]
    if stem.isdecimal():
        numbered = [book for key, book in known.items() if key.startswith(f"{int(stem):02d}_")]
        if numbered:
            return numbered[0]
    if Path(name).is_file() and name.endswith(SUFFIX):
        return Notebook(Path(name))
    if Path(name).name != name:
        raise InputError("there is no such notebook", where=name, mend="`hmrm notebooks list`")
    raise unknown_name("notebook", name, known)
