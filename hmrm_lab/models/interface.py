"""How systems are registered: cards, recipes, types of options, and the interface of estimators.

A network is built from `channels`, `size` and `classes`: it takes maps (B, channels, size, size) to
logits (B, scales, classes), and says which sizes in pixels it reads.
"""

import hashlib
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial, wraps
from pathlib import Path
from typing import Annotated, Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from hmrm_lab.records import Floats, Ints
from hmrm_lab.registry import Card, Recipe, systems

CARDS = tomllib.loads(Path(__file__).with_name("cards.toml").read_text(encoding="utf-8"))

Features = Annotated[int, Field(ge=1, le=1024)]  # numbers of a token, filters of a layer
Layers = Annotated[int, Field(ge=1, le=64)]
Heads = Annotated[int, Field(ge=1, le=64)]  # the width limits them further
Dropped = Annotated[float, Field(ge=0, lt=1)]  # share that dropout removes

Blocks = Annotated[int, Field(ge=1, le=448)]  # along a side; the map limits them further
Bins = Annotated[int, Field(ge=1, le=360)]  # of directions
Radius = Annotated[int, Field(ge=1, le=448)]  # pixels or frames
InnerFolds = Annotated[int, Field(ge=2)]  # groups of training subjects


def system(
    name: str, recipe: Recipe | None = None, *, card: str = ""
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register a system of this package, with the card that `cards.toml` has under its name.

    A `card` names that of a family.
    """
    fields: dict[str, Any] = dict(CARDS[card or name])
    source, departures = fields.pop("source"), fields.pop("departures")
    texts = [text for one in departures for text in CARDS["shared"].get(one, [one])]
    whole = Card(departures=tuple(texts), needs=tuple(fields.pop("needs", ())), **fields)
    return systems.register(name, recipe=recipe, source=source, card=whole)


def recipe(
    *channels: str,
    normalise: str = "median_rms",
    augment: dict[str, Any] | None = None,
    loss: dict[str, Any] | None = None,
    **training: Any,
) -> Recipe:
    """Make the recipe of a network with neither MotionMix nor focal loss, unless named."""
    return {
        "input": {"channels": list(channels), "normalise": normalise},
        "augment": {"motionmix": 0.0, **(augment or {})},
        "loss": {"gamma": 0.0, **(loss or {})},
        "training": training,
    }


ADAM: dict[str, Any] = {"optimizer": "adam", "weight_decay": 0.0}
ADAMW: dict[str, Any] = {"optimizer": "adamw", "weight_decay": 0.05}

PICTURE_RECIPE = recipe("u", "v", "strain", epochs=12, batch=32, lr=2e-3, schedule="cosine", **ADAM)
"""For networks whose authors never trained them on motion maps."""
MAP_RECIPE = recipe(
    *("u", "v", "strain"),
    augment={"flip": True},
    loss={"class_weight_power": 0.75},
    epochs=40,
    batch=64,
    lr=1e-3,
    schedule="cosine",
    warmup_epochs=4,
    **ADAMW,
)
"""For systems whose authors' settings are not public, or were made for other input."""

Inputs = NDArray[Any]


@runtime_checkable
class Estimator(Protocol):
    """A system that learns from all training clips at once, without epochs.

    Its builder takes the number of classes, and its settings as keyword arguments. `state_dict`
    holds everything learnt, as tensors.

    Shapes
    ------
    inputs : (n, C, H, W) float32 flow maps of the named channels, normalised, or
        (n, T, S, S) uint8 gray clips; the card says which
    labels : (n,)
    subjects : `dataset/subject` of each clip, for choices on held-out subjects
    probabilities : (n, K) float32, each clip by itself
    """

    def fit(self, inputs: Inputs, labels: Ints, subjects: Sequence[str], *, seed: int) -> None: ...

    def probabilities(self, inputs: Inputs) -> Floats: ...

    def state_dict(self) -> dict[str, Tensor]: ...

    def load_state_dict(self, tensors: Mapping[str, Tensor]) -> None:
        """Load a fitted state; raise `RuntimeError` if a tensor is missing or of another shape."""


Descriptor = Callable[[Inputs], Floats]  # one clip's input to (F,) float32
CACHED = 4096  # descriptors of clips kept in a process; 80 MB of the longest

_cached: dict[str, Floats] = {}
_bypassed: ContextVar[bool] = ContextVar("bypassed", default=False)


def cached_descriptor(describe: "partial[Floats]") -> Descriptor:
    """Compute a descriptor once for each clip.

    It is found by the clip's own pixels and by the settings, so that nothing passes between folds.
    """
    settings = f"{describe.func.__qualname__} {sorted(describe.keywords.items())}"

    @wraps(describe.func)
    def cached(clip: Inputs) -> Floats:
        if _bypassed.get():
            return describe(clip)
        digest = hashlib.sha256(f"{settings} {clip.shape} {clip.dtype.str}".encode())
        digest.update(np.ascontiguousarray(clip).tobytes())
        name = digest.hexdigest()
        if name not in _cached:
            if len(_cached) >= CACHED:
                del _cached[next(iter(_cached))]
            _cached[name] = describe(clip)
        return _cached[name]

    return cached


@contextmanager
def bypass_cache() -> Iterator[None]:
    """Compute every descriptor again and cache none, for timing."""
    before = _bypassed.set(True)
    try:
        yield
    finally:
        _bypassed.reset(before)
