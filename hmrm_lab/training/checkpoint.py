"""Where a training that was cut off goes on: its whole state at the end of an epoch.

Safetensors with a JSON header; nothing in the file is ever run. A file that is damaged, or of other
settings, clips, seed or kind of device, is as good as none: the training begins anew, and only time
is lost.
"""

import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from hmrm_lab.errors import InputError
from hmrm_lab.records import FlowSet
from hmrm_lab.runtime.store import parse_json
from hmrm_lab.runtime.tensors import read_tensors, write_tensors

if TYPE_CHECKING:
    from hmrm_lab.training.learner import Learner

FORM = 3  # of the file; another number makes old files useless
EVERY_SECONDS = 10.0
MOMENTS = ("exp_avg", "exp_avg_sq", "step")
Tell = Callable[[int, int, float], None]  # epochs done, epochs in all, loss


@dataclass
class Checkpoint:
    """The file of one training, and who is told of its epochs.

    It is written at the end of an epoch if the last time is `every_s` seconds ago; at the end of
    the training too if `keep_end`, for work that has a second training to follow.
    """

    path: Path
    every_s: float = EVERY_SECONDS
    keep_end: bool = False
    tell: Tell = lambda done, epochs, loss: None
    _identity: dict[str, Any] = field(default_factory=dict, init=False)
    _written: float = field(default=0.0, init=False)

    def begin(self, learner: "Learner", train: FlowSet, *, seed: int, epochs: int) -> None:
        """Bring a learner that has done nothing yet to where the file has it, if it has it."""
        self._identity = {
            "form": FORM,
            "settings": learner.config.digest(),
            "clips": train.fingerprint(),
            "seed": seed,
            "epochs": epochs,
            "device": learner.mix.labels.device.type,
            "torch": torch.__version__,
        }
        self._written = time.monotonic()
        if self.path.is_file():
            try:
                header, tensors = read_tensors(self.path, problem="", mend="")
                if header.get("digest") != _digest(header.get("training", ""), tensors):
                    return
                story = parse_json(header["training"])
            except (InputError, ValueError):
                return
            if story.get("identity") == self._identity and fits(tensors, learner):
                restore(learner, tensors, story)

    def after_epoch(self, learner: "Learner") -> None:
        done, epochs = len(learner.losses), self._identity["epochs"]
        due = time.monotonic() - self._written >= self.every_s
        if due if done < epochs else self.keep_end:
            self.write(learner)
        self.tell(done, epochs, learner.losses[-1])

    def write(self, learner: "Learner") -> None:
        story = {
            "identity": self._identity,
            "losses": learner.losses,
            "probes": learner.probes,
            "schedule": learner.schedule.state_dict(),
            "averaged": learner.averaged.step if learner.averaged else 0,
        }
        text, tensors = json.dumps(story), state_of(learner)
        header = {"training": text, "digest": _digest(text, tensors)}
        write_tensors(self.path, tensors, header)
        self._written = time.monotonic()


def _digest(story: str, tensors: dict[str, Tensor]) -> str:
    """Of every byte that a training would go on from."""
    digest = hashlib.sha256(story.encode())
    for name, value in sorted(tensors.items()):
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def state_of(learner: "Learner") -> dict[str, Tensor]:
    """All tensors of a training, random states and MotionMix's provenance among them."""
    tensors = {f"model.{name}": value for name, value in learner.model.state_dict().items()}
    tensors |= {f"loss.{name}": value for name, value in learner.loss_of.state_dict().items()}
    if learner.averaged:
        means = learner.averaged.model.state_dict()
        tensors |= {f"averaged.{name}": value for name, value in means.items()}
    for number, parameter in enumerate(_parameters(learner)):
        moments = learner.optimizer.state.get(parameter, {})
        tensors |= {f"{moment}.{number}": value for moment, value in moments.items()}
    tensors["random.cpu"] = torch.get_rng_state()
    if learner.mix.labels.is_cuda:
        tensors["random.cuda"] = torch.cuda.get_rng_state(learner.mix.labels.device)
    pairs = sorted(learner.mix.provenance)
    return tensors | {"provenance": torch.tensor(pairs, dtype=torch.int64).reshape(-1, 2)}


def fits(tensors: dict[str, Tensor], learner: "Learner") -> bool:
    """Whether every tensor that the learner needs is there in its shape."""
    needed = {name: tuple(value.shape) for name, value in state_of(learner).items()}
    needed.pop("provenance")
    for number, parameter in enumerate(_parameters(learner)):
        shape = tuple(parameter.shape)
        needed |= {f"exp_avg.{number}": shape, f"exp_avg_sq.{number}": shape, f"step.{number}": ()}
    return "provenance" in tensors and all(
        name in tensors and tuple(tensors[name].shape) == shape for name, shape in needed.items()
    )


def restore(learner: "Learner", tensors: dict[str, Tensor], story: dict[str, Any]) -> None:
    device = learner.mix.labels.device
    learner.model.load_state_dict(_of(tensors, "model"))
    learner.loss_of.load_state_dict(_of(tensors, "loss"))
    if learner.averaged:
        learner.averaged.model.load_state_dict(_of(tensors, "averaged"))
        learner.averaged.step = story["averaged"]
    for number, parameter in enumerate(_parameters(learner)):
        moments = {moment: tensors[f"{moment}.{number}"].to(device) for moment in MOMENTS}
        learner.optimizer.state[parameter] = moments
    learner.schedule.load_state_dict(story["schedule"])
    rates = learner.schedule.get_last_lr()
    for group, rate in zip(learner.optimizer.param_groups, rates, strict=True):
        group["lr"] = rate
    learner.mix.provenance.update((a, b) for a, b in tensors["provenance"].tolist())
    learner.losses[:], learner.probes[:] = story["losses"], story["probes"]
    torch.set_rng_state(tensors["random.cpu"])
    if device.type == "cuda":
        torch.cuda.set_rng_state(tensors["random.cuda"], device)


def _parameters(learner: "Learner") -> list[Tensor]:
    return [tensor for group in learner.optimizer.param_groups for tensor in group["params"]]


def _of(tensors: dict[str, Tensor], part: str) -> dict[str, Tensor]:
    start = f"{part}."
    return {n.removeprefix(start): value for n, value in tensors.items() if n.startswith(start)}
