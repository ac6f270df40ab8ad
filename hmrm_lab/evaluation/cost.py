"""The cost of a system: parameters, FLOPs for one motion map, and inference time."""

import copy
import time
from collections.abc import Callable
from statistics import median

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from hmrm_lab.config import ExperimentConfig, load_config
from hmrm_lab.models.interface import bypass_cache
from hmrm_lab.records import Floats, FlowSet
from hmrm_lab.registry import systems
from hmrm_lab.training.learner import build_learner, without_own_weights
from hmrm_lab.training.system_inputs import has_epochs

SHARES = ("width", "spatial_width")  # options that may be a share of the published filters
ANSWERS = 5  # timed predictions, of which the median counts


def cost_of(
    config: ExperimentConfig, size: int, classes: int, *, flops: bool = True
) -> dict[str, int | None]:
    """Count `parameters` (and `flops`) for maps of `size` pixels and this number of classes."""
    if not has_epochs(config):  # a support vector machine grows with the training clips
        return {"parameters": None, "flops": None}
    model = build_learner(without_own_weights(config), size, classes)
    cost: dict[str, int | None] = {"parameters": count_parameters(model)}
    if flops:
        shape = (len(config.input.channels), config.input.side(size), config.input.frames)
        cost["flops"] = count_flops(model, *shape)
    return cost


def published_cost(system: str, *, flops: bool = True) -> dict[str, int | None]:
    """Count those of a system at its authors' size, for a map of 28 px and three classes."""
    options = systems[system].complete({})
    shares = {name for name in SHARES if isinstance(options.get(name), float)}
    full = {f"model.{name}": 1.0 for name in shares}
    with torch.device("meta"):  # no weight is drawn
        config = load_config("paper-literal", system=system, overrides=full)
        return cost_of(config, 28, 3, flops=flops)


def count_parameters(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


def count_flops(model: nn.Module, channels: int, size: int, frames: int = 1) -> int:
    """Count floating point operations for one map, or a sequence; a multiply-add as two.

    Norms, activations and pooling are left out, as usual.
    """
    elementwise = 0

    def count(module: nn.Module, inputs: tuple[Tensor, ...], _: Tensor) -> None:
        nonlocal elementwise
        if own_count := getattr(module, "elementwise_flops", None):  # of what is no matrix product
            elementwise += own_count(inputs[0].numel() // inputs[0].shape[-1])

    shadow = copy.deepcopy(model).to("meta").eval()  # shapes only, and no fused operators
    for module in shadow.modules():
        module.register_forward_hook(count)
    counter = FlopCounterMode(display=False)
    times = [frames] if frames > 1 else []
    with counter, torch.no_grad():
        shadow(torch.zeros(1, *times, channels, size, size, device="meta"))
    return int(counter.get_total_flops()) + elementwise


def time_inference(classify: Callable[[FlowSet], Floats], clips: FlowSet) -> float:
    """Measure milliseconds to predict one clip, from its motion map or its gray clip on."""
    alone = clips.take([0])
    seconds = []
    with bypass_cache():
        classify(alone)  # is not counted
        for _ in range(ANSWERS):
            started = time.perf_counter()
            classify(alone)
            seconds.append(time.perf_counter() - started)
    return 1e3 * median(seconds)
