"""The files of a training in work: its checkpoint, to resume from, and its progress.

A checkpoint is safetensors with a JSON header; nothing in it is ever run. One that is damaged, or
of other settings, clips, seed or kind of device, is ignored, and the training begins again.
"""

import hashlib
import json
import os
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from hmrm_lab.errors import InputError
from hmrm_lab.runtime.store import (
    RunFolder,
    parse_json,
    read_tensors,
    refuse_full_disk,
    write_tensors,
)
from hmrm_lab.training.learner import Learner

FORM = 5  # of the checkpoint; files of another form are ignored
EVERY_SECONDS = 10.0  # a checkpoint
WRITE_SECONDS = 0.5  # a line of progress
Tell = Callable[[int, int, Any], None]  # epochs done, epochs in all, loss


@dataclass
class Checkpoint:
    path: Path
    every_s: float = EVERY_SECONDS
    keep_end: bool = False  # for work in which a second training follows
    tell: Tell = lambda done, epochs, loss: None  # after each epoch
    _identity: dict[str, Any] = field(default_factory=dict, init=False)
    _written: float = field(default=0.0, init=False)

    def begin(self, learner: Learner, clips: Any, *, seed: Any, epochs: int) -> None:
        """Go on where another process stopped with these clips (fingerprints) and seeds."""
        self._identity = {
            "form": FORM,
            "settings": learner.config.digest(),
            "clips": clips,
            "seed": seed,
            "epochs": epochs,
            "device": learner.device.type,
            "torch": torch.__version__,
        }
        self._written = time.monotonic()
        try:
            header, tensors = read_tensors(self.path, problem="", hint="")
            if header.get("digest") != _digest(header.get("training", ""), tensors):
                return
            state = parse_json(header["training"])
        except (InputError, ValueError):  # there is none, or it is damaged
            return
        if isinstance(state, dict) and state.get("identity") == self._identity:
            _restore(learner, tensors, state)

    def after_epoch(self, learner: Learner) -> None:
        done, epochs = len(learner.losses), self._identity["epochs"]
        due = time.monotonic() - self._written >= self.every_s
        if due if done < epochs else self.keep_end:
            state = {
                "identity": self._identity,
                "losses": learner.losses,
                "probes": learner.probes,
                "schedule": learner.schedule.state_dict(),
                "groups": learner.optimizer.state_dict()["param_groups"],
            }
            text, tensors = json.dumps(state), _tensors_of(learner)
            header = {"training": text, "digest": _digest(text, tensors)}
            write_tensors(self.path, tensors, header)
            self._written = time.monotonic()
        self.tell(done, epochs, learner.losses[-1])


def _digest(text: str, tensors: dict[str, Tensor]) -> str:
    """Digest every byte that a training resumes from: a file that passes is complete."""
    digest = hashlib.sha256(text.encode())
    for name, value in sorted(tensors.items()):
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _tensors_of(learner: Learner) -> dict[str, Tensor]:
    parts: dict[str, dict[str, Tensor]] = {
        "model": learner.model.state_dict(),
        "loss": learner.loss.loss_of.state_dict(),
        "averaged": learner.averaged.state_dict() if learner.averaged else {},
        "own": learner.own,
    }
    for number, moments in learner.optimizer.state_dict()["state"].items():
        parts[f"optimizer.{number}"] = moments
    return {f"{part}.{name}": value for part, of in parts.items() for name, value in of.items()}


def _restore(learner: Learner, tensors: dict[str, Tensor], state: dict[str, Any]) -> None:

    def part(name: str) -> dict[str, Tensor]:
        start = f"{name}."
        return {n.removeprefix(start): value for n, value in tensors.items() if n.startswith(start)}

    learner.model.load_state_dict(part("model"))
    learner.loss.loss_of.load_state_dict(part("loss"))
    if learner.averaged:
        learner.averaged.load_state_dict(part("averaged"))
    moments = {
        number: {name: value.clone() for name, value in part(f"optimizer.{number}").items()}
        for group in state["groups"]
        for number in group["params"]
    }  # copies, for the file may be replaced
    learner.optimizer.load_state_dict({"state": moments, "param_groups": state["groups"]})
    learner.schedule.load_state_dict(state["schedule"])
    learner.losses[:], learner.probes[:] = state["losses"], state["probes"]
    learner.own = part("own")


@dataclass
class RunningFold:
    """The files of one fold in work, in `running/` of the run folder, removed when it is done."""

    run: RunFolder
    fold: str
    seed: int
    every_s: float = EVERY_SECONDS
    _began: float = field(default_factory=time.time, init=False)
    _written: float = field(default=0.0, init=False)
    _first: int = field(default=-1, init=False)

    @property
    def status_file(self) -> Path:
        return self.run.running / self.run.fold_file(self.fold, self.seed).name

    def checkpoint(self, stage: str = "") -> Checkpoint:
        """The checkpoint of one training; one that another training follows has a stage."""
        return Checkpoint(self._file(stage), self.every_s, keep_end=bool(stage), tell=self._tell)

    def clear(self) -> None:
        for path in (self.status_file, self._file(""), self._file("inner"), self._file("stack")):
            path.unlink(missing_ok=True)

    def _file(self, stage: str) -> Path:
        return self.status_file.with_suffix(f"{'.' + stage if stage else ''}.safetensors")

    def _tell(self, done: int, epochs: int, loss: float) -> None:
        """Replace the progress, at most twice a second; unflushed, for no reboot is survived."""
        now = time.time()
        if self._first < 0 or done < self._first:  # resumed at a later epoch, or restarted
            self._first, self._began = done - 1, now if self._first >= 0 else self._began
        if now - self._written < WRITE_SECONDS and done < epochs:
            return
        self._written = now
        status = {
            "fold": self.fold,
            "seed": self.seed,
            "epoch": done,
            "epochs": epochs,
            "loss": round(loss, 6),
            "epochs_per_s": (done - self._first) / max(now - self._began, 1e-3),
            "process": os.getpid(),
            "host": socket.gethostname(),
            "updated": now,
        }
        beside = self.status_file.with_suffix(f".{os.getpid()}.part")
        try:
            beside.parent.mkdir(parents=True, exist_ok=True)
            beside.write_text(json.dumps(status), encoding="utf-8")
            beside.replace(self.status_file)
        except OSError as error:
            beside.unlink(missing_ok=True)
            refuse_full_disk(error, beside.parent)
            raise
