"""A small system that can be searched, and whose best choice is known."""

import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from hmrm_lab.registry import Card, Entry, systems
from hmrm_lab.studies.supernet import Choice

NAME = "searched_toy"
BEST = Choice(4.0, (0.4, 0.7, 0.3, 0.8))
Ratios = tuple[float, float, float, float]


def distance(choice: Choice) -> float:
    """How far from the best: 0 to about 0.6, the factor by its octaves."""
    octaves = abs(math.log2(choice.alpha / BEST.alpha)) / 4
    gaps = [abs(mine - best) for mine, best in zip(choice.ratios, BEST.ratios, strict=True)]
    return (octaves + sum(gaps)) / (1 + len(gaps))


class Mute(nn.Module):
    """The mean of each third of the map; the more the choice is off, the less do they differ."""

    def __init__(
        self,
        channels: int,
        size: int,
        classes: int,
        *,
        alpha: float = 1.0,
        ratios: Ratios = (0.5, 0.5, 0.5, 0.5),
        super_steps: int = 0,
    ) -> None:
        super().__init__()
        self.choice, self.super_steps = Choice(alpha, tuple(ratios)), super_steps
        self.head = nn.Linear(3 * channels, classes)
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))

    def forward(self, maps: Tensor) -> Tensor:
        choice = self.choice
        if self.training:
            self.steps += 1
            if int(self.steps) <= self.super_steps:
                alpha, *ratios = torch.rand(5).tolist()
                choice = Choice(16**alpha, tuple(0.2 + 0.8 * ratio for ratio in ratios))
        off = 2 * distance(choice)
        thirds = torch.stack([part.mean((2, 3)) for part in maps.tensor_split(3, dim=2)], dim=-1)
        seen = (1 - off) * thirds + off * thirds.mean(-1, keepdim=True)
        return self.head(seen.flatten(1))[:, None]


class Toy(Mute):
    """It can choose, and so be searched."""

    alpha_range = 1.0, 16.0
    ratio_range = 0.2, 1.0

    def choose(self, alpha: float, ratios: tuple[float, ...]) -> None:
        self.choice = Choice(alpha, tuple(ratios))


@contextmanager
def registered() -> Iterator[None]:
    """Both under their names, `searched_toy` and `mute_toy`, as long as the test takes."""
    recipe = {"training": {"epochs": 6, "lr": 0.05}, "augment": {"motionmix": 0.0}}
    card = Card(takes="flow maps", citation="made up", fidelity="faithful")
    for name, build in ((NAME, Toy), ("mute_toy", Mute)):
        systems._entries[name] = Entry("system", name, build, recipe, "made up", card)
    try:
        yield
    finally:
        for name in (NAME, "mute_toy"):
            del systems._entries[name]
