"""A face, the interface of face providers, and faces stored in files, by their frame's pixels.

A folder of faces may also hold landmarks that came with the data; `store_face` writes them.
"""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from hmrm_lab.errors import InputError
from hmrm_lab.records import Floats
from hmrm_lab.registry import providers
from hmrm_lab.runtime.store import cache_folder, read_json, write_atomic

Fallback = Literal["none", "neighbour", "template"]

EYE_OF_IMAGE_LEFT, EYE_OF_IMAGE_RIGHT = slice(36, 42), slice(42, 48)
SMALLEST_SIDE = 16
COMPARABLE = 0.5  # of the largest face's size; smaller faces are in the background
SURE = 0.3  # of the highest score in the frame; below it are false detections
FORMAT = 2  # raise it when a provider with the same options gives other faces


@dataclass(frozen=True, slots=True, eq=False)
class Face:
    """A face in one frame; `others` of comparable size are in it as well.

    Shapes
    ------
    box : (4,) float32, left, top, right, bottom in pixels; may reach beyond the frame
    points : (68, 2) float32 in iBUG 300-W numbering, or (5, 2) in the order eye, eye, nose tip,
        mouth corner, mouth corner, left in the image before right; (x, y) in pixels
    score : confidence, on the provider's own scale; 0 for a face that was not detected
    fallback : `none` for a face detected in this frame, `neighbour` for one taken from another
        frame (`from_frame`), `template` for the mean face
    """

    box: Floats
    points: Floats
    score: float
    provider: str
    fallback: Fallback = "none"
    from_frame: int | None = None
    others: "tuple[Face, ...]" = ()

    def __post_init__(self) -> None:
        if self.box.shape != (4,) or self.points.shape not in {(68, 2), (5, 2)}:
            raise ValueError(f"a face of box {self.box.shape} and points {self.points.shape}")

    def five(self) -> Floats:
        """Eye centres, nose tip and mouth corners: (5, 2)."""
        return self.points if len(self.points) == 5 else five_points(self.points)

    @property
    def all_faces(self) -> "list[Face]":
        """This face and the others of its frame, from left to right."""
        return sorted((self, *self.others), key=lambda face: float(face.five()[:, 0].mean()))

    def placed(self, scale: Floats, shift_px: Floats) -> "Face":
        """The face in the coordinates of a larger picture of which its frame is a scaled part."""
        box = (self.box.reshape(2, 2) / scale + shift_px).reshape(4).astype(np.float32)
        points = ((self.points + 0.5) / scale - 0.5 + shift_px).astype(np.float32)
        others = tuple(other.placed(scale, shift_px) for other in self.others)
        return replace(self, box=box, points=points, others=others)

    def taken_from(self, frame: int) -> "Face":
        return replace(self, score=0.0, fallback="neighbour", from_frame=frame)


class FaceProvider(Protocol):
    """Finds the face of a frame, (H, W, 3) uint8, RGB; of several, that of `choose_face`."""

    def __call__(self, frame: NDArray[np.uint8], /) -> Face | None: ...


def choose_face(found: Iterable[Face], height: int, width: int) -> Face | None:
    """The largest face nearest the middle of the frame, with the others of comparable size.

    Size is the spread of the five points, whatever box is drawn, and counts half in a corner of
    the frame. Of two detections with the centre of one inside the other, the surer one counts.
    """
    faces: list[Face] = []
    for face in sorted(found, key=lambda face: -face.score):
        sure = not faces or face.score >= SURE * faces[0].score
        if sure and not any(_contains(face, other) or _contains(other, face) for other in faces):
            faces.append(face)
    if not faces:
        return None
    places = np.stack([face.five().mean(axis=0) for face in faces])
    sizes = np.array([face.five().std(axis=0).mean() for face in faces])
    middle = np.array([width - 1, height - 1]) / 2
    apart = np.linalg.norm(places - middle, axis=1) / np.linalg.norm(middle)
    best = int((sizes * (1 - apart / 2)).argmax())
    comparable = np.flatnonzero(sizes >= COMPARABLE * sizes.max())
    return replace(faces[best], others=tuple(faces[k] for k in comparable if k != best))


def five_points(landmarks: Floats) -> Floats:
    """MTCNN's five points from the 68 landmarks: (68, 2) to (5, 2)."""
    eyes = [landmarks[eye].mean(axis=0) for eye in (EYE_OF_IMAGE_LEFT, EYE_OF_IMAGE_RIGHT)]
    nose_and_mouth = landmarks[[30, 48, 54]]
    return np.concatenate([eyes, nose_and_mouth]).astype(np.float32)


def box_around(points: Floats) -> Floats:
    """The smallest box that holds the points: (n, 2) to (4,)."""
    return np.concatenate([points.min(axis=0), points.max(axis=0)]).astype(np.float32)


def _contains(face: Face, other: Face) -> bool:
    centre = (other.box[:2] + other.box[2:]) / 2
    return bool((face.box[:2] < centre).all() and (centre < face.box[2:]).all())


def check_frame(frame: NDArray[np.uint8]) -> None:
    """Raise an `InputError` for an array that is not an RGB frame of 8 bit."""
    if frame.ndim != 3 or frame.shape[-1] != 3:
        raise InputError(f"a frame of shape {frame.shape}", hint="give an (H, W, 3) RGB image")
    if frame.dtype != np.uint8:
        raise InputError(f"a frame of type {frame.dtype}", hint="convert it to 8 bit (uint8)")
    if min(frame.shape[:2]) < SMALLEST_SIDE:
        hint = f"give at least {SMALLEST_SIDE}x{SMALLEST_SIDE}"
        raise InputError(f"a frame of {frame.shape[1]}x{frame.shape[0]} pixels", hint=hint)


@dataclass(frozen=True)
class CachedFaces:
    folder: Path
    inner: FaceProvider | None

    def __call__(self, frame: NDArray[np.uint8], /) -> Face | None:
        check_frame(frame)
        file = face_file(self.folder, frame)
        if file.is_file():
            return _read_face(file)
        if self.inner is None:
            return None
        face = self.inner(frame)
        store_face(self.folder, frame, face)
        return face


@providers.register("cached", source="files")
def cached(*, folder: str = "", inner: str = "") -> FaceProvider:
    """Faces from a folder; a frame that is not there goes to another provider and is stored.

    Without an `inner` provider it has no face; without a folder there is one in the cache.
    """
    if not inner and not folder:
        raise InputError("no stored faces and no face provider", hint="give a folder or inner=dlib")
    if not inner and not Path(folder).is_dir():
        problem, hint = "no such folder of stored faces", "correct the folder or give inner"
        raise InputError(problem, where=folder, hint=hint)
    where = Path(folder) if folder else cache_folder() / "faces" / f"{inner}-{FORMAT}"
    return CachedFaces(where, providers[inner].build() if inner else None)


def store_face(folder: Path, frame: NDArray[np.uint8], face: Face | None) -> Path:
    """Write the face of a frame, or that it has none; returns the file."""
    file = face_file(folder, frame)
    known = None if face is None else asdict(face)
    write_atomic(file, json.dumps(known, default=np.ndarray.tolist, allow_nan=False) + "\n")
    return file


def face_file(folder: Path, frame: NDArray[np.uint8]) -> Path:
    """The file for the face of a frame of exactly these pixels."""
    digest = hashlib.sha256(repr(frame.shape).encode())
    digest.update(np.ascontiguousarray(frame).tobytes())
    name = digest.hexdigest()
    return folder / name[:2] / f"{name[2:32]}.json"


def _read_face(file: Path) -> Face | None:
    known = read_json(file)
    try:
        return None if known is None else _face(known)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        hint = "delete the file; it is made anew"
        raise InputError(f"not a stored face ({error})", where=file, hint=hint) from None


def _face(known: dict[str, Any]) -> Face:
    box, points = (np.array(known.pop(name), dtype=np.float32) for name in ("box", "points"))
    others = tuple(_face(other) for other in known.pop("others"))
    return Face(box, points, others=others, **known)
