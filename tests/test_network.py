"""The guard of `conftest.py`: what would leave the machine is refused. Events are announced, nothing is sent."""

from __future__ import annotations

import sys

import pytest


@pytest.mark.parametrize(
    ("event", "arguments"),
    [
        ("socket.connect", (None, ("192.0.2.1", 9))),
        ("socket.connect", (None, ("2001:db8::1", 9, 0, 0))),
        ("socket.getaddrinfo", ("registry.invalid", 443, 0, 0, 0)),
        ("socket.getaddrinfo", (b"registry.invalid", 443, 0, 0, 0)),
    ],
)
def test_what_leaves_the_machine_is_refused(event: str, arguments: tuple[object, ...]) -> None:
    with pytest.raises(PermissionError, match="stay on this machine"):
        sys.audit(event, *arguments)


@pytest.mark.parametrize(
    ("event", "arguments"),
    [
        ("socket.connect", (None, ("127.0.0.1", 9))),
        ("socket.connect", (None, ("::1", 9, 0, 0))),
        ("socket.connect", (None, "/run/a.socket")),
        ("socket.getaddrinfo", ("localhost", 80, 0, 0, 0)),
        ("socket.getaddrinfo", (None, 80, 0, 0, 0)),
        ("open", ("192.0.2.1", "r", 0)),
    ],
)
def test_what_stays_is_let_through(event: str, arguments: tuple[object, ...]) -> None:
    assert sys.audit(event, *arguments) is None  # type: ignore[func-returns-value]
