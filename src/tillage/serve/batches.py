"""Requests that wait are answered together: a query costs a hundred rows little more than one.

Nothing waits for company: a batch is what came while the one before it was worked on, or in the same turn of the event
loop. Batches that take long go to a thread of their own, so that the server still says that it is alive.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from tillage.flow.score import SLICE, Answers
from tillage.serve.bodies import Columns
from tillage.serve.refusal import Refused
from tillage.serve.service import Loaded

PATIENCE = 1.0
"""Seconds that a request may wait for its turn."""

QUICK = 0.001
"""Seconds up to which a batch is worked on in the event loop: a thread would cost more."""

FEW = 256
"""Rows up to which that is so: what batches took of late tells nothing of one that is much larger."""

MOST_WAITING = 256
"""Requests of one service that may wait."""

Told = Callable[[Loaded, int], None]
"""Told of the size of each batch."""


def busy() -> Refused:
    """The refusal of a request for which there is no room."""
    return Refused(503, "The service is over its capacity.", retry_after=1)


@dataclass
class _Request:
    loaded: Loaded
    columns: Columns
    rows: int
    came: float
    answer: asyncio.Future[Answers]


class Batches:
    """The queue of one service."""

    def __init__(self) -> None:
        self._waiting: deque[_Request] = deque()
        self._running = False
        self._thread: ThreadPoolExecutor | None = None

    @property
    def waiting(self) -> int:
        """Requests that wait for their turn."""
        return len(self._waiting)

    async def answer(self, loaded: Loaded, columns: Columns, rows: int) -> Answers:
        """The answers to a request; Refused (503) when it would wait too long."""
        if len(self._waiting) >= MOST_WAITING:
            raise busy()
        loop = asyncio.get_running_loop()
        request = _Request(loaded, columns, rows, time.monotonic(), loop.create_future())
        self._waiting.append(request)
        if not self._running:
            self._running = True
            loop.call_soon(self._next)
        return await request.answer

    def close(self) -> None:
        """Let go of the thread."""
        if self._thread is not None:
            self._thread.shutdown(wait=True)

    def _next(self) -> None:
        loop = asyncio.get_running_loop()
        batch = self._take()
        if not batch:
            self._running = False
        elif batch[0].loaded.seconds <= QUICK and sum(request.rows for request in batch) <= FEW:
            _deliver(batch, _work(batch))
            loop.call_soon(self._next)
        else:
            self._thread = self._thread or ThreadPoolExecutor(1, thread_name_prefix="answers")
            loop.run_in_executor(self._thread, _work, batch).add_done_callback(
                lambda done: self._delivered(batch, done)
            )

    def _delivered(self, batch: list[_Request], done: asyncio.Future[list[Answers | Exception]]) -> None:
        _deliver(batch, done.result())
        self._next()

    def _take(self) -> list[_Request]:
        """The next requests that one version answers; those that waited too long are refused."""
        batch: list[_Request] = []
        rows, late = 0, time.monotonic() - PATIENCE
        while self._waiting:
            first = self._waiting[0]
            if batch and (first.loaded is not batch[0].loaded or rows + first.rows > SLICE):
                break
            self._waiting.popleft()
            if first.answer.cancelled():
                continue
            if first.came < late:
                first.answer.set_exception(busy())
                continue
            batch.append(first)
            rows += first.rows
        return batch


def _work(batch: list[_Request]) -> list[Answers | Exception]:
    """The answer to each request, or what went wrong with it: one that fails takes no other with it."""
    try:
        return list(batch[0].loaded.answer([r.columns for r in batch], [r.rows for r in batch]))
    except Exception as error:
        if len(batch) == 1:
            return [error]
        return [answer for request in batch for answer in _work([request])]


def _deliver(batch: list[_Request], answers: list[Answers | Exception]) -> None:
    for request, answer in zip(batch, answers, strict=True):
        if request.answer.cancelled():
            continue
        if isinstance(answer, Exception):
            request.answer.set_exception(answer)
        else:
            request.answer.set_result(answer)
