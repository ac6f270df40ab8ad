"""Functions of one float32 number that numba turns into vector instructions.

numba calls the scalar functions of the C library otherwise, and the fast-math flags that would
give vector ones are wrong by 25 to 99 % here.
"""

from collections.abc import Callable
from typing import Any

import numba
import numpy as np

f32 = np.float32
LOG2_E = f32(1.4426950408889634)
LN_2_HIGH, LN_2_LOW = f32(0.693359375), f32(-2.12194440e-4)  # their sum is ln 2
ROUND = f32(1.5 * 2**23)  # adding it rounds to a whole number, which the low bits then hold
SMALLEST = f32(-87.0)  # exp of less is no normal number
ZERO, ONE, TWO = f32(0.0), f32(1.0), f32(2.0)


def compiled(function: Callable[..., Any], *, reorder: bool = True) -> Any:
    """Products may be fused and sums taken in any order; nothing else is loosened."""
    flags = {"contract", "reassoc", "nsz"} if reorder else {"contract"}
    return numba.njit(cache=True, nogil=True, error_model="numpy", fastmath=flags)(function)


def _exp(x: np.float32) -> np.float32:
    """exp(x) for x <= 0 to about one unit in the last place, in operations that vectorise.

    x = n ln 2 + r; exp(r) is the polynomial of Cephes (expf), and n is added to its exponent.
    Reordering would cancel the rounding by `ROUND`, hence it is off here.
    """
    x = max(x, SMALLEST)
    shifted = f32(x * LOG2_E + ROUND)
    n = shifted - ROUND
    r = x - n * LN_2_HIGH
    r = r - n * LN_2_LOW
    p = f32(1.9875691500e-4)
    p = p * r + f32(1.3981999507e-3)
    p = p * r + f32(8.3334519073e-3)
    p = p * r + f32(4.1665795894e-2)
    p = p * r + f32(1.6666665459e-1)
    p = p * r + f32(5.0000001201e-1)
    p = f32(p * r * r + r + ONE)
    exponent = np.int32(shifted.view(np.int32) << np.int32(23))
    return np.int32(p.view(np.int32) + exponent).view(np.float32)


exp = compiled(_exp, reorder=False)


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
