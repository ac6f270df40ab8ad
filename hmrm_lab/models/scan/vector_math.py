"""Machine code by numba: how it is compiled, and functions of one float32 number that vectorise.

numba would call the scalar functions of the C library, and its fast-math flags are wrong by 25 to
99 % here.
"""

import atexit
import logging
import os
from collections.abc import Callable
from functools import cache, partial
from shutil import rmtree
from tempfile import mkdtemp
from typing import Any, TypeAlias

import numba
import numpy as np
from numpy.typing import NDArray

log = logging.getLogger(__name__)

Array: TypeAlias = NDArray[np.float32]

f32 = np.float32
LOG2_E = f32(1.4426950408889634)
LN_2_HIGH, LN_2_LOW = f32(0.693359375), f32(-2.12194440e-4)  # their sum is ln 2
ROUND = f32(1.5 * 2**23)  # adding it rounds to a whole number, which the low bits then hold
SMALLEST = f32(-126.0)  # two to the power of less is no normal number
ZERO, ONE, TWO = f32(0.0), f32(1.0), f32(2.0)


def compiled(function: Callable[..., Any], *, reorder: bool = True, inside: bool = False) -> Any:
    """Compile: products may be fused and sums taken in any order; nothing else is loosened."""
    flags = {"contract", "reassoc", "nsz"} if reorder else {"contract"}
    jit = numba.njit(
        cache=True, nogil=True, error_model="numpy", fastmath=flags, forceinline=inside
    )
    try:
        return jit(function)
    except RuntimeError:  # neither beside this file nor at home can it be cached
        _cache_elsewhere()
        return jit(function)


inlined = partial(compiled, inside=True)  # into every caller
in_order = partial(compiled, reorder=False)  # reordering would cancel the rounding by `ROUND`


@cache
def _cache_elsewhere() -> None:
    """Cache machine code until this process ends; child processes use it."""
    folder = mkdtemp(prefix="hmrm-numba-")
    atexit.register(rmtree, folder, ignore_errors=True)
    os.environ["NUMBA_CACHE_DIR"] = folder
    numba.config.reload_config()
    log.warning(
        "machine code is compiled anew, as neither the installation nor the home folder can be "
        "written; set NUMBA_CACHE_DIR to a folder that can"
    )


@in_order
def fraction(f: np.float32) -> np.float32:
    """2^f - 1 for |f| <= 1/2, to 2e-9: the polynomial of least greatest error, fitted here."""
    p = f32(1.5353361959569156e-4)
    p = p * f + f32(1.3398873852565885e-3)
    p = p * f + f32(9.61843691766262e-3)
    p = p * f + f32(5.5503323674201965e-2)
    p = p * f + f32(2.4022647738456726e-1)
    p = p * f + f32(6.931471824645996e-1)
    return f32(p * f)


@in_order
def scale(p: np.float32, shifted: np.float32) -> np.float32:
    """p 2^n, where `shifted` is n + ROUND: n is added to the exponent."""
    n = np.int32(f32(shifted).view(np.int32) << np.int32(23))
    return np.int32(f32(p).view(np.int32) + n).view(np.float32)


@in_order
def split(x: np.float32) -> tuple[np.float32, np.float32]:
    """x log2 e for x <= 0, as a whole number + ROUND, and the power of the rest less 1."""
    x = max(x, SMALLEST * LN_2_HIGH)
    shifted = f32(x * LOG2_E + ROUND)
    n = shifted - ROUND
    rest = x - n * LN_2_HIGH
    return shifted, fraction((rest - n * LN_2_LOW) * LOG2_E)


@in_order
def exp2(x: np.float32) -> np.float32:
    """2^x for x <= 0 to about one unit in the last place, in operations that vectorise."""
    x = max(x, SMALLEST)
    shifted = f32(x + ROUND)
    return scale(ONE + fraction(x - (shifted - ROUND)), shifted)


@in_order
def exp(x: np.float32) -> np.float32:
    """exp(x) for x <= 0, likewise."""
    shifted, rest = split(x)
    return scale(ONE + rest, shifted)


@in_order
def complement(x: np.float32) -> np.float32:
    """1 - exp(-x) for x >= 0, exact for small values too."""
    shifted, rest = split(-x)
    whole = scale(ONE, shifted)
    return (ONE - whole) - whole * rest


@compiled
def softplus(x: np.float32) -> np.float32:
    """log(1 + exp(x)), exact for small values too: log(1 + e) = 2 artanh(e / (2 + e))."""
    e = exp(-abs(x))
    s = e / (TWO + e)
    q = s * s
    p = f32(1 / 13)
    p = p * q + f32(1 / 11)
    p = p * q + f32(1 / 9)
    p = p * q + f32(1 / 7)
    p = p * q + f32(1 / 5)
    p = p * q + f32(1 / 3)
    return max(x, ZERO) + TWO * (s + s * q * p)


@compiled
def sigmoid(x: np.float32) -> np.float32:
    e = exp(-abs(x))
    return (ONE if x >= ZERO else e) / (ONE + e)


@compiled
def silu_slope(x: np.float32) -> np.float32:
    """The derivative of x sigmoid(x)."""
    s = sigmoid(x)
    return s * (ONE + x * (ONE - s))
