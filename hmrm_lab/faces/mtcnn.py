"""MTCNN (Zhang et al. 2016): windows at all scales, refined twice, to a box and five points.

Boxes are edges in pixels: a box from 0 to 12 covers the pixels 0 to 11, whose centres are the
whole numbers, as everywhere in this project.
"""

from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hmrm_lab.errors import ConfigError
from hmrm_lab.faces.face import Face, FaceProvider, check_frame, choose_face
from hmrm_lab.faces.mtcnn_networks import Proposal, Refinement, load_networks
from hmrm_lab.records import Floats
from hmrm_lab.registry import providers

WINDOW, STRIDE = 12, 2  # of P-Net
ZOOM = 0.709  # from one scale to the next: half the area
OVERLAPS = (0.5, 0.7, 0.7)  # of P-Net within a scale and over all scales, and of R-Net


@dataclass(frozen=True)
class Candidates:
    """Boxes (n, 4) as left, top, right, bottom, and scores (n,), the surest first."""

    boxes: Floats
    scores: Floats

    def __len__(self) -> int:
        return len(self.scores)


@dataclass(frozen=True)
class MtcnnFaces:
    """The provider behind `mtcnn`."""

    proposal: Proposal
    refinement: Refinement
    output: Refinement
    smallest_face: float
    thresholds: tuple[float, float, float]
    border: float

    @torch.inference_mode()
    def __call__(self, frame: NDArray[np.uint8], /) -> Face | None:
        check_frame(frame)
        face = self._search(frame)
        pad = round(self.border * min(frame.shape[:2]))
        if face is None and pad:  # a picture cut out tightly shows too little round the face
            wide = cv2.copyMakeBorder(frame, pad, pad, pad, pad, cv2.BORDER_REPLICATE)
            face = self._search(np.asarray(wide, dtype=np.uint8))
            one = np.ones(2, dtype=np.float32)
            face = face.placed(one, -pad * one) if face is not None else None
        return face

    def _search(self, frame: NDArray[np.uint8]) -> Face | None:
        found = self._proposals(frame)
        if len(found) == 0:
            return None
        corrections, _, scores = self.refinement(_cut_out(frame, found.boxes, 24))
        boxes = _corrected(found.boxes, corrections.numpy())
        found = _suppress(*_above(boxes, scores, self.thresholds[1]), OVERLAPS[2])
        if len(found) == 0:
            return None
        squares = _squared(found.boxes)
        corrections, points, scores = self.output(_cut_out(frame, squares, 48))
        boxes = _corrected(squares, corrections.numpy())
        places = points.numpy().reshape(-1, 2, 5).swapaxes(1, 2)  # (n, 5, 2), in sides of squares
        corners, sides = squares[:, None, :2], squares[:, None, 2:] - squares[:, None, :2]
        pixels = (corners + places * sides - 0.5).astype(np.float32)
        faces = [
            Face(boxes[k], pixels[k], float(scores[k]), "mtcnn")
            for k in range(len(scores))
            if scores[k] >= self.thresholds[2]
        ]
        return choose_face(faces, *frame.shape[:2])

    def _proposals(self, frame: NDArray[np.uint8]) -> Candidates:
        """Windows of all scales that may hold a face, as squares."""
        height, width = frame.shape[:2]
        smallest_px = max(20.0, self.smallest_face * min(height, width))
        scale, kept = WINDOW / smallest_px, []
        while min(height, width) * scale >= WINDOW:
            size = round(width * scale), round(height * scale)
            small = cv2.resize(frame, size, interpolation=cv2.INTER_AREA)
            zoom = np.array([width / size[0], height / size[1]] * 2, dtype=np.float32)
            found = self._windows(small)
            kept.append(_suppress(found.boxes * zoom, found.scores, OVERLAPS[0]))
            scale *= ZOOM
        if not kept:
            return Candidates(np.zeros((0, 4), np.float32), np.zeros(0, np.float32))
        boxes = np.concatenate([found.boxes for found in kept])
        scores = np.concatenate([found.scores for found in kept])
        together = _suppress(boxes, scores, OVERLAPS[1])
        return Candidates(_squared(together.boxes), together.scores)

    def _windows(self, small: NDArray[np.uint8]) -> Candidates:
        corrections, scores = self.proposal(_as_input(small[None]))
        rows, columns = torch.nonzero(scores[0] > self.thresholds[0], as_tuple=True)
        corner = torch.stack([columns, rows], dim=1) * STRIDE
        boxes = torch.cat([corner, corner + WINDOW], dim=1).float().numpy()
        chosen = corrections[0, :, rows, columns].T.numpy()
        return Candidates(_corrected(boxes, chosen), scores[0, rows, columns].numpy())


@providers.register("mtcnn", source="Zhang et al. 2016")
def mtcnn(
    *,
    smallest_face: float = 0.1,
    proposal_threshold: float = 0.6,
    refinement_threshold: float = 0.7,
    output_threshold: float = 0.7,
    border: float = 0.25,
) -> FaceProvider:
    """MTCNN with the weights of the package `mtcnn`, without its code.

    Parameters
    ----------
    smallest_face
        In shares of the frame's smaller side; smaller is slower.
    proposal_threshold, refinement_threshold, output_threshold
        The least score at which each of the networks lets a window pass.
    border
        Of the frame's smaller side: what is added on all sides, by repeating the border, where
        the frame alone shows no face.

    Raises
    ------
    InputError
        If the packages of the extra `faces` are not installed.
    """
    if not 0 < smallest_face <= 1:
        raise ConfigError(f"smallest_face={smallest_face}", mend="give a share from 0 to 1")
    if border < 0:
        raise ConfigError(f"border={border}", mend="give 0 or more")
    thresholds = (proposal_threshold, refinement_threshold, output_threshold)
    return MtcnnFaces(*load_networks(), smallest_face, thresholds, border)


def _as_input(images: NDArray[np.uint8]) -> Tensor:
    """(B, H, W, 3) uint8 to (B, 3, H, W) from -1 to 1."""
    return (torch.from_numpy(images).permute(0, 3, 1, 2).float() - 127.5) / 128


def _cut_out(frame: NDArray[np.uint8], boxes: Floats, side: int) -> Tensor:
    """Each box as a square picture; what lies beyond the frame is grey."""
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
    """Squares about the same centres, as large as the longer sides: (n, 4)."""
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    half = (boxes[:, 2:] - boxes[:, :2]).max(axis=1, keepdims=True) / 2
    return np.concatenate([centres - half, centres + half], axis=1).astype(np.float32)


def _above(boxes: Floats, scores: Tensor, threshold: float) -> tuple[Floats, Floats]:
    kept = scores.numpy() > threshold
    return boxes[kept], scores.numpy()[kept]


def _suppress(boxes: Floats, scores: Floats, overlap: float) -> Candidates:
    """Of boxes that share more than `overlap` of their union, the surest alone."""
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
    return Candidates(boxes[kept], scores[kept])
