"""Recordings to crops: the face of each clip is detected and aligned, its apex spotted.

A crop file holds onset and apex in the canonical crop, the onset's landmarks, and how face and apex
were found. It depends on the frames and on the settings of `faces`, not on the flow.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hmrm_lab.config.sections import FacesConfig
from hmrm_lab.errors import InputError
from hmrm_lab.faces.align import FaceTrack, align_clip, find_face, find_faces, warp
from hmrm_lab.faces.apex import is_black, spot_apex
from hmrm_lab.faces.face import FaceProvider
from hmrm_lab.preparation import cache, quality
from hmrm_lab.preparation.cache import Progress, no_progress
from hmrm_lab.preparation.quality import ClipWarning, SeenFrame, count_warnings
from hmrm_lab.records import Clip, ClipKey, Floats
from hmrm_lab.registry import providers

FORMAT = 4  # raise it when the same settings give other crops
SHORT = ("face", "apex", "apex_frame", "inside", "warnings")  # what a `Crop` holds of its file
FRAMES_SEARCHED = 8  # frames from onset to offset that are searched if the onset shows no face


@dataclass(frozen=True)
class CroppedFrames:
    """Onset and apex of a prepared clip, read when asked for: (224, 224, 3) uint8, RGB."""

    file: Path

    def __len__(self) -> int:
        return 2

    def __getitem__(self, index: int, /) -> NDArray[np.uint8]:
        return self._array("crops")[index]

    def landmarks(self, index: int) -> Floats:
        """The onset's landmarks: (68, 2), pixels. The apex is in the onset's crop."""
        return self._array("landmarks")

    def inside(self) -> NDArray[np.bool_]:
        """The pixels of the crop within the recording: (224, 224)."""
        return self._array("inside")

    def identity(self, index: int) -> str:
        return f"{self.file.stem}[{index}]"

    def _array(self, name: str) -> Any:
        arrays = cache.read_arrays(self.file, name)
        if arrays is None:
            hint = "delete the file; it is made anew"
            raise InputError("no readable crop", where=self.file, hint=hint)
        return arrays[name]


@dataclass(frozen=True)
class Crop:
    """The prepared clip (onset 0 and apex 1 of `CroppedFrames`), or why it was left out.

    `face` is the onset's `Face.fallback`; `apex` is `annotated`, `spotted`, or `guessed` for a clip
    without motion; `outside_share` is the share of the crop's area outside the recording.
    """

    key: ClipKey
    clip: Clip | None
    face: str = ""
    apex: str = ""
    apex_frame: int = -1
    outside_share: float = 0.0
    warnings: tuple[ClipWarning, ...] = ()
    problem: str = ""

    def without_offset(self) -> "Crop":
        """The crop without warnings about the offset, which not all inputs use."""
        kept = tuple(warning for warning in self.warnings if warning.frame != "offset")
        return replace(self, warnings=kept)


def crop_clips(
    clips: Sequence[Clip], faces: FacesConfig, *, jobs: int = 1, on_progress: Progress = no_progress
) -> list[Crop]:
    """The crops of many clips, from the cache or computed by `jobs` processes.

    Raises an `InputError` if the provider of faces cannot be built, or not one clip is usable.
    """
    files = [_file_of(clip, faces) for clip in clips]
    require_provider(faces, files)
    make = partial(_cut, faces)
    made = cache.make_all(make, clips, files, *SHORT, jobs=jobs, on_progress=on_progress)
    crops = [_crop(*known) for known in zip(clips, files, made, strict=True)]
    if clips and all(crop.clip is None for crop in crops):
        problem = f"not one of {len(clips)} clips is usable; the first: {crops[0].problem}"
        raise InputError(problem, hint="see `hmrm data check`")
    return crops


def crop_clip(clip: Clip, faces: FacesConfig) -> Crop:
    """The crop of one clip; an `InputError` if it is unusable."""
    file = _file_of(clip, faces)
    (outcome,) = cache.make_all(partial(_cut, faces), [clip], [file], *SHORT)
    if isinstance(outcome, InputError):
        raise outcome
    return _crop(clip, file, outcome)


def whole_clips(clips: Sequence[Clip], crops: Sequence[Crop]) -> list[Clip]:
    """The usable clips with all their frames, and the apex of their crops."""
    pairs = [pair for pair in zip(clips, crops, strict=True) if pair[1].clip is not None]
    return [replace(clip, apex=crop.apex_frame) for clip, crop in pairs]


def count_crops(crops: Sequence[Crop]) -> dict[str, dict[str, int]]:
    """Numbers of clips by how faces and apexes were found, and of those left out."""
    usable = [crop for crop in crops if crop.clip is not None]
    faces, apexes = (Counter(getattr(crop, name) for crop in usable) for name in ("face", "apex"))
    borrowed = {name: faces[name] for name in ("neighbour", "template")}
    return {
        "clips": {"usable": len(usable), "left out": len(crops) - len(usable)},
        "faces": {"detected": faces["none"], **borrowed},
        "apexes": {name: apexes[name] for name in ("annotated", "spotted", "guessed")},
        "warnings": count_warnings(crop.warnings for crop in usable),
    }


def crop_identity(faces: FacesConfig) -> str:
    """Settings on which the crop of given frames depends."""
    return f"{FORMAT} {faces.model_dump_json()}"


def aligned_frames(clip: Clip, faces: FacesConfig) -> Clip:
    """The clip with all its frames in the canonical crop of its onset."""
    return align_clip(clip, _find(clip, face_provider(faces), faces.face))


def _cut(faces: FacesConfig, clip: Clip) -> cache.Arrays:
    provider = face_provider(faces)
    track = _find(clip, provider, faces.face)
    aligned = align_clip(clip, track)
    landmarks = aligned.frames.landmarks(clip.onset)  # type: ignore[attr-defined]
    apex, how, frames, curve = clip.apex, "annotated", np.empty(0, int), np.empty(0, np.float32)
    scenes: list[ClipWarning] = []
    if apex is None or faces.apex == "spotted":
        found = spot_apex(aligned.frames, landmarks, clip.onset, clip.offset)
        apex, how = found.apex, "spotted" if found.spotted else "guessed"
        frames, curve = found.frames, found.curve
        scenes = quality.scene_warnings(found.cut)
    seen = _marked_frames(replace(clip, apex=apex), aligned, provider, track)
    inside = aligned.frames.inside()  # type: ignore[attr-defined]
    known = quality.frame_warnings(seen, landmarks, inside)
    known += [] if any(w.meaningless and w.frame != "offset" for w in known) else scenes
    warnings = [(w.code, w.frame, w.sentence) for w in known]
    return {
        "crops": np.stack([seen[0].crop, seen[1].crop]),
        "landmarks": landmarks.astype(np.float32),
        "inside": inside,
        "face": np.array(track[clip.onset].fallback),
        "apex": np.array(how),
        "apex_frame": np.array(apex),
        "curve_frames": frames,
        "curve": curve,
        "warnings": np.array(warnings, dtype=np.str_).reshape(-1, 3),
    }


def _marked_frames(
    clip: Clip, aligned: Clip, provider: FaceProvider, track: FaceTrack
) -> list[SeenFrame]:
    """Onset, apex and offset with their own faces; users of an unreadable offset report it."""
    to_crop = aligned.frames.to_crop  # type: ignore[attr-defined]
    onset = None if clip.onset in track.missing else track[clip.onset]
    seen: list[SeenFrame] = []
    marks = {"onset": clip.onset, "apex": clip.known_apex}
    if clip.offset > clip.known_apex:
        marks["offset"] = clip.offset
    for name, number in marks.items():
        try:
            frame = clip.frames[number]
        except InputError:
            if name == "offset":
                return seen
            raise
        face = None
        if not is_black(frame):
            face = onset if name == "onset" else find_face(frame, provider, near=onset)
        seen.append(SeenFrame(name, number, frame, warp(frame, to_crop), face))
    return seen


def _find(clip: Clip, provider: FaceProvider, number: int) -> FaceTrack:
    """The onset's face; other frames are searched only if it shows none."""
    track = find_faces(clip.frames, provider, only=[clip.onset], number=number)
    if clip.onset not in track.missing:
        return track
    others = np.linspace(clip.onset, clip.offset, FRAMES_SEARCHED).round().astype(int).tolist()
    for other in others[1:]:
        face = find_face(clip.frames[other], provider, number=number)
        if face is not None:
            return FaceTrack({clip.onset: face.taken_from(other)}, track.missing)
    return track


def _crop(clip: Clip, file: Path, arrays: cache.Outcome) -> Crop:
    """The crop of a clip from the arrays `SHORT` of its file, or why it is left out."""
    if isinstance(arrays, InputError):
        return Crop(clip.key, None, problem=str(arrays))
    prepared = replace(clip, frames=CroppedFrames(file), onset=0, apex=1, offset=1)
    face, apex = str(arrays["face"]), str(arrays["apex"])
    outside = float(1 - arrays["inside"].mean())
    warnings = [ClipWarning(*map(str, row)) for row in arrays["warnings"]]
    warnings += quality.clip_warnings(clip)
    return Crop(clip.key, prepared, face, apex, int(arrays["apex_frame"]), outside, tuple(warnings))


def _file_of(clip: Clip, faces: FacesConfig) -> Path:
    return cache.clip_file("crops", clip, FORMAT, faces.model_dump_json())


def require_provider(faces: FacesConfig, files: Sequence[Path]) -> None:
    """Raise an `InputError` if one of these files is still to be made, and no face can be found."""
    if not all(file.is_file() for file in files):
        face_provider(faces)


@lru_cache(maxsize=2)
def face_provider(faces: FacesConfig) -> FaceProvider:
    """The provider of these settings, built once per process; an `InputError` if it cannot be."""
    return providers[faces.name].build(**faces.options)
