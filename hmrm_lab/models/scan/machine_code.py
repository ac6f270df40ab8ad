"""The scan in machine code: numba, float32, one thread; forward and backward.

A record holds rows of 64 channels of a token or of a pair of states, which stay in the first cache
and cannot overlap, so that the innermost loops, over channels, become vector instructions. Two
states together read half as much as one after the other. `fused` checks bounds; this does not.
"""

from typing import Any, NamedTuple, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from hmrm_lab.models.scan.vector_math import LOG2_E, ZERO, Array, compiled, exp2, f32, inlined

# numba's cache checks only the file of the called function. A test checks that this line follows
# changes of `vector_math`.
COMPILED_IN = "3d849848"

Flags: TypeAlias = NDArray[np.bool_]
Records: TypeAlias = NDArray[Any]
Pair: TypeAlias = tuple[np.float32, np.float32]

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

    tokens (blocks, L + 1), of which the first stands for none and has a state of zero; states
    (blocks, N / 2); skip (blocks,). `back` counts from the last token to the first: LLVM makes no
    vector instructions inside a loop that itself counts down.
    """

    tokens: Records
    states: Records
    skip: Records
    back: NDArray[np.uintp]


def make_work(length: int, states: int, width: int) -> Work:
    blocks = -(-width // BLOCK)
    tokens = _records(blocks * (length + 1), TOKEN).reshape(blocks, -1)
    tokens["state"][:, 0] = ZERO
    return Work(
        tokens,
        _records(blocks * states // 2, STATES).reshape(blocks, -1),
        _records(blocks, SKIP),
        np.arange(length, 0, -1, dtype=np.uintp),
    )


def _records(count: int, kind: np.dtype[Any]) -> Records:
    """Allocate records that begin at a cache line, as torch's memory does."""
    return torch.empty(count * kind.itemsize, dtype=torch.uint8).numpy().view(kind)


@compiled
def scan_forward(scan: Scan, reverse: Flags, work: Work, y: Array) -> None:
    """Add the scans of all sequences to y (S', L, D): that of s to y[s mod S']; reverse (G,)."""
    own = len(scan.x) // len(reverse)
    for g in range(len(reverse)):
        load_weights(scan.A[g], scan.skip[g], work)
        for s in range(g * own, (g + 1) * own):
            load_tokens(scan.x[s], scan.dt[s], reverse[g], work)
            for block in range(len(work.skip)):
                go_forward(scan.B[s], scan.C[s], block, reverse[g], work)
            add_rows(work, reverse[g], y[s % len(y)])


@compiled
def scan_backward(scan: Scan, reverse: Flags, work: Work, grad_y: Array, grad: Scan) -> None:
    """Write the gradients of all arguments of `scan_forward`; those of B and C are added."""
    own = len(scan.x) // len(reverse)
    for g in range(len(reverse)):
        load_weights(scan.A[g], scan.skip[g], work)
        for s in range(g * own, (g + 1) * own):
            load_tokens(scan.x[s], scan.dt[s], reverse[g], work)
            load_gradient(grad_y[s % len(grad_y)], reverse[g], work)
            for block in range(len(work.skip)):
                go_back(scan.B[s], scan.C[s], block, reverse[g], work, grad.B[s], grad.C[s])
            give_gradients(work, reverse[g], grad.x[s], grad.dt[s])
        for block in range(len(work.skip)):
            give(work.skip[block].grad_skip, block, grad.skip[g])
            for n in range(scan.A.shape[1]):
                give(work.states[block, n // 2].grad_A[n % 2], block, grad.A[g, n])


@compiled
def go_forward(B: Array, C: Array, block: int, reverse: bool, work: Work) -> None:
    """All states through all tokens, two by two, read out by C into y."""
    tokens = work.tokens[block]
    for pair in range(work.states.shape[1]):
        for step in range(1, len(tokens)):
            t = place(step, len(tokens), reverse)
            token, c = tokens[step], both(C, t, pair)
            advance(token, tokens[step - 1], work.states[block, pair], both(B, t, pair))
            for d in range(BLOCK):
                token.y[d] += c[0] * token.state[0, d] + c[1] * token.state[1, d]


@compiled
def go_back(
    B: Array, C: Array, block: int, reverse: bool, work: Work, grad_B: Array, grad_C: Array
) -> None:
    """All states through all tokens, two by two, and their gradients back again."""
    tokens = work.tokens[block]
    for pair in range(work.states.shape[1]):
        states, n = work.states[block, pair], 2 * pair
        for step in range(1, len(tokens)):
            b = both(B, place(step, len(tokens), reverse), pair)
            advance(tokens[step], tokens[step - 1], states, b)
        for d in range(BLOCK):
            states.carried[0, d] = ZERO
            states.carried[1, d] = ZERO
        for step in work.back:
            t = place(np.intp(step), len(tokens), reverse)
            b, c = both(B, t, pair), both(C, t, pair)
            sums = hand_back(tokens[step], tokens[step - ONE_STEP], states, b, c)
            grad_B[t, n] += sums[0]
            grad_B[t, n + 1] += sums[1]
            grad_C[t, n] += sums[2]
            grad_C[t, n + 1] += sums[3]


@inlined
def place(step: int, records: int, reverse: bool) -> int:
    """The token of a record, which is its step counted from one."""
    return records - 1 - step if reverse else step - 1


@inlined
def both(values: Array, t: int, pair: int) -> Pair:
    """B or C (L, N) of a pair of states."""
    return values[t, 2 * pair], values[t, 2 * pair + 1]


@inlined
def advance(token: Any, before: Any, states: Any, b: Pair) -> None:
    """h_t = exp(dt A) h_{t-1} + dt B x."""
    for d in range(BLOCK):
        first, second = exp2(token.dt[d] * states.rate[0, d]), exp2(token.dt[d] * states.rate[1, d])
        token.decay[0, d], token.decay[1, d] = first, second
        token.state[0, d] = first * before.state[0, d] + token.drive[d] * b[0]
        token.state[1, d] = second * before.state[1, d] + token.drive[d] * b[1]


@inlined
def hand_back(
    token: Any, before: Any, states: Any, b: Pair, c: Pair
) -> tuple[np.float32, np.float32, np.float32, np.float32]:
    """The gradients of one token; returns those of B and of C."""
    grad_b0, grad_b1, grad_c0, grad_c1 = ZERO, ZERO, ZERO, ZERO
    for d in range(BLOCK):
        gy, drive, dt = token.y[d], token.drive[d], token.dt[d]
        gh0, gh1 = states.carried[0, d] + c[0] * gy, states.carried[1, d] + c[1] * gy
        grad_c0 += token.state[0, d] * gy
        grad_c1 += token.state[1, d] * gy
        grad_b0 += gh0 * drive
        grad_b1 += gh1 * drive
        token.grad_drive[d] += gh0 * b[0] + gh1 * b[1]
        handed0, handed1 = gh0 * token.decay[0, d], gh1 * token.decay[1, d]
        states.carried[0, d], states.carried[1, d] = handed0, handed1
        exponent0, exponent1 = handed0 * before.state[0, d], handed1 * before.state[1, d]
        token.grad_step[d] += exponent0 * states.A[0, d] + exponent1 * states.A[1, d]
        states.grad_A[0, d] += exponent0 * dt
        states.grad_A[1, d] += exponent1 * dt
    return grad_b0, grad_b1, grad_c0, grad_c1


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
    blocks, records = work.tokens.shape
    for step in range(1, records):
        t = place(step, records, reverse)
        for block in range(blocks):
            token, skip = work.tokens[block, step], work.skip[block].skip
            take(token.x, block, x[t])
            take(token.dt, block, dt[t])
            for d in range(BLOCK):
                token.drive[d] = token.dt[d] * token.x[d]
                token.y[d] = skip[d] * token.x[d]


@compiled
def add_rows(work: Work, reverse: bool, y: Array) -> None:
    blocks, records = work.tokens.shape
    for step in range(1, records):
        y_t = y[place(step, records, reverse)]
        for block in range(blocks):
            token, row = work.tokens[block, step], y_t[block * BLOCK : (block + 1) * BLOCK]
            for d in range(len(row)):
                row[d] += token.y[d]


@compiled
def load_gradient(grad_y: Array, reverse: bool, work: Work) -> None:
    blocks, records = work.tokens.shape
    for step in range(1, records):
        gy = grad_y[place(step, records, reverse)]
        for block in range(blocks):
            token = work.tokens[block, step]
            take(token.y, block, gy)
            for d in range(BLOCK):
                token.grad_drive[d] = ZERO
                token.grad_step[d] = ZERO


@compiled
def give_gradients(work: Work, reverse: bool, grad_x: Array, grad_dt: Array) -> None:
    """Write the gradients of x and dt of one sequence; add up that of skip."""
    blocks, records = work.tokens.shape
    for step in range(1, records):
        t = place(step, records, reverse)
        for block in range(blocks):
            token, weights = work.tokens[block, step], work.skip[block]
            for d in range(BLOCK):
                gy, grad_drive = token.y[d], token.grad_drive[d]
                weights.grad_skip[d] += gy * token.x[d]
                token.grad_step[d] += grad_drive * token.x[d]
                token.grad_drive[d] = grad_drive * token.dt[d] + weights.skip[d] * gy
            give(token.grad_drive, block, grad_x[t])
            give(token.grad_step, block, grad_dt[t])
