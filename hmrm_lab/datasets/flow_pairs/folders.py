"""Folders of pairs with ground truth, recognised by their layout: for evaluation."""

from collections.abc import Callable
from pathlib import Path

from hmrm_lab.datasets.flow_pairs.flying_chairs import SPLIT_FILE, flying_chairs
from hmrm_lab.datasets.flow_pairs.stored import PairFiles
from hmrm_lab.errors import InputError


def find_pairs(root: Path) -> list[PairFiles]:
    """All pairs of a folder in the layout of Sintel, Middlebury or FlyingChairs.

    Raises
    ------
    InputError
        If the folder has none of the layouts.
    """
    for layout in LAYOUTS:
        pairs = layout(root)
        if pairs:
            return pairs
    raise InputError(
        "no pairs with ground truth",
        where=root,
        mend="give a folder laid out as Sintel (clean/, flow/), Middlebury (other-data/, "
        "other-gt-flow/) or FlyingChairs (data/)",
    )


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
            if onset.is_file() and apex.is_file():
                pairs.append(PairFiles(f"{look}/{scene}/{number}", onset, apex, flow))
    return pairs


def _middlebury(root: Path) -> list[PairFiles]:
    """`other-data/SCENE/frame10.png`, `frame11.png`; `other-gt-flow/SCENE/flow10.flo`."""
    pairs = []
    for flow in sorted(root.glob("other-gt-flow/*/flow10.flo")):
        frames = root / "other-data" / flow.parent.name
        onset, apex = frames / "frame10.png", frames / "frame11.png"
        if onset.is_file() and apex.is_file():
            pairs.append(PairFiles(flow.parent.name, onset, apex, flow))
    return pairs


def _chairs(root: Path) -> list[PairFiles]:
    """The validation part of FlyingChairs, or every pair where there is no split file."""
    places = (root, root / "FlyingChairs_release")
    if any((place / SPLIT_FILE).is_file() for place in places):
        return flying_chairs(root, "validation")
    data = [*root.glob("data/*_flow.flo"), *root.glob("FlyingChairs_release/data/*_flow.flo")]
    names = [flow.name.removesuffix("_flow.flo") for flow in sorted(data)]
    return [
        PairFiles(
            name, flow.with_name(f"{name}_img1.ppm"), flow.with_name(f"{name}_img2.ppm"), flow
        )
        for name, flow in zip(names, sorted(data), strict=True)
    ]


LAYOUTS: tuple[Callable[[Path], list[PairFiles]], ...] = (_sintel, _middlebury, _chairs)
