"""Faces kept in files, so that a detector looks at each frame once, or never.

A frame is known by its pixels: a face cannot be taken for that of another frame, whatever the
files of a data set are called. A folder of faces may lie in the cache or beside the data, and may
as well hold landmarks that came with the data; `store_face` puts them there.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hmrm_lab.errors import InputError
from hmrm_lab.faces.face import Face, FaceProvider, check_frame
from hmrm_lab.registry import providers
from hmrm_lab.runtime.store import cache_folder, read_json, write_atomic

FORMAT = 2  # raise it when a provider with the same options gives other faces


@dataclass(frozen=True)
class CachedFaces:
    """The provider behind `cached`; `inner` is None where nothing may be detected."""

    folder: Path
    inner: FaceProvider | None

    def __call__(self, frame: NDArray[np.uint8], /) -> Face | None:
        check_frame(frame)
        file = face_file(self.folder, frame)
        if file.is_file():
            return _from_json(file)
        if self.inner is None:
            return None
        face = self.inner(frame)
        store_face(self.folder, frame, face)
        return face


@providers.register("cached", source="files")
def cached(*, folder: str = "", inner: str = "") -> FaceProvider:
    """Faces from a folder; a frame that is not there is given to another provider, and kept.

    Parameters
    ----------
    folder
        Where the faces lie; a folder of the inner provider in the cache, if it is not given.
    inner
        The name of the provider that fills the gaps. Without one, what is not stored is not found.

    Raises
    ------
    InputError
        If there is neither a provider nor a folder that exists.
    """
    if not inner and not folder:
        raise InputError("no stored faces and no face provider", mend="give a folder or inner=dlib")
    if not inner and not Path(folder).is_dir():
        raise InputError(
            "no such folder of stored faces", where=folder, mend="correct the folder or give inner"
        )
    where = Path(folder) if folder else cache_folder() / "faces" / f"{inner}-{FORMAT}"
    return CachedFaces(where, providers[inner].build() if inner else None)


def store_face(folder: Path, frame: NDArray[np.uint8], face: Face | None) -> Path:
    """Keep the face of a frame, or that it has none; returns the file."""
    file = face_file(folder, frame)
    known = None if face is None else _plain(face)
    write_atomic(file, json.dumps(known, allow_nan=False) + "\n")
    return file


def face_file(folder: Path, frame: NDArray[np.uint8]) -> Path:
    """Where the face of a frame of exactly these pixels is kept."""
    digest = hashlib.sha256(repr(frame.shape).encode())
    digest.update(np.ascontiguousarray(frame).tobytes())
    name = digest.hexdigest()
    return folder / name[:2] / f"{name[2:32]}.json"


def _from_json(file: Path) -> Face | None:
    known = read_json(file)
    if known is None:
        return None
    try:
        return _face(known)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"not a stored face ({error})", where=file, mend="delete the file; it is made anew"
        ) from None


def _plain(face: Face) -> dict[str, Any]:
    return {
        "box": face.box.tolist(),
        "points": face.points.tolist(),
        "score": face.score,
        "provider": face.provider,
        "fallback": face.fallback,
        "from_frame": face.from_frame,
        "others": [_plain(other) for other in face.others],
    }


def _face(known: dict[str, Any]) -> Face:
    box, points = (np.array(known.pop(name), dtype=np.float32) for name in ("box", "points"))
    others = tuple(_face(other) for other in known.pop("others"))
    return Face(box, points, others=others, **known)
