"""How systems are registered, the types of their options, and the interface of estimators.

A network is built from `channels`, `size` and `classes`: it takes maps (B, channels, size, size) to
logits (B, scales, classes), and says which sizes in pixels it reads. One whose card has `sequences`
takes (B, T, channels, size, size) as well, for any T.
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
from hmrm_lab.registry import Card, systems

SYSTEMS = tomllib.loads(Path(__file__).with_name("systems.toml").read_text(encoding="utf-8"))

SHARPNESS = 10.0  # of the softmax over lengths or cosines, -1..1, which it could hardly tell apart

Features = Annotated[int, Field(ge=1, le=1024)]  # numbers of a token, filters of a layer
Layers = Annotated[int, Field(ge=1, le=64)]
Heads = Annotated[int, Field(ge=1, le=64)]  # the width limits them further
Dropped = Annotated[float, Field(ge=0, lt=1)]  # share that dropout removes

Blocks = Annotated[int, Field(ge=1, le=448)]  # along a side; the map limits them further
Bins = Annotated[int, Field(ge=1, le=360)]  # of directions
Radius = Annotated[int, Field(ge=1, le=448)]  # pixels or frames
InnerFolds = Annotated[int, Field(ge=2)]  # groups of training subjects


def system(name: str, *, family: str = "") -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register a system of this package, with the card and recipe of its name or family."""
    fields: dict[str, Any] = dict(SYSTEMS[family or name])
    own = dict(fields.pop("recipe", {}))
    recipe = {**SYSTEMS["recipes"].get(own.pop("from", ""), {}), **own}
    source, departures = fields.pop("source"), fields.pop("departures")
    texts = [text for one in departures for text in SYSTEMS["shared"].get(one, [one])]
    card = Card(departures=tuple(texts), needs=tuple(fields.pop("needs", ())), **fields)
    return systems.register(name, recipe=recipe, source=source, card=card)


Inputs = NDArray[Any]


@runtime_checkable
class Estimator(Protocol):
    """A system that learns from all training clips at once, without epochs.

    Its builder takes the number of classes, and its settings as keyword arguments. Inputs are
    (n, C, H, W) float32 flow maps of the named channels, normalised, or (n, T, S, S) uint8 gray
    clips, as its card says; subjects are `dataset/subject` of each clip. Probabilities are (n, K)
    float32, each clip by itself. `state_dict` holds everything learnt, as tensors.
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
