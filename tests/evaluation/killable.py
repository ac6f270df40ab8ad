"""`hmrm` with a checkpoint after every epoch, killed at a chosen point.

A point is `module attribute N moment`: the N-th call in this process kills the process group
`before` or `after` it is made, or in its `middle`, for calls that write bytes.
"""

import os
import signal
import sys
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

from hmrm_lab import cli
from hmrm_lab.evaluation import fold, loso
from hmrm_lab.training.checkpoint import RunningFold

unit_as_ever = fold.run_fold


def hasty(*arguments: Any, **options: Any) -> dict[str, Any]:
    """A unit of work as ever, but for its checkpoints; imported by its name in workers."""
    fold.RunningFold = partial(RunningFold, every_s=0.0)
    return unit_as_ever(*arguments, **options)


def die() -> None:
    os.killpg(0, signal.SIGKILL)


def arm(module: str, attribute: str, number: str, moment: str) -> None:
    """Let the call kill this process and all that it has started."""
    *path, name = attribute.split(".")
    owner: Any = import_module(module)
    for part in path:
        owner = getattr(owner, part)
    original = getattr(owner, name)
    calls = 0

    def armed(*arguments: Any, **options: Any) -> Any:
        nonlocal calls
        calls += 1
        fatal = calls == int(number)
        if fatal and moment == "middle":
            place, content = arguments
            arguments = place, content[: len(content) // 2]
        if fatal and moment == "before":
            die()
        result = original(*arguments, **options)
        if fatal:
            if moment == "middle":
                result.__enter__()
            die()
        return result

    setattr(owner, name, armed)


def run(place: Path, arguments: list[str], point: str) -> None:
    """Run the command in this process, which becomes the leader of a group."""
    os.setsid()
    os.environ["HMRM_CACHE"] = str(place / "cache")
    loso.run_fold = hasty
    if point:
        arm(*point.split())
    sys.argv = ["hmrm", *arguments]
    with Path(os.devnull).open("w") as nowhere:
        sys.stdout = sys.stderr = nowhere
        cli.main()
