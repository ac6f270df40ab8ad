"""Growth of moving parts against the rest under AMMSM's gated magnifier, on unseen drawn faces.

`python benchmarks/growth.py` trains the temporal stream by its default recipe on three
quarters of the faces of the data set `synthetic`, with flow by DIS, and asks it for the others.
Where a face moves is known exactly. Decision 0017 has what it prints.
"""

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import Tensor

from hmrm_lab.config import ExperimentConfig, load_config
from hmrm_lab.evaluation.magnification import Growth, growth_of, moving_region
from hmrm_lab.models.ammsm.ammsm import AMMSM, magnified
from hmrm_lab.preparation import load_clips, load_flowset
from hmrm_lab.records import Clip
from hmrm_lab.runtime.processes import settle_process
from hmrm_lab.training.learner import build_model
from hmrm_lab.training.trainer import fit

APART = 4  # one face in so many is not trained on
SEEDS = (0, 1)


def measure(config: ExperimentConfig, seed: int) -> tuple[Growth, Growth]:
    """Growth on the faces kept apart: of a network before its training, and after it.

    The settings are those of AMMSM on clips whose exact flow is known, else `InputError`.
    """
    flowset, clips = load_flowset(config), load_clips(config) or ()
    apart = np.isin(flowset.subjects, sorted(set(flowset.subjects))[::APART])
    rows = np.flatnonzero(apart)
    fitted = fit(config, flowset.take(np.flatnonzero(~apart)), seed=seed)
    maps, asked = fitted.inputs(flowset.take(rows)), [clips[row] for row in rows]
    untrained = build_model(config, flowset.maps.shape[-1], len(flowset.classes))
    return growth_by(untrained, maps, asked), growth_by(fitted.model, maps, asked)


def growth_by(model: Any, maps: Tensor, clips: Sequence[Clip]) -> Growth:
    """Maps as the model is given them, (B, C, S, S), of these clips."""
    if not isinstance(model, AMMSM):
        raise TypeError(f"{type(model).__name__} has no magnifier")
    moving = np.stack([moving_region(clip, maps.shape[-1]) for clip in clips])
    seen = magnified(model, maps, model.choice.alpha)
    return growth_of(maps[:, :2].numpy(), seen.flow.numpy(), moving)


def main() -> None:
    """A row for each seed, as Markdown."""
    settle_process()
    gated = ["flow.name=dis", "model.magnifier=gated"]
    config = load_config(system="ammsm_temporal", data="synthetic", overrides=gated)
    sys.stdout.write(
        "| seed | inside | outside | ratio | ratio untrained |\n|" + " --- |" * 5 + "\n"
    )
    for seed in SEEDS:
        before, after = measure(config, seed)
        figures = (after.inside, after.outside, after.ratio, before.ratio)
        sys.stdout.write(f"| {seed} | {' | '.join(f'{value:.2f}' for value in figures)} |\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
