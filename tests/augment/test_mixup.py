import torch
from conftest import make_flowset, quick_config
from torch.nn import functional as F

from hmrm_lab.config import load_config
from hmrm_lab.training.augment.motionmix import mix_clips
from hmrm_lab.training.losses import MSWCE
from hmrm_lab.training.trainer import fit


def test_clips_and_classes_are_blended_alike() -> None:
    torch.manual_seed(0)
    targets = F.one_hot(torch.arange(64) % 3, 3).float()
    maps = targets[:, :, None, None].expand(64, 3, 4, 4)
    mixed, classes, partners = mix_clips(maps, targets, 1.0)
    torch.testing.assert_close(mixed[:, :, 0, 0], classes)
    torch.testing.assert_close(classes.sum(1), torch.ones(64))
    assert sorted(partners.tolist()) == list(range(64))
    both = (targets + targets[partners]) > 0
    assert (classes[~both] == 0).all()
    assert 0.2 < classes.max(1).values.min() < classes.max(1).values.max() <= 1


def test_a_small_alpha_leaves_most_clips_nearly_alone() -> None:
    torch.manual_seed(0)
    values = torch.eye(2).repeat(2000, 1)
    near = (mix_clips(values[:, :, None, None], values, 0.05)[1].max(1).values > 0.9).float()
    assert near.mean() > 0.8


def test_the_loss_of_sure_targets_is_that_of_labels() -> None:
    logits, labels = torch.randn(8, 3, 3), torch.arange(8) % 3
    sure = F.one_hot(labels, 3).float()
    weights = torch.tensor([0.5, 1.0, 2.0])
    loss = MSWCE((1.0, 0.3, 0.3), gamma=2.0, class_weights=weights, label_smoothing=0.1)
    torch.testing.assert_close(loss(logits, sure), loss(logits, labels))
    half = 0.5 * (sure + sure.roll(1, 0))
    plain = MSWCE((1.0, 0.3, 0.3))
    between = 0.5 * (plain(logits, labels) + plain(logits, labels.roll(1)))
    torch.testing.assert_close(plain(logits, half), between)


def test_mixup_changes_a_training_and_partners_are_told() -> None:
    clips = make_flowset()
    off, on = (
        fit(quick_config("mlp", f"augment.mixup={alpha}"), clips, seed=0) for alpha in (0, 0.4)
    )
    assert off.losses != on.losses
    assert off.partners == ()
    assert set(on.partners) == set(clips.persons)


def test_settings_from_before_keep_their_digest() -> None:
    """Finished runs are found again: what came later is no part of it until it is used."""
    assert load_config("smoke", system="ststnet", data="flowmaps").digest() == "32a0814207a915fa"
    changed = load_config("smoke", overrides=["augment.mixup=0.2"])
    assert changed.digest() != load_config("smoke").digest()
