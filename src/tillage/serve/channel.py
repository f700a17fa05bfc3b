"""What the process that keeps the log and its workers say to each other: frames on a socket, each a kind and its bytes.

A frame is a question where it bears a number, which its answer bears too. Each end reads in a thread of its own, so an
answer never waits for an event loop; who writes holds a lock. Where the other end is gone, every question that is open
is answered with Unavailable. Cost: 20 microseconds a frame.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from itertools import count
from threading import Lock, Thread

from tillage.core.errors import Unavailable

ANSWER = b"="
ERROR = b"!"

Handler = Callable[[bytes, "Channel", int], None]
"""Takes the bytes of a frame, the channel that it came on, and its number (0: nobody waits for an answer)."""

_HEAD = struct.Struct("<cIQ")


class Channel:
    """One end.

    >>> a, b = socket.socketpair()
    >>> asks, answers = Channel(a, {}), Channel(b, {b"t": lambda said, to, number: to.answer(number, said.upper())})
    >>> asks.start(), answers.start()
    (None, None)
    >>> asks.ask(b"t", b"hello").result(5)
    b'HELLO'
    >>> asks.close(), answers.close()
    (None, None)
    """

    def __init__(
        self, end: socket.socket, handlers: dict[bytes, Handler], gone: Callable[[], None] = lambda: None
    ) -> None:
        """`handlers`: by kind, called in the thread that reads; `gone`: called there when the other end is."""
        self._end, self._handlers, self._gone = end, handlers, gone
        self._writing, self._asking = Lock(), Lock()
        self._open: dict[int, Future[bytes]] = {}
        self._numbers = count(1)
        self._ended = False
        self._thread = Thread(target=self._read_on, name="channel", daemon=True)

    def start(self) -> None:
        """Begin to read."""
        self._thread.start()

    def tell(self, kind: bytes, said: bytes = b"", number: int = 0) -> None:
        """Send a frame; Unavailable where the other end is gone."""
        data = _HEAD.pack(kind, len(said), number) + said
        try:
            with self._writing:
                self._end.sendall(data)
        except OSError as error:
            raise _left() from error

    def ask(self, kind: bytes, said: bytes = b"") -> Future[bytes]:
        """Send a question; the future has its answer, or Unavailable."""
        found: Future[bytes] = Future()
        number = next(self._numbers)
        with self._asking:
            if self._ended:
                found.set_exception(_left())
                return found
            self._open[number] = found
        try:
            self.tell(kind, said, number)
        except Unavailable as error:
            with self._asking:
                mine = self._open.pop(number, None)
            if mine is not None:
                mine.set_exception(error)
        return found

    def answer(self, number: int, said: bytes = b"") -> None:
        """Answer a question; nothing where nobody waits, or the other end is gone."""
        if number:
            with suppress(Unavailable):
                self.tell(ANSWER, said, number)

    def refuse(self, number: int, why: str) -> None:
        """Answer a question with why it cannot be done."""
        if number:
            with suppress(Unavailable):
                self.tell(ERROR, why.encode(), number)

    def close(self) -> None:
        """Let go of it."""
        with suppress(OSError):
            self._end.shutdown(socket.SHUT_RDWR)
        self.wait(2)
        self._end.close()

    def wait(self, seconds: float) -> None:
        """Until the other end is gone, and all that it said was taken; so many seconds at most."""
        if self._thread.is_alive():
            self._thread.join(seconds)

    def _read_on(self) -> None:
        while (head := self._exactly(_HEAD.size)) is not None:
            kind, size, number = _HEAD.unpack(head)
            said = self._exactly(size)
            if said is None:
                break
            if kind in (ANSWER, ERROR):
                self._settle(number, kind, said)
            else:
                self._handlers[kind](said, self, number)
        with self._asking:
            self._ended = True
            left, self._open = list(self._open.values()), {}
        for future in left:
            future.set_exception(_left())
        self._gone()

    def _settle(self, number: int, kind: bytes, said: bytes) -> None:
        with self._asking:
            future = self._open.pop(number, None)
        if future is None:
            return
        if kind == ANSWER:
            future.set_result(said)
        else:
            future.set_exception(Unavailable(said.decode()))

    def _exactly(self, size: int) -> bytes | None:
        pieces: list[bytes] = []
        while size:
            try:
                piece = self._end.recv(min(size, 1 << 20))
            except OSError:
                return None
            if not piece:
                return None
            pieces.append(piece)
            size -= len(piece)
        return b"".join(pieces)


def _left() -> Unavailable:
    return Unavailable("The other process of the server is gone.", fix="Ask again.")


__all__ = ["Channel", "Handler"]
