"""The published sets of pairs with ground truth, and folders recognised by their layout.

FlyingChairs (Dosovitskiy et al. 2015): `data/00001_img1.ppm`, `_img2.ppm`, `_flow.flo`. The
official `FlyingChairs_train_val.txt` has a line for each pair: 1 for training, 2 for validation. It
lies in the root, or beside the folder `data`.

FlyingThings3D (Mayer et al. 2016): frames and `.pfm` flow, forwards and backwards in time.

```
frames_cleanpass/TRAIN/A/0000/left/0006.png
optical_flow/TRAIN/A/0000/into_future/left/OpticalFlowIntoFuture_0006_L.pfm
optical_flow/TRAIN/A/0000/into_past/left/OpticalFlowIntoPast_0007_L.pfm
```
"""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Literal

from hmrm_lab.datasets.flow_pairs.stored import PairFiles
from hmrm_lab.datasets.recordings.findings import bad_input

SPLIT_FILE = "FlyingChairs_train_val.txt"
_MARKS = {"training": "1", "validation": "2"}
_STEPS = {"into_future": ("OpticalFlowIntoFuture", 1), "into_past": ("OpticalFlowIntoPast", -1)}


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
    data = _need_folder(root / "data", "FlyingChairs")
    flows = sorted(data.glob("*_flow.flo"))
    marks = _read_split(root)
    if len(flows) != len(marks):
        problem = f"the split names {len(marks)} pairs, but {len(flows)} are there"
        raise bad_input(data, problem, "unpack FlyingChairs again")
    return [_chair(flow) for flow, mark in zip(flows, marks, strict=True) if mark == _MARKS[split]]


def _chair(flow: Path) -> PairFiles:
    name = flow.name.removesuffix("_flow.flo")
    return PairFiles(
        name, flow.with_name(f"{name}_img1.ppm"), flow.with_name(f"{name}_img2.ppm"), flow
    )


def _read_split(root: Path) -> list[str]:
    paths = [folder / SPLIT_FILE for folder in (root, root.parent, root / "data")]
    path = next((path for path in paths if path.is_file()), None)
    if path is None:
        raise bad_input(root, f"no {SPLIT_FILE}", "download it from the page of FlyingChairs")
    lines = path.read_text(encoding="ascii", errors="replace").split()
    for row, mark in enumerate(lines, start=1):
        if mark not in _MARKS.values():
            raise bad_input(path, f"'{mark}' is neither 1 nor 2", "fetch it again", row)
    return lines


def flying_things(
    root: Path,
    split: Literal["TRAIN", "TEST"] = "TRAIN",
    rendering: Literal["frames_cleanpass", "frames_finalpass"] = "frames_cleanpass",
) -> list[PairFiles]:
    """Every pair of neighbouring frames of both cameras, in both directions of time.

    Parameters
    ----------
    root
        The folder that holds `optical_flow` and the frames.

    Raises
    ------
    InputError
        If a folder is missing or holds no pair.
    """
    frames = _need_folder(root / rendering / split, "FlyingThings3D")
    flows = _need_folder(root / "optical_flow" / split, "FlyingThings3D")
    pairs = [
        pair
        for direction in _STEPS
        for flow in sorted(flows.glob(f"*/*/{direction}/*/*.pfm"))
        if (pair := _thing(flow, flows, frames, direction)) is not None
    ]
    if not pairs:
        raise bad_input(flows, "no pairs", "unpack the frames and the flow together")
    return pairs


def _thing(flow: Path, flows: Path, frames: Path, direction: str) -> PairFiles | None:
    """The frames of a flow file; none at the end of a sequence, where there is no next frame."""
    letter, sequence, _, camera, _ = flow.relative_to(flows).parts
    stem, step = _STEPS[direction]
    number = flow.stem.removeprefix(f"{stem}_")[:4]
    if not number.isdigit():
        raise bad_input(flow, "not named as in FlyingThings3D", "unpack it again")
    folder = frames / letter / sequence / camera
    apex = folder / f"{int(number) + step:04d}.png"
    name = f"{letter}/{sequence}/{camera}/{number}{'+' if step > 0 else '-'}"
    return PairFiles(name, folder / f"{number}.png", apex, flow) if apex.is_file() else None


def _need_folder(folder: Path, data_set: str) -> Path:
    if not folder.is_dir():
        raise bad_input(folder, f"no such folder of {data_set}", "check --root")
    return folder


def find_pairs(root: Path) -> list[PairFiles]:
    """All pairs of a folder in the layout of Sintel, Middlebury or FlyingChairs, for evaluation.

    Raises
    ------
    InputError
        If the folder has none of the layouts.
    """
    for layout in LAYOUTS:
        pairs = layout(root)
        if pairs:
            return pairs
    hint = (
        "give a folder laid out as Sintel (clean/, flow/), Middlebury (other-data/, "
        "other-gt-flow/) or FlyingChairs (data/)"
    )
    raise bad_input(root, "no pairs with ground truth", hint)


def _sintel(root: Path) -> list[PairFiles]:
    """`training/{clean,final}/SCENE/frame_0001.png` and `training/flow/SCENE/frame_0001.flo`."""
    root = root / "training" if (root / "training").is_dir() else root
    pairs = []
    for flow in sorted(root.glob("flow/*/frame_*.flo")):
        scene, number = flow.parent.name, flow.stem.removeprefix("frame_")
        if not number.isdigit():
            continue
        following = f"frame_{int(number) + 1:0{len(number)}d}.png"
        for look in ("clean", "final"):
            onset, apex = (root / look / scene / name for name in (f"{flow.stem}.png", following))
            pairs.append(PairFiles(f"{look}/{scene}/{number}", onset, apex, flow))
    return _with_frames(pairs)


def _middlebury(root: Path) -> list[PairFiles]:
    """`other-data/SCENE/frame10.png`, `frame11.png`; `other-gt-flow/SCENE/flow10.flo`."""
    frames = root / "other-data"
    return _with_frames(
        PairFiles(scene, frames / scene / "frame10.png", frames / scene / "frame11.png", flow)
        for flow in sorted(root.glob("other-gt-flow/*/flow10.flo"))
        for scene in [flow.parent.name]
    )


def _chairs(root: Path) -> list[PairFiles]:
    """The validation part of FlyingChairs, or every pair where there is no split file."""
    folders = (root, root / "FlyingChairs_release")
    if any((folder / SPLIT_FILE).is_file() for folder in folders):
        return flying_chairs(root, "validation")
    flows = [flow for folder in folders for flow in folder.glob("data/*_flow.flo")]
    return [_chair(flow) for flow in sorted(flows)]


def _with_frames(pairs: Iterable[PairFiles]) -> list[PairFiles]:
    return [pair for pair in pairs if pair.onset.is_file() and pair.apex.is_file()]


LAYOUTS: tuple[Callable[[Path], list[PairFiles]], ...] = (_sintel, _middlebury, _chairs)
