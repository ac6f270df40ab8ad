"""Machine code by numba: how it is compiled, vector functions, and the records a scan works on.

The functions take one float32 number and become vector instructions: numba would call the scalar
functions of the C library, and its fast-math flags are wrong by 25 to 99 % here.

A record holds rows of 64 channels and stays in the first cache. Rows of one record cannot overlap,
so that a loop over channels is vectorised without a check. Two states lie side by side, since two
together read half as much.
"""

import atexit
import logging
import os
from collections.abc import Callable
from functools import cache
from shutil import rmtree
from tempfile import mkdtemp
from typing import Any, NamedTuple, TypeAlias

import numba
import numpy as np
import torch
from numpy.typing import NDArray

log = logging.getLogger(__name__)

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


def inlined(function: Callable[..., Any]) -> Any:
    """Compile into every caller."""
    return compiled(function, inside=True)


def _fraction(f: np.float32) -> np.float32:
    """2^f - 1 for |f| <= 1/2, to 2e-9: the polynomial of least greatest error, fitted here."""
    p = f32(1.5353361959569156e-4)
    p = p * f + f32(1.3398873852565885e-3)
    p = p * f + f32(9.61843691766262e-3)
    p = p * f + f32(5.5503323674201965e-2)
    p = p * f + f32(2.4022647738456726e-1)
    p = p * f + f32(6.931471824645996e-1)
    return f32(p * f)


def _scale(p: np.float32, shifted: np.float32) -> np.float32:
    """p 2^n, where `shifted` is n + ROUND: n is added to the exponent."""
    n = np.int32(f32(shifted).view(np.int32) << np.int32(23))
    return np.int32(f32(p).view(np.int32) + n).view(np.float32)


def _split(x: np.float32) -> tuple[np.float32, np.float32]:
    """x log2 e for x <= 0, as a whole number + ROUND, and the power of the rest less 1."""
    x = max(x, SMALLEST * LN_2_HIGH)
    shifted = f32(x * LOG2_E + ROUND)
    n = shifted - ROUND
    rest = x - n * LN_2_HIGH
    return shifted, fraction((rest - n * LN_2_LOW) * LOG2_E)


# Reordering would cancel the rounding by `ROUND`, hence it is off in these.
fraction, scale, split = (compiled(f, reorder=False) for f in (_fraction, _scale, _split))


def _exp2(x: np.float32) -> np.float32:
    """2^x for x <= 0 to about one unit in the last place, in operations that vectorise."""
    x = max(x, SMALLEST)
    shifted = f32(x + ROUND)
    return scale(ONE + fraction(x - (shifted - ROUND)), shifted)


def _exp(x: np.float32) -> np.float32:
    """exp(x) for x <= 0, likewise."""
    shifted, rest = split(x)
    return scale(ONE + rest, shifted)


def _complement(x: np.float32) -> np.float32:
    """1 - exp(-x) for x >= 0, exact for small values too."""
    shifted, rest = split(-x)
    whole = scale(ONE, shifted)
    return (ONE - whole) - whole * rest


exp2, exp, complement = (compiled(f, reorder=False) for f in (_exp2, _exp, _complement))


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


Array: TypeAlias = NDArray[np.float32]
Flags: TypeAlias = NDArray[np.bool_]

BLOCK = 64  # channels of a record
ROW, PAIR = (BLOCK,), (2, BLOCK)
ONE_STEP = np.uintp(1)  # unsigned: a position is then known not to count from the end

# Of `y` the backward pass holds the gradient.
TOKEN = np.dtype(
    [(name, f32, ROW) for name in ("x", "dt", "drive", "y", "grad_drive", "grad_step")]
    + [(name, f32, PAIR) for name in ("state", "decay")]
)
# `rate` is A log2 e; `carried` is the gradient of the state, passed to the step before.
STATES = np.dtype([(name, f32, PAIR) for name in ("A", "rate", "carried", "grad_A")])
SKIP = np.dtype([(name, f32, ROW) for name in ("skip", "grad_skip")])


class Scan(NamedTuple):
    """The arguments of a scan of S sequences, or their gradients.

    x, dt (S, L, D); A (G, N, D), the transpose of the equation's, N even; B, C (S, L, N);
    skip (G, D). Sequence s is of group s // (S / G).
    """

    x: Array
    dt: Array
    A: Array
    B: Array
    C: Array
    skip: Array


class Work(NamedTuple):
    """Records for one sequence and the weights of one group, in blocks of channels.

    tokens (blocks, L); states (blocks, N / 2); skip (blocks,). `back` counts the tokens down from
    the last to the second: LLVM makes no vector instructions inside a loop that itself counts down.
    """

    tokens: NDArray[Any]
    states: NDArray[Any]
    skip: NDArray[Any]
    back: NDArray[np.uintp]


def make_work(length: int, states: int, width: int) -> Work:
    blocks = -(-width // BLOCK)
    return Work(
        _records(blocks * length, TOKEN).reshape(blocks, -1),
        _records(blocks * states // 2, STATES).reshape(blocks, -1),
        _records(blocks, SKIP),
        np.arange(length - 1, 0, -1, dtype=np.uintp),
    )


def _records(count: int, kind: np.dtype[Any]) -> NDArray[Any]:
    """Allocate records that begin at a cache line, as torch's memory does."""
    return torch.empty(count * kind.itemsize, dtype=torch.uint8).numpy().view(kind)


@inlined
def place(step: int, length: int, reverse: bool) -> int:
    """Return the token of a step."""
    return length - 1 - step if reverse else step


@inlined
def take(row: Array, block: int, values: Array) -> None:
    """Read the values of a block, with zeros past their end."""
    given = values[block * BLOCK : (block + 1) * BLOCK]
    for d in range(len(given)):
        row[d] = given[d]
    for d in range(len(given), BLOCK):
        row[d] = ZERO


@inlined
def give(row: Array, block: int, values: Array) -> None:
    """Write the values of a block."""
    given = values[block * BLOCK : (block + 1) * BLOCK]
    for d in range(len(given)):
        given[d] = row[d]


@compiled
def load_weights(A: Array, skip: Array, work: Work) -> None:
    for block in range(len(work.skip)):
        take(work.skip[block].skip, block, skip)
        work.skip[block].grad_skip[:] = ZERO
        for n in range(len(A)):
            states = work.states[block, n // 2]
            take(states.A[n % 2], block, A[n])
            for d in range(BLOCK):
                states.rate[n % 2, d] = states.A[n % 2, d] * LOG2_E
                states.grad_A[n % 2, d] = ZERO


@compiled
def load_tokens(x: Array, dt: Array, reverse: bool, work: Work) -> None:
    blocks, length = work.tokens.shape
    for step in range(length):
        x_t, dt_t = x[place(step, length, reverse)], dt[place(step, length, reverse)]
        for block in range(blocks):
            token, skip = work.tokens[block, step], work.skip[block].skip
            take(token.x, block, x_t)
            take(token.dt, block, dt_t)
            for d in range(BLOCK):
                token.drive[d] = token.dt[d] * token.x[d]
                token.y[d] = skip[d] * token.x[d]


@compiled
def add_rows(work: Work, reverse: bool, y: Array) -> None:
    blocks, length = work.tokens.shape
    for step in range(length):
        y_t = y[place(step, length, reverse)]
        for block in range(blocks):
            token, row = work.tokens[block, step], y_t[block * BLOCK : (block + 1) * BLOCK]
            for d in range(len(row)):
                row[d] += token.y[d]


@compiled
def load_gradient(grad_y: Array, reverse: bool, work: Work) -> None:
    blocks, length = work.tokens.shape
    for step in range(length):
        gy = grad_y[place(step, length, reverse)]
        for block in range(blocks):
            token = work.tokens[block, step]
            take(token.y, block, gy)
            for d in range(BLOCK):
                token.grad_drive[d] = ZERO
                token.grad_step[d] = ZERO


@compiled
def give_gradients(work: Work, reverse: bool, grad_x: Array, grad_dt: Array) -> None:
    """Write the gradients of x and dt of one sequence; add up that of skip."""
    blocks, length = work.tokens.shape
    for step in range(length):
        gx, gdt = grad_x[place(step, length, reverse)], grad_dt[place(step, length, reverse)]
        for block in range(blocks):
            token, weights = work.tokens[block, step], work.skip[block]
            for d in range(BLOCK):
                gy, grad_drive = token.y[d], token.grad_drive[d]
                weights.grad_skip[d] += gy * token.x[d]
                token.grad_step[d] += grad_drive * token.x[d]
                token.grad_drive[d] = grad_drive * token.dt[d] + weights.skip[d] * gy
            give(token.grad_drive, block, gx)
            give(token.grad_step, block, gdt)


@compiled
def give_weights(work: Work, grad_A: Array, grad_skip: Array) -> None:
    for block in range(len(work.skip)):
        give(work.skip[block].grad_skip, block, grad_skip)
        for n in range(len(grad_A)):
            give(work.states[block, n // 2].grad_A[n % 2], block, grad_A[n])
