"""Features of networks, and nearest neighbours of maps whose answer is known."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import make_flowset, quick_config
from torch import nn

from hmrm_lab.datasets.classes import MEGC3
from hmrm_lab.errors import InputError
from hmrm_lab.evaluation.embedding import (
    clip_features,
    embed,
    features_of,
    knn_label_agreement,
    nearest_neighbours,
)
from hmrm_lab.records import ClipKey, FlowSet
from hmrm_lab.registry import systems
from hmrm_lab.training.trainer import fit


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
