"""Parameters, operations and time of a prediction."""

import time

import numpy as np
import pytest
from conftest import make_clip_flowset, make_flowset, quick_config
from torch import nn

from hmrm_lab.evaluation.cost import ANSWERS, count_flops, count_parameters, time_inference
from hmrm_lab.models.handcrafted import descriptors
from hmrm_lab.models.hmrm import HMRM
from hmrm_lab.records import Floats, FlowSet
from hmrm_lab.training.trainer import fit


def small_hmrm(**options: object) -> HMRM:
    return HMRM(3, 28, 3, width=8, depth=1, heads=2, **options)


def test_a_linear_layer_by_hand() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(3 * 28 * 28, 5))
    assert count_flops(model, 3, 28) == 2 * 3 * 28 * 28 * 5
    assert count_parameters(model) == (3 * 28 * 28 + 1) * 5
    assert count_parameters(model.requires_grad_(False)) == 0, "frozen ones do not count"


def test_the_scan_is_counted_whatever_its_name_and_grows_with_the_state() -> None:
    small, large = (count_flops(small_hmrm(state=state), 3, 28) for state in (4, 8))
    inner, pixels, directions = 16, 20 * 49, 2
    selection, scan = 2 * inner * 2 * 4, 7 * inner * 4  # the columns of B and C; the recurrence
    assert large - small == directions * pixels * (selection + scan)
    names = ("auto", "reference", "loop", "fused", "cuda", "mamba_ssm")
    assert len({count_flops(small_hmrm(scan=name), 3, 28) for name in names}) == 1


def test_an_answer_is_timed_for_one_clip_alone_without_the_first() -> None:
    asked: list[int] = []

    def classify(clips: FlowSet) -> Floats:
        asked.append(len(clips))
        time.sleep(0.25 if len(asked) == 1 else 0.004)
        return np.zeros((len(clips), 3), np.float32)

    assert 4 <= time_inference(classify, make_flowset()) < 200
    assert asked == [1] * (ANSWERS + 1)


def test_a_clip_is_described_again_in_every_timed_prediction(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clips = make_clip_flowset(subjects=2)
    fitted = fit(quick_config("lbp_top"), clips, seed=0)
    described, codes_of = [], descriptors.codes_of
    monkeypatch.setattr(  # asked once for every plane
        *(descriptors, "codes_of"), lambda bits: (described.append(1), codes_of(bits))[1]
    )
    fitted.classify(clips.take([0]))
    assert not described, "remembered from the training"
    assert time_inference(fitted.classify, clips) > 0
    count = len(described)
    assert count and count % (ANSWERS + 1) == 0
    fitted.classify(clips.take([0]))
    assert len(described) == count, "the memory is in use again"
