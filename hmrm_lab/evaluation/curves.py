"""Training curves for TensorBoard, where it is installed (extra `curves`).

Written from a unit's record once it is there, so that it matters not where the unit was computed.
"""

from functools import cache
from importlib.util import find_spec
from typing import Any

from hmrm_lab.runtime.store import RunFolder


@cache
def tensorboard_installed() -> bool:
    return find_spec("tensorboard") is not None


def write_curves(run: RunFolder, unit: dict[str, Any]) -> None:
    """`RUN/tensorboard/<unit>/`: the loss of every epoch of its last training, if it had any."""
    if not tensorboard_installed() or not unit["losses"]:
        return
    from torch.utils.tensorboard import SummaryWriter

    name = run.unit_file(unit["fold"], unit["seed"]).stem
    with SummaryWriter(run.path / "tensorboard" / name) as writer:
        for epoch, loss in enumerate(unit["losses"], start=1):
            writer.add_scalar("training loss", loss, epoch)
