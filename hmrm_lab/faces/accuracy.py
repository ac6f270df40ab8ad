"""Accuracy of landmarks, crops and spotted apexes, on clips with known ones.

`python benchmarks/face_accuracy.py` prints the figures of decision 0010 for built-in faces.
"""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd

from hmrm_lab.errors import InputError
from hmrm_lab.faces.align import FaceTrack, align_clip, crop_map, find_faces, known_faces
from hmrm_lab.faces.apex import ApexCurve, spot_apex
from hmrm_lab.faces.face import Face, FaceProvider
from hmrm_lab.faces.landmarks import CROP_PX, dense_landmarks
from hmrm_lab.records import Clip, KnownMotion, LandmarkedFrames


def reference_track(
    clip: Clip, provider: FaceProvider | None = None, *, only: Iterable[int] | None = None
) -> FaceTrack:
    """The faces from onset to offset, or of `only` these frames: known ones, or by a provider."""
    numbers = range(clip.onset, clip.offset + 1) if only is None else only
    if isinstance(clip.frames, LandmarkedFrames):
        return known_faces(clip.frames, numbers)
    if provider is None:
        problem = f"clip {'/'.join(clip.key)} brings no landmarks"
        raise InputError(problem, hint="name a face provider, such as dlib")
    return find_faces(clip.frames, provider, only=numbers)


def clip_curve(clip: Clip, track: FaceTrack) -> ApexCurve:
    """Spot the apex of a clip in the crop of the onset's face, or in frames of a crop's size."""
    landmarks = dense_landmarks(track[clip.onset])
    crop_size = (CROP_PX, CROP_PX)
    landmarked = isinstance(clip.frames, LandmarkedFrames)
    if landmarked and clip.frames[clip.onset].shape[:2] == crop_size:
        return spot_apex(clip.frames, landmarks, clip.onset, clip.offset)
    crop = align_clip(clip, track).frames
    there = crop_map(track[clip.onset]).points(landmarks)
    return spot_apex(crop, there, clip.onset, clip.offset)


def distance_percent(face: Face, truth: Face) -> tuple[float, float]:
    """Mean distance of the five points, and of the 68, in per cent of that between the true eyes.

    For a face of five points, the 68 are those of the mean face.
    """
    five, dense = truth.five(), dense_landmarks(truth)
    eyes = float(np.linalg.norm(five[1] - five[0]))
    few, many = face.five() - five, dense_landmarks(face) - dense
    apart = [float(np.linalg.norm(vectors, axis=1).mean()) for vectors in (few, many)]
    return 100 * apart[0] / eyes, 100 * apart[1] / eyes


def tracks_table(tracks: Mapping[str, FaceTrack], truth: FaceTrack) -> pd.DataFrame:
    """One row per track: how its faces were found, and their distances from the true ones.

    `detected`, `neighbour` and `template` count frames; `five` and `dense` are means of
    `distance_percent`, `worst` the largest of `dense`.
    """
    rows = {}
    for name, track in tracks.items():
        found = FaceTrack({frame: track[frame] for frame in truth.faces})
        distances = [distance_percent(found[n], face) for n, face in truth.faces.items()]
        five, dense = np.array(distances).T
        means = {"five": five.mean(), "dense": dense.mean(), "worst": dense.max()}
        rows[name] = found.counts() | {name: float(mean) for name, mean in means.items()}
    return pd.DataFrame.from_dict(rows, orient="index").rename(columns={"none": "detected"})


def crop_steps_px(track: FaceTrack) -> pd.Series:
    """Motion of the crop's middle if each frame has a crop of its own, by later frame."""
    middle = np.full((1, 2), (CROP_PX - 1) / 2, dtype=np.float32)
    crops = [crop_map(face) for face in track.faces.values()]
    places = np.concatenate([crop.inverse().points(middle) for crop in crops])
    scales = np.array([crop.scale for crop in crops[1:]])
    steps = np.linalg.norm(np.diff(places, axis=0), axis=1) * scales
    return pd.Series(steps, index=list(track.faces)[1:], name="step (px)")


def movement_px(clip: Clip) -> float:
    """The longest vector from onset to apex less the head's motion; NaN if it is not known."""
    if clip.apex is None or not isinstance(clip.frames, KnownMotion):
        return float("nan")
    flow = clip.frames.flow(clip.onset, clip.apex)
    return float(np.hypot(*(flow - np.median(flow, axis=(1, 2), keepdims=True))).max())


def apex_table(clips: Sequence[Clip], provider: FaceProvider | None = None) -> pd.DataFrame:
    """The spotted apex of each clip beside the true one and the middle frame.

    `apex`, `spotted`, `middle` are frame numbers; `error` and `middle_error` are frames after the
    true apex; `strength_px` is `movement_px`, `peak` the height of the curve, `blinks` whether the
    eyelids close at some time. A provider looks at the onset of clips without landmarks.
    """
    rows = []
    for clip in clips:
        curve = clip_curve(clip, reference_track(clip, provider, only=[clip.onset]))
        frames = (clip.apex, curve.apex, (clip.onset + clip.offset) // 2)
        found = (movement_px(clip), float(curve.curve.max()), bool(curve.blinks))
        rows.append((clip.key.subject, clip.key.clip, clip.expression, *frames, *found))
    names, frames_of = ["subject", "clip", "class"], ["apex", "spotted", "middle"]
    table = pd.DataFrame(rows, columns=[*names, *frames_of, "strength_px", "peak", "blinks"])
    table = table.astype(dict.fromkeys(frames_of, "Int64"))
    table.insert(6, "error", table["spotted"] - table["apex"])
    table.insert(7, "middle_error", table["middle"] - table["apex"])
    return table
