"""What no estimator takes, and the sentence that says so."""

import numpy as np
import pytest
import torch

from hmrm_lab.errors import InputError
from hmrm_lab.flow.gru_attention.gru_flow import GRUFlow
from hmrm_lab.registry import flows


def frames(*shape: int, kind: str = "uint8") -> np.ndarray:
    return np.zeros(shape, kind)


GOOD = frames(1, 32, 32, 3)
UNFIT = {
    "grey": (frames(1, 32, 32), "grey frames"),
    "grey with an axis": (frames(1, 32, 32, 1), "grey frames"),
    "one grey image": (frames(32, 32), "grey frames"),
    "alpha": (frames(1, 32, 32, 4), "alpha channel"),
    "channels first": (frames(1, 3, 32, 32), r"shape \(1, 3, 32, 32\); give \(B, H, W, 3\)"),
    "one frame": (frames(32, 32, 3), r"frame\[None\]"),
    "16 bit": (frames(1, 32, 32, 3, kind="uint16"), "type uint16; convert them to 8 bit"),
    "float": (frames(1, 32, 32, 3, kind="float32"), "floating-point frames; scale them"),
    "NaN": (np.full((1, 32, 32, 3), np.nan), "not finite"),
    "bool": (frames(1, 32, 32, 3, kind="bool"), "type bool"),
    "none": (frames(0, 32, 32, 3), "no frames at all"),
    "tiny": (frames(1, 8, 32, 3), "32x8 pixels; give at least 16x16"),
    "list": ([[[0, 0, 0]]], "frames as list"),
    "tensor": (torch.zeros(1, 32, 32, 3, dtype=torch.uint8), "frames as Tensor"),
    "nothing": (None, "frames as NoneType"),
}


@pytest.mark.parametrize("name", list(flows))
@pytest.mark.parametrize("case", UNFIT)
def test_frames_that_are_none_are_one_sentence(name: str, case: str) -> None:
    unfit, words = UNFIT[case]
    estimate = flows[name].build()
    for pair in ((unfit, unfit), (GOOD, unfit), (unfit, GOOD)):
        with pytest.raises(InputError, match=words) as caught:
            estimate(*pair)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", list(flows))
def test_pairs_that_do_not_fit_together(name: str) -> None:
    estimate = flows[name].build()
    with pytest.raises(InputError, match=r"onset \(32, 32\) and apex \(32, 40\) differ in size"):
        estimate(GOOD, frames(1, 32, 40, 3))
    with pytest.raises(InputError, match="1 onsets for 2 apexes"):
        estimate(GOOD, frames(2, 32, 32, 3))


RGB = torch.zeros(1, 3, 32, 32)


@pytest.mark.parametrize(
    ("onset", "apex", "words"),
    [
        (RGB, torch.zeros(1, 3, 32, 40), "differ in shape"),
        (RGB[:, :1], RGB[:, :1], "grey frames"),
        (torch.zeros(1, 4, 32, 32), torch.zeros(1, 4, 32, 32), "alpha channel"),
        (RGB[0], RGB[0], r"shape \(3, 32, 32\); give \(B, 3, H, W\) RGB"),
        (RGB[:0], RGB[:0], "at least one pixel"),
        (RGB.byte(), RGB.byte(), "uint8; divide 8-bit levels by 255"),
        (RGB, RGB.byte(), "uint8; divide 8-bit levels by 255"),
        (RGB, torch.full((1, 3, 32, 32), torch.nan), "not finite"),
        (torch.full((1, 3, 32, 32), torch.inf), RGB, "not finite"),
        (RGB.numpy(), RGB.numpy(), "frames as ndarray"),
    ],
)
def test_what_the_network_refuses(onset: torch.Tensor, apex: torch.Tensor, words: str) -> None:
    with pytest.raises(InputError, match=words):
        GRUFlow()(onset, apex)
