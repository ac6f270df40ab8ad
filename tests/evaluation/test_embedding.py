"""Features of networks, and nearest neighbours of maps whose answer is known."""

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

WIDTH = 16


def hmrm(**options: object) -> nn.Module:
    torch.manual_seed(0)
    return systems["hmrm"].build(3, 28, 3, width=WIDTH, depth=1, tokens="windows", **options)


def test_of_hmrm_they_are_what_the_fused_head_reads() -> None:
    model, maps = hmrm(dropout=0.4), torch.randn(5, 3, 28, 28)
    features = features_of(model, maps)
    assert features.shape == (5, 20 * WIDTH)
    assert model.training, "left as it was"
    logits = model.eval()(maps)[:, 0]
    np.testing.assert_allclose(
        model.fused_head(torch.from_numpy(features)).detach(), logits.detach(), atol=1e-5
    )


def test_of_ststnet_they_are_its_pooled_streams() -> None:
    model, maps = systems["ststnet"].build(3, 28, 3).eval(), torch.randn(4, 3, 28, 28)
    with torch.no_grad():
        expected = model.streams(maps)
    np.testing.assert_allclose(features_of(model, maps), expected, atol=1e-6)


def test_no_hook_is_left_behind() -> None:
    model = hmrm()
    features_of(model, torch.randn(2, 3, 28, 28))
    assert not any(module._forward_hooks for module in model.modules())


class NoHead(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.only = nn.Conv2d(3, 3, 28)

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        return self.only(maps)[:, None, :, 0, 0]


def test_a_system_without_such_a_layer_is_refused() -> None:
    with pytest.raises(InputError, match="NoHead has no linear layer"):
        features_of(NoHead(), torch.randn(2, 3, 28, 28))


def test_features_of_clips_go_with_what_is_classified() -> None:
    flowset = make_flowset()
    fitted = fit(quick_config("hmrm"), flowset, seed=0)
    features = torch.from_numpy(clip_features(fitted, flowset))
    answers = fitted.model.fused_head(features).softmax(-1).detach().numpy()
    np.testing.assert_allclose(answers, fitted.classify(flowset), atol=1e-5)


def clouds(n: int = 12, apart: float = 20.0) -> tuple[np.ndarray, np.ndarray]:
    labels = np.arange(n, dtype=np.int64) % 3
    noise = np.random.default_rng(0).normal(size=(n, 6))
    return (noise + apart * np.eye(6)[labels]).astype(np.float32), labels


def test_tsne_keeps_neighbours_and_repeats_itself() -> None:
    features, labels = clouds(30)
    points = embed(features, seed=1)
    assert points.shape == (30, 2)
    everyone = np.arange(30)
    assert knn_label_agreement(points, labels, of=everyone, among=everyone, neighbours=3).share == 1
    np.testing.assert_array_equal(points, embed(features, seed=1))


def test_tsne_of_four_clips_is_possible_and_of_three_is_not() -> None:
    features, _ = clouds(4)
    assert np.isfinite(embed(features)).all()
    with pytest.raises(InputError, match="3 clips are too few"):
        embed(features[:3])
    with pytest.raises(InputError, match="the same features"):
        embed(np.ones((5, 3), np.float32))


def test_company_of_separate_clouds_and_of_none() -> None:
    features, labels = clouds(12)
    everyone = np.arange(12)
    company = knn_label_agreement(features, labels, of=everyone, among=everyone, neighbours=3)
    assert company.share == 1
    assert company.chance == pytest.approx(3 / 11), "three of the eleven others"
    one = knn_label_agreement(features, labels, of=np.array([0]), among=np.array([1, 2, 4]))
    assert (one.share, one.chance) == (0, 0)
    with pytest.raises(InputError, match="no clips to compare"):
        knn_label_agreement(features, labels, of=everyone[:0], among=everyone)


def made(patterns: list[int], labels: list[int], subjects: list[str]) -> FlowSet:
    """Maps that are equal, but for a little noise, where the pattern is."""
    rng = np.random.default_rng(0)
    shapes = rng.normal(size=(max(patterns) + 1, 3, 8, 8))
    maps = shapes[patterns] + rng.normal(0, 0.01, (len(patterns), 3, 8, 8))
    keys = tuple(ClipKey("toy", subject, str(n)) for n, subject in enumerate(subjects))
    return FlowSet(maps.astype(np.float32), np.array(labels, np.int64), keys, MEGC3.classes)


def test_maps_that_show_the_subject_help_only_if_the_subject_is_known() -> None:
    """Each subject has a pattern and a class of its own: a stranger's class is always another."""
    found = nearest_neighbours(made([0, 0, 1, 1, 2, 2], [0, 0, 1, 1, 2, 2], list("aabbcc")))
    assert (found.same_person, found.by_chance) == (1.0, pytest.approx(1 / 5))
    assert (found.uf1_clips, found.uf1_subjects) == (1.0, 0.0)


def test_maps_that_show_the_class_help_for_strangers_too() -> None:
    found = nearest_neighbours(made([0, 1, 2] * 3, [0, 1, 2] * 3, list("aaabbbccc")))
    assert found.same_person == 0.0
    assert found.by_chance == pytest.approx(2 / 8)
    assert (found.uf1_clips, found.uf1_subjects) == (1.0, 1.0)


def test_intensity_is_no_hint_of_the_subject() -> None:
    flowset = made([0, 1, 2] * 3, [0, 1, 2] * 3, list("aaabbbccc"))
    scale = np.repeat([1, 10, 100], 3).astype(np.float32)[:, None, None, None]
    louder = FlowSet(flowset.maps * scale, flowset.labels, flowset.keys, MEGC3.classes)
    assert nearest_neighbours(louder).same_person == 0.0


def test_one_subject_is_refused() -> None:
    with pytest.raises(InputError, match="at least two subjects"):
        nearest_neighbours(make_flowset(subjects=1))
