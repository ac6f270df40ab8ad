"""What the scan's machine code works on: records that stay in the first cache.

A record holds rows of 64 channels, and rows of one record cannot overlap: nothing has to be checked
before a loop over channels, which becomes vector instructions. Two states lie side by side, since
two together read half as much.
"""

from typing import Any, NamedTuple, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from hmrm_lab.models.vector_math import LOG2_E, ZERO, compiled, f32, inlined

Array: TypeAlias = NDArray[np.float32]
Flags: TypeAlias = NDArray[np.bool_]

BLOCK = 64  # channels that are worked on together
ROW, PAIR = (BLOCK,), (2, BLOCK)
ONE_STEP = np.uintp(1)  # unsigned: a position is then known not to count from the end

# Of `y` the backward pass holds the gradient.
TOKEN = np.dtype(
    [(name, f32, ROW) for name in ("x", "dt", "drive", "y", "grad_drive", "grad_step")]
    + [(name, f32, PAIR) for name in ("state", "decay")]
)
# `rate` is A log2 e; `carried` is the gradient of the state that is handed to the step before.
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


class Room(NamedTuple):
    """Records for one sequence and the weights of one group, in blocks of channels.

    tokens (blocks, L); states (blocks, N / 2); skip (blocks,). `back` counts the tokens down from
    the last to the second: LLVM makes no vector instructions inside a loop that itself counts down.
    """

    tokens: NDArray[Any]
    states: NDArray[Any]
    skip: NDArray[Any]
    back: NDArray[np.uintp]


def make_room(length: int, states: int, width: int) -> Room:
    blocks = -(-width // BLOCK)
    return Room(
        _records(blocks * length, TOKEN).reshape(blocks, -1),
        _records(blocks * states // 2, STATES).reshape(blocks, -1),
        _records(blocks, SKIP),
        np.arange(length - 1, 0, -1, dtype=np.uintp),
    )


def _records(count: int, kind: np.dtype[Any]) -> NDArray[Any]:
    """Records whose rows begin where lines of the cache do, as memory of torch's does."""
    return torch.empty(count * kind.itemsize, dtype=torch.uint8).numpy().view(kind)


@inlined
def place(step: int, length: int, reverse: bool) -> int:
    """The token that is met at a step."""
    return length - 1 - step if reverse else step


@inlined
def take(row: Array, block: int, values: Array) -> None:
    """The values of a block, with zeros past their end."""
    given = values[block * BLOCK : (block + 1) * BLOCK]
    for d in range(len(given)):
        row[d] = given[d]
    for d in range(len(given), BLOCK):
        row[d] = ZERO


@inlined
def give(row: Array, block: int, values: Array) -> None:
    """Write what `take` takes."""
    given = values[block * BLOCK : (block + 1) * BLOCK]
    for d in range(len(given)):
        given[d] = row[d]


@compiled
def load_weights(A: Array, skip: Array, room: Room) -> None:
    for block in range(len(room.skip)):
        take(room.skip[block].skip, block, skip)
        room.skip[block].grad_skip[:] = ZERO
        for n in range(len(A)):
            states = room.states[block, n // 2]
            take(states.A[n % 2], block, A[n])
            for d in range(BLOCK):
                states.rate[n % 2, d] = states.A[n % 2, d] * LOG2_E
                states.grad_A[n % 2, d] = ZERO


@compiled
def load_tokens(x: Array, dt: Array, reverse: bool, room: Room) -> None:
    blocks, length = room.tokens.shape
    for step in range(length):
        x_t, dt_t = x[place(step, length, reverse)], dt[place(step, length, reverse)]
        for block in range(blocks):
            token, skip = room.tokens[block, step], room.skip[block].skip
            take(token.x, block, x_t)
            take(token.dt, block, dt_t)
            for d in range(BLOCK):
                token.drive[d] = token.dt[d] * token.x[d]
                token.y[d] = skip[d] * token.x[d]


@compiled
def add_rows(room: Room, reverse: bool, y: Array) -> None:
    blocks, length = room.tokens.shape
    for step in range(length):
        y_t = y[place(step, length, reverse)]
        for block in range(blocks):
            token, row = room.tokens[block, step], y_t[block * BLOCK : (block + 1) * BLOCK]
            for d in range(len(row)):
                row[d] += token.y[d]


@compiled
def load_gradient(grad_y: Array, reverse: bool, room: Room) -> None:
    blocks, length = room.tokens.shape
    for step in range(length):
        gy = grad_y[place(step, length, reverse)]
        for block in range(blocks):
            token = room.tokens[block, step]
            take(token.y, block, gy)
            for d in range(BLOCK):
                token.grad_drive[d] = ZERO
                token.grad_step[d] = ZERO


@compiled
def give_gradients(room: Room, reverse: bool, grad_x: Array, grad_dt: Array) -> None:
    """What has been gathered of one sequence."""
    blocks, length = room.tokens.shape
    for step in range(length):
        gx, gdt = grad_x[place(step, length, reverse)], grad_dt[place(step, length, reverse)]
        for block in range(blocks):
            token, weights = room.tokens[block, step], room.skip[block]
            for d in range(BLOCK):
                gy, grad_drive = token.y[d], token.grad_drive[d]
                weights.grad_skip[d] += gy * token.x[d]
                token.grad_step[d] += grad_drive * token.x[d]
                token.grad_drive[d] = grad_drive * token.dt[d] + weights.skip[d] * gy
            give(token.grad_drive, block, gx)
            give(token.grad_step, block, gdt)


@compiled
def give_weights(room: Room, grad_A: Array, grad_skip: Array) -> None:
    for block in range(len(room.skip)):
        give(room.skip[block].grad_skip, block, grad_skip)
        for n in range(len(grad_A)):
            give(room.states[block, n // 2].grad_A[n % 2], block, grad_A[n])
