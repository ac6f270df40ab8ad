"""Where asynchronous code of a test runs, and waiting for what other processes do."""

import asyncio
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

Answer = TypeVar("Answer")
LONG_S = 600  # so that a fault ends the test


def apart(work: Callable[[], Answer]) -> Answer:
    """In a thread of its own, which has no event loop; that of the tests may be a browser's."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(work).result()


def in_loop(work: Callable[[], Coroutine[Any, Any, Answer]]) -> Answer:
    """To its end, in a loop of its own."""
    return apart(lambda: asyncio.run(work()))


def wait_for(happened: Callable[[], object]) -> None:
    end = time.monotonic() + LONG_S
    while not happened():
        assert time.monotonic() < end
        time.sleep(0.01)


async def until(happened: Callable[[], object]) -> None:
    """Let the loop go on until it has happened."""
    async with asyncio.timeout(LONG_S):
        while not happened():
            await asyncio.sleep(0.005)
