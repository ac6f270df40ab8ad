import math

import pytest
import torch

from hmrm_lab.training.losses import MSWCE, balance_classes


def test_one_scale_without_focus_is_cross_entropy() -> None:
    torch.manual_seed(0)
    logits, labels = torch.randn(5, 1, 3), torch.tensor([0, 1, 2, 1, 0])
    expected = torch.nn.functional.cross_entropy(logits[:, 0], labels)
    torch.testing.assert_close(MSWCE((1.0,))(logits, labels), expected)


def test_the_papers_sum_by_hand() -> None:
    probabilities = torch.tensor([[[0.7, 0.2, 0.1], [0.5, 0.25, 0.25]]])
    weights, gamma = (1.0, 0.3), 2.0
    loss = MSWCE(weights, gamma=gamma)(probabilities.log(), torch.tensor([0]))
    expected = -sum(
        w * (1 - p) ** gamma * math.log(p) for w, p in zip(weights, (0.7, 0.5), strict=True)
    )
    assert loss.item() == pytest.approx(expected, rel=1e-6)


def test_smoothing_is_torchs() -> None:
    torch.manual_seed(0)
    logits, labels = torch.randn(5, 1, 3), torch.tensor([0, 1, 2, 1, 0])
    expected = torch.nn.functional.cross_entropy(logits[:, 0], labels, label_smoothing=0.1)
    torch.testing.assert_close(MSWCE((1.0,), label_smoothing=0.1)(logits, labels), expected)


def test_learnt_weights_get_gradients_and_keep_their_sum() -> None:
    loss_of = MSWCE((1.0, 0.5, 0.5), learn_scale_weights=True)
    optimizer = torch.optim.SGD(loss_of.parameters(), lr=1.0)
    logits = torch.zeros(4, 3, 3)
    logits[:, 0, 0] = 5  # the first scale is right already
    before = loss_of.scale_weights.detach()
    torch.testing.assert_close(before, torch.tensor([1.0, 0.5, 0.5]))
    loss_of(logits, torch.zeros(4, dtype=torch.long)).backward()
    optimizer.step()
    after = loss_of.scale_weights.detach()
    assert after[0] > before[0]
    assert after.sum() == pytest.approx(2.0)


def test_class_weights() -> None:
    labels = torch.tensor([0] * 6 + [1] * 3 + [2] * 1)
    weights = balance_classes(labels, 3, 1.0)
    assert weights is not None
    assert (weights[0] * 6).item() == pytest.approx((weights[2] * 1).item())
    assert weights[labels].mean() == pytest.approx(1.0)
    assert balance_classes(labels, 3, 0.0) is None
    half = balance_classes(labels, 3, 0.5)
    assert half is not None
    assert (half[2] / half[0]).item() == pytest.approx(math.sqrt(6))
    without = balance_classes(torch.tensor([0, 0, 1]), 3, 1.0)
    assert without is not None
    assert without[2] == 0
