"""A network with a second task: its loss is learnt from, and nobody else's training changes."""

import pytest
import torch
from conftest import make_flowset, quick_config
from torch import Tensor, nn
from training.test_graphs import Recorder

from hmrm_lab.config import ExperimentConfig
from hmrm_lab.training.graphs import WARM_UP, RecordedGradients
from hmrm_lab.training.learner import Learner, build_learner, build_model, gradients_of
from hmrm_lab.training.losses import MSWCE, forward_tasks

DEAF = ("model.dropout=0", "training.epochs=1")


def deaf(config: ExperimentConfig, size: int) -> nn.Module:
    """The system with a head that says nothing: no gradient comes from the classification."""
    model = build_model(config, size, 3)
    nn.init.zeros_(model.head.weight)
    return model.train()


def gradients(model: nn.Module, maps: Tensor, labels: Tensor) -> dict[str, Tensor]:
    config = quick_config("ammsm_temporal", *DEAF)
    step = gradients_of(config, model, MSWCE((1.0,)), "cpu")
    step(maps, labels)
    return {name: value.grad for name, value in model.named_parameters()}


def test_the_extra_loss_alone_moves_the_magnifier() -> None:
    torch.manual_seed(0)
    maps, labels = torch.randn(4, 2, 28, 28), torch.tensor([0, 1, 2, 0])
    config = quick_config("ammsm_temporal", *DEAF)
    model = deaf(config, 28)
    found = gradients(model, maps, labels)
    assert all(found[n].abs().any() for n in found if n.startswith("magnifier"))
    assert not any(found[n].abs().any() for n in found if n.startswith("temporal"))
    _, extra = model.forward_tasks(maps)
    alone = torch.autograd.grad(extra, list(model.magnifier.parameters()))
    for (name, _), expected in zip(model.magnifier.named_parameters(), alone, strict=True):
        torch.testing.assert_close(found[f"magnifier.{name}"], expected)


def test_one_epoch_of_the_trainer_learns_both_tasks() -> None:
    torch.manual_seed(0)
    flowset = make_flowset()
    begun = Learner(quick_config("ammsm_temporal", *DEAF), flowset, device="cpu")
    with torch.no_grad():
        begun.model.head.weight.zero_()
    before = {n: p.detach().clone() for n, p in begun.model.magnifier.named_parameters()}
    loss = begun.run_epoch()
    assert loss > 1.5  # ln 3 of a head that says nothing, and the magnification
    assert all((p - before[n]).abs().any() for n, p in begun.model.magnifier.named_parameters())


def test_the_second_task_is_kept_where_the_flow_is_fine_tuned() -> None:
    flow = ("flow.name=gru_attention", "flow.finetune=true")
    config = quick_config("ammsm_temporal", *flow)
    whole = build_learner(config, 28, 3).eval()
    maps = torch.randn(2, 2, 28, 28)
    assert torch.equal(forward_tasks(whole, maps)[1], whole.system.forward_tasks(maps)[1])
    one_task = build_learner(quick_config("ststnet", *flow), 28, 3).eval()
    assert forward_tasks(one_task, torch.randn(2, 3, 28, 28))[1] == 0.0


def test_a_recorded_step_has_both_losses() -> None:
    """As CUDA graphs do, by the stand-in: the recording gives the gradients of a plain step."""
    torch.manual_seed(0)
    config = quick_config("ammsm_temporal", *DEAF)
    model, labels = build_model(config, 28, 3).eval(), torch.tensor([0, 1, 2, 0])
    plain = gradients_of(config, model, MSWCE((1.0,)), "cpu")
    loss_of = plain.__self__.loss_of
    parameters = list(model.parameters())
    recorded = RecordedGradients(loss_of, parameters, Recorder(parameters))
    for _ in range(WARM_UP + 2):
        maps = torch.randn(4, 2, 28, 28)
        loss = recorded(maps, labels).clone()
        found = [p.grad.clone() for p in parameters]
        assert torch.equal(loss, plain(maps, labels))
        assert all(torch.equal(a, p.grad) for a, p in zip(found, parameters, strict=True))
    assert recorded.record.replayed == 2


@pytest.mark.gpu
@pytest.mark.parametrize("setting", ["training.cuda_graphs=true", "model.ssd=chunked"])
def test_both_tasks_are_learnt_on_a_gpu(setting: str) -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    config = quick_config("ammsm_temporal", *DEAF, "training.epochs=6", setting)
    torch.manual_seed(0)
    flowset = make_flowset()
    begun = Learner(config, flowset, device="cuda")
    losses = [begun.run_epoch() for _ in range(6)]
    assert losses[-1] < losses[0]
