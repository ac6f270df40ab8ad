"""`hmrm doctor --gpu`: whether this machine's GPU computes what the CPU does, in under a minute.

Every check takes the device, so that a test runs them on the CPU.
"""

import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from hmrm_lab.config import ExperimentConfig, load_config
from hmrm_lab.errors import HmrmError, InputError
from hmrm_lab.models.ammsm.ssd import SSD
from hmrm_lab.models.hmrm.grained_mamba import GrainedMambaBlock
from hmrm_lab.models.layers import evaluation_mode
from hmrm_lab.models.scan import choose_backend, scan_reference, selective_scan
from hmrm_lab.preparation import load_flowset
from hmrm_lab.records import FlowSet
from hmrm_lab.registry import systems
from hmrm_lab.runtime.processes import settle_process
from hmrm_lab.studies.experiment import package_version
from hmrm_lab.training.learner import Learner, RecordedGradients, build_model
from hmrm_lab.training.stacked import FoldToFit, Stack
from hmrm_lab.training.trainer import fit

ROUNDING = 1e-4  # share of the largest number; TF32 is off by 1e-3
COMPILER = "install a C compiler and the headers of Python (Debian: gcc, python3-dev)"
TORCH = "install the driver and the torch wheel that pytorch.org names for one another"
REPORT = "report it with what `hmrm doctor --gpu --json` prints"
COMMANDS = {
    "compiler": ("cc", "--version"),
    "driver": ("nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"),
}
Found = tuple[str, str, str]  # name, state (ok, missing, failed), detail


def examine(device: str) -> Iterator[Found]:
    """Name the versions that matter, then run every check; a failure says what to install."""
    if device != "cpu" and not torch.cuda.is_available():
        hint = "`nvidia-smi` should list a card, and torch be a build for CUDA"
        raise InputError(f"torch {torch.__version__} finds no CUDA device", hint=hint)
    settle_process(device)
    for name, command in COMMANDS.items():
        state, line = "missing", f"no {command[0]}"
        if shutil.which(command[0]):
            state, line = "ok", subprocess.check_output(command, text=True).splitlines()[0]
        yield name, state, line
    for name in ("torch", "triton", "mamba-ssm"):
        yield name, "ok", package_version(name)
    checks: dict[str, tuple[Callable[[str], str], str]] = {
        "scan": (check_scan, COMPILER),
        "block": (check_block, COMPILER),
        "ssd": (check_ssd, TORCH),
        "graph": (check_graph, TORCH),
        "same bytes": (check_bytes, REPORT),
        "stack": (check_stack, REPORT),
        **{name: (partial(check_network, name), TORCH) for name in families()},
    }
    for name, (check, hint) in checks.items():
        try:
            yield name, "ok", check(device)
        except Exception as error:  # noqa: BLE001  a card can fail in any way
            reason = (str(error).splitlines() or ["no message"])[0]
            yield name, "failed", f"{type(error).__name__}: {reason}; {hint}"


def families() -> list[str]:
    """Name one network of every module of systems."""
    networks = [name for name in systems if not systems[name].is_estimator]
    return sorted({systems[name].build.__module__: name for name in networks}.values())


def check_scan(device: str) -> str:
    x = torch.randn(2, 3, 49, 70)
    A, B, C = -torch.rand(2, 1, 70, 16), torch.randn(2, 3, 49, 16), torch.randn(2, 3, 49, 16)
    taken = choose_backend("auto", x.to(device))
    if taken == "reference":
        raise HmrmError("Triton does not run here, and the scan is the slower one")
    arguments = [x, torch.rand_like(x), A, B, C, torch.randn(2, 1, 70)]
    return f"{taken}: {compare(selective_scan, scan_reference, arguments, device)}"


def check_block(device: str) -> str:
    block = GrainedMambaBlock(32, state=16, kernel=3)
    return compare(deepcopy(block).to(device), block.double(), [torch.randn(4, 16, 32)], device)


def check_ssd(device: str) -> str:
    layer = SSD(32, expand=2, head=16, state=16, reverse=True, backend="auto")
    ours, layer.backend = deepcopy(layer).to(device), "reference"
    return compare(ours, layer.double(), [torch.randn(3, 49, 32)], device)


def check_graph(device: str) -> str:
    if device == "cpu":
        return "only CUDA devices record steps"
    learner = Learner(*_fold("model.drop_path=0"), device=device)
    parameters = [*learner.loss.parameters()]
    recorded = RecordedGradients(learner.loss, parameters)
    for _ in range(5):
        batch = learner.augment(learner.draw(torch.arange(6)))
        recorded(*batch)
        ours = [one.grad.clone() for one in parameters if one.grad is not None]
        recorded.unrecorded(*batch)
    return agree(ours, [one.grad for one in parameters if one.grad is not None])


def check_bytes(device: str) -> str:
    config, train = _fold("training.epochs=3", "model.dropout=0.3")
    first, again = (fit(config, train, seed=0, device=device).model for _ in range(2))
    pairs = zip(first.state_dict().values(), again.state_dict().values(), strict=True)
    if not all(torch.equal(one, other) for one, other in pairs):
        raise HmrmError("the same fold gave other weights the second time")
    return "one fold twice: the same weights"


def check_stack(device: str) -> str:
    (config, clips), rows = _fold(), torch.arange(6)
    folds = [FoldToFit(clips.take(np.arange(count)), count, 0) for count in (12, 11)]
    stack = Stack(config, folds, device=device)
    ours = stack.steps(stack.draws([rows, rows]))
    alone = []
    for fold in folds:
        torch.manual_seed(fold.seed)
        learner = Learner(config, fold.train, device=device)
        alone.append(learner.step(learner.draw(rows)))
    return agree([ours], [torch.stack(alone)])


def check_network(name: str, device: str) -> str:
    config = load_config("smoke", system=name)
    model, side = build_model(config, 28, 3), config.input.side(28)
    times = () if config.input.frames == 1 else (config.input.frames,)
    maps = torch.randn(2, *times, len(config.input.channels), side, side)
    with evaluation_mode(model), torch.no_grad():
        expected = model(maps)
        return agree([model.to(device)(maps.to(device))], [expected])


def compare(
    ours: Callable[..., Tensor],
    exact: Callable[..., Tensor],
    arguments: Sequence[Tensor],
    device: str,
) -> str:
    """Compare values and gradients, of parameters too, with those in float64 on the CPU."""
    found = []
    for work, kind, where in ((ours, torch.float32, device), (exact, torch.float64, "cpu")):
        own = [argument.to(where, kind, copy=True).requires_grad_() for argument in arguments]
        y, parameters = work(*own), [*work.parameters()] if isinstance(work, nn.Module) else []
        weights = torch.linspace(-1, 1, y.numel(), dtype=torch.float64).view_as(y).to(y)
        found.append([y, *torch.autograd.grad((y * weights).sum(), [*own, *parameters])])
    return agree(*found)


def agree(ours: Sequence[Tensor], theirs: Sequence[Tensor]) -> str:
    """Say by which share of the largest number they differ; `HmrmError` if it is more."""
    off = 0.0
    for pair in zip(ours, theirs, strict=True):
        one, other = (tensor.detach().cpu().double() for tensor in pair)
        off = max(off, float((one - other).abs().max() / other.abs().max().clamp_min(1e-12)))
    if not off <= ROUNDING:
        raise HmrmError(f"it is off by {off:.0e}, and rounding by less than {ROUNDING:.0e}")
    return f"off by {off:.0e}"


def _fold(*overrides: str) -> tuple[ExperimentConfig, FlowSet]:
    """The built-in faces of the smoke preset, with its HMRM."""
    config = load_config("smoke", overrides=overrides)
    return config, load_flowset(config)
