"""Threads for what takes long: neither the event loop nor the end of the server waits for them.

The event loop's own pool is joined when the loop ends, however long that takes; a version that is just being loaded
would keep the server for as long as it loads.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any, TypeVar

LEAVING = 0.3
"""Seconds for which the end of the server waits for work that was not done within the time for what is under way."""

T = TypeVar("T")


class Threads:
    """At most so many threads, begun when there is work for them.

    >>> own = Threads(1, "example")
    >>> own.submit(max, 1, 2).result()
    2
    >>> ended([own])
    True
    """

    def __init__(self, most: int, name: str) -> None:
        self._pool = ThreadPoolExecutor(most, thread_name_prefix=name)
        self.under_way: set[Future[Any]] = set()
        """What is worked on, or waits for its turn."""

    def submit(self, work: Callable[..., T], *given: Any) -> Future[T]:
        """Work that a thread does when one is free."""
        made = self._pool.submit(work, *given)
        self.under_way.add(made)
        made.add_done_callback(self.under_way.discard)
        return made

    async def do(self, work: Callable[..., T], *given: Any) -> T:
        """What the work gives, awaited in the event loop."""
        return await asyncio.wrap_future(self.submit(work, *given))

    def end(self) -> None:
        """Begin nothing any more."""
        self._pool.shutdown(wait=False, cancel_futures=True)


def ended(every: Iterable[Threads], seconds: float = LEAVING) -> bool:
    """Let them begin nothing any more, and wait for a moment; whether none of them works."""
    left: list[Future[Any]] = []
    for each in every:
        each.end()
        left += each.under_way
    return not wait(left, seconds).not_done


__all__ = ["LEAVING", "Threads", "ended"]
