"""The face detectors: dlib (68 landmarks) and MTCNN (five points); which providers are installed.

The file of dlib's predictor was trained on the iBUG 300-W data, whose licence excludes commercial
use; it comes with the package `face_recognition_models` and not with this project. In MTCNN boxes
are edges in pixels: one from 0 to 12 covers the pixels 0 to 11, whose centres are whole numbers.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from hmrm_lab.errors import ConfigError, InputError
from hmrm_lab.faces.face import Face, FaceProvider, check_frame, choose_face
from hmrm_lab.records import Floats
from hmrm_lab.registry import providers
from hmrm_lab.runtime.store import read_tensors

SMALLEST_SEARCH_PX = 80  # the smallest face of dlib's detector
PREDICTOR = ("face_recognition_models", "models/shape_predictor_68_face_landmarks.dat")
WEIGHTS = Path(__file__).with_name("weights") / "mtcnn.safetensors"
WINDOW, STRIDE = 12, 2  # of P-Net
ZOOM = 0.709  # from one scale to the next: half the area
OVERLAPS = (0.5, 0.7, 0.7)  # of P-Net within a scale and over all scales, and of R-Net
Layer = tuple[int, int, int]  # channels, side of the kernel, side of the pooling (0 for none)


@providers.register("dlib", source="King 2009; Kazemi and Sullivan 2014; Sagonas et al. 2013")
@dataclass(frozen=True, kw_only=True)
class DlibFaces:
    """dlib's detector and its 68-point predictor; an `InputError` without the extra `faces`.

    Detection, the slowest step, is in frames of a smaller side of `search_px` at most, with a
    border on all sides (`margin`, in shares of the smaller side, of which cropped recordings show
    little), doubled up to `upsampling` times until a face is found, up to 1.5 times `search_px`.
    `threshold` is the least score of a face; a lower one finds more faces, false ones among them.
    """

    margin: float = 0.25
    upsampling: int = 1
    threshold: float = 0.0
    search_px: int = 720

    def __post_init__(self) -> None:
        if self.margin < 0 or self.upsampling < 0:
            raise ConfigError("margin and upsampling cannot be negative", hint="give 0 or more")
        if self.search_px < SMALLEST_SEARCH_PX:
            hint = f"give at least {SMALLEST_SEARCH_PX}, a face's width"
            raise ConfigError(f"search_px={self.search_px}", hint=hint)
        _dlib_models()

    def __call__(self, frame: NDArray[np.uint8], /) -> Face | None:
        check_frame(frame)
        detector, predictor = _dlib_models()
        scale = min(1.0, self.search_px / min(frame.shape[:2]))
        small = frame
        if scale < 1:
            small = cv2.resize(frame, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        pad = round(self.margin * min(small.shape[:2]))
        wide = _widened(small, pad)
        boxes: Any = ()
        for times in range(self.upsampling + 1):
            if not boxes and (not times or min(small.shape[:2]) << times <= 1.5 * self.search_px):
                boxes, scores, _ = detector.run(wide, times, self.threshold)
        if not boxes:
            return None
        full_pad = round(pad / scale)
        full = wide if scale == 1 else _widened(frame, full_pad)
        found = []
        for box, score in zip(boxes, scores, strict=True):
            edges = np.array((box.left(), box.top(), box.right(), box.bottom()), dtype=np.float32)
            edges = (edges - pad) / np.float32(scale)
            there = type(box)(*np.round(edges + full_pad).astype(int).tolist())
            parts = predictor(full, there).parts()
            points = np.array([(part.x, part.y) for part in parts], dtype=np.float32)
            found.append(Face(edges, points - full_pad, float(score), "dlib"))
        return choose_face(found, *frame.shape[:2])


def _widened(frame: NDArray[np.uint8], pad: int) -> NDArray[np.uint8]:
    return np.asarray(cv2.copyMakeBorder(frame, pad, pad, pad, pad, cv2.BORDER_REPLICATE))


@lru_cache(maxsize=1)
def _dlib_models() -> tuple[Any, Any]:
    """The detector and the predictor, whose file takes a second to read."""
    try:
        import dlib as library
    except ImportError:
        raise not_installed("dlib-bin") from None
    package, file = PREDICTOR
    spec = find_spec(package)  # its import would need `pkg_resources`
    if spec is None or not spec.submodule_search_locations:
        raise not_installed(package)
    path = Path(next(iter(spec.submodule_search_locations))) / file
    if not path.is_file():
        problem = f"the installed package '{package}' has no such file"
        raise InputError(problem, where=path, hint="install the version that constraints.txt names")
    return library.get_frontal_face_detector(), library.shape_predictor(str(path))


def not_installed(package: str) -> InputError:
    problem = f"the package '{package}' is not installed"
    return InputError(problem, hint="pip install 'hmrm-lab[faces]'")


def installed_providers(names: Iterable[str]) -> tuple[dict[str, FaceProvider], dict[str, str]]:
    """Build providers whose packages are installed, by name; and why the others cannot be built.

    A `ConfigError` for a name that is no provider's; an `InputError` if none can be built.
    """
    built: dict[str, FaceProvider] = {}
    lacking: dict[str, str] = {}
    for name in names:
        try:
            built[name] = providers[name].build()
        except ConfigError:
            raise
        except InputError as error:
            lacking[name] = str(error)
    if not built:
        problem = " and ".join(["no face provider", *lacking.values()])
        raise InputError(problem, hint="or add 'template'")
    return built, lacking


class Proposal(nn.Module):
    """P-Net: a box and a score for every window of 12 x 12, at a stride of 2.

    Images (B, 3, H, W), -1 to 1, to boxes (B, 4, h, w), in window sides, and scores (B, h, w).
    """

    def __init__(self) -> None:
        super().__init__()
        self.trunk = _trunk([(10, 3, 2), (16, 3, 0), (32, 3, 0)])
        self.box, self.face = nn.Conv2d(32, 4, 1), nn.Conv2d(32, 2, 1)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        features = self.trunk(images)
        return self.box(features), self.face(features).softmax(1)[:, 1]


class Refinement(nn.Module):
    """R-Net, and with `points` O-Net: images (B, 3, side, side) to boxes, points, scores (B,).

    Boxes (B, 4) and points (B, 10), all x before all y, are in sides of the box; R-Net has none.
    """

    def __init__(self, layers: Sequence[Layer], flat: int, hidden: int, points: int) -> None:
        super().__init__()
        self.trunk = _trunk(layers)
        self.hidden = nn.Sequential(nn.Linear(flat, hidden), nn.PReLU(hidden))
        self.box = nn.Linear(hidden, 4)
        self.points = nn.Linear(hidden, 2 * points) if points else None
        self.face = nn.Linear(hidden, 2)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        features = self.trunk(images).permute(0, 3, 2, 1).flatten(1)  # columns, rows, channels
        hidden = self.hidden(features)
        points = hidden[:, :0] if self.points is None else self.points(hidden)
        return self.box(hidden), points, self.face(hidden).softmax(1)[:, 1]


def _trunk(layers: Sequence[Layer]) -> nn.Sequential:
    parts: list[nn.Module] = []
    channels = 3
    for width, kernel, pool in layers:
        parts += [nn.Conv2d(channels, width, kernel), nn.PReLU(width)]
        if pool:
            parts.append(nn.MaxPool2d(pool, stride=2, ceil_mode=True))
        channels = width
    return nn.Sequential(*parts)


@lru_cache(maxsize=1)
def _mtcnn_networks() -> tuple[Proposal, Refinement, Refinement]:
    """P-Net, R-Net (24 x 24) and O-Net (48 x 48) with their weights."""
    networks = (
        Proposal(),
        Refinement([(28, 3, 3), (48, 3, 3), (64, 2, 0)], 576, 128, points=0),
        Refinement([(32, 3, 3), (64, 3, 3), (64, 3, 2), (128, 2, 0)], 1152, 256, points=5),
    )
    _, tensors = read_tensors(WEIGHTS, problem="unreadable weights", hint="install hmrm-lab again")
    names = ("proposal", "refinement", "output")
    together = nn.ModuleDict(dict(zip(names, networks, strict=True)))
    together.load_state_dict(tensors)
    together.requires_grad_(False).eval()
    return networks


@providers.register("mtcnn", source="Zhang et al. 2016")
@dataclass(frozen=True, kw_only=True)
class MtcnnFaces:
    """MTCNN; the weights are those of the package `mtcnn` (see `weights/mtcnn.md`).

    Windows at all scales from the `smallest_face` on are refined twice, to a box and five points;
    those below a network's threshold are dropped. If no face is found, a `border` is added on all
    sides. Both sizes are in shares of the frame's smaller side.
    """

    smallest_face: float = 0.1
    proposal_threshold: float = 0.6
    refinement_threshold: float = 0.7
    output_threshold: float = 0.7
    border: float = 0.25

    def __post_init__(self) -> None:
        smallest = self.smallest_face
        if not 0 < smallest <= 1:
            raise ConfigError(f"smallest_face={smallest}", hint="give a share from 0 to 1")
        if self.border < 0:
            raise ConfigError(f"border={self.border}", hint="give 0 or more")

    @torch.inference_mode()
    def __call__(self, frame: NDArray[np.uint8], /) -> Face | None:
        check_frame(frame)
        face = self._search(frame)
        pad = round(self.border * min(frame.shape[:2]))
        if face is None and pad:  # a tight crop shows too little of the surroundings
            face = self._search(_widened(frame, pad))
            one = np.ones(2, dtype=np.float32)
            face = face.placed(one, -pad * one) if face is not None else None
        return face

    def _search(self, frame: NDArray[np.uint8]) -> Face | None:
        proposal, refinement, output = _mtcnn_networks()
        squares = self._proposals(frame, proposal)
        if len(squares) == 0:
            return None
        corrections, _, scores = refinement(_cut_out(frame, squares, 24))
        boxes = _corrected(squares, corrections.numpy())
        sure = scores.numpy() > self.refinement_threshold
        squares = _squared(_suppress(boxes[sure], scores.numpy()[sure], OVERLAPS[2])[0])
        if len(squares) == 0:
            return None
        corrections, points, scores = output(_cut_out(frame, squares, 48))
        boxes = _corrected(squares, corrections.numpy())
        places = points.numpy().reshape(-1, 2, 5).swapaxes(1, 2)  # (n, 5, 2), in sides of squares
        corners, sides = squares[:, None, :2], squares[:, None, 2:] - squares[:, None, :2]
        pixels = (corners + places * sides - 0.5).astype(np.float32)
        faces = [
            Face(boxes[k], pixels[k], float(scores[k]), "mtcnn")
            for k in range(len(scores))
            if scores[k] >= self.output_threshold
        ]
        return choose_face(faces, *frame.shape[:2])

    def _proposals(self, frame: NDArray[np.uint8], proposal: Proposal) -> Floats:
        """Windows of all scales that may hold a face, as squares."""
        height, width = frame.shape[:2]
        smallest_px = max(20.0, self.smallest_face * min(height, width))
        scale, kept = WINDOW / smallest_px, []
        while min(height, width) * scale >= WINDOW:
            size = round(width * scale), round(height * scale)
            small = cv2.resize(frame, size, interpolation=cv2.INTER_AREA)
            zoom = np.array([width / size[0], height / size[1]] * 2, dtype=np.float32)
            corrections, scores = proposal(_as_input(small[None]))
            rows, columns = torch.nonzero(scores[0] > self.proposal_threshold, as_tuple=True)
            corner = torch.stack([columns, rows], dim=1) * STRIDE
            windows = torch.cat([corner, corner + WINDOW], dim=1).float().numpy()
            boxes = _corrected(windows, corrections[0, :, rows, columns].T.numpy())
            kept.append(_suppress(boxes * zoom, scores[0, rows, columns].numpy(), OVERLAPS[0]))
            scale *= ZOOM
        if not kept:
            return np.zeros((0, 4), np.float32)
        boxes, levels = (np.concatenate(parts) for parts in zip(*kept, strict=True))
        return _squared(_suppress(boxes, levels, OVERLAPS[1])[0])


def _as_input(images: NDArray[np.uint8]) -> Tensor:
    """(B, H, W, 3) uint8 to (B, 3, H, W) from -1 to 1."""
    return (torch.from_numpy(images).permute(0, 3, 1, 2).float() - 127.5) / 128


def _cut_out(frame: NDArray[np.uint8], boxes: Floats, side: int) -> Tensor:
    """Each box as a square picture; pixels beyond the frame are grey."""
    pictures = []
    for left, top, right, bottom in np.round(boxes).astype(int):
        width, height = max(right - left, 1), max(bottom - top, 1)
        picture = np.full((height, width, 3), 127, dtype=np.uint8)
        rows = slice(max(top, 0), max(min(bottom, frame.shape[0]), 0))
        columns = slice(max(left, 0), max(min(right, frame.shape[1]), 0))
        part = frame[rows, columns]
        if part.size:
            y, x = rows.start - top, columns.start - left
            picture[y : y + part.shape[0], x : x + part.shape[1]] = part
        pictures.append(cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA))
    return _as_input(np.stack(pictures))


def _corrected(boxes: Floats, corrections: Floats) -> Floats:
    """Each edge moved by its correction, which is in sides of the box: (n, 4)."""
    sides = boxes[:, 2:] - boxes[:, :2]
    return (boxes + corrections * np.concatenate([sides, sides], axis=1)).astype(np.float32)


def _squared(boxes: Floats) -> Floats:
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    half = (boxes[:, 2:] - boxes[:, :2]).max(axis=1, keepdims=True) / 2
    return np.concatenate([centres - half, centres + half], axis=1).astype(np.float32)


def _suppress(boxes: Floats, scores: Floats, overlap: float) -> tuple[Floats, Floats]:
    """Suppress boxes that share more than `overlap` of their union with one of a higher score."""
    order = np.argsort(-scores, kind="stable")
    areas = np.prod(np.maximum(boxes[:, 2:] - boxes[:, :2], 0), axis=1)
    kept: list[int] = []
    while len(order):
        first, rest = int(order[0]), order[1:]
        kept.append(first)
        low = np.maximum(boxes[first, :2], boxes[rest, :2])
        high = np.minimum(boxes[first, 2:], boxes[rest, 2:])
        shared = np.prod(np.maximum(high - low, 0), axis=1)
        order = rest[shared <= overlap * (areas[first] + areas[rest] - shared)]
    return boxes[kept], scores[kept]
