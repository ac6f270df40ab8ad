"""The scan in machine code: numba, float32, one thread; forward and backward.

The innermost loops run over the 64 channels of a record, for two states at a time. Compiled at the
first call and cached on disk; no compiler needs to be installed. No bounds are checked: `fused`
checks them.
"""

from typing import Any

import numpy as np

from hmrm_lab.models.scan.vector_math import (
    BLOCK,
    ONE_STEP,
    ZERO,
    Array,
    Flags,
    Scan,
    Work,
    add_rows,
    compiled,
    exp2,
    give_gradients,
    give_weights,
    inlined,
    load_gradient,
    load_tokens,
    load_weights,
    place,
)

# numba's cache checks only the file of the called function. A test checks that this line follows
# changes of `vector_math`.
COMPILED_IN = "86023811"


@compiled
def scan_forward(scan: Scan, reverse: Flags, work: Work, y: Array) -> None:
    """Add the scans of all sequences to y (S', L, D): that of s to y[s mod S']; reverse (G,)."""
    own = len(scan.x) // len(reverse)
    for g in range(len(reverse)):
        load_weights(scan.A[g], scan.skip[g], work)
        for s in range(g * own, (g + 1) * own):
            B, C = scan.B[s], scan.C[s]
            load_tokens(scan.x[s], scan.dt[s], reverse[g], work)
            for block in range(len(work.skip)):
                go_forward(B, C, block, reverse[g], work)
            add_rows(work, reverse[g], y[s % len(y)])


@compiled
def scan_backward(scan: Scan, reverse: Flags, work: Work, grad_y: Array, grad: Scan) -> None:
    """Gradients of all arguments, of a y as in `scan_forward`.

    Those of B and C are added to what is there; the others are overwritten.
    """
    own = len(scan.x) // len(reverse)
    for g in range(len(reverse)):
        load_weights(scan.A[g], scan.skip[g], work)
        for s in range(g * own, (g + 1) * own):
            B, C, grad_B, grad_C = scan.B[s], scan.C[s], grad.B[s], grad.C[s]
            load_tokens(scan.x[s], scan.dt[s], reverse[g], work)
            load_gradient(grad_y[s % len(grad_y)], reverse[g], work)
            for block in range(len(work.skip)):
                go_back(B, C, block, reverse[g], work, grad_B, grad_C)
            give_gradients(work, reverse[g], grad.x[s], grad.dt[s])
        give_weights(work, grad.A[g], grad.skip[g])


@inlined
def both(values: Array, t: int, pair: int) -> tuple[np.float32, np.float32]:
    """B or C (L, N) of a pair of states."""
    return values[t, 2 * pair], values[t, 2 * pair + 1]


@inlined
def begin(token: Any, b: tuple[np.float32, np.float32]) -> None:
    """The states of the first token, which come from nothing but it."""
    for d in range(BLOCK):
        token.state[0, d] = token.drive[d] * b[0]
        token.state[1, d] = token.drive[d] * b[1]


@inlined
def advance(token: Any, before: Any, states: Any, b: tuple[np.float32, np.float32]) -> None:
    """h_t = exp(dt A) h_{t-1} + dt B x."""
    for d in range(BLOCK):
        first, second = exp2(token.dt[d] * states.rate[0, d]), exp2(token.dt[d] * states.rate[1, d])
        token.decay[0, d], token.decay[1, d] = first, second
        token.state[0, d] = first * before.state[0, d] + token.drive[d] * b[0]
        token.state[1, d] = second * before.state[1, d] + token.drive[d] * b[1]


@inlined
def read_out(token: Any, c: tuple[np.float32, np.float32]) -> None:
    """y_t = <C_t, h_t>."""
    for d in range(BLOCK):
        token.y[d] += c[0] * token.state[0, d] + c[1] * token.state[1, d]


@compiled
def go_forward(B: Array, C: Array, block: int, reverse: bool, work: Work) -> None:
    """All states through all tokens, two by two, read out by C into y."""
    tokens, length = work.tokens[block], work.tokens.shape[1]
    for pair in range(work.states.shape[1]):
        t = place(0, length, reverse)
        begin(tokens[0], both(B, t, pair))
        read_out(tokens[0], both(C, t, pair))
        for step in range(1, length):
            t = place(step, length, reverse)
            advance(tokens[step], tokens[step - 1], work.states[block, pair], both(B, t, pair))
            read_out(tokens[step], both(C, t, pair))


@compiled
def go_back(
    B: Array, C: Array, block: int, reverse: bool, work: Work, grad_B: Array, grad_C: Array
) -> None:
    """All states through all tokens, two by two, and their gradients back again."""
    tokens, length = work.tokens[block], work.tokens.shape[1]
    for pair in range(work.states.shape[1]):
        states, n = work.states[block, pair], 2 * pair
        begin(tokens[0], both(B, place(0, length, reverse), pair))
        for step in range(1, length):
            b = both(B, place(step, length, reverse), pair)
            advance(tokens[step], tokens[step - 1], states, b)
        for d in range(BLOCK):
            states.carried[0, d] = ZERO
            states.carried[1, d] = ZERO
        for step in work.back:
            t = place(np.intp(step), length, reverse)
            b, c = both(B, t, pair), both(C, t, pair)
            sums = hand_back(tokens[step], tokens[step - ONE_STEP], states, b, c)
            grad_B[t, n] += sums[0]
            grad_B[t, n + 1] += sums[1]
            grad_C[t, n] += sums[2]
            grad_C[t, n + 1] += sums[3]
        t = place(0, length, reverse)
        sums = end(tokens[0], states, both(B, t, pair), both(C, t, pair))
        grad_B[t, n] += sums[0]
        grad_B[t, n + 1] += sums[1]
        grad_C[t, n] += sums[2]
        grad_C[t, n + 1] += sums[3]


@inlined
def hand_back(
    token: Any,
    before: Any,
    states: Any,
    b: tuple[np.float32, np.float32],
    c: tuple[np.float32, np.float32],
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
def end(
    token: Any, states: Any, b: tuple[np.float32, np.float32], c: tuple[np.float32, np.float32]
) -> tuple[np.float32, np.float32, np.float32, np.float32]:
    """As `hand_back`, of the first token, before which there is none."""
    grad_b0, grad_b1, grad_c0, grad_c1 = ZERO, ZERO, ZERO, ZERO
    for d in range(BLOCK):
        gy, drive = token.y[d], token.drive[d]
        gh0, gh1 = states.carried[0, d] + c[0] * gy, states.carried[1, d] + c[1] * gy
        grad_c0 += token.state[0, d] * gy
        grad_c1 += token.state[1, d] * gy
        grad_b0 += gh0 * drive
        grad_b1 += gh1 * drive
        token.grad_drive[d] += gh0 * b[0] + gh1 * b[1]
    return grad_b0, grad_b1, grad_c0, grad_c1
