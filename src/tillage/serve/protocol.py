"""HTTP/1.1 on one connection, with deadlines: a head and a body must come whole within theirs, whatever drips in.

Without them uvicorn keeps an idle, a header-dripping and a body-dripping connection for ever. A connection too many is
told 503 and closed. Deadlines are absolute; a client that reads its answer too slowly is cut off too.
"""

from __future__ import annotations

import asyncio
import re
import sys
from collections import deque
from collections.abc import Callable, Collection
from functools import lru_cache, partial
from http import HTTPStatus
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

HEAD = 5.0
"""Seconds from the opening of a connection, or the first byte of a request, to the end of its head."""

BODY = 10.0
"""Seconds from the end of the head to the end of the body."""

IDLE = 15.0
"""Seconds for which a connection may say nothing between two requests."""

WRITE = 30.0
"""Seconds from the whole request to the end of its answer, reading by the client included."""

ENDING = 5
"""Seconds for which what is under way may go on when the server is told to end; log and traces take the rest of ten."""

LINGER = 2.0
"""Seconds for which a body that nobody wants is still taken, so that its sender comes to read why."""

HEAD_BYTES = 32 << 10
"""Bytes of a head: request line and headers."""

TAKEN = 64 << 10
"""Bytes that are taken off a connection at once. asyncio's own buffer of 256 kB is mapped anew for each call, which can
cost more than to take a short request."""

PIECE = 16 << 10
"""Bytes that the parser is fed at once. It does not say where in them a request began that follows another, so such a
head may have as many more."""

MOST_CONNECTIONS = 1000

_FULL = (
    b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\nconnection: close\r\n"
    b"content-type: application/json\r\ncontent-length: 51\r\n\r\n"
    b'{"error":"The server has too many connections now"}'
)


LOOK = 0.25
"""Seconds between two looks for connections to give up; a timer for each deadline would cost more than a Map."""

AT_ONCE, PAUSE = 16, 0.005
"""Connections that are given up at once, and seconds until more of them are: requests are answered in between."""

FREE = 1
"""Pieces that do not end a head which are taken as they come; before more is, the connection waits for its turn."""

TURN = 0.02
"""Seconds between two turns of AT_ONCE connections: all that trickle together may take a few hundredths of a processor,
and one alone hardly waits, as a small device whose head is a packet a line."""


class Turns:
    """The turns of connections whose heads come in many pieces: many that drip at the same time would hold the others
    up by a burst of that many, and each piece costs a share of what a request does."""

    def __init__(self) -> None:
        self._waiting: deque[GuardedProtocol] = deque()
        self._due = False

    def wait(self, connection: GuardedProtocol) -> None:
        """Take no more of a connection until it is its turn."""
        connection.flow.pause_reading()
        self._waiting.append(connection)
        if not self._due:
            self._due = True
            connection.loop.call_later(TURN, self._next, connection.loop)

    def _next(self, loop: asyncio.AbstractEventLoop) -> None:
        for _ in range(min(AT_ONCE, len(self._waiting))):
            self._waiting.popleft().go_on()
        self._due = bool(self._waiting)
        if self._due:
            loop.call_later(TURN, self._next, loop)


class _Answer:
    """What sends one answer: head and body leave together, so that a small answer is one call of the system.

    An answer is whole: the application sends its start, with the length of the body as its last header, and its body.
    """

    __slots__ = ("_cycle", "_linger", "_start")

    def __init__(self, cycle: RequestResponseCycle, linger: Callable[[], None]) -> None:
        self._cycle, self._linger = cycle, linger

    async def send(self, message: Any) -> None:
        """Hold the start, and send it with the body."""
        if message["type"] == "http.response.start":
            self._start = message
            return
        cycle = self._cycle
        if cycle.flow.write_paused and not cycle.disconnected:
            await cycle.flow.drain()
        if cycle.disconnected:
            return
        *fixed, (name, length) = self._start["headers"]
        if name != b"content-length":
            raise RuntimeError("the last header of an answer is its length")
        head, closes = _head(self._start["status"], tuple(fixed))
        pieces = [head]
        if closes:
            cycle.keep_alive = False
        elif not cycle.keep_alive:
            pieces.append(b"connection: close\r\n")
        for more in cycle.default_headers:
            pieces += (more[0], b": ", more[1], b"\r\n")
        pieces += (b"content-length: ", length, b"\r\n\r\n")
        if cycle.scope["method"] != "HEAD":
            pieces.append(message["body"])
        cycle.response_started = True
        cycle.transport.write(b"".join(pieces))
        cycle.response_complete = True
        del cycle.send  # it holds the cycle as the cycle holds it: the collector would have to find each of them
        cycle.message_event.set()
        if not cycle.keep_alive and cycle.more_body:
            self._linger()
        elif not cycle.keep_alive:
            cycle.transport.close()
        cycle.on_response()


@lru_cache(maxsize=64)
def _head(status: int, headers: tuple[tuple[bytes, bytes], ...]) -> tuple[bytes, bool]:
    """The first lines of an answer, and whether they say that the connection is closed; few are different.

    >>> _head(200, ((b"x-a", b"1"),))
    (b'HTTP/1.1 200 OK\\r\\nx-a: 1\\r\\n', False)
    """
    for line in (part for header in headers for part in header):
        if not _PRINTED.fullmatch(line):
            raise RuntimeError("a header of an answer holds what none may hold")
    lines = b"".join(b"%b: %b\r\n" % header for header in headers)
    return b"HTTP/1.1 %d %b\r\n%b" % (status, HTTPStatus(status).phrase.encode(), lines), _CLOSES in headers


_CLOSES = (b"connection", b"close")
_PRINTED = re.compile(rb"[ -~]+")


class GuardedProtocol(HttpToolsProtocol, asyncio.BufferedProtocol):
    """uvicorn's protocol on httptools, with deadlines and a limit of connections."""

    _taken = memoryview(bytearray(TAKEN))
    """What was taken last, of any connection: it is looked at before the next is."""

    _until: float | None = None
    """When the connection is given up."""
    _reading = False
    """Whether a request has begun to come and is not whole."""
    _lingers = False
    """Whether the last answer was given while its request still comes."""
    _head = 0
    """Bytes of the head so far; -1 while a body comes or an answer is awaited."""
    _pieces = 0
    """Pieces of this head that did not end it."""
    _waits = False
    """Whether more of it is taken when it is the connection's turn."""
    _aside = 0
    """Bytes within a body that are none of it, since its last byte: sizes and extensions of chunks, trailers."""
    _begun = 0
    """Requests that began in the bytes that the parser was fed last."""
    _fed = b""
    """Those bytes."""
    _spoilt = ""
    """What is wrong with what came behind requests that are still to be answered."""
    _plain = b""
    """The head of a request that asks for another protocol, as it is without asking."""
    _again = b""
    """That head and what came behind it, for a new parser."""

    def __init__(self, *given: Any, turns: Turns, **named: Any) -> None:
        """As uvicorn makes it; `turns` are those of all connections of the server."""
        super().__init__(*given, **named)
        self._turns = turns

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for the first head."""
        super().connection_made(transport)
        if len(self.connections) > MOST_CONNECTIONS:
            transport.write(_FULL)
            transport.close()
            return
        self._until = self.loop.time() + HEAD

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where what comes is put."""
        return self._taken

    def buffer_updated(self, nbytes: int) -> None:
        """So many bytes came."""
        self.data_received(bytes(self._taken[:nbytes]))

    def data_received(self, data: bytes) -> None:
        """Feed the parser by pieces, unless a head grows too long, or nothing more is wanted.

        What is too long is told at once, whoever waits for an answer: so little is taken of it.
        """
        if self._lingers or self._spoilt:
            return
        for at in range(0, len(data), PIECE):
            if self.transport.is_closing():
                return
            piece = data[at : at + PIECE]
            before, self._begun = self._head, 0
            self._fed = piece
            super().data_received(piece)
            while self._again:
                self._fed, self._again = self._again, b""
                self.parser = httptools.HttpRequestParser(self)
                super().data_received(self._fed)
            if self._spoilt:
                return
            if self._head < 0:
                self._aside += len(piece) if self._reading else 0
                if self._aside > HEAD_BYTES:
                    super().send_400_response("Too much stands between the pieces of the body, or behind it.")
                    return
                continue
            if before >= 0 and self._begun <= (before == 0):  # else it began somewhere within the piece
                self._head = before + len(piece)
            if self._head > HEAD_BYTES:
                super().send_400_response("The head of the request is too long.")
                return
        if self._head > 0:
            self._pieces += 1
            if self._pieces > FREE and not self._waits:
                self._waits = True
                self._turns.wait(self)

    def go_on(self) -> None:
        """It is the connection's turn. An answer given meanwhile took more already; what it is paused for since then, a
        request behind another, is not ours to end."""
        self._waits = False
        if self._head > 0 and not self.pipeline:
            self.flow.resume_reading()

    def send_400_response(self, msg: str) -> None:
        """Say what is wrong with what came: behind the answers to the requests before it, since the first of them would
        have this one for its own. Nothing is taken off the connection any more."""
        own = self._reading and self._head < 0
        if own and self.pipeline:
            self.pipeline.popleft()
        elif own or self.cycle is None or self.cycle.response_complete:
            super().send_400_response(msg)
            return
        self._spoilt, self._reading = msg, False
        self.flow.pause_reading()
        self.flow.resume_reading = _no_more  # type: ignore[method-assign]
        self._until = self.loop.time() + WRITE

    def _unsupported_upgrade_warning(self) -> None:
        """A request asks for another protocol, as those of Java do for HTTP/2. It may be answered in this one (RFC
        9110, 7.8), but the parser takes its body for the other's, so it is read anew by one that is not asked."""
        if self._plain:
            (read,) = getattr(sys.exception(), "args", (0,))
            self._again, self._plain = self._plain + self._fed[read:], b""

    def _linger(self) -> None:
        """The answer is all that is said; what still comes is not looked at. To close at once would reset the
        connection under one who is still sending, and the answer would be lost."""
        if not self.transport.can_write_eof():  # TLS has no half that could be closed
            self.transport.close()
            return
        self.transport.write_eof()
        self._lingers = True
        self.flow.resume_reading()

    def on_message_begin(self) -> None:
        """The first byte of a request."""
        super().on_message_begin()
        self._reading = True
        self._begun += 1
        self._head, self._pieces = 1, 0
        self._until = self.loop.time() + HEAD

    def on_header(self, name: bytes, value: bytes) -> None:
        """A line of the head; one behind a body (a trailer) is passed over, and never becomes one of the head."""
        if self._head >= 0:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The head is whole."""
        if self.parser.should_upgrade() and self.parser.get_method() != b"CONNECT":
            lines = [b"%b: %b\r\n" % header for header in self.headers if header[0] != b"upgrade"]
            version = self.parser.get_http_version().encode()
            self._plain = b"%b %b HTTP/%b\r\n%b\r\n" % (self.parser.get_method(), self.url, version, b"".join(lines))
            return
        self._head, self._aside = -1, 0
        if not self.url.startswith(b"/"):
            self._take_name()
        super().on_headers_complete()
        self.cycle.send = _Answer(self.cycle, self._linger).send  # type: ignore[method-assign]
        self._until = self.loop.time() + BODY

    def _take_name(self) -> None:
        """Of a target that is a whole URL the name holds, whatever Host says (RFC 9112, 3.2.2)."""
        url = httptools.parse_url(self.url)
        if url.host is not None:
            name = b"[%b]" % url.host if b":" in url.host else url.host
            name += b":%d" % url.port if url.port else b""
            self.headers[:] = [(key, name if key == b"host" else value) for key, value in self.headers]

    def on_body(self, body: bytes) -> None:
        """A piece of the body."""
        self._aside = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The request is whole."""
        if self._plain:
            return
        super().on_message_complete()
        self._reading = False
        if self.cycle.response_complete:  # the answer did not wait for the body
            self._head = 0
            self._until = self.loop.time() + IDLE
        else:
            self._until = self.loop.time() + WRITE

    def on_response_complete(self) -> None:
        """An answer is written: the next request that came already, or idling."""
        self.server_state.total_requests += 1
        if self._lingers:
            self._until = self.loop.time() + LINGER
            return
        if not self._reading:  # else the deadline of the request that follows goes on
            self._head = 0
            busy = self.pipeline or self.transport.get_write_buffer_size()
            self._until = self.loop.time() + (WRITE if busy else IDLE)
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
        elif self._spoilt:
            super().send_400_response(self._spoilt)

    def late(self, now: float) -> bool:
        """Whether the connection is to be given up, by the clock of the event loop."""
        return self._until is not None and now > self._until


def _no_more() -> None:
    """In place of what would take more off a connection."""


async def watch(connections: Collection[Any]) -> None:
    """Give up the connections of a server whose deadline is over; without end.

    Many can be late at the same time, who came at the same time: to close them all at once would hold the others up.
    """
    clock = asyncio.get_running_loop().time
    while True:
        now = clock()
        late = [each for each in connections if each.late(now)]
        for each in late[:AT_ONCE]:
            each.transport.abort()
        await asyncio.sleep(PAUSE if late else LOOK)


def config(app: Any) -> dict[str, Any]:
    """What uvicorn is told of a guarded server."""
    return {
        "app": app,
        "http": partial(GuardedProtocol, turns=Turns()),
        "ws": "none",
        "interface": "asgi3",
        "access_log": False,
        "log_config": None,
        "server_header": False,
        "date_header": True,
        "proxy_headers": False,
        "timeout_graceful_shutdown": ENDING,
        "backlog": 1,  # connections that are taken at once; how many may wait the listener has been told
    }
