"""The card of a system: what a reader of its row in a table must know about it."""

from dataclasses import dataclass
from typing import Literal

Input = Literal["flow maps", "pictures", "flow maps and onset", "clip"]
Fidelity = Literal["faithful", "adapted", "sketch"]


@dataclass(frozen=True)
class Card:
    """Where a system comes from, and how near to it the one here is.

    `faithful`: every layer and setting as published. `adapted`: the published design, changed
    where `departures` says. `sketch`: the publication leaves so much open that results are never
    to be shown as its authors'.

    An `estimator` is no network trained in epochs, but is fitted in one step. `needs` are the
    channels of `input.channels` that it cannot do without, in this order; empty if any will do.
    """

    takes: Input
    citation: str
    fidelity: Fidelity
    departures: tuple[str, ...] = ()
    estimator: bool = False
    needs: tuple[str, ...] = ()
