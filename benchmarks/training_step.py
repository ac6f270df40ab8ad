"""How much faster is a training step of HMRM than with the other scans? One thread.

Each side is a process of its own, since how memory is kept is settled once in a process. A plain
side is torch as it comes; ours is as a fold trains. "memory kept" gives the other side our memory
settings as well, so that only the model's code differs; "ours in bfloat16" is a fold with
`training.bfloat16`, the other side in float32.
"""

import os

os.environ["OMP_NUM_THREADS"] = "1"

from argparse import ArgumentParser, Namespace
from collections.abc import Iterator

import torch
from children import Child, serve
from harness import Ratio, Side, alternate, at_least, main, rounds_of, timed
from loop_scan import settle_scan

from hmrm_lab.datasets.classes import MEGC3
from hmrm_lab.models.hmrm import HMRM
from hmrm_lab.models.layers import in_bfloat16
from hmrm_lab.runtime.processes import settle_process

BATCH, SETTINGS = 128, {"width": 192, "depth": 4}
SMALL_BATCH, SMALL = 2, {"width": 8, "depth": 1}
BOUNDS = {"reference": 25.0, "loop": 3.5}
SIDES = (
    ("plain", "kept:auto", ""),
    ("plain", "kept:auto:bfloat16", ", ours in bfloat16"),
    ("kept", "kept:auto", ", memory kept"),
)  # theirs, ours, in words


def measure(options: Namespace) -> Iterator[Ratio]:
    if options.side:
        kept, scan, *rounded = options.side.split(":")
        settled = kept == "kept"
        serve(step(scan, settled=settled, quick=options.quick, bfloat16=bool(rounded)))
        return
    size = "width 8, depth 1, batch 2" if options.quick else "width 192, depth 4, batch 128"
    for scan, claimed in BOUNDS.items():
        for theirs, ours, words in SIDES:
            with _child(f"{theirs}:{scan}", options) as slow, _child(ours, options) as fast:
                taken = alternate({"slow": slow, "fast": fast}, rounds_of(options, 5))
            bounded = theirs == "plain" and not options.quick
            yield Ratio(
                f"training step: ours to {scan}{words}",
                f"one training step of HMRM, 20 tokens, {size}",
                *(scan, "ours", taken["slow"], taken["fast"]),
                bound=at_least(claimed) if bounded else None,
            )


def step(scan: str, *, settled: bool, quick: bool, bfloat16: bool = False) -> Side:
    """Forward, loss, backward and the optimizer's step on fixed random maps."""
    torch.set_num_threads(1)
    if settled:
        settle_process()
    torch.manual_seed(0)
    settings, batch = (SMALL, SMALL_BATCH) if quick else (SETTINGS, BATCH)
    model = HMRM(3, 28, 3, tokens="windows", scan=settle_scan(scan), **settings).train()
    model = in_bfloat16(model) if bfloat16 else model
    maps, labels = torch.randn(batch, 3, 28, 28), torch.arange(batch) % len(MEGC3.classes)
    optimizer = torch.optim.AdamW(model.parameters(), fused=True)  # as a fold has it

    def train() -> None:
        optimizer.zero_grad()
        scales = model(maps).unbind(1)
        sum(torch.nn.functional.cross_entropy(logits, labels) for logits in scales).backward()
        optimizer.step()

    return timed(train)


def _child(side: str, options: Namespace) -> Child:
    return Child(__file__, "--side", side, *(["--quick"] if options.quick else []))


def _arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--side", help="only serve as this side")


if __name__ == "__main__":
    main(measure, _arguments)
