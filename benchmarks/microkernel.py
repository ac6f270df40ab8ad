"""The arithmetic of a selective scan and nothing else: what its speed can be compared with.

As many exponentials and multiply-adds as the scan's forward and backward passes need, on a few rows
that never leave the first cache. No state is kept, and nothing is read or written but the rows.
"""

from collections.abc import Callable

import numpy as np

from hmrm_lab.models.scan.vector_math import ZERO, Array, compiled, exp2, f32

ROWS = 9


@compiled
def forward(rounds: int, rows: Array) -> None:
    """Per element and round: an exponential, a product and two multiply-adds."""
    dt, A, drive, h, y = rows[0], rows[1], rows[2], rows[3], rows[4]
    b, c = f32(0.5), f32(0.25)
    for _ in range(rounds):
        for d in range(len(dt)):
            h_d = exp2(dt[d] * A[d]) * h[d] + drive[d] * b
            h[d] = h_d
            y[d] += h_d * c


@compiled
def backward(rounds: int, rows: Array) -> np.float32:
    """The states computed anew: the same without the sum; then nine products or multiply-adds."""
    dt, A, drive, grad_y, h = rows[0], rows[1], rows[2], rows[3], rows[4]
    carried, grad_step, grad_drive, grad_A = rows[5], rows[6], rows[7], rows[8]
    b, c, grad_b, grad_c = f32(0.5), f32(0.25), ZERO, ZERO
    for _ in range(rounds):
        for d in range(len(dt)):
            decay, before = exp2(dt[d] * A[d]), h[d]
            after = decay * before + drive[d] * b
            h[d] = after
            grad_h = carried[d] + c * grad_y[d]
            grad_c += after * grad_y[d]
            grad_b += grad_h * drive[d]
            grad_drive[d] += grad_h * b
            handed_on = grad_h * decay
            carried[d] = handed_on
            grad_exponent = handed_on * before
            grad_step[d] += grad_exponent * A[d]
            grad_A[d] += grad_exponent * dt[d]
    return grad_b + grad_c


def microkernel(batch: int, width: int, length: int, state: int) -> Callable[[], None]:
    """The arithmetic of one scan of that shape, forward and backward."""
    start = np.random.default_rng(0).uniform(0.01, 1, (ROWS, width)).astype(np.float32)
    start[1] *= -1  # decay

    def work() -> None:
        forward(batch * length * state, start.copy())
        backward(batch * length * state, start.copy())

    return work
