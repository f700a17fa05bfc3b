"""A server of several workers: this process holds the address and the log, and sees that the workers live.

Workers take connections from one listening socket, each when it has time, and answer them by themselves: their models
are loaded in each, so memory is paid for each. What must be one is here: the log, its way into the table, the numbers
for Prometheus (sums), and that a service that was rolled back has changed in all workers when the answer says so. A
worker that dies is started again; its open requests are lost. Cost: 20 microseconds a request for its record.
"""

from __future__ import annotations

import contextlib
import json
import logging
import re
import signal
import socket
import subprocess
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from threading import Event, Lock, Thread
from typing import Any

from tillage.core.errors import TillageError, Unavailable
from tillage.flow.run import Project
from tillage.serve.bringing import Bringing
from tillage.serve.channel import Channel, Handler
from tillage.serve.metrics import summed
from tillage.serve.predictions import PredictionLog
from tillage.serve.server import ALONE, LOCK, address_of, bound, endings
from tillage.serve.worker import (
    ALL_LOOK,
    ALL_NUMBERS,
    COMPARE,
    DELAY,
    FLUSH,
    LABEL,
    LOOK,
    NOTE,
    NUMBERS,
    READY,
    RECORDS,
    records_of,
)  # fmt: skip
from tillage.store import segments
from tillage.store.locks import hold
from tillage.store.tables import Store

PROMPT = 5.0
"""Seconds for which one worker is waited for, where all are asked."""

STARTING = 300.0
"""Seconds that a worker may take to load what it serves."""

LEAVING = 8.0
"""Seconds after which a worker that was told to end is ended; the log takes the rest of ten."""

MOST_DEATHS = 5
"""Workers that may die within a minute; with one more the server ends."""

SAME = 5.0
"""Seconds within which what several workers note is noted once."""

AGAIN = 1.0
"""Seconds before a dead worker is started again."""

log = logging.getLogger("tillage.serve")


class Keeper:
    """The log, and the workers."""

    def __init__(
        self, store: Store, command: Sequence[str], told: Mapping[str, Any], listener: socket.socket, workers: int,
        note: Callable[[str], None],
    ) -> None:  # fmt: skip
        """`command`: starts a worker, which reads `told` (JSON) on standard input."""
        self._command, self._told, self._listener = list(command), dict(told), listener
        self._bringing = Bringing()
        self._kept = PredictionLog(store, self._bringing, delay=segments.DELAY - DELAY)
        self._pool = ThreadPoolExecutor(8, thread_name_prefix="keeper")
        self._lock = Lock()
        self._note, self._noted = note, dict[str, float]()
        self._is_over = False
        """A signal came."""
        self._ending = Event()
        self._deaths: deque[float] = deque()
        self.names: list[str] = []
        """What is served, once a worker has said so."""
        self._workers: list[_Worker] = []
        for number in range(1, workers + 1):
            self._workers.append(self._start(number))

    # ---- life

    def live(self, listening: Callable[[list[str]], None]) -> int:
        """Until SIGTERM or Ctrl-C; the exit code."""
        for number in endings():
            signal.signal(number, self._told_to_end)
        tending = Thread(target=self._tend, daemon=True)
        try:
            if not self._all_ready():
                return 0 if self._is_over else self._first_code()
            listening(self.names)
            tending.start()
            while not self._is_over:
                time.sleep(0.05)
                if not self._revive():
                    return self._first_code()
            return 0
        finally:
            self._end()
            if tending.is_alive():
                tending.join(1)

    def _told_to_end(self, *_: object) -> None:
        """Only a flag: a handler that waited for a lock could wait for what it has interrupted."""
        self._is_over = True

    def _all_ready(self) -> bool:
        until = time.monotonic() + STARTING
        while not all(w.ready.is_set() for w in self._workers):
            if self._is_over or time.monotonic() > until:
                return False
            time.sleep(0.02)
            if any(w.process.poll() is not None for w in self._workers):
                return False
        return True

    def _first_code(self) -> int:
        """The exit code of a worker that ended by itself: it has said why."""
        codes = [w.process.poll() for w in self._workers]
        return next((code for code in codes if code is not None and code > 0), 69)

    def _revive(self) -> bool:
        """Start dead workers again; false where too many die."""
        for at, worker in enumerate(self._workers):
            code = worker.process.poll()
            if code is None:
                continue
            now = time.monotonic()
            if worker.died is None:
                worker.died = now
                worker.channel.wait(1)
                worker.channel.close()
                self._deaths.append(now)
                self._say(f"worker {worker.number} ended with {code}, and is started again.")
            while self._deaths and now - self._deaths[0] > 60:
                self._deaths.popleft()
            if len(self._deaths) > MOST_DEATHS:
                self._say(f"{len(self._deaths)} workers have died within a minute: the server ends.")
                return False
            if now - worker.died >= AGAIN:
                self._workers[at] = self._start(worker.number)
        return True

    def _end(self) -> None:
        """Tell the workers to end, take what they still say, and bring the log into the table."""
        until = time.monotonic() + LEAVING
        self._ending.set()
        self._listener.close()  # else who connects now would wait for an answer that never comes
        for worker in self._workers:
            with contextlib.suppress(OSError):
                worker.process.send_signal(signal.SIGTERM)
        for worker in self._workers:
            try:
                worker.process.wait(max(0.1, until - time.monotonic()))
            except subprocess.TimeoutExpired:
                worker.process.kill()
                worker.process.wait()
            worker.channel.wait(1)
            worker.channel.close()
        self._bringing.end()
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._kept.close()

    def _start(self, number: int) -> _Worker:
        mine, its = socket.socketpair()
        told = {**self._told, "listener": self._listener.fileno(), "channel": its.fileno()}
        process = subprocess.Popen(  # noqa: S603 - our own command, and no shell
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            pass_fds=(self._listener.fileno(), its.fileno()),
            start_new_session=True,  # Ctrl-C is for this process, which tells them
        )
        its.close()
        ready = Event()
        worker = _Worker(number, process, Channel(mine, self._handlers(ready)), ready)
        worker.channel.start()
        assert process.stdin is not None
        with contextlib.suppress(OSError):  # it has died already, which is seen elsewhere
            process.stdin.write(json.dumps(told).encode())
            process.stdin.close()
        return worker

    def _tend(self) -> None:
        while not self._ending.wait(1.0):
            try:
                self._kept.tend()
            except Exception:  # the server goes on answering with what it has
                log.exception("tending failed; the server goes on")

    # ---- what workers say

    def _handlers(self, ready: Event) -> dict[bytes, Handler]:
        def is_ready(said: bytes, _: Channel, __: int) -> None:
            self.names = json.loads(said)
            ready.set()

        return {
            RECORDS: self._records,
            LABEL: lambda said, to, number: self._apart(to, number, self._label, said),
            ALL_NUMBERS: lambda said, to, number: self._apart(to, number, self._numbers, said),
            ALL_LOOK: lambda said, to, number: self._apart(to, number, self._all_look, said),
            COMPARE: self._compare,
            READY: is_ready,
            NOTE: lambda said, *_: self._say(said.decode()),
        }

    def _apart(self, to: Channel, number: int, work: Callable[[Channel, bytes], bytes], said: bytes) -> None:
        """Do what takes other workers' answers in a thread of its own: this one must read on."""

        def done() -> None:
            try:
                to.answer(number, work(to, said))
            except TillageError as error:
                to.refuse(number, error.message)
            except Exception as error:  # whoever waits must be told
                log.exception("the keeper failed")
                to.refuse(number, type(error).__name__)

        with contextlib.suppress(RuntimeError):  # the pool is ended: nobody is left who waits
            self._pool.submit(done)

    def _records(self, said: bytes, _: Channel, __: int) -> None:
        for record in records_of(said):
            self._kept.log.append(record)

    def _label(self, of: Channel, record: bytes) -> bytes:
        """Keep labels: what they are of may still wait in another worker, and must stand in the log before them."""
        self._asked(FLUSH, but=of)
        self._kept.log.append_durably(record).result()
        return b""

    def _numbers(self, of: Channel, own: bytes) -> bytes:
        told = [own, *self._asked(NUMBERS, but=of)]
        return summed(told, {"tillage_predictions_unlogged": self._kept.log.unlogged})

    def _all_look(self, of: Channel, _: bytes) -> bytes:
        self._asked(LOOK, but=of)
        return b""

    def _compare(self, said: bytes, of: Channel, _: int) -> None:
        for worker in self._living(of):
            with contextlib.suppress(Unavailable):
                worker.channel.tell(COMPARE, said)

    def _asked(self, kind: bytes, but: Channel) -> list[bytes]:
        """The answers of the other workers; one that is gone, or too slow, has none."""
        asked: list[Future[bytes]] = [worker.channel.ask(kind) for worker in self._living(but)]
        done, late = wait(asked, PROMPT)
        if late:
            log.warning("%d workers did not answer within %d seconds", len(late), int(PROMPT))
        return [future.result() for future in asked if future in done and future.exception() is None]

    def _living(self, but: Channel) -> list[_Worker]:
        return [w for w in self._workers if w.channel is not but and w.ready.is_set() and w.process.poll() is None]

    def _say(self, text: str) -> None:
        """Note what a worker says, once for all that say it, each of whom may hold another megabyte."""
        alike = _alike(text)
        with self._lock:
            now = time.monotonic()
            new = alike not in self._noted or now - self._noted[alike] >= SAME
            self._noted = {t: at for t, at in self._noted.items() if now - at < SAME} | {alike: now}
        if new:
            self._note(text)


class _Worker:
    """One worker: its process, and the channel to it."""

    def __init__(self, number: int, process: subprocess.Popen[bytes], channel: Channel, ready: Event) -> None:
        self.number, self.process, self.channel, self.ready = number, process, channel, ready
        self.died: float | None = None


def _alike(text: str) -> str:
    """What two notes have in common that differ by what a process holds.

    >>> _alike("The server holds 998 MB.") == _alike("The server holds 1,001 MB.")
    True
    """
    return re.sub(r"[\d,]+ MB", "MB", text)


def serve_by_workers(
    project: Project,
    command: Sequence[str],
    told: Mapping[str, Any],
    *,
    workers: int,
    host: str,
    port: int,
    tls: bool,
    note: Callable[[str], None],
    listening: Callable[[str, list[str]], None],
) -> int:
    """As `server.serve` does it, by several processes; the exit code.

    `command`: starts a worker, which reads `told` on its standard input and calls `server.work`.
    """
    with hold(project.store.root / "locks", [LOCK], fix=ALONE), bound(host, port) as listener:
        address = address_of(listener, tls=tls)
        keeper = Keeper(project.store, command, told, listener, workers, note)
        return keeper.live(lambda names: listening(address, names))


__all__ = ["Keeper", "serve_by_workers"]
