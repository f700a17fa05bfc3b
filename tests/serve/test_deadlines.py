"""Clients that drip, idle or take all connections: each is given up in time, and the others are answered."""

from __future__ import annotations

import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.serve.running import Server, lay, stored

SHORT = """
import tillage.serve.protocol as p
p.HEAD, p.BODY, p.IDLE, p.LOOK, p.MOST_CONNECTIONS = 1.0, 2.0, 1.5, 0.1, 40
"""
"""The deadlines, shortened: their lengths are not what is tested."""


@pytest.fixture(scope="module")
def impatient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(lay(tmp_path_factory.mktemp("impatient")), before=SHORT) as running:
        yield running


def lives(server: Server, first: bytes, drip: bytes, seconds: float) -> float:
    """For how long a connection is left open to one who sends `first`, and then drips."""
    with socket.create_connection((server.host, server.port), timeout=0.1) as open_:
        began = time.monotonic()
        open_.sendall(first)
        while time.monotonic() - began < seconds:
            try:
                if drip:
                    open_.sendall(drip)
                if open_.recv(100) == b"":
                    break
            except TimeoutError:
                continue
            except (BrokenPipeError, ConnectionResetError):
                break
        return time.monotonic() - began


def head(server: Server, length: int) -> bytes:
    return (
        f"POST /v1/services/desk HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {server.token}\r\n"
        f"Content-Length: {length}\r\n\r\n"
    ).encode()


def test_who_says_nothing_or_drips_is_given_up(impatient: Server) -> None:
    assert lives(impatient, b"", b"", 8) < 4
    assert lives(impatient, b"GET / HTTP/1.1\r\nX", b"a", 8) < 4
    whole = head(impatient, 2) + b"{}"
    assert lives(impatient, whole + b"GET / HTTP/1.1\r\nX", b"a", 8) < 4
    assert lives(impatient, whole + head(impatient, 100_000), b"a", 8) < 6
    assert 1.5 < lives(impatient, head(impatient, 100_000), b"a", 8) < 6


def test_who_idles_between_requests_is_given_up_whatever_blank_lines_come(impatient: Server) -> None:
    whole = head(impatient, 2) + b"{}"
    for drip in (b"", b"\r\n"):
        with socket.create_connection((impatient.host, impatient.port), timeout=0.1) as open_:
            open_.sendall(whole)
            got, began = b"", time.monotonic()
            while time.monotonic() - began < 8:
                try:
                    if drip:
                        open_.sendall(drip)
                    if not (piece := open_.recv(1000)):
                        break
                    got += piece
                except TimeoutError:
                    continue
                except (BrokenPipeError, ConnectionResetError):
                    break
            assert got.startswith(b"HTTP/1.1 400 ")
            assert 1 < time.monotonic() - began < 5


LIVE = b"GET /v2/health/live HTTP/1.1\r\nHost: localhost\r\n"


def sent_of_a_head(server: Server, before: bytes, answer: bytes) -> tuple[int, bytes]:
    """How much of a head without end is taken that follows other requests, and what is said."""
    with socket.create_connection((server.host, server.port), timeout=5) as open_:
        got, sent = b"", 0
        if answer:
            first, rest = before.split(b"|")
            open_.sendall(first)
            while answer not in got:
                got += open_.recv(1000)
            open_.sendall(rest + LIVE + b"X-A: ")
        else:
            open_.sendall(before + LIVE + b"X-A: ")
        open_.settimeout(0.002)
        while sent < 4 << 20:
            try:
                open_.sendall(b"a" * 16384)
                sent += 16384
                piece = open_.recv(1 << 20)
                got += piece
                if not piece:
                    break
            except TimeoutError:
                continue
            except (BrokenPipeError, ConnectionResetError):
                break
        return sent, got


def test_a_head_is_not_longer_because_it_follows_another_request(impatient: Server) -> None:
    unknown = b"POST /v1/services/desk HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\n|12345"
    whole = LIVE + b"\r\n"
    for before, answer in (
        (b"", b""),
        (whole, b""),
        (whole * 700, b""),
        (whole + b"|", b"live"),
        (unknown, b"401"),
    ):
        sent, got = sent_of_a_head(impatient, before, answer)
        assert sent < 2 << 20, before[-80:]  # what the system holds in its buffers counts, too
        assert b"The head of the request is too long." in got


def test_a_body_that_comes_behind_its_answer_is_followed_by_idling(impatient: Server) -> None:
    unknown = head(impatient, 5).replace(impatient.token.encode(), b"wrong")
    with socket.create_connection((impatient.host, impatient.port), timeout=8) as open_:
        open_.sendall(unknown)
        assert b" 401 " in open_.recv(1000)
        open_.sendall(b"12345")
        began = time.monotonic()
        open_.settimeout(8)
        while open_.recv(1000):
            pass
        assert 1 < time.monotonic() - began < 5


def test_the_end_of_a_head_may_come_in_two_parts(impatient: Server) -> None:
    body = b'{"rows": [{"size": 2, "text": "' + b"a" * 40_000 + b'"}]}'
    request = head(impatient, len(body)) + body
    cut = request.index(b"\r\n\r\n") + 2
    with socket.create_connection((impatient.host, impatient.port), timeout=8) as open_:
        open_.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        open_.sendall(request[:cut])
        time.sleep(0.1)
        open_.sendall(request[cut:])
        assert open_.recv(1000).startswith(b"HTTP/1.1 200 OK")


def test_connections_without_end_leave_room_for_nobody_else_to_wait(impatient: Server) -> None:
    held = [socket.create_connection((impatient.host, impatient.port), timeout=5) for _ in range(41)]
    try:
        end = time.monotonic() + 5
        while (got := held[-1].recv(300)) == b"" and time.monotonic() < end:
            time.sleep(0.05)
        assert got.startswith(b"HTTP/1.1 503 ")
        assert b"retry-after: 1" in got
    finally:
        for open_ in held:
            open_.close()
    time.sleep(0.5)
    row = {"id": 1, "size": 2, "text": "a"}
    assert impatient.predict(row)["predictions"][0]["prediction"] == 4.0


def test_one_connection_takes_many_requests_one_after_another_and_at_once(impatient: Server) -> None:
    body = b'{"rows": [{"size": 2, "text": "a"}]}'
    request = head(impatient, len(body)) + body
    with socket.create_connection((impatient.host, impatient.port), timeout=10) as open_:
        open_.sendall(request * 5)
        got = b""
        while got.count(b'"prediction":4.0') < 5:
            piece = open_.recv(65536)
            assert piece, got
            got += piece
        assert got.count(b"HTTP/1.1 200 OK") == 5
        open_.sendall(
            b"HEAD /v2 HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer " + impatient.token.encode() + b"\r\n\r\n"
        )
        assert open_.recv(65536).startswith(b"HTTP/1.1 200 OK")
        open_.sendall(request.replace(b"Content-Length", b"Expect: 100-continue\r\nContent-Length"))
        got = b""
        while b'"prediction":4.0' not in got:
            piece = open_.recv(65536)
            assert piece, got
            got += piece
        assert b"HTTP/1.1 200 OK" in got


def test_the_socket_of_a_slow_path_is_let_go(impatient: Server, tmp_path: Path) -> None:
    before = len(list(Path(f"/proc/{impatient.process.pid}/fd").iterdir()))
    for _ in range(30):
        with socket.create_connection((impatient.host, impatient.port)) as open_:
            open_.sendall(head(impatient, 50))
    time.sleep(0.5)
    assert len(list(Path(f"/proc/{impatient.process.pid}/fd").iterdir())) <= before + 2


@pytest.mark.parametrize("aside", [b"x: y\r\n" * 1000, b"x: " + b"y" * 5000, b"1;" + b"e" * 5000])
def test_what_stands_beside_a_body_is_limited_as_a_head_is(impatient: Server, aside: bytes) -> None:
    body = b'{"rows": []}'
    first = head(impatient, 0).replace(b"Content-Length: 0", b"Transfer-Encoding: chunked")
    first += b"%x\r\n%b\r\n" % (len(body), body) + (b"" if aside.startswith(b"1;") else b"0\r\n")
    with socket.create_connection((impatient.host, impatient.port), timeout=5) as open_:
        open_.sendall(first)
        sent = 0
        try:
            for _ in range(2000):
                open_.sendall(aside if sent == 0 or aside.count(b"\r\n") else b"z" * 5000)
                sent += len(aside)
            got = open_.recv(1000)
        except (BrokenPipeError, ConnectionResetError):
            return  # it was closed while still sent to
        assert got.startswith(b"HTTP/1.1 400"), f"{sent:,} bytes were taken, and answered with {got!r}"


def test_a_few_trailers_are_passed_over(impatient: Server) -> None:
    body = b'{"rows": []}'
    first = head(impatient, 0).replace(b"Content-Length: 0", b"Transfer-Encoding: chunked")
    with socket.create_connection((impatient.host, impatient.port), timeout=5) as open_:
        open_.sendall(first + b"%x\r\n%b\r\n0\r\nhost: evil\r\nauthorization: Bearer x\r\n\r\n" % (len(body), body))
        assert b"There is no row" in open_.recv(1000), "no trailer counts as a second host or token"


TOLD = "import signal; signal.signal(signal.SIGHUP, signal.SIG_DFL)"
"""As a terminal starts it; whoever runs these tests may have nohup ignore it."""


def test_a_terminal_that_is_closed_ends_it_in_good_order_unless_it_is_not_to_be_told(tmp_path: Path) -> None:
    folder = lay(tmp_path)
    with Server(folder, before=TOLD) as server:
        for _ in range(5):
            server.predict({"size": 2.5, "text": "a"})
        assert server.end(signal.SIGHUP) == 0, server.said()
    assert stored(folder).height == 5, "what was answered within the last second is in the table"
    with Server(folder, before="import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN)") as server:
        server.process.send_signal(signal.SIGHUP)
        assert server.ask("GET", "/v2/health/live")[0] == 200
        assert server.end() == 0


def test_several_workers_end_with_their_terminal_too(tmp_path: Path) -> None:
    with Server(lay(tmp_path), "--workers", "2", before=TOLD) as server:
        assert server.end(signal.SIGHUP) == 0, server.said()
