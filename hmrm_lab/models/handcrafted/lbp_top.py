"""LBP-TOP: local binary patterns on three planes through a clip (Zhao and Pietikainen 2007)."""

from functools import partial

import numpy as np

from hmrm_lab.cards import Card
from hmrm_lab.models.estimator import Estimator, Inputs
from hmrm_lab.models.handcrafted.described import OF_CLIPS, described_clips
from hmrm_lab.models.handcrafted.lbp import (
    PLANES,
    UNIFORM,
    Radii,
    block_histograms,
    pattern_codes,
    uniform_labels,
)
from hmrm_lab.models.options import Blocks, InnerFolds, Radius
from hmrm_lab.records import Floats
from hmrm_lab.registry import systems

CARD = Card(
    takes="clip",
    citation="Zhao and Pietikainen, Dynamic texture recognition using local binary patterns with an"
    " application to facial expressions, IEEE TPAMI 29, 2007",
    fidelity="adapted",
    departures=(
        "clips are brought to their number of frames by linear interpolation; the baselines of the"
        " field use the temporal interpolation model",
        "faces are aligned by their onset frame, by one affine map",
        "C of the linear SVM is chosen on training subjects",
    ),
    estimator=True,
)


@systems.register("lbp_top", recipe=OF_CLIPS, source="Zhao and Pietikainen 2007", card=CARD)
def lbp_top(
    *, blocks: Blocks = 5, radius: Radius = 1, radius_t: Radius = 2, inner_folds: InnerFolds = 5
) -> Estimator:
    """Uniform patterns of the planes XY, XT and YT in `blocks` x `blocks`, in a linear SVM."""
    describe = partial(three_planes, blocks=blocks, radius=radius, radius_t=radius_t)
    return described_clips(describe, inner_folds)


def three_planes(clip: Inputs, *, blocks: int, radius: int, radius_t: int) -> Floats:
    """The histograms of one clip: (T, S, S) to (3 * blocks * blocks * 59,)."""
    volume = np.asarray(clip, dtype=np.float32)
    radii, labels = Radii(radius, radius_t), uniform_labels()
    tables = [
        block_histograms(labels[pattern_codes(volume, plane, radii)], UNIFORM, blocks)
        for plane in PLANES
    ]
    return np.concatenate([table.ravel() for table in tables])
