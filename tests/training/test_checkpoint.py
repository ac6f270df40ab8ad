"""A training that was cut off goes on to the same weights, bit for bit."""

import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from conftest import make_flowset, make_framed_flowset, quick_config, tuned_config

from hmrm_lab.config import ExperimentConfig
from hmrm_lab.records import FlowSet
from hmrm_lab.runtime.tensors import read_tensors, write_tensors
from hmrm_lab.training.checkpoint import Checkpoint
from hmrm_lab.training.trainer import Fitted, fit

EPOCHS = 4
MIXED = (
    f"training.epochs={EPOCHS}",
    "augment.motionmix=0.6",
    "augment.mix_lambda=[0.3, 0.9]",
    "augment.flip=true",
    "augment.rotate_deg=5",
    "model.dropout=0.3",
    "model.drop_path=0.2",
    "training.ema=0.9",
    "training.schedule=cosine",
    "training.warmup_epochs=1",
)


class Cut(Exception):
    """The training ends here, as if its process had been killed."""


def cut_after(epoch: int) -> Callable[[int, int, float], None]:
    def tell(done: int, _epochs: int, _loss: float) -> None:
        if done == epoch:
            raise Cut

    return tell


def probe(classify: Callable[[FlowSet], object]) -> list[list[float]]:
    return classify(make_flowset(subjects=1, seed=3)).tolist()


def same(ours: Fitted, theirs: Fitted) -> None:
    assert ours.losses == theirs.losses
    assert ours.probes == theirs.probes
    assert ours.partners == theirs.partners
    for name, value in theirs.model.state_dict().items():
        assert torch.equal(ours.model.state_dict()[name], value), name


@pytest.mark.parametrize(
    "epoch", [2, *(pytest.param(epoch, marks=pytest.mark.full) for epoch in (1, 3))]
)
@pytest.mark.parametrize(
    "config",
    [
        quick_config("hmrm", *MIXED),
        quick_config("hmrm", *MIXED, "training.optimizer=adam", "training.clip_norm=0.5"),
        quick_config("hmrm", *MIXED, "training.ema=0", "loss.learn_scale_weights=true"),
        quick_config("ststnet", f"training.epochs={EPOCHS}", "augment.motionmix=0.5"),
    ],
    ids=["average", "adam", "learnt-weights", "ststnet"],
)
def test_cut_after_any_epoch(tmp_path: Path, config: ExperimentConfig, epoch: int) -> None:
    train = make_flowset()
    whole = fit(config, train, seed=3, probe=probe)
    file = tmp_path / "half.safetensors"
    with pytest.raises(Cut):
        fit(
            config,
            train,
            seed=3,
            probe=probe,
            checkpoint=Checkpoint(file, every_s=0, tell=cut_after(epoch)),
        )
    heard: list[int] = []
    again = Checkpoint(file, every_s=0, tell=lambda done, *_: heard.append(done))
    same(fit(config, train, seed=3, probe=probe, checkpoint=again), whole)
    assert heard == list(range(epoch + 1, EPOCHS + 1)), "it began anew"


def test_a_fine_tuned_flow_goes_on_too(tmp_path: Path) -> None:
    config, train = (
        tuned_config("training.epochs=2", "augment.motionmix=0.5"),
        make_framed_flowset(),
    )
    whole = fit(config, train, seed=0)
    file = tmp_path / "half.safetensors"
    with pytest.raises(Cut):
        fit(config, train, seed=0, checkpoint=Checkpoint(file, every_s=0, tell=cut_after(1)))
    same(fit(config, train, seed=0, checkpoint=Checkpoint(file)), whole)


def damage(how: str, file: Path) -> None:
    header, tensors = read_tensors(file, problem="", mend="")
    if how == "cut off":
        file.write_bytes(file.read_bytes()[:-100])
    elif how == "a pickle":
        file.write_bytes(pickle.dumps({"model": 1}))
    elif how == "no story":
        write_tensors(file, tensors, {})
    elif how == "a tensor is missing":
        write_tensors(file, {k: v for k, v in tensors.items() if k != "exp_avg.0"}, header)
    elif how == "another shape":
        name = next(iter(tensors))
        write_tensors(file, tensors | {name: torch.zeros(1, 1, 1)}, header)
    elif how == "another value":
        write_tensors(file, tensors | {"exp_avg.0": tensors["exp_avg.0"] + 1e-3}, header)
    elif how == "another kind of number":
        write_tensors(file, tensors | {"random.cpu": tensors["random.cpu"].float()}, header)
    elif how == "a story of nothing":
        write_tensors(file, tensors, {**header, "training": "[1]"})


@pytest.mark.parametrize(
    "how",
    [
        "cut off",
        "a pickle",
        "no story",
        "a story of nothing",
        "a tensor is missing",
        "another shape",
        "another value",
        "another kind of number",
    ],
)
def test_a_damaged_checkpoint_costs_time_and_nothing_else(tmp_path: Path, how: str) -> None:
    config, train, file = (
        quick_config("hmrm", *MIXED),
        make_flowset(),
        tmp_path / "half.safetensors",
    )
    whole = fit(config, train, seed=3)
    with pytest.raises(Cut):
        fit(config, train, seed=3, checkpoint=Checkpoint(file, every_s=0, tell=cut_after(2)))
    damage(how, file)
    heard: list[int] = []
    checkpoint = Checkpoint(file, tell=lambda done, *_: heard.append(done))
    same(fit(config, train, seed=3, checkpoint=checkpoint), whole)
    assert heard == [1, 2, 3, 4]


@pytest.mark.parametrize("other", ["seed", "clips", "settings", "epochs"])
def test_the_checkpoint_of_another_training_is_not_taken(tmp_path: Path, other: str) -> None:
    config, train, file = (
        quick_config("hmrm", *MIXED),
        make_flowset(),
        tmp_path / "half.safetensors",
    )
    with pytest.raises(Cut):
        fit(config, train, seed=3, checkpoint=Checkpoint(file, every_s=0, tell=cut_after(2)))
    if other == "settings":
        config = quick_config("hmrm", *MIXED, "training.lr=1e-3")
    if other == "clips":
        train = train.take(range(1, len(train)))
    heard: list[int] = []
    fit(
        config,
        train,
        seed=4 if other == "seed" else 3,
        epochs=3 if other == "epochs" else None,
        checkpoint=Checkpoint(file, tell=lambda done, *_: heard.append(done)),
    )
    assert heard[0] == 1


def test_it_is_written_when_it_is_due(tmp_path: Path) -> None:
    config, train = quick_config("hmrm", *MIXED), make_flowset()
    for every_s, keep_end, written in ((1e9, False, False), (1e9, True, True), (0, False, True)):
        file = tmp_path / f"{every_s}{keep_end}.safetensors"
        fit(config, train, seed=0, checkpoint=Checkpoint(file, every_s, keep_end))
        assert file.is_file() == written
