"""Each clip as single pictures: onset, apex, dynamic image, MESTI (decision 0018).

Frames are gray and reduced to `PICTURE_SIDE_PX`. Each picture has a scale of its own: onset and
apex are centred on their mean, the other two on no change, and all have RMS 1. No value of one clip
ever reaches another.
"""

import numpy as np

from hmrm_lab.config.sections import PICTURE_SIDE_PX
from hmrm_lab.preparation.dynamic_image import dynamic_image, mesti
from hmrm_lab.preparation.gray import LENGTH, even_frames, gray_frame
from hmrm_lab.records import PICTURES, Clip, Floats

PICTURE_FORMAT = 1  # raise it when the same frames give other pictures


def clip_pictures(clip: Clip) -> Floats:
    """The pictures of a clip in the canonical crop: (4, side, side), order `PICTURES`."""
    frames = even_frames(clip, LENGTH, PICTURE_SIDE_PX)
    onset, apex = (
        standardise(gray_frame(clip, number, PICTURE_SIDE_PX))
        for number in (clip.onset, clip.known_apex)
    )
    return np.stack([onset, apex, dynamic_image(frames), mesti(frames)]).astype(np.float32)


def standardise(picture: Floats) -> Floats:
    """Mean 0 and RMS 1; an even picture becomes 0."""
    centred = picture - picture.mean()
    deviation = float(np.sqrt((centred**2).mean()))
    return np.asarray(centred / deviation if deviation > 0 else centred, dtype=np.float32)
