"""Pairs on disk: two images and a flow file each."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from hmrm_lab.datasets.flow_pairs.pairs import TruePair
from hmrm_lab.datasets.images import read_image
from hmrm_lab.datasets.recordings.findings import bad_input
from hmrm_lab.records import Floats
from hmrm_lab.runtime.store import write_atomic_bytes

FLO_MAGIC = b"PIEH"  # 202021.25 as float32
PNG_STEP_PX = 1 / 64
PNG_ZERO = 2**15
LARGEST_SIDE = 16384


def read_flow(path: Path) -> Floats:
    """Read a flow field, in the format of its suffix.

    Shapes
    ------
    returns : (2, H, W), float32, pixels; NaN where a PNG marks a pixel as invalid
    """
    check_suffix(path)
    if not path.is_file():
        raise bad_input(path, "no such file", "check the path")
    return READERS[path.suffix](path)


def write_flow(path: Path, flow_px: Floats) -> None:
    """Write (2, H, W) pixels; PNG keeps steps of 1/64 px up to 512 px."""
    check_suffix(path)
    write_atomic_bytes(path, WRITERS[path.suffix](flow_px))


def check_suffix(path: Path) -> None:
    """Refuse a file name that is none of the three formats."""
    if path.suffix not in READERS:
        raise bad_input(path, f"unknown flow file '{path.suffix}'", "use .flo, .pfm or .png")


def _read_flo(path: Path) -> Floats:
    content = path.read_bytes()
    if content[:4] != FLO_MAGIC or len(content) < 12:
        raise bad_input(path, "not a .flo file", "export the flow again")
    width, height = (int(side) for side in np.frombuffer(content, "<i4", count=2, offset=4))
    values = _values(path, content[12:], "<f4", width, height, 2)
    return values.reshape(height, width, 2).transpose(2, 0, 1)


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
    values = _values(path, content, "<f4" if scale < 0 else ">f4", width, height, 3)
    return values.reshape(height, width, 3)[::-1, :, :2].transpose(2, 0, 1).copy()


def _pfm_bytes(flow_px: Floats) -> bytes:
    height, width = flow_px.shape[1:]
    planes = np.concatenate([flow_px, np.zeros_like(flow_px[:1])]).transpose(1, 2, 0)[::-1]
    return f"PF\n{width} {height}\n-1.0\n".encode() + planes.astype("<f4").tobytes()


def _read_png(path: Path) -> Floats:
    try:
        image = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error:
        image = None
    if image is None or image.dtype != np.uint16 or image.ndim != 3 or image.shape[2] != 3:
        raise bad_input(path, "not a 16-bit RGB flow image", "write it with write_flow")
    flow = (image[..., :0:-1].astype(np.float32) - PNG_ZERO) * PNG_STEP_PX  # BGR: (valid, v, u)
    flow[image[..., 0] == 0] = np.nan
    return flow.transpose(2, 0, 1)


def _png_bytes(flow_px: Floats) -> bytes:
    u, v = (np.clip(np.round(p / PNG_STEP_PX) + PNG_ZERO, 0, 2**16 - 1) for p in flow_px)
    image = np.stack([np.ones_like(u), v, u], axis=-1).astype(np.uint16)
    return cv2.imencode(".png", image)[1].tobytes()


def _values(path: Path, content: bytes, kind: str, width: int, height: int, planes: int) -> Floats:
    if not (0 < width <= LARGEST_SIDE and 0 < height <= LARGEST_SIDE):
        raise bad_input(path, f"claims {width}x{height} pixels", "export it again")
    if len(content) != 4 * planes * width * height:
        problem = f"{len(content)} bytes do not hold {width}x{height} pixels"
        raise bad_input(path, problem, "the file is cut off; copy it again")
    return np.frombuffer(content, kind).astype(np.float32)


READERS = {".flo": _read_flo, ".pfm": _read_pfm, ".png": _read_png}
WRITERS = {".flo": _flo_bytes, ".pfm": _pfm_bytes, ".png": _png_bytes}


UNKNOWN_PX = 1e9  # Middlebury's mark for a pixel whose motion was not measured


@dataclass(frozen=True, slots=True)
class PairFiles:
    """Where the parts of a pair are; `name` is how tables call it."""

    name: str
    onset: Path
    apex: Path
    flow: Path

    def read(self) -> TruePair:
        """The pair, or an `InputError` that names the file."""
        onset, apex = read_frame(self.onset), read_frame(self.apex)
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
    """A source of random crops of pairs on disk.

    Parameters
    ----------
    crop
        Height and width in pixels; none gives whole frames.
    """

    files: Sequence[PairFiles]
    crop: tuple[int, int] | None = None

    def __len__(self) -> int:
        return len(self.files)

    def __call__(self, rng: np.random.Generator) -> TruePair:
        files = self.files[int(rng.integers(len(self.files)))]
        return _cropped(files, self.crop, rng) if self.crop else files.read()


def read_frame(path: Path) -> Floats:
    """An image as (H, W, 3) float32, RGB in 0..255, or an `InputError`."""
    return read_image(path).astype(np.float32)


def _cropped(files: PairFiles, crop: tuple[int, int], rng: np.random.Generator) -> TruePair:
    pair = files.read()
    height, width = crop
    rows, columns = pair.onset.shape[0] - height, pair.onset.shape[1] - width
    if rows < 0 or columns < 0:
        raise bad_input(files.onset, f"smaller than a crop of {width}x{height}", "crop less")
    top, left = int(rng.integers(rows + 1)), int(rng.integers(columns + 1))
    box = (slice(top, top + height), slice(left, left + width))
    return TruePair(pair.onset[box], pair.apex[box], pair.flow_px[:, *box])
