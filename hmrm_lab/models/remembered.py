"""Descriptions of clips, computed once in a process: every fold but one asks for them again."""

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial, wraps

import numpy as np

from hmrm_lab.models.estimator import Inputs
from hmrm_lab.records import Floats

Describe = Callable[[Inputs], Floats]  # one clip's input to (F,) float32
REMEMBERED = 4096  # descriptions kept in a process; 80 MB of the longest

_known: "OrderedDict[str, Floats]" = OrderedDict()
_anew: ContextVar[bool] = ContextVar("anew", default=False)


def remembered(describe: "partial[Floats]") -> Describe:
    """The same description, computed once for a clip.

    It is found by the clip's own pixels and by the settings, so that no fold can hand anything to
    another.
    """
    settings = f"{describe.func.__qualname__} {sorted(describe.keywords.items())}"

    @wraps(describe.func)
    def known(clip: Inputs) -> Floats:
        if _anew.get():
            return describe(clip)
        digest = hashlib.sha256(f"{settings} {clip.shape} {clip.dtype.str}".encode())
        digest.update(np.ascontiguousarray(clip).tobytes())
        name = digest.hexdigest()
        if name not in _known:
            _known[name] = describe(clip)
            while len(_known) > REMEMBERED:
                _known.popitem(last=False)
        return _known[name]

    return known


@contextmanager
def described_anew() -> Iterator[None]:
    """Within it every description is computed, and none is kept: for timing."""
    before = _anew.set(True)
    try:
        yield
    finally:
        _anew.reset(before)
