"""Which regions drive a prediction: hold each one still, and see how the probability falls.

Nothing is asked of the system but its answers (Zeiler and Fergus 2014), so that every system can
be looked into alike. What is found is what moved the system, not what moved the face.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from hmrm_lab.records import Floats, FlowSet

Gray = NDArray[np.uint8]

LEAST_FALL = 0.01  # falls that together are smaller have no shares: no region decides alone


def hold_still(motion: Floats, masks: NDArray[np.bool_]) -> Floats:
    """The map once per mask, the motion inside taken away.

    Flow inside becomes the map's median, which is the head's motion, and strain becomes 0.

    Shapes
    ------
    motion : (3, H, W), order (u, v, strain)
    masks : (R, H, W)
    returns : (R, 3, H, W)
    """
    u, v = np.median(motion[:2], axis=(1, 2))
    still = np.array([u, v, 0.0], dtype=np.float32)[:, None, None]
    return np.where(masks[:, None], still, motion[None]).astype(np.float32)


def hold_clips_still(clip: Gray, masks: NDArray[np.bool_]) -> Gray:
    """The gray clip once per mask, the pixels inside as they are in its first frame.

    Shapes
    ------
    clip : (T, S, S)
    masks : (R, H, W), enlarged to the pixels of the clip
    returns : (R, T, S, S)
    """
    return np.where(_enlarge(masks, clip.shape[1:])[:, None], clip[:1], clip[None])


def hide_in_pictures(pictures: Floats, masks: NDArray[np.bool_]) -> Floats:
    """The pictures once per mask, 0 inside: their mean, or no change.

    Shapes
    ------
    pictures : (P, S, S)
    masks : (R, H, W), enlarged to the pixels of the pictures
    returns : (R, P, S, S)
    """
    hidden = _enlarge(masks, pictures.shape[1:])[:, None]
    return np.where(hidden, np.float32(0), pictures[None])


def _enlarge(masks: NDArray[np.bool_], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Masks (R, H, W) with each cell repeated, as (R, *shape)."""
    rows, columns = (
        np.arange(side) * cells // side for side, cells in zip(shape, masks.shape[1:], strict=True)
    )
    return masks[:, rows[:, None], columns[None]]


def occlusion_falls(
    classify: Callable[[FlowSet], Floats], clip: FlowSet, masks: NDArray[np.bool_]
) -> Floats:
    """How far the probability of the predicted class falls with each region held still: (R,).

    A negative number is a region that speaks against the prediction.

    Parameters
    ----------
    clip
        One clip.
    """
    winner = int(classify(clip)[0].argmax())
    count = len(masks)
    held = FlowSet(
        np.concatenate([clip.maps, hold_still(clip.maps[0], masks)]),
        np.zeros(count + 1, dtype=np.int64),
        clip.keys * (count + 1),
        clip.classes,
        unit=clip.unit,
        inside=None if clip.inside is None else np.repeat(clip.inside, count + 1, axis=0),
        clips=None
        if clip.clips is None
        else np.concatenate([clip.clips, hold_clips_still(clip.clips[0], masks)]),
        pictures=None
        if clip.pictures is None
        else np.concatenate([clip.pictures, hide_in_pictures(clip.pictures[0], masks)]),
    )
    believed = classify(held)[:, winner]
    return np.asarray(believed[0] - believed[1:], dtype=np.float32)


def shares_of(falls: Floats) -> Floats:
    """Falls as shares that sum to 1; those below 0 left out, all 0 if they are next to none."""
    falling = falls.clip(min=0)
    total = float(falling.sum())
    return (falling / total if total >= LEAST_FALL else np.zeros_like(falling)).astype(np.float32)
