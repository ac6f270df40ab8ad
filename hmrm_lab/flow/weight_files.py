"""All that a pre-training needs to go on: weights, their average, the optimizer, the step."""

import csv
import json
from copy import deepcopy
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor

from hmrm_lab.errors import InputError
from hmrm_lab.flow.gru_attention import GRUFlow
from hmrm_lab.flow.schedules import Preset
from hmrm_lab.runtime.store import write_atomic
from hmrm_lab.runtime.tensors import read_tensors, write_tensors

MOMENTS = ("exp_avg", "exp_avg_sq", "step")
COLUMNS = ("step", "loss", "epe_px", "learning_rate")


@dataclass(eq=False)
class TrainingState:
    """A pre-training between two steps."""

    preset: Preset
    seed: int
    network: GRUFlow
    averaged: GRUFlow
    optimizer: torch.optim.AdamW
    step: int = 0

    @classmethod
    def begin(cls, preset: Preset, seed: int, device: str) -> "TrainingState":
        """A network of this seed before its first step; the caller's random state is left alone."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = GRUFlow(attention=preset.attention)
        network.to(device)
        optimizer = torch.optim.AdamW(
            network.parameters(), lr=0.0, weight_decay=preset.weight_decay
        )
        averaged = deepcopy(network).requires_grad_(False)
        return cls(preset, seed, network, averaged, optimizer)

    @torch.no_grad()
    def average(self) -> None:
        """Move the averaged weights towards the present ones; faster in the first steps."""
        keep = min(self.preset.averaging, (1 + self.step) / (10 + self.step))
        for mean, now in zip(self.averaged.parameters(), self.network.parameters(), strict=True):
            mean.lerp_(now, 1 - keep)

    def identity(self) -> str:
        """What two checkpoints of one run have in common."""
        return json.dumps({"preset": asdict(self.preset), "seed": self.seed}, sort_keys=True)


def write_checkpoint(path: Path, state: TrainingState) -> None:
    """One safetensors file, written whole or not at all."""
    tensors = {f"network.{name}": value for name, value in state.network.state_dict().items()}
    tensors |= {f"averaged.{name}": value for name, value in state.averaged.state_dict().items()}
    for name, parameter in state.network.named_parameters():
        moments = state.optimizer.state[parameter]
        tensors |= {f"{moment}.{name}": moments[moment] for moment in MOMENTS}
    metadata = {"step": str(state.step), "run": state.identity()}
    write_tensors(path, tensors, metadata)


def read_checkpoint(path: Path, state: TrainingState) -> None:
    """Bring the state to where the checkpoint was written."""
    metadata, tensors = read_tensors(
        path, problem="not a readable checkpoint", mend="delete it to start anew"
    )
    if metadata.get("run") != state.identity():
        raise InputError(
            "a checkpoint of another preset or seed", where=path, mend="choose another folder"
        )
    state.step = int(metadata["step"])
    state.network.load_state_dict(_of(tensors, "network"))
    state.averaged.load_state_dict(_of(tensors, "averaged"))
    moments = {moment: _of(tensors, moment) for moment in MOMENTS}
    for name, parameter in state.network.named_parameters():
        state.optimizer.state[parameter] = {
            "exp_avg": moments["exp_avg"][name].to(parameter.device),
            "exp_avg_sq": moments["exp_avg_sq"][name].to(parameter.device),
            "step": moments["step"][name],
        }


def _of(tensors: dict[str, Tensor], part: str) -> dict[str, Tensor]:
    return {
        name.removeprefix(f"{part}."): value
        for name, value in tensors.items()
        if name.startswith(f"{part}.")
    }


class History:
    """The loss of every step as CSV; what lies beyond the checkpoint is forgotten on resuming."""

    def __init__(self, path: Path, *, done: int) -> None:
        self.path = path
        rows: list[list[str]] = []
        if path.is_file() and done:
            with path.open(encoding="utf-8", newline="") as file:
                rows = list(csv.reader(file))[1 : done + 1]
        lines = [COLUMNS, *rows]
        write_atomic(path, "".join(",".join(line) + "\n" for line in lines))

    def append(self, step: int, loss: float, error_px: float, rate: float) -> None:
        with self.path.open("a", encoding="utf-8", newline="") as file:
            file.write(f"{step},{loss:.6f},{error_px:.6f},{rate:.3e}\n")
