import numpy as np
import pytest
import torch
from conftest import make_flowset

from hmrm_lab.flow.motion_maps import normalise_maps, select_channels
from hmrm_lab.records import PX, RELATIVE


def test_median_and_rms() -> None:
    maps = normalise_maps(5 + 3 * make_flowset().maps, "median_rms", PX)
    assert np.median(maps[:, :2], axis=(2, 3)) == pytest.approx(0, abs=1e-5)
    assert (maps[:, :2] ** 2).mean((1, 2, 3)) == pytest.approx(1, abs=1e-4)
    assert (maps[:, 2] ** 2).mean((1, 2)) == pytest.approx(1, abs=1e-4)


def test_scale_and_offset_do_not_matter_but_direction_does() -> None:
    maps = make_flowset().maps
    changed = maps.copy()
    changed[:, :2] = 7 * changed[:, :2] + np.array([3, -4], np.float32)[None, :, None, None]
    normal = normalise_maps(maps, "median_rms", PX)
    assert normalise_maps(changed, "median_rms", PX)[:, :2] == pytest.approx(
        normal[:, :2], abs=1e-4
    )
    assert np.abs(normalise_maps(-maps, "median_rms", PX) - normal)[:, :2].max() > 1


def test_channels_without_a_common_scale_have_one_each() -> None:
    maps = make_flowset().maps
    stretched = maps * np.array([3, 0.5, 7], np.float32)[:, None, None] + np.float32(0.25)
    stretched[:, 2] -= np.float32(0.25)  # the zero of strain is known
    normal = normalise_maps(maps, "median_rms", RELATIVE)
    assert (normal**2).mean((2, 3)) == pytest.approx(1, abs=1e-4)
    assert normalise_maps(stretched, "median_rms", RELATIVE) == pytest.approx(normal, abs=1e-4)
    pixels = normalise_maps(maps, "median_rms", PX)
    assert np.abs(normalise_maps(stretched, "median_rms", PX) - pixels).max() > 0.5
    ratio = pixels[:, 0].std((1, 2)) / pixels[:, 1].std((1, 2))
    assert ratio == pytest.approx(maps[:, 0].std((1, 2)) / maps[:, 1].std((1, 2)), rel=1e-3)


def test_each_map_is_on_its_own() -> None:
    maps = make_flowset().maps
    together = normalise_maps(maps, "median_rms", PX)
    assert normalise_maps(maps[3:4], "median_rms", PX)[0] == pytest.approx(together[3], abs=1e-6)


def test_a_still_face_stays_still() -> None:
    still = normalise_maps(np.zeros((1, 3, 28, 28), np.float32), "median_rms", PX)
    assert (still == 0).all()


def test_channels() -> None:
    maps = torch.randn(2, 3, 4, 4)
    chosen = select_channels(maps, ("magnitude", "u"))
    torch.testing.assert_close(chosen[:, 0], torch.hypot(maps[:, 0], maps[:, 1]))
    torch.testing.assert_close(chosen[:, 1], maps[:, 0])
