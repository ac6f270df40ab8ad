"""A user's own weights: where each tensor goes, and what is refused."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from conftest import make_flowset, quick_config
from safetensors.torch import save_file
from torch import Tensor, nn

from hmrm_lab.config import ExperimentConfig, load_config
from hmrm_lab.errors import ConfigError, InputError
from hmrm_lab.evaluation.cost import cost_of
from hmrm_lab.models.networks.backbone import pin
from hmrm_lab.registry import systems
from hmrm_lab.training.learner import build_model
from hmrm_lab.training.trainer import fit, load_model, save_model

TAKING = [name for name in systems if "weights" in systems[name].options.model_fields]
NORM = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
NARROW = ("model.width=0.125", "model.side=32")
BOTTLENECK, BASIC = (3, 4, 6, 3), (2, 2, 2, 2)


def network(system: str, channels: int = 3, **options: object) -> nn.Module:
    model = systems[system].build(channels, 28, 3, **{"width": 0.125, **options})
    return model.network if hasattr(model, "network") else model


def other_values(module: nn.Module) -> dict[str, Tensor]:
    """A state dict of the same shapes, in which no two tensors are alike."""
    generator = torch.Generator().manual_seed(0)
    return {
        name: torch.rand(value.shape, generator=generator) if value.ndim else value
        for name, value in module.state_dict().items()
    }


def is_head(name: str) -> bool:
    return name.startswith(("head.", "classifier."))


def normalised(conv: str, norm: str) -> Iterator[str]:
    yield f"{conv}.weight"
    yield from (f"{norm}.{name}" for name in NORM)


def resnet(blocks: tuple[int, ...], convolutions: int) -> Iterator[str]:
    yield from normalised("conv1", "bn1")
    for layer, count in enumerate(blocks, start=1):
        for block in range(count):
            place = f"layer{layer}.{block}"
            for k in range(1, convolutions + 1):
                yield from normalised(f"{place}.conv{k}", f"{place}.bn{k}")
            if block == 0 and (layer > 1 or convolutions == 3):
                yield from normalised(f"{place}.downsample.0", f"{place}.downsample.1")
    yield from ("fc.weight", "fc.bias")


def efficientnet() -> Iterator[str]:
    yield from normalised("features.0.0", "features.0.1")
    for stage, count in enumerate((1, 2, 2, 3, 3, 4, 1), start=1):
        for block in range(count):
            place, k = f"features.{stage}.{block}.block", 0
            for _ in range(1 if stage == 1 else 2):
                yield from normalised(f"{place}.{k}.0", f"{place}.{k}.1")
                k += 1
            yield from (f"{place}.{k}.{fc}.{w}" for fc in ("fc1", "fc2") for w in NORM[:2])
            yield from normalised(f"{place}.{k + 1}.0", f"{place}.{k + 1}.1")
    yield from normalised("features.8.0", "features.8.1")
    yield from ("classifier.1.weight", "classifier.1.bias")


def googlenet() -> Iterator[str]:
    for k in (1, 2, 3):
        yield from normalised(f"conv{k}.conv", f"conv{k}.bn")
    for name in ("3a", "3b", "4a", "4b", "4c", "4d", "4e", "5a", "5b"):
        for branch in ("branch1", "branch2.0", "branch2.1", "branch3.0", "branch3.1", "branch4.1"):
            yield from normalised(f"inception{name}.{branch}.conv", f"inception{name}.{branch}.bn")
    yield from ("fc.weight", "fc.bias")


def vgg19(batch_norm: bool) -> Iterator[str]:
    """As torchvision's `vgg19` and `vgg19_bn`: every convolution has a bias."""
    k = 0
    for convolutions in (2, 2, 4, 4, 4):
        for _ in range(convolutions):
            yield from (f"features.{k}.weight", f"features.{k}.bias")
            if batch_norm:
                yield from (f"features.{k + 1}.{name}" for name in NORM)
            k += 3 if batch_norm else 2
        k += 1  # a pooling
    yield from (f"classifier.{k}.{name}" for k in (0, 3, 6) for name in NORM[:2])


TORCHVISION = {
    "resnet18": ("resnet18", {}, lambda: resnet(BASIC, 2)),
    "resnet50": ("resnet50", {}, lambda: resnet(BOTTLENECK, 3)),
    "efficientnet_b0": ("efficientnet_b0", {}, efficientnet),
    "googlenet": ("googlenet", {}, googlenet),
    "vgg19": ("vgg19", {"batch_norm": False}, lambda: vgg19(False)),
    "vgg19_bn": ("vgg19", {"batch_norm": True}, lambda: vgg19(True)),
}


def before_norm(name: str, names: set[str]) -> bool:
    """Whether it is the bias of a convolution that a batch normalisation follows."""
    found = re.fullmatch(r"features\.(\d+)\.bias", name)
    return found is not None and f"features.{int(found[1]) + 1}.running_mean" in names


@pytest.mark.parametrize("system", TAKING)
def test_own_names_come_back(system: str, tmp_path: Path) -> None:
    given = other_values(network(system))
    save_file(given, tmp_path / "w.safetensors")
    torch.manual_seed(3)
    drawn = network(system).state_dict()
    torch.manual_seed(3)
    loaded = network(system, weights=str(tmp_path / "w.safetensors")).state_dict()
    for name, value in loaded.items():
        expected = drawn if is_head(name) or name.endswith("num_batches_tracked") else given
        assert torch.equal(value, expected[name]), name


@pytest.mark.parametrize("published", TORCHVISION)
def test_published_names_find_their_place(published: str, tmp_path: Path) -> None:
    """Both state dicts are in the order of the layers, which a safetensors file loses."""
    system, options, names_of = TORCHVISION[published]
    names = list(names_of())
    given = other_values(network(system, **options))
    extra = [name for name in names if before_norm(name, set(names))]
    assert len(extra) == (16 if published == "vgg19_bn" else 0)
    rest = [name for name in names if name not in extra]
    tensors = dict(zip(rest, given.values(), strict=True))
    for name in extra:
        tensors[name] = torch.zeros(len(tensors[name.replace("bias", "weight")]))
    save_file(tensors, tmp_path / "w.safetensors")
    loaded = network(system, weights=str(tmp_path / "w.safetensors"), **options).state_dict()
    for name, value in loaded.items():
        if not is_head(name):
            assert torch.equal(value, given[name]), name


def test_a_bias_before_batch_norm_is_taken_off_its_mean(tmp_path: Path) -> None:
    """The reference has the layers of torchvision's `vgg16_bn`, an eighth as wide."""
    layers: list[nn.Module] = []
    given = 3
    for filters, count in zip((8, 16, 32, 64, 64), (2, 2, 3, 3, 3), strict=True):
        for _ in range(count):
            layers += [nn.Conv2d(given, filters, 3, padding=1), nn.BatchNorm2d(filters), nn.ReLU()]
            given = filters
        layers.append(nn.MaxPool2d(2))
    reference = nn.Sequential(*layers)
    reference.load_state_dict(other_values(reference))
    state = {f"features.{name}": value for name, value in reference.state_dict().items()}
    save_file(state, tmp_path / "w.safetensors")
    loaded = network("vgg16", weights=str(tmp_path / "w.safetensors"))
    pictures = torch.randn(4, 3, 64, 64)
    for training in (False, True):
        with torch.no_grad():
            expected = reference.train(training)(pictures)
            found = loaded.features.train(training)(pictures)
        assert float(expected.std()) > 0
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    odd = {**state, "features.0.bias": torch.ones(3)}
    save_file(odd, tmp_path / "w.safetensors")
    with pytest.raises(ConfigError, match=r"tensor features\.0\.bias has no place here"):
        network("vgg16", weights=str(tmp_path / "w.safetensors"))


@pytest.mark.parametrize("channels", [1, 2, 5])
def test_colours_become_channels_without_a_change_of_size(channels: int, tmp_path: Path) -> None:
    given = other_values(network("resnet18"))
    save_file(given, tmp_path / "w.safetensors")
    loaded = network("resnet18", channels, weights=str(tmp_path / "w.safetensors"))
    gray = torch.rand(2, 1, 40, 40)
    colours, ours = gray.expand(-1, 3, -1, -1), gray.expand(-1, channels, -1, -1)
    expected = nn.functional.conv2d(colours, given["stem.0.0.weight"])
    torch.testing.assert_close(
        nn.functional.conv2d(ours, loaded.stem[0][0].weight), expected, rtol=1e-4, atol=1e-3
    )


def refused(tmp_path: Path, tensors: dict[str, Tensor], **options: object) -> str:
    save_file(tensors, tmp_path / "w.safetensors")
    with pytest.raises(ConfigError) as caught:
        network("resnet18", weights=str(tmp_path / "w.safetensors"), **options)
    assert str(tmp_path / "w.safetensors") in str(caught.value)
    return str(caught.value)


def test_what_does_not_fit_is_named(tmp_path: Path) -> None:
    given = other_values(network("resnet18"))
    wide = refused(tmp_path, given, width=0.25)
    assert "tensor stem.0.0.weight is (8, 3, 7, 7), and stem.0.0.weight is (16, 3, 7, 7)" in wide
    assert "model.width=1" in wide
    without = {name: value for name, value in given.items() if name != "stages.2.1.body.0.0.weight"}
    assert "no tensor for stages.2.1.body.0.0.weight" in refused(tmp_path, without)
    deeper = {**given, "layer1.2.conv1.weight": torch.ones(8, 8, 3, 3)}
    assert "tensor layer1.2.conv1.weight has no place here" in refused(tmp_path, deeper)
    odd = {**given, "stem.0.1.bias": torch.full((8,), torch.nan)}
    assert "tensor stem.0.1.bias is not finite" in refused(tmp_path, odd)


def narrow(path: Path, *overrides: str) -> ExperimentConfig:
    return quick_config("resnet18", f"model.weights={path}", *NARROW, *overrides)


def test_settings_name_the_file_and_what_was_in_it(tmp_path: Path) -> None:
    path = tmp_path / "my weights.safetensors"
    given = other_values(network("resnet18"))
    save_file(given, path)
    config = narrow(path)
    pinned = config.model.options["weights"]
    assert pinned.startswith(f"{path}@sha256:")
    assert narrow(pinned) == config, "pinned once is pinned for good"
    assert torch.equal(
        build_model(config, 28, 3).network.stages[0][0].body[0][0].weight,
        given["stages.0.0.body.0.0.weight"],
    )
    save_file({**given, "stem.0.1.bias": torch.ones(8)}, path)
    assert narrow(path).digest() != config.digest()
    with pytest.raises(ConfigError, match="has changed since the run began"):
        build_model(config, 28, 3)


def test_a_run_without_a_file_is_that_of_before_there_were_any() -> None:
    plain = load_config("default", system="resnet18", data="flowmaps")
    assert plain.digest() == "27bde07f4d7b2b73", "a finished run would not be found again"


def test_no_file_and_no_name(tmp_path: Path) -> None:
    assert pin("") == ""
    with pytest.raises(ConfigError, match="no readable file of weights"):
        narrow(tmp_path / "none.safetensors")
    with pytest.raises(InputError, match="not readable as safetensors"):
        network("resnet18", weights=str(tmp_path / "none.safetensors"))


def test_a_trained_model_needs_the_file_no_more(tmp_path: Path) -> None:
    path, flowset = tmp_path / "w.safetensors", make_flowset(subjects=2, per_subject=4)
    save_file(other_values(network("resnet18")), path)
    config = narrow(path, "training.epochs=1")
    fitted = fit(config, flowset, seed=0)
    save_model(tmp_path / "m", fitted)
    path.unlink()
    again = load_model(tmp_path / "m", config, 28)
    assert (again.classify(flowset) == fitted.classify(flowset)).all()
    assert cost_of(config, 28, 3) == cost_of(quick_config("resnet18", *NARROW), 28, 3)
