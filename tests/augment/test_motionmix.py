import numpy as np
import pytest
import torch

from hmrm_lab.training.augment.motionmix import MotionMix, mix_motion, template_masks


def make_mix(n: int = 12, **settings: object) -> MotionMix:
    torch.manual_seed(0)
    maps = torch.arange(n).float()[:, None, None, None].expand(n, 3, 28, 28).clone()
    masks = torch.from_numpy(template_masks(28)).expand(n, 2, 28, 28)
    return MotionMix(maps, torch.arange(n) % 3, masks, **{"share": 1.0, **settings})


def test_the_equation() -> None:
    own, partner = torch.randn(3, 2, 4, 4), torch.randn(3, 2, 4, 4)
    mask = torch.rand(3, 4, 4) < 0.5
    strength = torch.tensor([0.0, 0.3, 1.0])
    mixed = mix_motion(own, partner, mask, strength)
    m, lam = mask[:, None].float(), strength[:, None, None, None]
    torch.testing.assert_close(mixed, (1 - m) * own + m * (lam * partner + (1 - lam) * own))
    torch.testing.assert_close(mixed[0], own[0])
    inside = mask[2].expand(2, 4, 4)
    torch.testing.assert_close(mixed[2][inside], partner[2][inside])
    torch.testing.assert_close(mixed[2][~inside], own[2][~inside])


def test_partners_are_of_the_same_class_and_never_oneself() -> None:
    mix = make_mix()
    for _ in range(20):
        mix(torch.randperm(12))
    assert len(mix.provenance) > 12
    assert all(own % 3 == partner % 3 and own != partner for own, partner in mix.provenance)


def test_the_picture_comes_from_the_recorded_partner() -> None:
    mix = make_mix()
    mixed = mix(torch.tensor([4]))
    ((own, partner),) = mix.provenance
    assert own == 4
    assert mixed[0, 0].unique().tolist() == sorted([4.0, float(partner)])


def test_one_region_leaves_the_other_alone() -> None:
    mix = make_mix(regions=("mouth",))
    mixed = mix(torch.tensor([5]))
    eyes = torch.from_numpy(template_masks(28)[0])
    assert (mixed[0, :, eyes] == 5).all()
    assert (mixed[0] != 5).any()


def test_share_is_the_share_of_mixed_clips() -> None:
    mix = make_mix(share=0.25)
    rows = torch.arange(12).repeat(200)
    changed = (mix(rows) != rows[:, None, None, None]).flatten(1).any(1)
    assert changed.float().mean() == pytest.approx(0.25, abs=0.03)
    assert not make_mix(share=0.0).provenance


def test_a_class_with_one_clip_keeps_it() -> None:
    mix = make_mix()
    mix.labels = torch.tensor([7, *[0] * 11])
    mix.__post_init__()
    assert (mix(torch.tensor([0, 0])) == 0).all()


def test_blend_stays_between_the_two() -> None:
    mix = make_mix(strength=(0.2, 0.8))
    mixed = mix(torch.tensor([4]))
    ((_, partner),) = mix.provenance
    values = mixed.unique()
    assert len(values) == 2
    low, high = sorted([4.0, float(partner)])
    assert low <= values.min()
    assert values.max() <= high


def test_template_masks_are_apart() -> None:
    eyes, mouth = template_masks(28)
    assert eyes.any()
    assert mouth.any()
    assert not (eyes & mouth).any()
    assert np.argwhere(eyes).mean(0)[0] < 14 < np.argwhere(mouth).mean(0)[0]
