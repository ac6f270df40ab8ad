"""The loss by hand; a second task is learnt from; recorded steps are plain steps."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from conftest import make_flowset, make_framed_flowset, quick_config, tuned_config
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from hmrm_lab.config import load_config
from hmrm_lab.errors import ConfigError, MixtureError
from hmrm_lab.training.learner import (
    WARM_UP,
    BatchLoss,
    Learner,
    RecordedGradients,
    build_learner,
    build_model,
    gradients_of,
)
from hmrm_lab.training.losses import MSWCE, balance_classes, forward_tasks
from hmrm_lab.training.trainer import fit

TWO_TASKS = quick_config("ammsm_temporal", "model.dropout=0", "training.epochs=1")


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_one_scale_without_focus_is_cross_entropy(smoothing: float) -> None:
    logits, labels = torch.randn(5, 1, 3), torch.tensor([0, 1, 2, 1, 0])
    expected = cross_entropy(logits[:, 0], labels, label_smoothing=smoothing)
    torch.testing.assert_close(MSWCE((1.0,), label_smoothing=smoothing)(logits, labels), expected)


def test_the_papers_sum_by_hand() -> None:
    probabilities = torch.tensor([[[0.7, 0.2, 0.1], [0.5, 0.25, 0.25]]])
    loss = MSWCE((1.0, 0.3), gamma=2.0)(probabilities.log(), torch.tensor([0]))
    expected = -(0.3**2 * math.log(0.7) + 0.3 * 0.5**2 * math.log(0.5))
    assert loss.item() == pytest.approx(expected, rel=1e-6)


def test_the_margin_loss_of_capsules_by_hand() -> None:
    lengths = torch.tensor([[[0.8, 0.3, 0.05]], [[0.95, 0.0, 0.6]]])
    loss = MSWCE((1.0,), margin=True)(10 * lengths, torch.tensor([0, 1]))
    first, second = 0.1**2 + 0.5 * 0.2**2, 0.9**2 + 0.5 * (0.85**2 + 0.5**2)
    assert loss.item() == pytest.approx((first + second) / 2, rel=1e-6)
    assert load_config("default", system="capsulenet").loss.margin
    with pytest.raises(MixtureError, match="answers with others"):
        load_config("default", overrides=["loss.margin=true"])


def test_learnt_weights_get_gradients_and_keep_their_sum() -> None:
    loss_of = MSWCE((1.0, 0.5, 0.5), learn_scale_weights=True)
    logits = torch.zeros(4, 3, 3)
    logits[:, 0, 0] = 5  # the first scale is right already
    loss_of(logits, torch.zeros(4, dtype=torch.long)).backward()
    torch.optim.SGD(loss_of.parameters(), lr=1.0).step()
    assert loss_of.scale_weights[0] > 1
    assert loss_of.scale_weights.sum().item() == pytest.approx(2)


def test_class_weights() -> None:
    labels = torch.tensor([0] * 6 + [1] * 3 + [2] * 1)
    whole, half = (balance_classes(labels, 3, power) for power in (1.0, 0.5))
    assert whole.tolist() == pytest.approx([10 / 18, 10 / 9, 10 / 3])
    assert (half[2] / half[0]).item() == pytest.approx(math.sqrt(6))
    assert half[labels].mean() == pytest.approx(1.0)
    assert balance_classes(labels, 3, 0.0) is None
    assert balance_classes(torch.tensor([0, 0, 1]), 3, 1.0)[2] == 0


def test_the_trainer_learns_both_tasks() -> None:
    learner = Learner(TWO_TASKS, make_flowset(), device="cpu")
    before = [p.detach().clone() for p in learner.model.magnifier.parameters()]
    losses = [learner.run_epoch() for _ in range(3)]
    assert losses[-1] < losses[0]
    after = learner.model.magnifier.parameters()
    assert not any(map(torch.equal, after, before))


def test_the_second_task_is_kept_where_the_flow_is_fine_tuned() -> None:
    flow = ("flow.name=gru_attention", "flow.finetune=true")
    whole = build_learner(quick_config("ammsm_temporal", *flow), 28, 3).eval()
    maps = torch.randn(2, 2, 28, 28)
    assert torch.equal(forward_tasks(whole, maps)[1], whole.system.forward_tasks(maps)[1])
    one_task = build_learner(quick_config("ststnet", *flow), 28, 3).eval()
    assert forward_tasks(one_task, torch.randn(2, 3, 28, 28))[1] == 0.0


@dataclass
class Recorder:
    """Does recorded work again on the memory that it had when it was recorded, as a graph does."""

    parameters: list[nn.Parameter]
    recorded: int = 0
    replayed: int = 0

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


def test_recorded_steps_have_the_loss_and_the_gradients_of_plain_ones() -> None:
    model = build_model(TWO_TASKS, 28, 3).eval()
    parameters = list(model.parameters())
    optimizer = torch.optim.SGD(parameters, lr=0.01)
    plain = gradients_of(TWO_TASKS, BatchLoss(model, MSWCE((1.0,)), 0.0), "cpu")
    recorded = RecordedGradients(plain.__self__.loss_of, parameters, Recorder(parameters))
    for _ in range(WARM_UP + 2):
        for size in (4, 2):  # as the last batch of an epoch is smaller
            batch = torch.randn(size, 2, 28, 28), torch.randint(0, 3, (size,)), torch.empty(size, 0)
            loss = recorded(*batch).clone()
            found = [p.grad.clone() for p in parameters]
            assert torch.equal(loss, plain(*batch))
            assert all(torch.equal(a, p.grad) for a, p in zip(found, parameters, strict=True))
            optimizer.step()  # the next step starts elsewhere
    assert (recorded.record.recorded, recorded.record.replayed) == (2, 4)


def test_where_nothing_can_be_recorded_it_is_refused() -> None:
    graphs = "training.cuda_graphs=true"
    with pytest.raises(ConfigError, match="a CUDA device, not cpu; give --devices"):
        fit(quick_config("ststnet", graphs), make_flowset(), seed=0)
    with pytest.raises(ConfigError, match="trains the flow too; leave one"):
        fit(tuned_config(graphs), make_framed_flowset(), seed=0)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("system", [("hmrm", "model.drop_path=0"), ("ammsm_temporal",)])
def test_recorded_steps_learn_the_same_on_a_gpu(system: tuple[str, ...]) -> None:
    plan = ("model.dropout=0", "training.epochs=8", "training.batch=7")
    configs = [quick_config(*system, *plan, f"training.cuda_graphs={on}") for on in (0, 1)]
    plain, recorded = (fit(config, make_flowset(), seed=0, device="cuda") for config in configs)
    assert recorded.losses == pytest.approx(plain.losses, rel=1e-4)
