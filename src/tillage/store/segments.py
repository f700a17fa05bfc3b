"""The log: records appended to segment files, each behind its length and CRC-32, made durable in groups.

A record is whole or absent: what a crash leaves at the end of a segment is cut off when the segment is read. A group is
written and fsynced once at most `DELAY` seconds after its first record, or at `GROUP` records; who must not lose a
record waits for its group. Cost: 1 microsecond a record, and one fsync a group.
"""

from __future__ import annotations

import logging
import os
import re
import struct
import threading
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from tillage.core.errors import Unavailable
from tillage.store.objects import sync_folder

DELAY = 1.0
"""Seconds at most from the first record of a group to its fsync."""

GROUP = 512
"""Records at which a group is made durable without waiting further."""

MOST_WAITING = 16 << 20
"""Bytes of records that wait for a disk which refuses them; the oldest are given up for newer ones."""

STAGE = "@predictions"
"""The stage in the catalog that ended segments of a server's log are brought into; no table can have this name."""

FOLDER = "predictions"
"""Below the store: the segments of that log."""

log = logging.getLogger("tillage.store")

_HEAD = struct.Struct("<II")
_NAME = r"(\d{10})\.log"


def segments(folder: Path) -> list[tuple[int, Path]]:
    """The segments there are, by number."""
    if not folder.is_dir():
        return []
    found = [(int(m[1]), path) for path in folder.iterdir() if (m := re.fullmatch(_NAME, path.name))]
    return sorted(found)


def records(path: Path) -> Iterator[bytes]:
    """The whole records of a segment, in order, up to the first that is not whole.

    >>> import tempfile
    >>> log = Log(Path(tempfile.mkdtemp()))
    >>> log.append(b"one"), log.append_durably(b"two").result()
    (None, None)
    >>> log.close()
    >>> [list(records(path)) for _, path in segments(log.folder)]
    [[b'one', b'two']]
    """
    data = path.read_bytes()
    at = 0
    while at + _HEAD.size <= len(data):
        size, crc = _HEAD.unpack_from(data, at)
        at += _HEAD.size
        payload = data[at : at + size]
        if len(payload) != size or zlib.crc32(payload) != crc:
            return
        yield payload
        at += size


class Log:
    """The writer: one a folder. Records come from any thread; one thread of ours writes them.

    What the disk refuses is tried again with what comes next, so that a disk that is full for a while loses nothing but
    what was promised, whose caller is told.
    """

    def __init__(
        self,
        folder: Path,
        *,
        first: int = 1,
        delay: float = DELAY,
        group: int = GROUP,
        guard: Callable[[], AbstractContextManager[None]] = nullcontext,
        before: Callable[[], Sequence[bytes]] = tuple,
    ) -> None:
        """`first`: the least number that a segment may have; the next one is greater than all that are there.

        `guard`: held while a group is written, so that another process may take the segment away between two groups;
        `before`: asked at each group for records that are to stand before it.
        """
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.folder, self.delay, self.group = folder, delay, group
        self._guard, self._before = guard, before
        there = segments(folder)
        self.number = max(first, there[-1][0] + 1 if there else 0)
        self._buffer: list[tuple[bytes, Future[None] | None]] = []
        self._waiting: list[bytes] = []
        """What the disk has refused, in order."""
        self._changed = threading.Condition()
        self._disk = threading.Lock()
        self._since = 0.0
        """When the first record of the group came."""
        self._urgent = self._closing = False
        self.failed: Exception | None = None
        """Why the last group could not be written."""
        self.lost = 0
        """Records that were given up: promised ones, and those for which there was no room to wait."""
        self._file = self._open()
        self.size = 0
        """Bytes in the segment that is written to."""
        self._thread = threading.Thread(target=self._write_on, name="log", daemon=True)
        self._thread.start()

    @property
    def path(self) -> Path:
        """The segment that is written to."""
        return self.folder / f"{self.number:010d}.log"

    def _open(self) -> int:
        file = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
        sync_folder(self.folder)
        return file

    @property
    def unlogged(self) -> int:
        """Records that the disk refused: those that were given up, and those that wait."""
        return self.lost + len(self._waiting)

    def append(self, record: bytes) -> None:
        """Append; durable within `delay`."""
        with self._changed:
            self._add(record)

    def append_durably(self, record: bytes) -> Future[None]:
        """Append; the future is done once it is durable, and raises Unavailable when that failed."""
        with self._changed:
            promise: Future[None] = Future()
            self._urgent = True
            self._add(record, promise)
            self._changed.notify()
            return promise

    def _add(self, record: bytes, promise: Future[None] | None = None) -> None:
        if not self._buffer:
            self._since = time.monotonic()
            self._changed.notify()
        self._buffer.append((record, promise))
        if len(self._buffer) == self.group:
            self._changed.notify()

    def roll(self) -> int:
        """End the segment, once what was appended so far is durable, and begin the next; the number of the ended one.

        Where the disk refuses, the segment goes on and Unavailable is raised.
        """
        self.append_durably(b"").result()
        with self._disk, self._guard():
            try:
                return self._next()
            except OSError as error:
                raise _refused(error, self.folder) from error

    def _next(self) -> int:
        """Begin the next segment; the number of the ended one."""
        ended = self.number
        self.number += 1
        try:
            file = self._open()
        except OSError:
            self.number = ended
            raise
        os.close(self._file)
        self._file, self.size = file, 0
        return ended

    def close(self) -> None:
        """Make everything durable, and stop."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join()
        os.close(self._file)

    def _write_on(self) -> None:
        while True:
            with self._changed:
                while not self._due():
                    left = self._since + self.delay - time.monotonic() if self._buffer or self._waiting else None
                    self._changed.wait(left)
                closing, buffer = self._closing, self._buffer
                self._buffer, self._urgent = [], False
            if buffer or self._waiting:
                self._settle(buffer)
            if closing:
                if self._waiting:
                    log.error("%d records of the log in %s could not be written.", len(self._waiting), self.folder)
                self.lost, self._waiting = self.unlogged, []
                return

    def _due(self) -> bool:
        waited = bool(self._buffer or self._waiting) and time.monotonic() >= self._since + self.delay
        full = len(self._buffer) >= self.group and self.failed is None  # a disk that refuses is not asked at once again
        return self._closing or self._urgent or waited or full

    def _settle(self, buffer: list[tuple[bytes, Future[None] | None]]) -> None:
        failed: Exception | None = None
        group = self._waiting
        with self._disk:  # a roll must not take the file away meanwhile; who appends does not wait for the disk
            try:
                group = [*group, *self._before()]
                every = [*group, *(record for record, _ in buffer)]
                data = b"".join(_HEAD.pack(len(r), zlib.crc32(r)) + r for r in every if r)
                with self._guard():
                    if not self.path.exists():  # it was brought into the table by someone who held the guard
                        self._next()
                    self._write(data)
            except Exception as error:  # whatever it is, who waits must be told, and the next group may fare better
                failed = error
        if failed is not None and self.failed is None:
            log.error("%s What is not promised waits.", _refused(failed, self.folder))
        self.failed = failed
        if failed is not None:
            self._since = time.monotonic()
        self._waiting = [] if failed is None else self._kept([*group, *(r for r, promise in buffer if promise is None)])
        for record, promise in buffer:
            if promise is None:
                continue
            if failed is None:
                promise.set_result(None)
            else:
                self.lost += bool(record)
                promise.set_exception(_refused(failed, self.folder))

    def _kept(self, waiting: list[bytes]) -> list[bytes]:
        """The newest of these records for which there is room."""
        room, first = MOST_WAITING, len(waiting)
        while first and (room := room - len(waiting[first - 1])) >= 0:
            first -= 1
        self.lost += first
        return waiting[first:]

    def _write(self, data: bytes) -> None:
        """All of it, durably; or nothing: a part that was written would hide what comes after it."""
        try:
            left = memoryview(data)
            while left:
                left = left[os.write(self._file, left) :]
            os.fsync(self._file)
            self.size += len(data)
        except BaseException:
            os.ftruncate(self._file, self.size)
            raise


def _refused(error: Exception, folder: Path) -> Unavailable:
    why = getattr(error, "strerror", None) or error
    return Unavailable(f"The log in {folder} cannot be written: {why}.", fix="Free space or mend the disk.")
