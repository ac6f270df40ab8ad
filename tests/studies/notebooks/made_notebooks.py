"""Small notebooks, and the command line on them."""

import sys
from pathlib import Path

import nbformat
import pytest
from nbformat import v4

from hmrm_lab.cli import main

KERNEL = {"name": "python3", "display_name": "Python 3", "language": "python"}


def make_notebook(
    path: Path, *cells: str, parameters: str = 'profile = "smoke"', tags: tuple[str, ...] = ()
) -> Path:
    """A notebook with a heading, a cell of parameters, and these; the tags are of the last one."""
    made = [
        v4.new_markdown_cell("# Made up\n\nYou will see a thing\nand another. Not this."),
        v4.new_code_cell(parameters, metadata={"tags": ["parameters"]}),
        *(v4.new_code_cell(source) for source in cells),
    ]
    if tags:
        made[-1].metadata["tags"] = list(tags)
    nbformat.write(v4.new_notebook(cells=made, metadata={"kernelspec": KERNEL}), path)
    return path


def hmrm(monkeypatch: pytest.MonkeyPatch, *words: object) -> int:
    """The exit status of `hmrm` with these words."""
    monkeypatch.setattr(sys, "argv", ["hmrm", *map(str, words)])
    try:
        main()
    except SystemExit as end:
        return int(end.code or 0)
    return 0
