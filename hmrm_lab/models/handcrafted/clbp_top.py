"""CLBP-TOP: sign, magnitude and centre of local differences on three planes (Guo et al. 2010)."""

from functools import partial

import numpy as np

from hmrm_lab.models.handcrafted.lbp_top import (
    OF_CLIPS,
    PLANES,
    TIE,
    UNIFORM,
    Radii,
    block_histograms,
    codes_of,
    points_round,
    uniform_labels,
)
from hmrm_lab.models.handcrafted.svm import linear_svm
from hmrm_lab.models.layers import Blocks, Estimator, InnerFolds, Inputs, Radius
from hmrm_lab.records import Floats
from hmrm_lab.registry import Card, systems

CARD = Card(
    takes="clip",
    citation="Guo, Zhang and Zhang, A completed modeling of local binary pattern operator for"
    " texture classification, IEEE TIP 19, 2010; on three planes after Pfister et al.,"
    " Differentiating spontaneous from posed facial expressions, ICCV Workshops 2011",
    fidelity="adapted",
    departures=(
        "histograms of sign, magnitude and centre stand side by side, not as one joint histogram",
        "the thresholds of magnitude and centre are means over the one clip",
        "clips are brought to their number of frames by linear interpolation",
        "C of the linear SVM is chosen on training subjects",
    ),
    estimator=True,
)


@systems.register("clbp_top", recipe=OF_CLIPS, source="Guo et al. 2010", card=CARD)
def clbp_top(
    classes: int,
    *,
    blocks: Blocks = 5,
    radius: Radius = 1,
    radius_t: Radius = 2,
    inner_folds: InnerFolds = 5,
) -> Estimator:
    """Completed patterns of the planes XY, XT and YT in `blocks` x `blocks`, in a linear SVM."""
    describe = partial(completed_planes, blocks=blocks, radius=radius, radius_t=radius_t)
    return linear_svm(describe, classes, inner_folds)


def completed_planes(clip: Inputs, *, blocks: int, radius: int, radius_t: int) -> Floats:
    """Compute the histograms of one clip: (T, S, S) to (blocks * blocks * (3 * 2 * 59 + 2),).

    Sign: whether a point is at least as bright as the pixel in the middle. Magnitude: whether it
    differs by at least the mean difference of this clip and plane. Centre: whether the pixel is at
    least as bright as the mean of its clip.
    """
    volume = np.asarray(clip, dtype=np.float32)
    radii, labels = Radii(radius, radius_t), uniform_labels()
    tables = []
    for plane in PLANES:
        differences = list(points_round(volume, plane, radii, radii.margins))
        size = np.mean([np.abs(d).mean(dtype=np.float64) for d in differences])
        signs = codes_of(d >= -TIE for d in differences)
        sizes = codes_of(np.abs(d) >= size - TIE for d in differences)
        tables += [block_histograms(labels[c], UNIFORM, blocks) for c in (signs, sizes)]
    time, space, _ = radii.margins
    inner = volume[time : len(volume) - time, space:-space, space:-space]
    bright = inner >= volume.mean(dtype=np.float64) - TIE
    tables.append(block_histograms(bright.astype(np.int64), 2, blocks))
    return np.concatenate([table.ravel() for table in tables])
