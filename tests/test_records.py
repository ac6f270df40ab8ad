from dataclasses import replace

import numpy as np
import pytest
from conftest import make_flowset

from hmrm_lab.datasets.synthetic import synthetic
from hmrm_lab.errors import InputError
from hmrm_lab.records import CLASSES, clips_of


def test_clips_of_an_expression_keep_their_order() -> None:
    clips = synthetic(subjects=3, clips=12)
    parts = [clips_of(clips, name) for name in CLASSES]
    assert sum(map(len, parts)) == 12
    for label, part in enumerate(parts):
        assert part == [clip for clip in clips if clip.label == label]


def test_an_unknown_or_absent_expression_is_refused() -> None:
    clips = synthetic(subjects=3, clips=12)
    with pytest.raises(InputError, match="did you mean 'surprise'"):
        clips_of(clips, "suprise")
    with pytest.raises(InputError, match="none of these clips is negative"):
        clips_of(clips_of(clips, "surprise"), "negative")


def test_maps_are_laid_out_alike_whoever_computed_them() -> None:
    flowset = make_flowset()
    strided = np.moveaxis(np.moveaxis(flowset.maps, 1, -1).copy(), -1, 1)
    assert not strided.flags.c_contiguous
    again = replace(flowset, maps=strided)
    assert again.maps.flags.c_contiguous
    assert again.fingerprint() == flowset.fingerprint()
