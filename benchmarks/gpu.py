"""What a GPU makes of it; skipped where there is none.

The scan to the reference, to mamba-ssm's kernel and to a copy of as many bytes; a training with
recorded steps (CUDA graphs) to the same without; several folds on one GPU to one, in processes or
stacked in one model, with the memory that takes; and the preset `paper-literal` on synthetic clips
of the size of the MEGC 2019 composite, with both kinds of tokens. `--epochs` makes the last ones
shorter, and their bounds in proportion. A fold that fails fails the benchmark.
"""

import os

os.environ["OMP_NUM_THREADS"] = "1"

import tempfile
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import torch
from harness import Level, Ratio, Result, Skipped, alternate, at_least, at_most, main, rounds_of
from selective_scan import draw

from hmrm_lab.config import load_config
from hmrm_lab.models.scan import selective_scan
from hmrm_lab.preparation import load_flowset
from hmrm_lab.records import FlowSet
from hmrm_lab.studies.experiment import run_experiment
from hmrm_lab.training.stacked import FoldToFit, fit_stack
from hmrm_lab.training.trainer import fit

SHAPES = [(256, 384, 4, 16), (128, 384, 16, 16), (128, 384, 49, 16), (64, 384, 196, 16)]
COMPOSITE = ("data.subjects=68", "data.clips=442")
JOBS, FOLDS = 8, 68  # folds at a time on one GPU; subjects of the composite
WINDOWS = "model.tokens=windows"  # pixel tokens of so many folds do not fit
VARIANTS = {WINDOWS: 600.0, "model.tokens=pixels": 1.5 * 6 * 3600}  # the most seconds, all epochs


def measure(options: Namespace) -> Iterator[Result]:
    if not torch.cuda.is_available():
        yield Skipped("GPU", "no CUDA device")
        return
    yield from _scans(rounds_of(options, 7))
    yield from _composite(options)


def _scans(rounds: int) -> Iterator[Result]:
    for shape in SHAPES:
        words = "x".join(map(str, shape))
        others = ["reference", *(["mamba_ssm"] if find_spec("mamba_ssm") else [])]
        sides = {name: _on_gpu(_scan(shape, name)) for name in ("cuda", *others)}
        arguments, gradient = draw(*shape)  # read twice, and their gradients written once
        numbers = 3 * sum(tensor.numel() for tensor in arguments) + 2 * gradient.numel()
        sides["copy"] = _on_gpu(torch.empty(numbers // 2, device="cuda").clone)
        taken = alternate(sides, rounds, warm=3)
        for name in others:
            bound = at_least(1.0) if name == "mamba_ssm" else None
            title = f"GPU, scan {words}: cuda to {name}"
            what = "selective scan, forward and backward, shape B x D x L x N"
            yield Ratio(title, what, name, "cuda", taken[name], taken["cuda"], bound=bound)
        title = f"GPU, scan {words}: cuda to a copy of what it reads and writes"
        yield Ratio(
            title, "the bandwidth of the card", "cuda", "copy", taken["cuda"], taken["copy"]
        )


def _scan(shape: tuple[int, ...], name: str) -> Callable[[], object]:
    arguments, handed_in = draw(*shape)
    there = [argument.detach().cuda().requires_grad_() for argument in arguments]
    gradient = handed_in.cuda()
    return lambda: torch.autograd.grad(selective_scan(*there, backend=name), there, gradient)


def _composite(options: Namespace) -> Iterator[Result]:
    config = load_config("paper-literal", system="hmrm", data="synthetic", overrides=COMPOSITE)
    flowset = load_flowset(config, None, jobs=os.cpu_count() or 1)
    few = options.epochs or (2 if options.quick else 20)
    recorded = {
        words: _on_gpu(lambda on=on: _train(flowset, few, on))
        for words, on in (("as it comes", False), ("recorded", True))
    }
    taken = alternate(recorded, rounds_of(options, 3))
    what = f"one training of the paper preset, {few} epochs"
    yield Ratio("GPU, training: recorded steps", what, *recorded, *taken.values())
    for on in (False, True):
        sides = {
            "one": lambda on=on: _loso(flowset, few, 1, on),
            "several": lambda on=on: _loso(flowset, few, JOBS, on),
        }
        taken = alternate(sides, 1, warm=0)
        name = f"GPU, LOSO{', recorded steps' if on else ''}: {JOBS} folds at a time to one"
        yield Ratio(name, f"68 folds, {few} epochs", "one", "several", *taken.values())
    for stack in (JOBS, FOLDS):
        sides = {
            "processes": lambda: _loso(flowset, few, JOBS, True, WINDOWS),
            "stacked": lambda stack=stack: _loso(flowset, few, 1, False, WINDOWS, stack=stack),
        }
        taken = alternate(sides, 1, warm=0)
        name = f"GPU, LOSO: {stack} folds in one model to {JOBS} processes, recorded"
        yield Ratio(name, f"68 folds, {few} epochs", "processes", "stacked", *taken.values())
    for stack in (1, JOBS, FOLDS):
        yield Level(
            f"GPU, memory: {stack} folds", "most at once, one epoch", "GiB", [_peak(flowset, stack)]
        )
    if options.quick:
        return
    epochs = options.epochs or config.training.epochs
    for variant, most_s in VARIANTS.items():
        seconds = [_loso(flowset, epochs, 1, False, variant, stack=None)]
        bound = at_most(most_s * epochs / config.training.epochs)
        yield Level(
            f"GPU, LOSO, {variant}", f"68 folds, {epochs} epochs", "s", seconds, bound=bound
        )


def _train(flowset: FlowSet, epochs: int, recorded: bool) -> None:
    fit(_config(epochs, recorded), flowset, seed=0, device="cuda:0")


def _peak(flowset: FlowSet, stack: int) -> float:
    torch.cuda.reset_peak_memory_stats()
    folds = [FoldToFit(flowset, seed, 0) for seed in range(stack)]
    fit_stack(_config(1, False, WINDOWS), folds, device="cuda:0")
    return torch.cuda.max_memory_allocated() / 2**30


def _loso(
    flowset: FlowSet, epochs: int, jobs: int, recorded: bool, *changes: str, stack: int | None = 1
) -> float:
    with tempfile.TemporaryDirectory() as out:
        started = time.perf_counter()
        run = run_experiment(
            _config(epochs, recorded, *changes),
            out=Path(out),
            jobs=jobs,
            devices=("cuda:0",),
            stack=stack,
            flowset=flowset,
            final_model=False,
        )
        if failures := run.failures():
            raise SystemExit(f"{len(failures)} folds failed: {failures[0]}")
        return time.perf_counter() - started


def _config(epochs: int, recorded: bool, *more: str):
    changes = [*more, f"training.epochs={epochs}", f"training.cuda_graphs={str(recorded).lower()}"]
    return load_config(
        "paper-literal", system="hmrm", data="synthetic", overrides=[*COMPOSITE, *changes]
    )


def _on_gpu(work: Callable[[], object]) -> Callable[[], float]:
    def side() -> float:
        torch.cuda.synchronize()
        started = time.perf_counter()
        work()
        torch.cuda.synchronize()
        return time.perf_counter() - started

    return side


def _arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--epochs", type=int, help="fewer epochs than the preset's")


if __name__ == "__main__":
    main(measure, _arguments)
