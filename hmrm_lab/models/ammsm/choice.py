"""What AMMSM's evolutionary search chooses: how far motion is magnified, and how much is kept."""

import math
from collections.abc import Sequence
from typing import Annotated

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from hmrm_lab.errors import ConfigError
from hmrm_lab.registry import first_problem

STAGES = 4
ALPHA_RANGE = (1.0, 16.0)  # drawn evenly in the logarithm
RATIO_RANGE = (0.2, 1.0)  # drawn evenly

Alpha = Annotated[float, Field(ge=1, le=64)]  # 1 magnifies nothing
Ratio = Annotated[float, Field(gt=0, le=1)]  # share of a stage's tokens; 1 keeps all
Ratios = tuple[Ratio, Ratio, Ratio, Ratio]


class Choice(BaseModel):
    """The magnification factor and the share of tokens that each stage keeps."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    alpha: Alpha
    ratios: Ratios


def make_choice(alpha: float, ratios: Sequence[float]) -> Choice:
    """A checked choice, or a `ConfigError`."""
    try:
        return Choice.model_validate({"alpha": alpha, "ratios": tuple(ratios)})
    except ValidationError as error:
        raise ConfigError(
            first_problem(error), mend=f"give an alpha from 1 to 64 and {STAGES} ratios up to 1"
        ) from None


def draw_choice() -> Choice:
    """A choice by torch's random numbers, as a super-network is trained with."""
    alpha, *ratios = torch.rand(1 + STAGES).tolist()
    low, high = map(math.log, ALPHA_RANGE)
    least, most = RATIO_RANGE
    return make_choice(
        math.exp(low + alpha * (high - low)), [least + ratio * (most - least) for ratio in ratios]
    )
