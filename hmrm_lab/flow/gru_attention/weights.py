"""Weights of GRU-AOFE on disk: safetensors, with the network's settings in the header."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from hmrm_lab.errors import InputError
from hmrm_lab.flow.gru_attention.estimator import GRUFlow
from hmrm_lab.runtime.tensors import read_header, read_tensors, write_weights

SHIPPED = Path(__file__).parents[1] / "weights" / "gru_attention.safetensors"


def save_weights(path: Path, network: GRUFlow, *, subjects: Iterable[str]) -> None:
    """Write the weights, the settings that rebuild the network, and whom it was trained on."""
    write_weights(path, network.state_dict(), subjects=subjects, settings=network.settings)


def load_weights(path: Path = SHIPPED, **changes: Any) -> GRUFlow:
    """The network of a file, ready to estimate.

    Parameters
    ----------
    changes
        Settings of `GRUFlow` that do not change its weights: `iterations` and `volume`.

    Raises
    ------
    InputError
        If the file is missing, cut off, or holds another network.
    """
    if not path.is_file():
        raise InputError("no such weights", where=path, mend="check the path")
    metadata, tensors = read_tensors(
        path, problem="not readable as weights", mend="copy or train them again"
    )
    try:
        network = GRUFlow(**{**_tuples(read_header(metadata).get("settings")), **changes})
        network.load_state_dict(tensors)
    except (TypeError, AttributeError, RuntimeError):
        raise InputError(
            "these are no weights of GRU-AOFE", where=path, mend="give a file of `pretrain`"
        ) from None
    return network.eval()


def _tuples(settings: Any) -> dict[str, Any]:
    """JSON knows lists only."""
    return {name: tuple(v) if isinstance(v, list) else v for name, v in settings.items()}
