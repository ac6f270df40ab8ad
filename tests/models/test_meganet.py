"""MEGANet and its gradient attention."""

import pytest
import torch
from conftest import quick_config
from torch.nn import functional as F

from hmrm_lab.errors import InputError
from hmrm_lab.models.meganet import GradientAttention, MEGANet, attention_maps, gradient_size
from hmrm_lab.training.learner import build_model

KINDS = ("gradient", "none")
SOBEL = torch.tensor([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]]) / 8


def pictures(count: int = 2, channels: int = 3, size: int = 28) -> torch.Tensor:
    return torch.randn(count, channels, size, size, generator=torch.Generator().manual_seed(0))


def test_the_gradient_is_sobels() -> None:
    maps = pictures()
    kernels = torch.stack([SOBEL, SOBEL.T])[:, None]
    singly = F.pad(maps, (1, 1, 1, 1), mode="replicate").reshape(-1, 1, 30, 30)
    both = F.conv2d(singly, kernels).reshape(2, 3, 2, 28, 28)
    expected = both.square().sum(2).mean(1, keepdim=True).sqrt()
    torch.testing.assert_close(gradient_size(maps), expected, atol=1e-5, rtol=1e-4)


def test_attention_does_not_depend_on_the_strength_of_the_picture() -> None:
    block, maps = GradientAttention(), pictures()
    for factor in (0.01, 100):
        stronger = block.weights(factor * maps)
        torch.testing.assert_close(stronger, block.weights(maps), atol=1e-3, rtol=1e-3)
    flat = torch.ones(2, 3, 8, 8, requires_grad=True)
    assert torch.autograd.grad(block(flat).sum(), flat)[0].isfinite().all()


def test_the_ablation_takes_the_attention_and_nothing_else() -> None:
    whole, without = (set(MEGANet(3, 28, 3, attention=kind).state_dict()) for kind in KINDS)
    assert without < whole
    assert all(name.startswith("attention.") for name in whole - without)


def test_attention_over_the_face_is_what_the_model_used() -> None:
    model, given = MEGANet(3, 28, 3), pictures()
    seen: list[torch.Tensor] = []
    hooks = [
        block.weigh.register_forward_hook(lambda _, __, out: seen.append(out.sigmoid()))
        for block in model.attention
    ]
    model.eval()(given)
    for hook in hooks:
        hook.remove()
    maps = attention_maps(model.train(), given)
    assert model.training
    assert maps.shape == (2, 28, 28)
    expected = sum(F.interpolate(one, (28, 28), mode="bilinear") for one in seen) / 3
    torch.testing.assert_close(maps, expected[:, 0])
    assert [one.shape[-1] for one in seen] == [28, 14, 7]


def test_what_has_no_attention_is_refused() -> None:
    for config in (quick_config("meganet", "model.attention=none"), quick_config("ststnet")):
        with pytest.raises(InputError, match="no gradient attention"):
            attention_maps(build_model(config, 28, 3), pictures())
