"""A user's own weights: where each tensor goes, and what is refused."""

import tomllib
from pathlib import Path

import pytest
import torch
from conftest import make_flowset, quick_config, refusal
from safetensors.torch import save_file
from torch import Tensor, nn

from hmrm_lab.config import ExperimentConfig
from hmrm_lab.errors import ConfigError, InputError
from hmrm_lab.evaluation.cost import cost_of
from hmrm_lab.models.networks import pictures, resnet
from hmrm_lab.registry import systems
from hmrm_lab.training.learner import build_model
from hmrm_lab.training.trainer import fit, load_model, save_model

TAKING = [name for name in systems if "weights" in systems[name].options.model_fields]
NARROW = ("model.width=0.125", "model.side=32")
LAST = ("head.", "classifier.")

NAMES = tomllib.loads(Path(__file__).with_name("torchvision_names.toml").read_text())
THEIRS = (resnet.torchvision_name, pictures.googlenet_name, str)


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


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Weights of a narrow ResNet18."""
    save_file(other_values(network("resnet18")), tmp_path / "my weights.safetensors")
    return tmp_path / "my weights.safetensors"


@pytest.mark.parametrize("system", TAKING)
def test_own_names_come_back(system: str, file: Path) -> None:
    given = other_values(network(system))
    save_file(given, file)
    torch.manual_seed(3)
    drawn = network(system).state_dict()
    torch.manual_seed(3)
    loaded = network(system, weights=str(file)).state_dict()
    for name, value in loaded.items():
        as_drawn = name.startswith(LAST) or name.endswith("num_batches_tracked")
        assert torch.equal(value, (drawn if as_drawn else given)[name]), name


def test_published_names_find_their_place() -> None:
    for (system, names), rename in zip(NAMES.items(), THEIRS, strict=True):
        places = network(system).state_dict()
        for theirs, ours in names.items():
            assert rename(theirs) == ours
            assert ours in places or theirs.startswith("aux"), ours


def test_a_bias_before_batch_norm_is_taken_off_its_mean(file: Path) -> None:
    """(x + b) - m is x - (m - b): torchvision's `vgg16_bn` has such biases, ours none."""
    given = other_values(network("vgg16"))
    kernels = [name for name, value in given.items() if value.ndim == 4]
    biases = {name.replace("weight", "bias"): torch.rand(len(given[name])) for name in kernels}
    save_file({**given, **biases}, file)
    loaded = network("vgg16", weights=str(file)).state_dict()
    for name, bias in biases.items():
        mean = f"features.{int(name.split('.')[1]) + 1}.running_mean"
        torch.testing.assert_close(loaded[mean], given[mean] - bias)
    save_file({**given, "features.0.bias": torch.ones(3)}, file)
    with pytest.raises(ConfigError, match=r"tensor features\.0\.bias has no place here"):
        network("vgg16", weights=str(file))


@pytest.mark.parametrize("channels", [1, 2, 5])
def test_colours_become_channels_without_a_change_of_size(channels: int, file: Path) -> None:
    loaded = network("resnet18", channels, weights=str(file))
    published = other_values(network("resnet18"))["stem.0.0.weight"]
    gray = torch.rand(2, 1, 40, 40)
    expected = nn.functional.conv2d(gray.expand(-1, 3, -1, -1), published)
    ours = nn.functional.conv2d(gray.expand(-1, channels, -1, -1), loaded.stem[0][0].weight)
    torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("stem.0.0.weight", torch.ones(16, 3, 7, 7), "is (16, 3, 7, 7), and {} is (8, 3, 7, 7)"),
        ("stages.2.1.body.0.0.weight", None, "no tensor for {}"),
        ("layer1.2.conv1.weight", torch.ones(8, 8, 3, 3), "tensor {} has no place here"),
        ("stem.0.1.bias", torch.full((8,), torch.nan), "tensor {} is not finite"),
    ],
)
def test_what_does_not_fit_is_named(
    name: str, value: Tensor | None, problem: str, file: Path
) -> None:
    tensors = {**other_values(network("resnet18")), name: value}
    save_file({name: value for name, value in tensors.items() if value is not None}, file)
    told = refusal(network, "resnet18", weights=str(file))
    hint = "" if "finite" in problem else "model.width=1"
    assert all(part in told for part in (problem.format(name), str(file), hint))


def narrow(path: Path | str, *overrides: str) -> ExperimentConfig:
    return quick_config("resnet18", f"model.weights={path}", *NARROW, *overrides)


def test_settings_name_the_file_and_what_was_in_it(file: Path) -> None:
    config, given = narrow(file), other_values(network("resnet18"))
    pinned = config.model.options["weights"]
    assert pinned.startswith(f"{file}@sha256:")
    assert narrow(pinned) == config, "pinned once is pinned for good"
    first = build_model(config, 28, 3).network.stages[0][0].body[0][0].weight
    assert torch.equal(first, given["stages.0.0.body.0.0.weight"])
    save_file({**given, "stem.0.1.bias": torch.ones(8)}, file)
    assert narrow(file).digest() != config.digest()
    with pytest.raises(ConfigError, match="has changed since the run began"):
        build_model(config, 28, 3)
    with pytest.raises(ConfigError, match="no readable file of weights"):
        narrow(file.with_name("none"))
    with pytest.raises(InputError, match="not readable as safetensors"):
        network("resnet18", weights=str(file.with_name("none")))


def test_a_trained_model_needs_the_file_no_more(file: Path, tmp_path: Path) -> None:
    config, flowset = narrow(file, "training.epochs=1"), make_flowset(subjects=2, per_subject=4)
    fitted = fit(config, flowset, seed=0)
    save_model(tmp_path / "m", fitted)
    file.unlink()
    again = load_model(tmp_path / "m", config, 28)
    assert (again.classify(flowset) == fitted.classify(flowset)).all()
    assert cost_of(config, 28, 3) == cost_of(quick_config("resnet18", *NARROW), 28, 3)
