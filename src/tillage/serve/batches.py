"""Requests that wait are answered together: a query costs a hundred rows little more than one.

A request alone waits for no company: a batch is what came while the one before it was worked on, or in the same turn of
the event loop. Where that is several, the next turn is looked at too, for as long as turns bring more. What takes long
goes to a thread of its own, so that the server still says that it is alive. Where a model takes its time for each row
(a network of texts), a batch is as much as it does in SPAN, of texts of like length: a short one does not wait for long
ones. What is left over goes to a second thread, for the second core.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from tillage.flow.score import SLICE, Answers
from tillage.serve.bodies import Columns
from tillage.serve.refusal import Refused
from tillage.serve.service import Loaded
from tillage.serve.threads import Threads, ended

PATIENCE = 1.0
"""Seconds that a request may wait for its turn."""

QUICK = 0.001
"""Seconds up to which a batch is worked on in the event loop: a thread would cost more."""

FEW = 256
"""Rows up to which that is so: what batches took of late tells nothing of one that is much larger."""

GATHERING = 0.001
"""Seconds from the oldest of several requests for which the turns of the event loop that follow may bring more."""

A_ROW = 0.0005
"""Seconds that a row takes beyond which company gains little."""

SPAN = 0.02
"""Seconds that a batch of such rows may take, where it has several requests."""

THREADS = 2
"""Batches of one service that are worked on at once, where more waits than one may take."""

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
    behind: bool
    """Whether it has waited for other work: else it is late because the machine stood still, and is answered."""

    @cached_property
    def length(self) -> int:
        """How long its texts are, in powers of two of characters a row."""
        characters = sum(len(v) for column in self.columns.values() for v in column if isinstance(v, str))
        return (characters // max(self.rows, 1)).bit_length()


class Batches:
    """The queue of one service."""

    def __init__(self) -> None:
        self._waiting: deque[_Request] = deque()
        self._due = False
        """Whether the next turn of the event loop takes a batch."""
        self._seen = 0
        """Requests that waited in the turn before."""
        self._working = 0
        """Batches that threads work on."""
        self.threads = Threads(THREADS, "answers")
        self._late: asyncio.TimerHandle | None = None
        """When what waits is looked through for what waited too long, whether or not a thread is done by then."""

    @property
    def waiting(self) -> int:
        """Requests that wait for their turn."""
        return len(self._waiting)

    async def answer(self, loaded: Loaded, columns: Columns, rows: int) -> Answers:
        """The answers to a request; Refused (503) when it would wait too long."""
        if len(self._waiting) >= MOST_WAITING:
            raise busy()
        loop = asyncio.get_running_loop()
        request = _Request(loaded, columns, rows, time.monotonic(), loop.create_future(), self._working > 0)
        self._waiting.append(request)
        if not self._due and (not self._working or self._more_than_one_takes()):
            self._due = True
            loop.call_soon(self._next)
        if self._working:
            self._look_later()
        return await request.answer

    def close(self) -> bool:
        """Let go of the threads; whether none of them works any more."""
        return ended([self.threads])

    def _look_later(self) -> None:
        if self._late is None and self._waiting:
            seconds = self._waiting[0].came + PATIENCE - time.monotonic()
            self._late = asyncio.get_running_loop().call_later(max(0.0, seconds), self._refuse_late)

    def _refuse_late(self) -> None:
        """Refuse what waited too long; the oldest stand first."""
        self._late = None
        while self._waiting and self._waiting[0].came <= time.monotonic() - PATIENCE:
            late = self._waiting.popleft().answer
            if not late.done():
                late.set_exception(busy())
        self._look_later()

    def _more_than_one_takes(self) -> bool:
        """Whether a second thread has something to do: it is free, and what waits is more than one batch."""
        if not 0 < self._working < THREADS or not self._waiting:
            return False
        return len(self._waiting) > _most_rows(self._waiting[0].loaded)

    def _gathers(self) -> bool:
        """Whether the next turn is waited for, since this one brought company."""
        before, self._seen = self._seen, len(self._waiting)
        return 1 < self._seen > before and time.monotonic() - self._waiting[0].came < GATHERING

    def _next(self) -> None:
        loop = asyncio.get_running_loop()
        self._due = self._gathers()
        if self._due:
            loop.call_soon(self._next)
            return
        self._seen = 0
        batch = self._take()
        if not batch:
            return
        for left in self._waiting:
            left.behind = True
        if batch[0].loaded.seconds <= QUICK and sum(request.rows for request in batch) <= FEW:
            _deliver(batch, _work(batch))
            self._due = True
            loop.call_soon(self._next)
            return
        self._working += 1
        work = self.threads.submit(_work, batch)
        asyncio.wrap_future(work).add_done_callback(lambda done: self._delivered(batch, done))
        self._look_later()
        if self._more_than_one_takes():
            self._due = True
            loop.call_soon(self._next)

    def _delivered(self, batch: list[_Request], done: asyncio.Future[list[Answers | Exception]]) -> None:
        self._working -= 1
        _deliver(batch, done.result())
        if not self._due:
            self._next()

    def _take(self) -> list[_Request]:
        """The oldest request and those that may go with it; what waited too long is refused."""
        batch: list[_Request] = []
        passed: list[_Request] = []
        rows, most, length, late = 0, SLICE, -1, time.monotonic() - PATIENCE
        while self._waiting:
            first = self._waiting[0]
            if batch and (first.loaded is not batch[0].loaded or rows + first.rows > most):
                break
            self._waiting.popleft()
            if first.answer.cancelled():
                continue
            if first.came < late and first.behind:
                first.answer.set_exception(busy())
                continue
            if not batch:
                most = _most_rows(first.loaded)
                length = first.length if most < SLICE else -1
            elif length >= 0 and first.length != length:
                passed.append(first)
                continue
            batch.append(first)
            rows += first.rows
        self._waiting.extendleft(reversed(passed))
        return batch


def _most_rows(loaded: Loaded) -> int:
    """Rows that a batch of several requests may have."""
    return SLICE if loaded.seconds_a_row <= A_ROW else max(1, int(SPAN / loaded.seconds_a_row))


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
