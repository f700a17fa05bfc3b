"""Where work on chunks is done: in this process, on as many threads as there are workers.

Polars leaves the interpreter's lock while it computes, so threads keep both cores busy and share the frames in memory.
Results come back in the order of the tasks, whoever finished first: nothing may depend on the worker count. Finished
work is remembered in the catalog a few times a second, so that a killed run loses little.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Protocol, TypeVar

from tillage.store.tables import Store

SAVE_SECONDS = 2.0


class Keyed(Protocol):
    """Work that has a name."""

    @property
    def key(self) -> str:
        """The same for the same work."""
        ...

    @property
    def order(self) -> dict[str, Any] | None:
        """What another process must be told to do the work; None where only this one can."""
        ...


T = TypeVar("T", bound=Keyed)
In = TypeVar("In")
Out = TypeVar("Out")


Done = tuple[str, dict[str, Any]]
"""A piece of work, by its key, and what was made of it."""


class Finished:
    """Work that was done, on its way into the catalog: a commit for each piece would cost more than most pieces."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._fresh: list[Done] = []
        self._saved = time.monotonic()

    def add(self, done: Sequence[Done]) -> None:
        """Take what was just done; what has waited for SAVE_SECONDS is written."""
        self._fresh += done
        if time.monotonic() - self._saved > SAVE_SECONDS:
            self.save()

    def save(self) -> None:
        """Write what waits."""
        if self._fresh:
            self._store.remember(self._fresh)
        self._fresh, self._saved = [], time.monotonic()


class Engine:
    """The local engine."""

    apart = False
    """Whether Maps are done in other processes."""

    def __init__(self, workers: int | None = None) -> None:
        """`workers`: threads; default: the processors that this process may use."""
        self.workers = workers or len(os.sched_getaffinity(0))

    def map(
        self, store: Store, work: Callable[[T], dict[str, Any]], tasks: Sequence[T]
    ) -> Iterator[tuple[T, dict[str, Any]]]:
        """Each task with its result, in order; work remembered from an earlier run is not done again."""
        done = Finished(store)

        def one(task: T) -> tuple[dict[str, Any], bool]:
            known = store.recall(task.key)
            return (known, False) if known is not None else (self.do(work, task), True)

        if self.workers == 1 or len(tasks) == 1:
            yield from self._alone(store, work, tasks)
            return
        with ThreadPoolExecutor(self.workers, thread_name_prefix="tillage") as pool:
            waiting: deque[tuple[T, Future[tuple[dict[str, Any], bool]]]] = deque()
            todo = iter(tasks)
            try:
                while True:
                    while len(waiting) < self.workers * 2 and (task := next(todo, None)) is not None:
                        waiting.append((task, pool.submit(one, task)))
                    if not waiting:
                        break
                    task, future = waiting.popleft()
                    result, new = future.result()
                    done.add([(task.key, result)] if new else [])
                    yield task, result
            finally:
                for _, future in waiting:
                    future.cancel()
                done.save()

    def each(self, work: Callable[[In], Out], given: Iterable[In]) -> Iterator[Out]:
        """What `work` makes of each, in order; `given` is taken from on this thread, and little is taken ahead.

        >>> list(Engine(2).each(len, ["a", "bc"]))
        [1, 2]
        """
        if self.workers == 1:
            yield from map(work, given)
            return
        with ThreadPoolExecutor(self.workers, thread_name_prefix="tillage") as pool:
            waiting: deque[Future[Out]] = deque()
            try:
                for one in given:
                    waiting.append(pool.submit(work, one))
                    if len(waiting) > self.workers:
                        yield waiting.popleft().result()
                while waiting:
                    yield waiting.popleft().result()
            finally:
                for future in waiting:
                    future.cancel()

    def do(self, work: Callable[[T], dict[str, Any]], task: T) -> dict[str, Any]:
        """The result of one task."""
        return work(task)

    def close(self) -> None:
        """Let go of what was started for the work."""

    def _alone(
        self, store: Store, work: Callable[[T], dict[str, Any]], tasks: Sequence[T]
    ) -> Iterator[tuple[T, dict[str, Any]]]:
        """The same on the calling thread."""
        done = Finished(store)
        try:
            for task in tasks:
                result = store.recall(task.key)
                if result is None:
                    result = self.do(work, task)
                    done.add([(task.key, result)])
                yield task, result
        finally:
            done.save()
