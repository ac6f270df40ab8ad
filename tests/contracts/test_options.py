"""No number that a person sets for a system ends in anything but a refusal or a working system."""

import pytest
import torch
from conftest import make_clip_flowset, quick_config

from hmrm_lab.config import ExperimentConfig
from hmrm_lab.errors import ConfigError
from hmrm_lab.registry import systems
from hmrm_lab.training.learner import build_model
from hmrm_lab.training.trainer import fit

WHOLE = (-1, 0, 1, 7, 10**9)
BROKEN = (-0.5, 0.0, 1e-9, 0.99, 1.5, 1e9, float("nan"), float("inf"))
REFUSED = {-1, -0.5, 10**9, 1e9, float("inf")}  # by every option but where more is the same


def numbers_of(system: str) -> list[tuple[str, float, object]]:
    """Every option that is a number, or some numbers, with each of the values to try."""
    found: list[tuple[str, float, object]] = []
    for name, value in quick_config(system).model.options.items():
        if isinstance(value, (list, tuple)):
            found += [(name, number, [number] * len(value)) for number in WHOLE]
        elif isinstance(value, (int, float)) and not isinstance(value, bool):
            tried = BROKEN if isinstance(value, float) else WHOLE
            found += [(name, number, number) for number in tried]
    return found


def works(config: ExperimentConfig) -> bool:
    if systems[config.model.name].is_estimator:
        clips = make_clip_flowset(subjects=2, per_subject=2)
        return bool((fit(config, clips, seed=0).classify(clips) >= 0).all())
    side = config.input.side(28)
    with torch.no_grad():
        maps = torch.randn(2, len(config.input.channels), side, side)
        return bool(build_model(config, 28, 3)(maps).isfinite().all())


@pytest.mark.parametrize("system", list(systems))
def test_a_number_is_refused_or_works(system: str) -> None:
    for name, number, value in numbers_of(system):
        try:
            config = quick_config(system, f"model.{name}={value}")
            assert works(config), (name, value)
        except ConfigError as error:
            assert "\n" not in str(error)
        else:
            assert number not in REFUSED or name == "inner_folds", (name, value)
    if system == "hmrm":
        with pytest.raises(ConfigError, match=r"width of 7 .* 4 heads; set model\.width to a"):
            build_model(quick_config("hmrm", "model.width=7"), 28, 3)
        assert works(quick_config("hmrm", "model.width=7", "model.fusion=none"))
