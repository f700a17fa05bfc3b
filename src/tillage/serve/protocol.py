"""HTTP/1.1 on one connection, with deadlines: a head and a body must come whole within theirs, whatever drips in.

Without them uvicorn keeps an idle, a header-dripping and a body-dripping connection for ever. A connection too many is
told 503 and closed. Deadlines are absolute; a client that reads its answer too slowly is cut off too.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD = 5.0
"""Seconds from the opening of a connection, or the first byte of a request, to the end of its head."""

BODY = 10.0
"""Seconds from the end of the head to the end of the body."""

WRITE = 30.0
"""Seconds from the whole request to the end of its answer, reading by the client included."""

HEAD_BYTES = 32 << 10
"""Bytes of a head: request line and headers."""

MOST_CONNECTIONS = 1000

_FULL = (
    b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\nconnection: close\r\n"
    b"content-type: application/json\r\ncontent-length: 51\r\n\r\n"
    b'{"error":"The server has too many connections now"}'
)


LOOK = 0.5
"""Seconds between two looks at the clock; one timer a connection, where one a deadline would cost more than a Map."""


class _Whole:
    """The transport of one answer: head and body leave together, so that a small answer is one call of the system."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport, self._head = transport, b""

    def write(self, data: bytes) -> None:
        """Hold the head, and send it with what follows."""
        if not self._head and not data.startswith(b"HTTP/1.1 100 "):
            self._head = data
            return
        self._transport.write(self._head + data)
        self._head = b""

    def close(self) -> None:
        """Close, once all is sent."""
        self._transport.write(self._head)
        self._transport.close()

    def is_closing(self) -> bool:
        """Whether it is closed or about to be."""
        return self._transport.is_closing()


class GuardedProtocol(HttpToolsProtocol):
    """uvicorn's protocol on httptools, with deadlines and a limit of connections."""

    _until: float | None = None
    """When the connection is given up; None while it idles between requests, which uvicorn's own timer watches."""
    _look: asyncio.TimerHandle | None = None
    _reading = False
    """Whether a request has begun to come and is not whole."""
    _head = 0
    """Bytes of the head so far; -1 while a body comes or an answer is awaited."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for the first head."""
        super().connection_made(transport)
        if len(self.connections) > MOST_CONNECTIONS:
            transport.write(_FULL)
            transport.close()
            return
        self._until = self.loop.time() + HEAD
        self._look = self.loop.call_later(LOOK, self._watch)

    def data_received(self, data: bytes) -> None:
        """Feed the parser, unless a head grows too long."""
        if self._head >= 0:
            self._head += len(data)
            if self._head > HEAD_BYTES and self._in_head(data):
                self.send_400_response("The head of the request is too long.")
                return
        if not self.transport.is_closing():
            super().data_received(data)

    def _in_head(self, data: bytes) -> bool:
        """Whether the head is longer than it may be: its end is not within these bytes, or stands too far behind."""
        end = data.find(b"\r\n\r\n")
        return end < 0 or self._head - len(data) + end > HEAD_BYTES

    def on_message_begin(self) -> None:
        """The first byte of a request."""
        super().on_message_begin()
        self._reading = True
        self._until = self.loop.time() + HEAD

    def on_headers_complete(self) -> None:
        """The head is whole."""
        self._head = -1
        super().on_headers_complete()
        if self.scope["method"] != "HEAD":  # nothing follows that head
            self.cycle.transport = _Whole(self.transport)  # type: ignore[assignment]
        self._until = self.loop.time() + BODY

    def on_message_complete(self) -> None:
        """The request is whole."""
        super().on_message_complete()
        self._reading = False
        self._until = self.loop.time() + WRITE

    def on_response_complete(self) -> None:
        """An answer is written. Where nothing else is under way, uvicorn's own timer watches the idle connection."""
        if not self._reading:  # else the deadline of the request that follows goes on
            self._until = self.loop.time() + WRITE if self.pipeline else None
            self._head = 0
        super().on_response_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing more to wait for."""
        if self._look is not None:
            self._look.cancel()
        super().connection_lost(exc)

    def _watch(self) -> None:
        if self._until is not None and self.loop.time() > self._until:
            self.transport.abort()
            return
        self._look = self.loop.call_later(LOOK, self._watch)


def config(app: Any) -> dict[str, Any]:
    """What uvicorn is told of a guarded server."""
    return {
        "app": app,
        "http": GuardedProtocol,
        "ws": "none",
        "interface": "asgi3",
        "access_log": False,
        "log_config": None,
        "server_header": False,
        "date_header": True,
        "proxy_headers": False,
        "timeout_keep_alive": 15,
        "timeout_graceful_shutdown": 8,
        "backlog": 1024,
    }
