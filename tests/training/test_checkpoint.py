"""A training that was cut off goes on to the same weights, bit for bit."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from conftest import make_flowset, make_framed_flowset, quick_config, tuned_config

from hmrm_lab.config import ExperimentConfig
from hmrm_lab.records import FlowSet
from hmrm_lab.runtime.store import read_tensors, write_tensors
from hmrm_lab.training.checkpoint import Checkpoint
from hmrm_lab.training.trainer import Fitted, fit

EPOCHS = 3
MIXED = (
    f"training.epochs={EPOCHS}",
    *("augment.motionmix=0.6", "augment.mix_lambda=[0.3, 0.9]"),
    *("augment.flip=true", "augment.rotate_deg=5", "model.dropout=0.3", "model.drop_path=0.2"),
    *("training.ema=0.9", "training.schedule=cosine", "training.warmup_epochs=1"),
)
CONFIG, TRAIN = quick_config("hmrm", *MIXED), make_flowset()


class Cut(Exception):
    """The training ends here, as if its process had been killed."""


def probe(classify: Callable[[FlowSet], object]) -> list[list[float]]:
    return classify(make_framed_flowset(subjects=1, seed=3)).tolist()


def same(ours: Fitted, theirs: Fitted) -> None:
    for name in ("losses", "probes", "partners"):
        assert getattr(ours, name) == getattr(theirs, name)
    for name, value in theirs.model.state_dict().items():
        assert torch.equal(ours.model.state_dict()[name], value), name


def cut(config: ExperimentConfig, train: FlowSet, file: Path, epoch: int) -> None:
    """Train up to an epoch, and leave the checkpoint behind."""

    def tell(done: int, _epochs: int, _loss: float) -> None:
        if done == epoch:
            raise Cut

    with pytest.raises(Cut):
        checkpoint = Checkpoint(file, every_s=0, tell=tell)
        fit(config, train, seed=3, probe=probe, checkpoint=checkpoint)


def resume(
    config: ExperimentConfig, train: FlowSet, file: Path, *, seed: int = 3, epochs: int = EPOCHS
) -> tuple[Fitted, list[int]]:
    """Train with the checkpoint; returns the epochs that were run as well."""
    heard: list[int] = []
    checkpoint = Checkpoint(file, tell=lambda done, *_: heard.append(done))
    return fit(config, train, seed=seed, epochs=epochs, probe=probe, checkpoint=checkpoint), heard


@pytest.mark.parametrize(
    ("config", "train"),
    [
        (CONFIG, TRAIN),
        (quick_config("hmrm", *MIXED, "training.optimizer=adam", "training.clip_norm=0.5"), TRAIN),
        (quick_config("hmrm", *MIXED, "training.ema=0", "loss.learn_scale_weights=true"), TRAIN),
        (quick_config("ststnet", f"training.epochs={EPOCHS}", "augment.mixup=0.5"), TRAIN),
        (tuned_config(f"training.epochs={EPOCHS}"), make_framed_flowset()),
    ],
    ids=["average", "adam", "learnt-weights", "ststnet", "fine-tuned"],
)
def test_cut_after_any_epoch(tmp_path: Path, config: ExperimentConfig, train: FlowSet) -> None:
    whole = fit(config, train, seed=3, probe=probe)
    for epoch in range(1, EPOCHS):
        file = tmp_path / f"{epoch}.safetensors"
        cut(config, train, file, epoch)
        again, heard = resume(config, train, file)
        same(again, whole)
        assert heard == list(range(epoch + 1, EPOCHS + 1)), "it began anew"


def test_a_damaged_checkpoint_costs_time_and_nothing_else(tmp_path: Path) -> None:
    file = tmp_path / "half.safetensors"
    whole = fit(CONFIG, TRAIN, seed=3, probe=probe)
    cut(CONFIG, TRAIN, file, 2)
    header, tensors = read_tensors(file, problem="", hint="")
    tensors = {name: value.clone() for name, value in tensors.items()}  # not in the file's memory
    moment = "optimizer.0.exp_avg"
    without = {name: value for name, value in tensors.items() if name != moment}
    half = file.read_bytes()[:-100]
    for content, settings in (
        (None, None),
        (tensors, {**header, "training": "[1]"}),
        (without, header),
        (tensors | {moment: torch.zeros(1, 1, 1)}, header),
        (tensors | {moment: tensors[moment] + 1e-3}, header),
        (tensors | {"own.cpu": tensors["own.cpu"].float()}, header),
    ):
        if content is None:
            file.write_bytes(half)
        else:
            write_tensors(file, content, settings)
        again, heard = resume(CONFIG, TRAIN, file)
        assert heard == [1, 2, 3]
        same(again, whole)


def test_the_checkpoint_of_another_training_is_not_taken(tmp_path: Path) -> None:
    file = tmp_path / "half.safetensors"
    cut(CONFIG, TRAIN, file, 1)
    for _, heard in (
        resume(quick_config("hmrm", *MIXED, "training.lr=1e-3"), TRAIN, file),
        resume(CONFIG, TRAIN.take(range(1, len(TRAIN))), file),
        resume(CONFIG, TRAIN, file, seed=4),
        resume(CONFIG, TRAIN, file, epochs=2),
    ):
        assert heard[0] == 1


def test_it_is_written_when_it_is_due(tmp_path: Path) -> None:
    for every_s, keep_end, written in ((1e9, False, False), (1e9, True, True), (0, False, True)):
        file = tmp_path / f"{every_s}{keep_end}.safetensors"
        fit(CONFIG, TRAIN, seed=0, checkpoint=Checkpoint(file, every_s, keep_end))
        assert file.is_file() == written
