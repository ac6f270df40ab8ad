"""What is measured of a system: its cost, features, neighbours, growth of motion, occlusion."""

import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import grid_masks, make_clip_flowset, make_flowset, quick_config
from torch import nn

from hmrm_lab.datasets.classes import MEGC3
from hmrm_lab.datasets.synthetic import synthetic
from hmrm_lab.errors import InputError
from hmrm_lab.evaluation.cost import ANSWERS, count_flops, count_parameters, time_inference
from hmrm_lab.evaluation.embedding import (
    clip_features,
    embed,
    features_of,
    knn_label_agreement,
    nearest_neighbours,
)
from hmrm_lab.evaluation.magnification import growth_of, growth_table, moving_region, without_head
from hmrm_lab.evaluation.recording_prediction import hold_still, occlusion_falls, shares_of
from hmrm_lab.models.handcrafted import binary_patterns
from hmrm_lab.models.hmrm import HMRM
from hmrm_lab.records import Clip, ClipKey, Floats, FlowSet
from hmrm_lab.registry import systems
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
    one, four, seven = (count_flops(small_hmrm(), 3, 28, frames) for frames in (1, 4, 7))
    assert seven - four == four - one > 2 * one, "each map of a sequence costs the same"
    names = ("auto", "reference", "fused", "cuda", "mamba_ssm")
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
    described, codes_of = [], binary_patterns.codes_of
    monkeypatch.setattr(  # asked once for every plane
        *(binary_patterns, "codes_of"), lambda bits: (described.append(1), codes_of(bits))[1]
    )
    fitted.classify(clips.take([0]))
    assert not described, "remembered from the training"
    assert time_inference(fitted.classify, clips) > 0
    count = len(described)
    assert count and count % (ANSWERS + 1) == 0
    fitted.classify(clips.take([0]))
    assert len(described) == count, "the memory is in use again"


def test_features_are_what_the_last_layer_reads() -> None:
    model = systems["ststnet"].build(3, 28, 3).eval()
    maps = torch.randn(4, 3, 28, 28)
    with torch.no_grad():
        expected = model.streams(maps)
    np.testing.assert_allclose(features_of(model, maps), expected, atol=1e-6)
    model = systems["hmrm"].build(3, 28, 3, width=16, depth=1, tokens="windows", dropout=0.4)
    assert features_of(model, maps).shape == (4, 20 * 16)
    assert model.training, "left as it was"
    assert not any(module._forward_hooks for module in model.modules())
    with pytest.raises(InputError, match="Sequential has no linear layer"):
        features_of(nn.Sequential(nn.Conv2d(3, 3, 28), nn.Flatten(2)), maps)


def test_features_of_clips_go_with_what_is_classified() -> None:
    flowset = make_flowset()
    fitted = fit(quick_config("hmrm", "training.epochs=1"), flowset, seed=0)
    features = torch.from_numpy(clip_features(fitted, flowset))
    answers = fitted.model.fused_head(features).softmax(-1).detach().numpy()
    np.testing.assert_allclose(answers, fitted.classify(flowset), atol=1e-5)


def clouds(n: int) -> tuple[np.ndarray, np.ndarray]:
    labels = np.arange(n, dtype=np.int64) % 3
    noise = np.random.default_rng(0).normal(size=(n, 6))
    return (noise + 20 * np.eye(6)[labels]).astype(np.float32), labels


def test_tsne_keeps_neighbours_and_repeats_itself() -> None:
    features, labels = clouds(30)
    points = embed(features, seed=1)
    assert points.shape == (30, 2)
    everyone = np.arange(30)
    assert knn_label_agreement(points, labels, of=everyone, among=everyone, neighbours=3).share == 1
    np.testing.assert_array_equal(points, embed(features, seed=1))
    assert np.isfinite(embed(features[:4])).all()
    for few, problem in (
        (features[:3], "3 clips are too few"),
        (np.ones((5, 3), np.float32), "the same features"),
    ):
        with pytest.raises(InputError, match=problem):
            embed(few)


def test_neighbours_of_separate_clouds_and_of_none() -> None:
    features, labels = clouds(12)
    everyone = np.arange(12)
    found = knn_label_agreement(features, labels, of=everyone, among=everyone, neighbours=3)
    assert (found.share, found.chance) == (1, pytest.approx(3 / 11)), "three of the eleven others"
    one = knn_label_agreement(features, labels, of=np.array([0]), among=np.array([1, 2, 4]))
    assert (one.share, one.chance) == (0, 0)
    with pytest.raises(InputError, match="no clips to compare"):
        knn_label_agreement(features, labels, of=everyone[:0], among=everyone)


def made(patterns: list[int], subjects: str) -> FlowSet:
    """Maps that are equal, but for a little noise, where pattern and label are."""
    rng = np.random.default_rng(0)
    shapes = rng.normal(size=(max(patterns) + 1, 3, 8, 8))
    maps = shapes[patterns] + rng.normal(0, 0.01, (len(patterns), 3, 8, 8))
    keys = tuple(ClipKey("toy", subject, str(n)) for n, subject in enumerate(subjects))
    return FlowSet(maps.astype(np.float32), np.array(patterns, np.int64), keys, MEGC3.classes)


def test_maps_that_show_subject_or_class_are_told_apart() -> None:
    own = nearest_neighbours(made([0, 0, 1, 1, 2, 2], "aabbcc"))  # a pattern for each subject
    assert (own.same_person, own.by_chance) == (1.0, pytest.approx(1 / 5))
    assert (own.uf1_clips, own.uf1_subjects) == (1.0, 0.0)
    shared = made([0, 1, 2] * 3, "aaabbbccc")
    found = nearest_neighbours(shared)
    assert (found.same_person, found.by_chance) == (0.0, pytest.approx(2 / 8))
    assert (found.uf1_clips, found.uf1_subjects) == (1.0, 1.0)
    louder = shared.maps * np.repeat([1, 10, 100], 3).astype(np.float32)[:, None, None, None]
    assert nearest_neighbours(replace(shared, maps=louder)).same_person == 0.0
    with pytest.raises(InputError, match="at least two subjects"):
        nearest_neighbours(make_flowset(subjects=1))


def test_growth_is_a_mean_of_quotients_of_lengths() -> None:
    flow = np.zeros((2, 2, 4, 4), np.float32)
    flow[:, 0], flow[:, 1] = 3.0, -4.0
    flow[0, :, 3, 3] = 0.0  # no motion grows to none
    times = np.ones((2, 1, 4, 4), np.float32)
    times[:, :, :2], times[1, :, 0, 0] = 3.0, 5.0
    moving = np.zeros((2, 4, 4), bool)
    moving[:, :2] = True
    growth = growth_of(flow, times * flow, moving)
    expected = ((15 * 3 + 5) / 16, 15 / 16)
    assert (growth.inside, growth.outside) == pytest.approx(expected)
    assert growth.ratio == pytest.approx(expected[0] / expected[1])
    for everywhere in (True, False):
        with pytest.raises(ValueError, match="inside and outside"):
            growth_of(flow, flow, np.full(moving.shape, everywhere))


def test_a_drawn_face_moves_where_its_action_units_are() -> None:
    clips = synthetic(subjects=2, clips=6)
    regions = np.stack([moving_region(clip, 28) for clip in clips])
    shares = regions.mean((1, 2))
    assert 0.01 < shares.min() < shares.max() < 0.3
    smiles = ["pos" in clip.key.clip for clip in clips]
    assert np.flatnonzero(regions[smiles].any((0, 2))).min() > 10, "below the eyes"
    assert moving_region(clips[0], 56).shape == (56, 56)
    flow = np.random.default_rng(0).normal(size=(6, 2, 28, 28)).astype(np.float32)
    table = growth_table(clips, flow, np.where(regions[:, None], 3.0, 1.5) * flow)
    assert table["Clip"].tolist() == [clip.key.clip for clip in clips]
    assert table["Ratio"].tolist() == pytest.approx([2.0] * 6)
    assert table["Share"].tolist() == pytest.approx(shares.tolist())
    frames = [np.zeros((8, 8, 3), np.uint8)] * 3
    clip = Clip(ClipKey("toy", "s01", "a"), 0, frames, 0, 1, 2, 200.0, classes=MEGC3.classes)
    with pytest.raises(InputError, match="the exact flow of clip toy/s01/a is not known"):
        moving_region(clip, 28)


def test_the_head_is_taken_away_and_the_expression_stays() -> None:
    rows, columns = np.indices((28, 28))
    head = np.stack([0.3 + 0.02 * columns - 0.01 * rows, -0.5 + 0.01 * columns + 0.02 * rows])
    brow = np.zeros((2, 28, 28))
    brow[1, 6:10, 4:12] = -1.0
    left = without_head((head + brow).astype(np.float32))
    np.testing.assert_allclose(left, brow, atol=1e-5)
    assert not without_head(np.zeros((2, 28, 28), np.float32)).any()


MASKS = grid_masks(28)


def test_a_region_is_held_at_the_motion_of_the_head() -> None:
    motion = make_flowset().maps[0] + np.array([3, -2, 0], np.float32)[:, None, None]
    u, v = np.median(motion[:2], axis=(1, 2))
    for one, mask in zip(hold_still(motion, MASKS), MASKS, strict=True):
        assert (one[:, mask] == np.array([u, v, 0], np.float32)[:, None]).all()
        assert (one[:, ~mask] == motion[:, ~mask]).all()


def planted(flowset: FlowSet) -> np.ndarray:
    """Answers that rest on sub-region 9 (for) and 2 (against) alone."""
    energy = (flowset.maps[:, :2] ** 2).sum(1)
    score = energy[:, MASKS[9]].mean(1) - 0.5 * energy[:, MASKS[2]].mean(1)
    win = 1 / (1 + np.exp(-score))
    return np.stack([(1 - win) / 2, win, (1 - win) / 2], axis=1)


def test_a_planted_region_is_found() -> None:
    clip = make_flowset().take([0])
    moving = MASKS[[9, 2, 5]].any(0)
    maps = np.broadcast_to(moving.astype(np.float32), clip.maps.shape)
    falls = occlusion_falls(planted, replace(clip, maps=maps), MASKS)
    assert falls.argmax() == 9
    assert falls[2] < 0
    assert np.abs(np.delete(falls, [9, 2])).max() < 1e-6
    assert shares_of(falls)[9] == pytest.approx(1)


def test_shares_sum_to_1_or_are_all_0() -> None:
    assert shares_of(np.array([0.3, -0.2, 0.1], np.float32)) == pytest.approx([0.75, 0, 0.25])
    assert not shares_of(np.array([0.004, -0.2, 0.001], np.float32)).any()
