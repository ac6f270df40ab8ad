"""What MotionMix did, looked at from outside."""

import numpy as np
import pytest
import torch

from hmrm_lab.datasets.classes import MEGC3
from hmrm_lab.datasets.synthetic import synthetic
from hmrm_lab.errors import ConfigError
from hmrm_lab.faces.regions import region_masks
from hmrm_lab.flow.strain import motion_map
from hmrm_lab.records import Clip, ClipKey, FlowSet
from hmrm_lab.registry import flows
from hmrm_lab.training.augment.motionmix import MotionMix, template_masks
from hmrm_lab.training.augment.provenance import (
    Mixtures,
    distance_table,
    draw_mixtures,
    join_masks,
    mix_pair,
    provenance_table,
)
from hmrm_lab.training.augment.warps import crop_motion, steadied

RNG = np.random.default_rng(0)


def make_mix(flowset: FlowSet, share: float = 0.5) -> MotionMix:
    masks = torch.from_numpy(template_masks(28)).expand(len(flowset), 2, 28, 28)
    maps, labels = torch.from_numpy(flowset.maps), torch.from_numpy(flowset.labels)
    return MotionMix(maps, labels, masks, share=share)


def test_masks_are_joined_by_name() -> None:
    masks = template_masks(28)
    np.testing.assert_array_equal(join_masks(masks, ["mouth"]), masks[1])
    np.testing.assert_array_equal(join_masks(masks, ("eyes", "mouth")), masks[0] | masks[1])
    assert not join_masks(masks, []).any()
    with pytest.raises(ConfigError, match="did you mean 'mouth'"):
        join_masks(masks, ["muth"])


@pytest.mark.parametrize("strength", [0.0, 0.4, 1.0])
def test_a_pair_follows_the_equation(strength: float) -> None:
    own, partner = RNG.normal(size=(2, 3, 28, 28)).astype(np.float32)
    mask = join_masks(template_masks(28), ["eyes"])
    mixed = mix_pair(own, partner, mask, strength)
    expected = (1 - mask) * own + mask * (strength * partner + (1 - strength) * own)
    np.testing.assert_allclose(mixed, expected, atol=1e-5)
    assert mixed.dtype == np.float32


def test_every_clip_is_mixed_once_by_the_account(toy_flowset: FlowSet) -> None:
    mix, state = make_mix(toy_flowset), torch.get_rng_state()
    mixtures = draw_mixtures(mix, seed=0)
    assert mixtures.own.tolist() == list(range(len(toy_flowset)))
    assert (toy_flowset.labels[mixtures.own] == toy_flowset.labels[mixtures.partners]).all()
    mask = template_masks(28).any(0)
    for own, partner, mixed in zip(mixtures.own, mixtures.partners, mixtures.maps, strict=True):
        maps = toy_flowset.maps
        np.testing.assert_allclose(mixed, mix_pair(maps[own], maps[partner], mask, 1.0), atol=1e-5)
    assert not mix.provenance
    torch.testing.assert_close(torch.get_rng_state(), state)


def test_other_seeds_draw_other_partners(toy_flowset: FlowSet) -> None:
    mix = make_mix(toy_flowset)
    first, again, other = (draw_mixtures(mix, seed=seed).partners.tolist() for seed in (0, 0, 1))
    assert first == again != other


def test_a_class_of_one_clip_has_no_mixture(toy_flowset: FlowSet) -> None:
    lone = toy_flowset.take([0, 1, 3, 4, 2])
    assert lone.labels.tolist() == [0, 1, 0, 1, 2]
    assert draw_mixtures(make_mix(lone), seed=0).own.tolist() == [0, 1, 2, 3]


def test_the_account_names_clips_and_persons(toy_flowset: FlowSet) -> None:
    table = provenance_table(toy_flowset, {(7, 1), (0, 9)})
    assert table.iloc[0].tolist() == [
        *("clip000", "toy/s01", "negative"),
        *("clip009", "toy/s02", "negative"),
    ]
    assert table["clip"].tolist() == ["clip000", "clip007"]
    assert list(provenance_table(toy_flowset, set()).columns) == list(table.columns)


def test_distances_leave_oneself_and_the_parents_out() -> None:
    """Flat maps of these heights: distances are differences."""
    heights = np.array([0.0, 1.0, 5.0, 3.0], np.float32)
    maps = np.broadcast_to(heights[:, None, None, None], (4, 3, 2, 2)).copy()
    labels = np.array([0, 0, 0, 1])
    mixed = np.full((1, 3, 2, 2), 0.5, np.float32)
    mixtures = Mixtures(mixed, np.array([0]), np.array([1]))
    table = distance_table(maps, labels, mixtures, MEGC3.classes)
    assert table["kind"].tolist() == ["original"] * 4 + ["mixture"]
    assert table["own"].tolist()[:3] == [1, 1, 4]
    assert np.isnan(table["own"][3]), "no other clip of its class"
    assert table["other"].tolist() == [3, 2, 2, 2, 2.5]
    assert table["own"][4] == 4.5, "the parents do not count"
    assert table["moved"][4] == 0.5
    assert table["moved"][:4].isna().all()


def test_strain_has_no_part_in_a_distance() -> None:
    maps = np.zeros((2, 3, 2, 2), np.float32)
    maps[1, 2] = 7.0
    none = Mixtures(np.zeros((0, 3, 2, 2), np.float32), *np.zeros((2, 0), np.int64))
    assert distance_table(maps, np.array([0, 0]), none, MEGC3.classes)["own"].tolist() == [0, 0]


def test_motion_at_crop_resolution_is_what_the_maps_are_averaged_from() -> None:
    clip, estimator = synthetic(subjects=2, clips=4)[0], flows["dis"].build()
    motion = crop_motion(clip, estimator)
    onset, apex = clip.frames[clip.onset], clip.frames[clip.apex]
    flow = estimator(onset[None], apex[None])
    np.testing.assert_allclose(motion.map, motion_map(flow, 224)[0], atol=1e-6)
    landmarks = clip.frames.landmarks(clip.onset)
    np.testing.assert_array_equal(motion.masks, region_masks(landmarks, 224, 224))
    np.testing.assert_array_equal(motion.onset, onset)


def test_a_crop_without_landmarks_takes_the_template() -> None:
    frames = list(RNG.integers(0, 256, (2, 32, 32, 3)).astype(np.uint8))
    clip = Clip(
        ClipKey("d", "s", "c"),
        0,
        frames,
        onset=0,
        apex=1,
        offset=1,
        fps=100.0,
        classes=MEGC3.classes,
    )
    masks = crop_motion(clip, flows["dis"].build()).masks
    np.testing.assert_array_equal(masks, template_masks(32))


def test_without_the_head_the_median_is_zero_and_strain_stays() -> None:
    motion = RNG.normal(2, 1, (3, 7, 7)).astype(np.float32)
    still = steadied(motion)
    np.testing.assert_allclose(np.median(still[:2], axis=(1, 2)), 0, atol=1e-6)
    np.testing.assert_array_equal(still[2], motion[2])
