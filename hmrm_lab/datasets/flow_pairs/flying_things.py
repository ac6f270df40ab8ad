"""FlyingThings3D (Mayer et al. 2016): frames and `.pfm` flow, forwards and backwards in time.

```
frames_cleanpass/TRAIN/A/0000/left/0006.png
optical_flow/TRAIN/A/0000/into_future/left/OpticalFlowIntoFuture_0006_L.pfm
optical_flow/TRAIN/A/0000/into_past/left/OpticalFlowIntoPast_0007_L.pfm
```
"""

from pathlib import Path
from typing import Literal

from hmrm_lab.datasets.flow_pairs.stored import PairFiles, need_folder
from hmrm_lab.errors import InputError

_DIRECTIONS = {
    "into_future": ("OpticalFlowIntoFuture", 1),
    "into_past": ("OpticalFlowIntoPast", -1),
}


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
    frames = need_folder(root, rendering, split, of="FlyingThings3D")
    flows = need_folder(root, "optical_flow", split, of="FlyingThings3D")
    pairs = [
        pair
        for direction in _DIRECTIONS
        for flow in sorted(flows.glob(f"*/*/{direction}/*/*.pfm"))
        if (pair := _pair(flow, flows, frames, direction)) is not None
    ]
    if not pairs:
        raise InputError("no pairs", where=flows, mend="unpack the frames and the flow together")
    return pairs


def _pair(flow: Path, flows: Path, frames: Path, direction: str) -> PairFiles | None:
    """The frames of a flow file; none at the end of a sequence, where there is no next frame."""
    letter, sequence, _, camera, _ = flow.relative_to(flows).parts
    stem, step = _DIRECTIONS[direction]
    number = flow.stem.removeprefix(f"{stem}_")[:4]
    if not number.isdigit():
        raise InputError("not named as in FlyingThings3D", where=flow, mend="unpack it again")
    folder = frames / letter / sequence / camera
    apex = folder / f"{int(number) + step:04d}.png"
    name = f"{letter}/{sequence}/{camera}/{number}{'+' if step > 0 else '-'}"
    return PairFiles(name, folder / f"{number}.png", apex, flow) if apex.is_file() else None
