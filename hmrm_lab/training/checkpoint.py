"""The checkpoint of a training: its whole state at the end of an epoch, to resume from.

Safetensors with a JSON header; nothing in the file is ever run. A file that is damaged, or of other
settings, clips, seed or kind of device, is ignored, and the training begins again.
"""

import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from hmrm_lab.errors import InputError
from hmrm_lab.records import FlowSet
from hmrm_lab.runtime.store import parse_json, read_tensors, write_tensors
from hmrm_lab.training.learner import Learner

FORM = 4  # of the file; files of another form are ignored
EVERY_SECONDS = 10.0
Tell = Callable[[int, int, float], None]  # epochs done, epochs in all, loss


@dataclass
class Checkpoint:
    """The file of one training; `tell` is called after each epoch.

    It is written after an epoch, at most every `every_s` seconds; after the last one only with
    `keep_end`, for work in which a second training follows.
    """

    path: Path
    every_s: float = EVERY_SECONDS
    keep_end: bool = False
    tell: Tell = lambda done, epochs, loss: None
    _identity: dict[str, Any] = field(default_factory=dict, init=False)
    _written: float = field(default=0.0, init=False)

    def begin(self, learner: Learner, train: FlowSet, *, seed: int, epochs: int) -> None:
        """Restore a new learner from the file, if the file is of this training."""
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
                header, tensors = read_tensors(self.path, problem="", hint="")
                if header.get("digest") != _digest(header.get("training", ""), tensors):
                    return
                state = parse_json(header["training"])
            except (InputError, ValueError):
                return
            if isinstance(state, dict) and state.get("identity") == self._identity:
                restore(learner, tensors, state)

    def after_epoch(self, learner: Learner) -> None:
        done, epochs = len(learner.losses), self._identity["epochs"]
        due = time.monotonic() - self._written >= self.every_s
        if due if done < epochs else self.keep_end:
            self.write(learner)
        self.tell(done, epochs, learner.losses[-1])

    def write(self, learner: Learner) -> None:
        state = {
            "identity": self._identity,
            "losses": learner.losses,
            "probes": learner.probes,
            "schedule": learner.schedule.state_dict(),
            "groups": learner.optimizer.state_dict()["param_groups"],
        }
        text, tensors = json.dumps(state), tensors_of(learner)
        header = {"training": text, "digest": _digest(text, tensors)}
        write_tensors(self.path, tensors, header)
        self._written = time.monotonic()


def _digest(text: str, tensors: dict[str, Tensor]) -> str:
    """Digest every byte that a training resumes from: a file that passes is complete."""
    digest = hashlib.sha256(text.encode())
    for name, value in sorted(tensors.items()):
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def tensors_of(learner: Learner) -> dict[str, Tensor]:
    """Collect all tensors of a training, with random states and MotionMix's provenance."""
    pairs = sorted(learner.mix.provenance)
    parts: dict[str, dict[str, Tensor]] = {
        "model": learner.model.state_dict(),
        "loss": learner.loss_of.state_dict(),
        "averaged": learner.averaged.state_dict() if learner.averaged else {},
        "random": {"cpu": torch.get_rng_state()},
        "mix": {"provenance": torch.tensor(pairs, dtype=torch.int64).reshape(-1, 2)},
    }
    for number, moments in learner.optimizer.state_dict()["state"].items():
        parts[f"optimizer.{number}"] = moments
    if learner.mix.labels.is_cuda:
        parts["random"]["cuda"] = torch.cuda.get_rng_state(learner.mix.labels.device)
    return {f"{part}.{name}": value for part, of in parts.items() for name, value in of.items()}


def restore(learner: Learner, tensors: dict[str, Tensor], state: dict[str, Any]) -> None:
    """Bring a learner to a stored state."""
    learner.model.load_state_dict(_part(tensors, "model"))
    learner.loss_of.load_state_dict(_part(tensors, "loss"))
    if learner.averaged:
        learner.averaged.load_state_dict(_part(tensors, "averaged"))
    numbers = [number for group in state["groups"] for number in group["params"]]
    moments = {
        number: {
            name: value.clone() for name, value in _part(tensors, f"optimizer.{number}").items()
        }
        for number in numbers
    }  # copies, for the file may be replaced
    learner.optimizer.load_state_dict({"state": moments, "param_groups": state["groups"]})
    learner.schedule.load_state_dict(state["schedule"])
    learner.mix.provenance.update((a, b) for a, b in tensors["mix.provenance"].tolist())
    learner.losses[:], learner.probes[:] = state["losses"], state["probes"]
    torch.set_rng_state(tensors["random.cpu"])
    if learner.mix.labels.is_cuda:
        torch.cuda.set_rng_state(tensors["random.cuda"], learner.mix.labels.device)


def _part(tensors: dict[str, Tensor], part: str) -> dict[str, Tensor]:
    start = f"{part}."
    return {n.removeprefix(start): value for n, value in tensors.items() if n.startswith(start)}
