"""STLBP-IP: local binary patterns of integral projections (Huang et al. 2015)."""

from functools import partial

import numpy as np

from hmrm_lab.models.handcrafted.lbp_top import (
    OF_CLIPS,
    TIE,
    UNIFORM,
    Radii,
    T,
    X,
    block_histograms,
    check_blocks,
    codes_of,
    pattern_codes,
    uniform_labels,
)
from hmrm_lab.models.handcrafted.svm import linear_svm
from hmrm_lab.models.layers import Blocks, Estimator, InnerFolds, Inputs, Radius
from hmrm_lab.records import Floats, Ints
from hmrm_lab.registry import Card, systems

STEPS = (1, 2, 3, 4, -4, -3, -2, -1)  # of the one-dimensional pattern: once round its pixel

CARD = Card(
    takes="clip",
    citation="Huang et al., Facial Micro-Expression Recognition using Spatiotemporal Local Binary"
    " Pattern with Integral Projection, ICCV Workshops 2015",
    fidelity="sketch",
    departures=(
        "written from the abstract: projections of difference images, patterns of appearance and"
        " of motion on them; all sizes are ours",
        "differences are from the first frame",
        "clips are brought to their number of frames by linear interpolation",
        "C of the linear SVM is chosen on training subjects",
    ),
    estimator=True,
)


@systems.register("stlbp_ip", recipe=OF_CLIPS, source="Huang et al. 2015", card=CARD)
def stlbp_ip(
    classes: int, *, blocks: Blocks = 5, radius_t: Radius = 1, inner_folds: InnerFolds = 5
) -> Estimator:
    """Patterns of the projections of `blocks` x `blocks` of a clip, in a linear SVM."""
    describe = partial(projected_patterns, blocks=blocks, radius_t=radius_t)
    return linear_svm(describe, classes, inner_folds)


def projected_patterns(clip: Inputs, *, blocks: int, radius_t: int) -> Floats:
    """Compute the histograms of one clip: (T, S, S) to (blocks * blocks * 4 * 59,).

    Each block of the difference images is projected on its rows and on its columns. Appearance:
    the pattern of the eight neighbours along a projection. Motion: the pattern on the picture that
    the projections make one after the other, frames by pixels.
    """
    volume = np.asarray(clip, dtype=np.float32)
    _, height, width = volume.shape
    check_blocks(height, width, blocks, least=2 * max(STEPS) + 1)
    moved = volume - volume[:1]
    found = []
    for strip in np.array_split(moved, blocks, axis=1):
        for block in np.array_split(strip, blocks, axis=2):
            for lines in (block.mean(2), block.mean(1)):
                found += [_histogram(line_codes(lines)), _histogram(_motion(lines, radius_t))]
    return np.concatenate(found)


def line_codes(lines: Floats) -> Ints:
    """Compute the pattern of every pixel of a line but four at each end: (T, W) to (T, W - 8)."""
    reach = max(STEPS)
    end = lines.shape[1] - reach
    centre = lines[:, reach:end]
    return codes_of(lines[:, reach + n : end + n] >= centre - TIE for n in STEPS)


def _motion(lines: Floats, radius_t: int) -> Ints:
    picture = np.ascontiguousarray(lines[:, None])  # (T, 1, W)
    return pattern_codes(picture, (T, X), Radii(1, radius_t), (radius_t, 0, 1))


def _histogram(codes: Ints) -> Floats:
    """Shares of the uniform labels: (59,)."""
    labels = uniform_labels()[codes].reshape(1, len(codes), -1)
    return block_histograms(labels, UNIFORM, 1).ravel()
