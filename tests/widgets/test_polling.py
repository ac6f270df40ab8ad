"""Looking again from time to time."""

import asyncio
import time

import pytest
from loops import apart, in_loop, until

pytest.importorskip("ipywidgets", reason="the extra 'jupyter' is not installed")

from hmrm_widgets.polling import Poll


def test_it_looks_until_nothing_more_will_come() -> None:
    answers = [True, True, False]
    looks: list[bool] = []

    def look() -> bool:
        looks.append(answers[len(looks)])
        return looks[-1]

    async def notebook() -> None:
        poll = Poll(look, every_s=0.005)
        poll.begin()
        poll.begin()  # changes nothing
        await until(lambda: not poll.going)

    in_loop(notebook)
    assert looks == answers


def test_it_may_go_on_more_rarely() -> None:
    looks: list[float] = []

    async def notebook() -> None:
        poll = Poll(lambda: bool(looks.append(time.monotonic())), every_s=0.001, idle_s=0.05)
        poll.begin()
        await until(lambda: len(looks) >= 3)
        assert poll.going
        poll.end()

    in_loop(notebook)
    assert looks[2] - looks[1] > 0.04


def test_it_ends_when_it_is_told_to() -> None:
    looks: list[int] = []

    async def notebook() -> None:
        poll = Poll(lambda: bool(looks.append(1)), every_s=0.02)
        poll.begin()
        poll.end()
        await asyncio.sleep(0.06)

    in_loop(notebook)
    assert looks == []


def test_without_a_loop_nothing_is_polled() -> None:
    poll = Poll(lambda: True)
    apart(poll.begin)
    assert not poll.going
