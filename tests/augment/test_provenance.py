"""Mixed motion: MotionMix, mixup, and the tables of what was mixed."""

import numpy as np
import pytest
import torch
from conftest import make_flowset, quick_config
from torch.nn import functional as F

from hmrm_lab.datasets.classes import MEGC3
from hmrm_lab.datasets.synthetic import synthetic
from hmrm_lab.errors import ConfigError
from hmrm_lab.faces.landmarks import region_masks
from hmrm_lab.flow.motion_maps import motion_map
from hmrm_lab.records import Clip, ClipKey, FlowSet
from hmrm_lab.registry import flows
from hmrm_lab.training.augmentation import (
    MotionMix,
    blend,
    draw_blend,
    mix_motion,
    template_masks,
)
from hmrm_lab.training.losses import MSWCE
from hmrm_lab.training.mixing import (
    Mixtures,
    crop_motion,
    distance_table,
    draw_mixtures,
    join_masks,
    mix_pair,
    provenance_table,
    steadied,
)
from hmrm_lab.training.trainer import fit

RNG = np.random.default_rng(0)


def mix_of(flowset: FlowSet, **settings: object) -> MotionMix:
    torch.manual_seed(0)
    masks = torch.from_numpy(template_masks(28)).expand(len(flowset), 2, 28, 28)
    maps, labels = torch.from_numpy(flowset.maps), torch.from_numpy(flowset.labels)
    return MotionMix(maps, labels, masks, **{"share": 1.0, **settings})


def make_mix(n: int = 12, **settings: object) -> MotionMix:
    """Of clips whose maps hold their own number everywhere."""
    flowset = make_flowset(subjects=1, per_subject=n)
    flowset.maps[:] = np.arange(n)[:, None, None, None]
    return mix_of(flowset, **settings)


def mixed(mix: MotionMix, rows: torch.Tensor | None = None) -> torch.Tensor:
    rows = torch.arange(len(mix.labels)) if rows is None else rows
    return mix.mix(rows, *mix.draw(rows))


@pytest.mark.parametrize("strength", [0.0, 0.4, 1.0])
def test_the_equation(strength: float) -> None:
    own, partner = RNG.normal(size=(2, 3, 28, 28)).astype(np.float32)
    mask = join_masks(template_masks(28), ["eyes"])
    expected = (1 - mask) * own + mask * (strength * partner + (1 - strength) * own)
    tensors = (torch.from_numpy(one)[None] for one in (own, partner, mask))
    mixed = mix_motion(*tensors, torch.tensor([strength]))[0].numpy()
    np.testing.assert_allclose(mixed, expected, atol=1e-5)
    np.testing.assert_array_equal(mix_pair(own, partner, mask, strength), mixed)


def test_motion_comes_from_the_recorded_partner_of_the_same_class() -> None:
    mix = make_mix(regions=("mouth",))
    for _ in range(20):
        rows = torch.randperm(12)
        maps = mixed(mix, rows)
    assert len(mix.provenance) > 12
    assert all(own % 3 == partner % 3 and own != partner for own, partner in mix.provenance)
    eyes, mouth = torch.from_numpy(template_masks(28))
    for own, picture in zip(rows, maps, strict=True):
        assert (picture[:, eyes & ~mouth] == own).all()
        (partner,) = picture[:, mouth].unique().tolist()
        assert (int(own), int(partner)) in mix.provenance


def test_share_is_the_share_of_mixed_clips() -> None:
    mix = make_mix(share=0.25)
    rows = torch.arange(12).repeat(200)
    changed = (mixed(mix, rows) != rows[:, None, None, None]).flatten(1).any(1)
    assert changed.float().mean() == pytest.approx(0.25, abs=0.03)


def test_clips_and_classes_are_blended_alike() -> None:
    torch.manual_seed(0)
    targets = F.one_hot(torch.arange(64) % 3, 3).float()
    maps = targets[:, :, None, None].expand(64, 3, 4, 4)
    partners, share = draw_blend(64, 1.0)
    blended, classes = blend(maps, targets, partners, share)
    torch.testing.assert_close(blended[:, :, 0, 0], classes)
    torch.testing.assert_close(classes.sum(1), torch.ones(64))
    assert not classes[(targets + targets[partners]) == 0].any()
    assert 0.2 < classes.max(1).values.min() < classes.max(1).values.max() <= 1


def test_the_loss_of_sure_targets_is_that_of_labels() -> None:
    logits, labels = torch.randn(8, 3, 3), torch.arange(8) % 3
    sure = F.one_hot(labels, 3).float()
    weights = torch.tensor([0.5, 1.0, 2.0])
    loss = MSWCE((1.0, 0.3, 0.3), gamma=2.0, class_weights=weights, label_smoothing=0.1)
    torch.testing.assert_close(loss(logits, sure), loss(logits, labels))
    plain, turned = MSWCE((1.0, 0.3, 0.3)), labels.roll(1)
    between = (plain(logits, labels) + plain(logits, turned)) / 2
    torch.testing.assert_close(plain(logits, (sure + sure.roll(1, 0)) / 2), between)


def test_mixup_changes_a_training_and_partners_are_told() -> None:
    clips = make_flowset()
    configs = [quick_config("mlp", f"augment.mixup={alpha}") for alpha in (0, 0.4)]
    off, on = (fit(config, clips, seed=0) for config in configs)
    assert off.losses != on.losses
    assert off.partners == ()
    assert set(on.partners) == set(clips.subjects)


def test_masks_are_joined_by_name() -> None:
    masks = template_masks(28)
    for names, expected in ((["mouth"], masks[1]), (["eyes", "mouth"], masks.any(0))):
        np.testing.assert_array_equal(join_masks(masks, names), expected)
    with pytest.raises(ConfigError, match="did you mean 'mouth'"):
        join_masks(masks, ["muth"])


def test_every_clip_is_mixed_once_by_the_account(toy_flowset: FlowSet) -> None:
    mix, state = mix_of(toy_flowset, share=0.5), torch.get_rng_state()
    mixtures = draw_mixtures(mix, seed=0)
    assert mixtures.own.tolist() == list(range(len(toy_flowset)))
    assert (toy_flowset.labels[mixtures.own] == toy_flowset.labels[mixtures.partners]).all()
    partners = toy_flowset.maps[mixtures.partners]
    expected = np.where(template_masks(28).any(0), partners, toy_flowset.maps)
    np.testing.assert_allclose(mixtures.maps, expected, atol=1e-5)
    assert not mix.provenance
    torch.testing.assert_close(torch.get_rng_state(), state)


def test_a_class_of_one_clip_has_no_mixture(toy_flowset: FlowSet) -> None:
    mix = mix_of(toy_flowset.take([0, 1, 3, 4, 2]))  # of the classes 0, 1, 0, 1 and 2
    assert draw_mixtures(mix, seed=0).own.tolist() == [0, 1, 2, 3]
    assert torch.equal(mixed(mix, torch.tensor([4])), mix.maps[[4]])


def test_the_account_names_clips_and_persons(toy_flowset: FlowSet) -> None:
    table = provenance_table(toy_flowset, {(7, 1), (0, 9)})
    own, partner = ("clip000", "toy/s01", "negative"), ("clip009", "toy/s02", "negative")
    assert table.iloc[0].tolist() == [*own, *partner]
    assert table["clip"].tolist() == ["clip000", "clip007"]
    assert list(provenance_table(toy_flowset, set()).columns) == list(table.columns)


def test_distances_leave_oneself_and_the_parents_out() -> None:
    """Flat maps of these heights: distances are differences."""
    *maps, mixed = (np.full((3, 2, 2), height, np.float32) for height in (0, 1, 5, 3, 0.5))
    mixtures = Mixtures(mixed[None], np.array([0]), np.array([1]))
    table = distance_table(np.stack(maps), np.array([0, 0, 0, 1]), mixtures, MEGC3.classes)
    assert table["kind"].tolist() == ["original"] * 4 + ["mixture"]
    nothing = np.nan  # no other clip of its class; and the parents of the mixture do not count
    np.testing.assert_array_equal(table["own"], [1, 1, 4, nothing, 4.5])
    assert table["other"].tolist() == [3, 2, 2, 2, 2.5]
    np.testing.assert_array_equal(table["moved"], [nothing] * 4 + [0.5])


def test_motion_at_crop_resolution_is_what_the_maps_are_averaged_from() -> None:
    clip, estimator = synthetic(subjects=2, clips=4)[0], flows["dis"].build()
    motion = crop_motion(clip, estimator)
    flow = estimator(motion.onset[None], clip.frames[clip.apex][None])
    np.testing.assert_allclose(motion.map, motion_map(flow, 224)[0], atol=1e-6)
    landmarks = clip.frames.landmarks(clip.onset)
    np.testing.assert_array_equal(motion.masks, region_masks(landmarks, 224, 224))
    np.testing.assert_array_equal(motion.onset, clip.frames[clip.onset])


def test_a_crop_without_landmarks_takes_the_template() -> None:
    frames = list(RNG.integers(0, 256, (2, 32, 32, 3)).astype(np.uint8))
    clip = Clip(ClipKey("d", "s", "c"), 0, frames, 0, 1, 1, 100.0, classes=MEGC3.classes)
    masks = crop_motion(clip, flows["dis"].build()).masks
    np.testing.assert_array_equal(masks, template_masks(32))


def test_without_the_head_the_median_is_zero_and_strain_stays() -> None:
    motion = RNG.normal(2, 1, (3, 7, 7)).astype(np.float32)
    still = steadied(motion)
    np.testing.assert_allclose(np.median(still[:2], axis=(1, 2)), 0, atol=1e-6)
    np.testing.assert_array_equal(still[2], motion[2])
