"""FlyingChairs (Dosovitskiy et al. 2015): `data/00001_img1.ppm`, `_img2.ppm`, `_flow.flo`.

The official `FlyingChairs_train_val.txt` has a line for each pair: 1 for training, 2 for
validation. It lies in the root, or beside the folder `data`.
"""

from pathlib import Path
from typing import Literal

from hmrm_lab.datasets.flow_pairs.stored import PairFiles, need_folder
from hmrm_lab.errors import InputError

SPLIT_FILE = "FlyingChairs_train_val.txt"
_MARKS = {"training": "1", "validation": "2"}


def flying_chairs(
    root: Path, split: Literal["training", "validation"] = "training"
) -> list[PairFiles]:
    """The pairs of one part of the official split.

    Parameters
    ----------
    root
        The folder `FlyingChairs_release`, or the one that holds it.

    Raises
    ------
    InputError
        If the folder or the split file is missing, or they do not belong together.
    """
    release = root / "FlyingChairs_release"
    root = release if release.is_dir() else root
    data = need_folder(root, "data", of="FlyingChairs")
    flows = sorted(data.glob("*_flow.flo"))
    marks = _read_split(_split_file(root))
    if len(flows) != len(marks):
        raise InputError(
            f"the split names {len(marks)} pairs, but {len(flows)} are there",
            where=data,
            mend="unpack FlyingChairs again",
        )
    return [
        PairFiles(
            name=number,
            onset=data / f"{number}_img1.ppm",
            apex=data / f"{number}_img2.ppm",
            flow=flow,
        )
        for flow, mark in zip(flows, marks, strict=True)
        if mark == _MARKS[split]
        for number in [flow.name.removesuffix("_flow.flo")]
    ]


def _split_file(root: Path) -> Path:
    for folder in (root, root.parent, root / "data"):
        if (folder / SPLIT_FILE).is_file():
            return folder / SPLIT_FILE
    raise InputError(
        f"no {SPLIT_FILE}", where=root, mend="download it from the page of FlyingChairs"
    )


def _read_split(path: Path) -> list[str]:
    lines = path.read_text(encoding="ascii", errors="replace").split()
    for row, mark in enumerate(lines, start=1):
        if mark not in _MARKS.values():
            raise InputError(
                f"'{mark}' is neither 1 nor 2", where=path, row=row, mend="fetch it again"
            )
    return lines
