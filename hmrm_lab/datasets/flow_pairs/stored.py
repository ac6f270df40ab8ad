"""Pairs on disk, two images and a flow file each: the published sets, and folders in their layout.

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

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import cv2
import numpy as np

from hmrm_lab.datasets.flow_pairs import TruePair
from hmrm_lab.datasets.images import decode, read_image
from hmrm_lab.datasets.recordings.findings import bad_input
from hmrm_lab.records import Floats
from hmrm_lab.runtime.store import write_atomic_bytes

FLO_MAGIC = b"PIEH"  # 202021.25 as float32
PNG_STEP_PX = 1 / 64
PNG_ZERO = 2**15
LARGEST_SIDE = 16384
UNKNOWN_PX = 1e9  # Middlebury's mark for a pixel whose motion was not measured
SPLIT_FILE = "FlyingChairs_train_val.txt"
MARKS = {"training": "1", "validation": "2"}
STEPS = {"into_future": ("OpticalFlowIntoFuture", 1), "into_past": ("OpticalFlowIntoPast", -1)}


def read_flow(path: Path) -> Floats:
    """Read a flow field (2, H, W), float32, pixels; NaN where a PNG marks a pixel as invalid."""
    check_suffix(path)
    if not path.is_file():
        raise bad_input(path, "no such file", "check the path")
    return FORMATS[path.suffix][0](path)


def write_flow(path: Path, flow_px: Floats) -> None:
    """Write (2, H, W) pixels; PNG keeps steps of 1/64 px up to 512 px."""
    check_suffix(path)
    write_atomic_bytes(path, FORMATS[path.suffix][1](flow_px))


def check_suffix(path: Path) -> None:
    if path.suffix not in FORMATS:
        raise bad_input(path, f"unknown flow file '{path.suffix}'", "use .flo, .pfm or .png")


def _read_flo(path: Path) -> Floats:
    content = path.read_bytes()
    if content[:4] != FLO_MAGIC or len(content) < 12:
        raise bad_input(path, "not a .flo file", "export the flow again")
    width, height = (int(side) for side in np.frombuffer(content, "<i4", count=2, offset=4))
    return _values(path, content[12:], "<f4", (height, width, 2)).transpose(2, 0, 1)


def _flo_bytes(flow_px: Floats) -> bytes:
    height, width = flow_px.shape[1:]
    head = FLO_MAGIC + np.array([width, height], "<i4").tobytes()
    return head + flow_px.transpose(1, 2, 0).astype("<f4").tobytes()


def _read_pfm(path: Path) -> Floats:
    """Three channels (u, v, unused), rows from the bottom; the sign of the scale is the endian."""
    parts = path.read_bytes().split(b"\n", 3)
    try:
        magic, content = parts[0].strip(), parts[3]
        (width, height), scale = map(int, parts[1].split()), float(parts[2])
    except (IndexError, ValueError):
        raise bad_input(path, "not a .pfm file", "export the flow again") from None
    if magic != b"PF":
        raise bad_input(path, "a .pfm file without three channels", "export (u, v, 0)")
    values = _values(path, content, "<f4" if scale < 0 else ">f4", (height, width, 3))
    return values[::-1, :, :2].transpose(2, 0, 1).copy()


def _pfm_bytes(flow_px: Floats) -> bytes:
    height, width = flow_px.shape[1:]
    planes = np.concatenate([flow_px, np.zeros_like(flow_px[:1])]).transpose(1, 2, 0)[::-1]
    return f"PF\n{width} {height}\n-1.0\n".encode() + planes.astype("<f4").tobytes()


def _read_png(path: Path) -> Floats:
    image = decode(path.read_bytes(), cv2.IMREAD_UNCHANGED)
    if image is None or image.dtype != np.uint16 or image.ndim != 3 or image.shape[2] != 3:
        raise bad_input(path, "not a 16-bit RGB flow image", "write it with write_flow")
    flow = (image[..., :0:-1].astype(np.float32) - PNG_ZERO) * PNG_STEP_PX  # BGR: (valid, v, u)
    flow[image[..., 0] == 0] = np.nan
    return flow.transpose(2, 0, 1)


def _png_bytes(flow_px: Floats) -> bytes:
    u, v = (np.clip(np.round(p / PNG_STEP_PX) + PNG_ZERO, 0, 2**16 - 1) for p in flow_px)
    image = np.stack([np.ones_like(u), v, u], axis=-1).astype(np.uint16)
    return cv2.imencode(".png", image)[1].tobytes()


def _values(path: Path, content: bytes, kind: str, shape: tuple[int, int, int]) -> Floats:
    height, width, planes = shape
    if not (0 < width <= LARGEST_SIDE and 0 < height <= LARGEST_SIDE):
        raise bad_input(path, f"claims {width}x{height} pixels", "export it again")
    if len(content) != 4 * planes * width * height:
        problem = f"{len(content)} bytes do not hold {width}x{height} pixels"
        raise bad_input(path, problem, "the file is cut off; copy it again")
    return np.frombuffer(content, kind).astype(np.float32).reshape(shape)


FORMATS: dict[str, tuple[Callable[[Path], Floats], Callable[[Floats], bytes]]] = {
    ".flo": (_read_flo, _flo_bytes),
    ".pfm": (_read_pfm, _pfm_bytes),
    ".png": (_read_png, _png_bytes),
}


@dataclass(frozen=True, slots=True)
class PairFiles:
    """Where the parts of a pair are; `name` is how tables call it."""

    name: str
    onset: Path
    apex: Path
    flow: Path

    def read(self) -> TruePair:
        onset, apex = (read_image(path).astype(np.float32) for path in (self.onset, self.apex))
        flow_px = read_flow(self.flow)
        for path, shape in ((self.apex, apex.shape[:2]), (self.flow, flow_px.shape[1:])):
            if shape != onset.shape[:2]:
                size = f"{onset.shape[1]}x{onset.shape[0]}"
                problem = f"{shape[1]}x{shape[0]} pixels, but {self.onset.name} has {size}"
                raise bad_input(path, problem, "unpack the data set again")
        flow_px[:, ~(np.abs(flow_px) < UNKNOWN_PX).all(axis=0)] = np.nan
        return TruePair(onset, apex, flow_px)


@dataclass(frozen=True)
class StoredPairs:
    """A source of random crops, (height, width) in pixels, of pairs on disk."""

    files: Sequence[PairFiles]
    crop: tuple[int, int]

    def __call__(self, rng: np.random.Generator) -> TruePair:
        files = self.files[int(rng.integers(len(self.files)))]
        pair = files.read()
        height, width = self.crop
        rows, columns = pair.onset.shape[0] - height, pair.onset.shape[1] - width
        if rows < 0 or columns < 0:
            raise bad_input(files.onset, f"smaller than a crop of {width}x{height}", "crop less")
        top, left = int(rng.integers(rows + 1)), int(rng.integers(columns + 1))
        box = (slice(top, top + height), slice(left, left + width))
        return TruePair(pair.onset[box], pair.apex[box], pair.flow_px[:, *box])


def flying_chairs(
    root: Path, split: Literal["training", "validation"] = "training"
) -> list[PairFiles]:
    """The pairs of one part of the official split.

    `root` is the folder `FlyingChairs_release`, or the one that holds it. If it or the split file
    is missing, or they do not belong together, an `InputError` says so.
    """
    release = root / "FlyingChairs_release"
    root = release if release.is_dir() else root
    data = _need_folder(root / "data", "FlyingChairs")
    flows = sorted(data.glob("*_flow.flo"))
    paths = [folder / SPLIT_FILE for folder in (root, root.parent, data)]
    path = next((path for path in paths if path.is_file()), None)
    if path is None:
        raise bad_input(root, f"no {SPLIT_FILE}", "download it from the page of FlyingChairs")
    marks = path.read_text(encoding="ascii", errors="replace").split()
    for row, mark in enumerate(marks, start=1):
        if mark not in MARKS.values():
            raise bad_input(path, f"'{mark}' is neither 1 nor 2", "fetch it again", row)
    if len(flows) != len(marks):
        problem = f"the split names {len(marks)} pairs, but {len(flows)} are there"
        raise bad_input(data, problem, "unpack FlyingChairs again")
    return [_chair(flow) for flow, mark in zip(flows, marks, strict=True) if mark == MARKS[split]]


def _chair(flow: Path) -> PairFiles:
    name = flow.name.removesuffix("_flow.flo")
    onset, apex = (flow.with_name(f"{name}_img{number}.ppm") for number in (1, 2))
    return PairFiles(name, onset, apex, flow)


def flying_things(
    root: Path,
    split: Literal["TRAIN", "TEST"] = "TRAIN",
    rendering: Literal["frames_cleanpass", "frames_finalpass"] = "frames_cleanpass",
) -> list[PairFiles]:
    """Every pair of neighbouring frames of both cameras, in both directions of time.

    `root` holds `optical_flow` and the frames; a folder that is missing, or holds no pair, is an
    `InputError`. At the end of a sequence there is no next frame, and no pair.
    """
    frames = _need_folder(root / rendering / split, "FlyingThings3D")
    flows = _need_folder(root / "optical_flow" / split, "FlyingThings3D")
    pairs = []
    for direction, (stem, step) in STEPS.items():
        for flow in sorted(flows.glob(f"*/*/{direction}/*/*.pfm")):
            letter, sequence, _, camera, _ = flow.relative_to(flows).parts
            number = flow.stem.removeprefix(f"{stem}_")[:4]
            if not number.isdigit():
                raise bad_input(flow, "not named as in FlyingThings3D", "unpack it again")
            folder = frames / letter / sequence / camera
            apex = folder / f"{int(number) + step:04d}.png"
            name = f"{letter}/{sequence}/{camera}/{number}{'+' if step > 0 else '-'}"
            if apex.is_file():
                pairs.append(PairFiles(name, folder / f"{number}.png", apex, flow))
    if not pairs:
        raise bad_input(flows, "no pairs", "unpack the frames and the flow together")
    return pairs


def _need_folder(folder: Path, data_set: str) -> Path:
    if not folder.is_dir():
        raise bad_input(folder, f"no such folder of {data_set}", "check --root")
    return folder


def find_pairs(root: Path) -> list[PairFiles]:
    """All pairs of a folder in the layout of Sintel, Middlebury or FlyingChairs, for evaluation.

    Sintel: `training/{clean,final}/SCENE/frame_0001.png`, `training/flow/SCENE/frame_0001.flo`.
    Middlebury: `other-data/SCENE/frame10.png` and `frame11.png`, `other-gt-flow/SCENE/flow10.flo`.
    Of FlyingChairs the validation part, or every pair where there is no split file. A folder that
    has none of the layouts is an `InputError`.
    """
    pairs = []
    sintel = root / "training" if (root / "training").is_dir() else root
    for flow in sorted(sintel.glob("flow/*/frame_*.flo")):
        scene, number = flow.parent.name, flow.stem.removeprefix("frame_")
        if number.isdigit():
            following = f"frame_{int(number) + 1:0{len(number)}d}.png"
            for look in ("clean", "final"):
                folder = sintel / look / scene
                onset, apex = folder / f"{flow.stem}.png", folder / following
                pairs.append(PairFiles(f"{look}/{scene}/{number}", onset, apex, flow))
    for flow in sorted(root.glob("other-gt-flow/*/flow10.flo")):
        folder = root / "other-data" / flow.parent.name
        pairs.append(PairFiles(folder.name, folder / "frame10.png", folder / "frame11.png", flow))
    pairs = [pair for pair in pairs if pair.onset.is_file() and pair.apex.is_file()]
    folders = (root, root / "FlyingChairs_release")
    if not pairs and any((folder / SPLIT_FILE).is_file() for folder in folders):
        return flying_chairs(root, "validation")
    chairs = [flow for folder in folders for flow in folder.glob("data/*_flow.flo")]
    pairs = pairs or [_chair(flow) for flow in sorted(chairs)]
    if not pairs:
        hint = "give a folder laid out as Sintel (clean/, flow/), Middlebury (other-data/, "
        hint += "other-gt-flow/) or FlyingChairs (data/)"
        raise bad_input(root, "no pairs with ground truth", hint)
    return pairs
