"""A worker of a server of several: it answers requests as a server of one does, and the keeper has the log.

What it says to the keeper: groups of records for the log, labels that must be durable, what its numbers are, and that
its service changed. Records wait for company for `DELAY` seconds, as whom they are about is told for a group; with the
log's own delay they are durable within a second. A worker whose keeper is gone ends.
"""

from __future__ import annotations

import json
import logging
import socket
import struct
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future

from tillage.core.errors import Unavailable
from tillage.serve.channel import Channel, Handler

DELAY = 0.25
"""Seconds at most from the first record of a group to its way to the keeper."""

GROUP = 256
"""Records at which a group goes without waiting further."""

RECORDS, LABEL, FLUSH, NUMBERS, ALL_NUMBERS, LOOK, ALL_LOOK, COMPARE, READY, NOTE = (
    b"r", b"l", b"f", b"n", b"N", b"k", b"K", b"c", b"u", b"s",
)  # fmt: skip
"""Kinds of frames. Of the keeper to a worker: FLUSH (send what waits), NUMBERS, LOOK (for another version), COMPARE."""

_SIZE = struct.Struct("<I")

log = logging.getLogger("tillage.serve")


class RemoteLog:
    """The log as a worker sees it: what `store.segments.Log` does, done by the keeper."""

    unlogged = 0
    """The keeper counts what the disk refused."""
    size = 0
    """The keeper rolls the log."""

    def __init__(self, keeper: Channel, before: Callable[[], Sequence[bytes]]) -> None:
        """`before`: asked at each group for records that are to stand before it."""
        self._keeper, self._before = keeper, before
        self._buffer: list[bytes] = []
        self._since = 0.0
        self._closing = False
        self._changed = threading.Condition()
        self._sending = threading.Lock()
        """Held from when a group is taken until it is sent: groups keep their order, and a flush sees that all went."""
        self._thread = threading.Thread(target=self._send_on, name="log", daemon=True)
        self._thread.start()

    def append(self, record: bytes) -> None:
        """Append; durable within a second."""
        with self._changed:
            if not self._buffer:
                self._since = time.monotonic()
                self._changed.notify()
            self._buffer.append(record)
            if len(self._buffer) == GROUP:
                self._changed.notify()

    def append_durably(self, record: bytes) -> Future[bytes]:
        """Append; the future is done once it is durable, and raises Unavailable when that failed."""
        self.flush()
        return self._keeper.ask(LABEL, record)

    def flush(self) -> None:
        """Send what waits."""
        with self._sending:
            with self._changed:
                taken, self._buffer = self._buffer, []
            if taken:
                group = [*self._before(), *taken]
                self._keeper.tell(RECORDS, b"".join(_SIZE.pack(len(r)) + r for r in group if r))

    def close(self) -> None:
        """Send what waits, and stop."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join()

    def _send_on(self) -> None:
        closing = False
        while not closing:
            with self._changed:
                while not self._due():
                    left = self._since + DELAY - time.monotonic() if self._buffer else None
                    self._changed.wait(left)
                closing = self._closing
            try:
                self.flush()
            except Unavailable:  # the keeper is gone, and so are we
                log.error("the process that keeps the log is gone; predictions of the last moment are lost")

    def _due(self) -> bool:
        waited = bool(self._buffer) and time.monotonic() >= self._since + DELAY
        return self._closing or waited or len(self._buffer) >= GROUP


def records_of(said: bytes) -> list[bytes]:
    """The records of a frame.

    >>> records_of(_SIZE.pack(2) + b"ab" + _SIZE.pack(0))
    [b'ab', b'']
    """
    found: list[bytes] = []
    at = 0
    while at < len(said):
        (size,) = _SIZE.unpack_from(said, at)
        found.append(said[at + _SIZE.size : at + _SIZE.size + size])
        at += _SIZE.size + size
    return found


class Work:
    """A worker's end of the channel: what it asks of the keeper, and what it answers it."""

    def __init__(self, end: socket.socket) -> None:
        self.numbers: Callable[[], bytes] = bytes
        """The worker's own numbers, as Prometheus reads them."""
        self.look: Callable[[Callable[[], None]], None] = lambda done: done()
        """Looks for another version, and calls when it has."""
        self.compare: Callable[[list[tuple[str, object]]], None] = lambda labels: None
        """Compares labels with predictions of late."""
        self.left: Callable[[], None] = lambda: None
        """Called when the keeper is gone."""
        self.log: RemoteLog | None = None
        handlers: dict[bytes, Handler] = {
            FLUSH: self._flush,
            NUMBERS: lambda _, to, number: to.answer(number, self.numbers()),
            LOOK: lambda _, to, number: self.look(lambda: to.answer(number)),
            COMPARE: lambda said, *_: self.compare(json.loads(said)),
        }
        self.keeper = Channel(end, handlers, self._gone)
        self.keeper.start()

    def log_of(self, before: Callable[[], Sequence[bytes]]) -> RemoteLog:
        """The log, which the keeper has."""
        self.log = RemoteLog(self.keeper, before)
        return self.log

    def _gone(self) -> None:
        self.left()

    def _flush(self, _: bytes, to: Channel, number: int) -> None:
        if self.log is not None:
            self.log.flush()
        to.answer(number)

    def labelled(self, labels: Sequence[tuple[str, object]]) -> None:
        """Tell the other workers of labels: one of them may have predicted."""
        self.keeper.tell(COMPARE, json.dumps(labels).encode())


__all__ = ["RemoteLog", "Work", "records_of"]
