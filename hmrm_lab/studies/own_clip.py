"""A new recording before any system sees it: marked, face found, cut out, apex spotted."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from hashlib import blake2b
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
import numpy as np
from numpy.typing import NDArray

from hmrm_lab.datasets.synthetic import synthetic
from hmrm_lab.datasets.video import check_span, open_recording
from hmrm_lab.errors import InputError
from hmrm_lab.faces.accuracy import clip_curve, reference_track
from hmrm_lab.faces.align import AlignedFrames, FaceTrack, align_clip, find_faces
from hmrm_lab.faces.apex import ApexCurve
from hmrm_lab.faces.face import Face, FaceProvider
from hmrm_lab.faces.landmarks import fit_similarity
from hmrm_lab.records import Clip, ClipKey
from hmrm_lab.runtime.store import check_target, write_atomic_bytes

NAME = "recording"  # in place of a data set
UNKNOWN = "unknown"
SCENE_PX = 420
SCENE_EYES = ((147.0, 185.0), (259.0, 202.0))  # a little tilted, not quite in the middle
DRAWN_NAME = "drawn_face.avi"
QUALITY = 98  # per cent; lower ones leave noise where nothing moves


@dataclass(frozen=True, eq=False)
class OwnClip:
    """A recording with its faces, its crop and its apex.

    Parameters
    ----------
    recorded
        The unchanged recording. Its apex is the given one, or else the spotted one.
    upright
        The same, cut out to the canonical crop by the onset's face.
    track
        The face of each frame from onset to offset.
    curve
        What the spotted apex was read from.
    apex_is
        `given`, `spotted`, or `guessed` where nothing seemed to move.
    """

    recorded: Clip
    upright: Clip
    track: FaceTrack
    curve: ApexCurve
    apex_is: str


def recording_clip(
    path: Path,
    *,
    onset: int = 0,
    apex: int | None = None,
    offset: int | None = None,
    follow_links: bool = False,
) -> Clip:
    """Read a recording as a clip whose subject and class are unknown.

    Parameters
    ----------
    onset, apex, offset
        Frame numbers from 0; the apex may stay open, and the offset is else the last frame.
    follow_links
        As for `open_recording`.

    Raises
    ------
    InputError
        If the recording cannot be read, or the frame numbers do not fit it.
    """
    recording = open_recording(path, follow_links=follow_links)
    count = len(recording.frames)
    last = count - 1 if offset is None else offset
    _check_marks(path, onset, apex, last, count)
    if apex is None:
        check_span(path, last - onset + 1)
    key = ClipKey(NAME, UNKNOWN, path.resolve().stem)
    return Clip(key, 0, recording.frames, onset, apex, last, recording.fps, (UNKNOWN,))


def chosen_recording(
    path: str, folder: str | Path, seed: int, *, onset: int, apex: int, offset: int
) -> tuple[Path, Clip]:
    """Find the recording that a notebook's parameters name; return its path and clip.

    Parameters
    ----------
    path
        A video or a folder of frames. If empty, a drawn face is written below `folder`; `seed`
        tells which.
    apex, offset
        As for `recording_clip`; negative to leave them open.

    Raises
    ------
    InputError
        As `recording_clip` does, or if a mark is no frame number.
    """
    for name, value in (("onset", onset), ("apex", apex), ("offset", offset)):
        if not isinstance(value, int):
            raise InputError(f"{name} '{value}' is no frame number", hint="count frames from 0")
    place = Path(path) if path else write_drawn_recording(Path(folder, DRAWN_NAME), seed)
    peak, last = (mark if mark >= 0 else None for mark in (apex, offset))
    return place, recording_clip(place, onset=onset, apex=peak, offset=last)


def find_own_clip(
    clip: Clip, provider: FaceProvider, *, trust: bool = False, face: int = 0
) -> OwnClip:
    """Find the faces of a clip from onset to offset, cut it out, and spot its apex if it has none.

    Parameters
    ----------
    trust
        Go on if no face is found, with the mean face in the middle of the frames.
    face
        Which one of several, from the left; 0 takes the largest nearest the middle.

    Raises
    ------
    InputError
        If no face is found, or fewer than `face`.
    """
    check_span(Path(clip.key.clip), clip.offset - clip.onset + 1)
    numbers = range(clip.onset, clip.offset + 1)
    track = find_faces(clip.frames, provider, only=numbers, number=face)
    if not track.counts()["none"] and not trust:
        raise InputError(
            f"no face found in any of {len(track.faces)} frames",
            where=clip.key.clip,
            hint="film the face from the front, or name 'template' if it fills the frames",
        )
    curve = clip_curve(clip, track)
    apex_is = "given" if clip.apex is not None else "spotted" if curve.spotted else "guessed"
    recorded = replace(clip, apex=curve.apex) if clip.apex is None else clip
    return OwnClip(recorded, align_clip(recorded, track), track, curve, apex_is)


def remembering(provider: FaceProvider) -> Callable[[NDArray[np.uint8]], Face | None]:
    """Cache the faces that a provider finds, by the content of the frame."""
    known: dict[bytes, Face | None] = {}

    def find(frame: NDArray[np.uint8]) -> Face | None:
        key = blake2b(frame.tobytes()).digest()
        if key not in known:
            known[key] = provider(frame)
        return known[key]

    return find


def write_drawn_recording(path: Path, seed: int = 0) -> Path:
    """Write a video of a drawn face, tilted in a larger picture, as a camera might see it.

    Returns
    -------
    Path
        That of the video, an .avi of JPEG frames.
    """
    check_target(path)
    clip = synthetic(subjects=2, clips=2, seed=seed)[0]
    track = reference_track(clip)
    scene = fit_similarity(track[clip.onset].five()[:2], np.array(SCENE_EYES, dtype=np.float32))
    frames = AlignedFrames(clip.frames, scene, track, SCENE_PX)
    code = cv2.VideoWriter_fourcc(*"MJPG")
    with TemporaryDirectory() as plain:  # OpenCV ends the process at a name that is not UTF-8
        written = Path(plain, path.name)
        writer = cv2.VideoWriter(str(written), code, clip.fps, (SCENE_PX, SCENE_PX))
        writer.set(cv2.VIDEOWRITER_PROP_QUALITY, QUALITY)
        for number in range(len(frames)):
            writer.write(cv2.cvtColor(frames[number], cv2.COLOR_RGB2BGR))
        writer.release()
        write_atomic_bytes(path, written.read_bytes())
    return path


def _check_marks(path: Path, onset: int, apex: int | None, offset: int, count: int) -> None:
    """Onset, apex and offset in this order, all within the recording."""
    middle = onset + 1 if apex is None else apex
    if not 0 <= onset < middle <= offset < count:
        spoken = "" if apex is None else f", apex {apex}"
        raise InputError(
            f"onset {onset}{spoken} and offset {offset} do not fit {count} frames",
            where=path,
            hint="count frames from 0, onset before apex, apex not after offset",
        )
