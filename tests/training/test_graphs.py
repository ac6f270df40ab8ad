"""Recorded steps: by a stand-in for the recorder, and on a GPU where there is one."""

from collections.abc import Callable

import pytest
import torch
from conftest import make_flowset, make_framed_flowset, quick_config, tuned_config
from torch import Tensor, nn

from hmrm_lab.errors import ConfigError
from hmrm_lab.training.graphs import WARM_UP, RecordedGradients
from hmrm_lab.training.trainer import fit


class Recorder:
    """Does recorded work again on the memory that it had when it was recorded, as a graph does."""

    def __init__(self, parameters: list[nn.Parameter]) -> None:
        self.parameters, self.recorded, self.replayed = parameters, 0, 0

    def __call__(self, work: Callable[[], Tensor]) -> tuple[Callable[[], None], Tensor]:
        self.recorded += 1
        loss = work()
        places = [parameter.grad for parameter in self.parameters]

        def replay() -> None:
            self.replayed += 1
            loss.copy_(work())
            for place, parameter in zip(places, self.parameters, strict=True):
                place.copy_(parameter.grad)

        return replay, loss


def test_gradients_are_those_of_a_plain_backward_pass() -> None:
    torch.manual_seed(0)
    model = nn.Linear(3, 2)
    recorder = Recorder(list(model.parameters()))
    step = RecordedGradients(
        lambda maps, labels: nn.functional.cross_entropy(model(maps), labels),
        list(model.parameters()),
        recorder,
    )
    for turn in range(3 * WARM_UP):
        for size in (5, 2):  # as the last batch of an epoch is smaller
            maps, labels = torch.randn(size, 3), torch.randint(0, 2, (size,))
            loss = step(maps, labels)
            found = [parameter.grad.clone() for parameter in model.parameters()]
            expected = nn.functional.cross_entropy(model(maps), labels)
            gradients = torch.autograd.grad(expected, list(model.parameters()))
            assert torch.equal(loss, expected.detach()), turn
            assert all(torch.equal(a, b) for a, b in zip(found, gradients, strict=True)), turn
            with torch.no_grad():  # as an optimizer does: the next step starts elsewhere
                for parameter, gradient in zip(model.parameters(), found, strict=True):
                    parameter.sub_(gradient, alpha=0.1)
    assert recorder.recorded == 2
    assert recorder.replayed == 4 * WARM_UP


def test_without_a_gpu_it_is_refused() -> None:
    config = quick_config("ststnet", "training.cuda_graphs=true")
    with pytest.raises(ConfigError, match="needs a CUDA device, not cpu; give --devices cuda"):
        fit(config, make_flowset(), seed=0)


def test_a_flow_that_learns_too_is_refused() -> None:
    config = tuned_config("training.cuda_graphs=true")
    with pytest.raises(ConfigError, match=r"flow\.finetune trains the flow too; leave one"):
        fit(config, make_framed_flowset(), seed=0)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_recorded_steps_learn_the_same_on_a_gpu() -> None:
    quiet = ("model.dropout=0", "model.drop_path=0", "training.epochs=8", "training.batch=7")
    plain, recorded = (
        fit(
            quick_config("hmrm", *quiet, f"training.cuda_graphs={str(on).lower()}"),
            make_flowset(),
            seed=0,
            device="cuda",
        )
        for on in (False, True)
    )
    assert recorded.losses == pytest.approx(plain.losses, rel=1e-4)
