"""Where asynchronous code of a test runs."""

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

Answer = TypeVar("Answer")


def apart(work: Callable[[], Answer]) -> Answer:
    """In a thread of its own, which has no event loop; that of the tests may be a browser's."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(work).result()


def in_loop(work: Callable[[], Coroutine[Any, Any, Answer]]) -> Answer:
    """To its end, in a loop of its own."""
    return apart(lambda: asyncio.run(work()))
