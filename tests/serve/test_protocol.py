"""What an answer is on the wire."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import uvicorn
from uvicorn.server import ServerState

from tillage.serve.protocol import AT_ONCE, LOOK, PAUSE, TURN, _head, config, watch


@pytest.mark.parametrize("bad", [b"a\r\nset-cookie: b", b"a\nb", b"\x00", b"\xff", b""])
def test_no_header_of_an_answer_can_begin_another_line(bad: bytes) -> None:
    for header in ((b"x-a", bad), (bad, b"1")):
        with pytest.raises(RuntimeError, match="none may hold"):
            _head(200, (header,))


def test_a_head_says_its_status_and_whether_the_connection_is_closed() -> None:
    assert _head(503, ((b"retry-after", b"1"), (b"connection", b"close"))) == (
        b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\nconnection: close\r\n",
        True,
    )


class Late:
    """A connection whose deadline is over until it is given up."""

    def __init__(self, given_up: list[float]) -> None:
        self.transport, self._given_up, self._open = self, given_up, True

    def late(self, now: float) -> bool:
        return self._open

    def abort(self) -> None:
        self._open = False
        self._given_up.append(asyncio.get_running_loop().time())


def test_many_connections_that_are_late_together_do_not_hold_the_others_up() -> None:
    given_up: list[float] = []

    async def most_at_once() -> int:
        """The most that are given up between two turns of another's work."""
        most = before = 0
        while len(given_up) <= 3 * AT_ONCE:
            await asyncio.sleep(0)
            most, before = max(most, len(given_up) - before), len(given_up)
        return most

    async def beside() -> int:
        late = [Late(given_up) for _ in range(3 * AT_ONCE + 1)]
        tasks = [asyncio.create_task(most_at_once()), asyncio.create_task(watch(late))]
        done, others = await asyncio.wait(tasks, timeout=20, return_when=asyncio.FIRST_COMPLETED)
        for task in others:
            task.cancel()
        return int(done.pop().result() or 0)

    assert asyncio.run(beside()) == AT_ONCE
    assert given_up[-1] - given_up[0] >= 3 * PAUSE * 0.9
    assert given_up[-1] - given_up[0] < LOOK * 3


class Wire(asyncio.Transport):
    """A connection whose other end is the test: what comes is fed, while it is read."""

    def __init__(self, answered: list[bytes]) -> None:
        super().__init__()
        self.reads, self._answered, self._closed = True, answered, False

    def pause_reading(self) -> None:
        self.reads = False

    def resume_reading(self) -> None:
        self.reads = True

    def write(self, data: Any) -> None:
        self._answered.append(bytes(data))

    def close(self) -> None:
        self._closed = True

    def is_closing(self) -> bool:
        return self._closed

    def get_write_buffer_size(self) -> int:
        return 0


async def path_told(scope: Any, receive: Any, send: Any) -> None:
    """An application that answers with the path it was asked for."""
    said = scope["path"].encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(said))]})
    await send({"type": "http.response.body", "body": said})


def guarded() -> Any:
    """What makes the protocol of a connection of one server."""
    made = uvicorn.Config(**config(path_told), lifespan="off")
    made.load()
    return lambda: made.http_protocol_class(config=made, server_state=ServerState(), app_state={})  # type: ignore[call-arg]


HEAD = b"GET /whole HTTP/1.1\r\nHost: a\r\nX-More: 1\r\n\r\n"


async def fed(protocol: Any, wire: Wire, piece: bytes) -> bool:
    """A piece comes, as soon as it is read; whether more is read behind it, before time goes by."""
    while not wire.reads:
        await asyncio.sleep(TURN / 4)
    protocol.data_received(piece)
    return wire.reads


def test_a_head_in_many_pieces_waits_for_its_turn_and_is_answered_whole() -> None:
    async def asked() -> tuple[list[bytes], list[bool]]:
        answered: list[bytes] = []
        protocol, wire = guarded()(), Wire(answered)
        protocol.connection_made(wire)
        reads = []
        for again in range(2):  # the second head begins anew
            reads += [await fed(protocol, wire, HEAD[at : at + 1]) for at in range(len(HEAD))]
            while len(answered) <= again:
                await asyncio.sleep(0)
        return answered, reads

    answered, reads = asyncio.run(asyncio.wait_for(asked(), 30))
    assert [each.rpartition(b"\r\n")[2] for each in answered] == [b"/whole"] * 2
    each = [True, *[False] * (len(HEAD) - 2), True]
    assert reads == each * 2


def test_a_head_in_two_pieces_does_not_wait() -> None:
    async def asked() -> None:
        answered: list[bytes] = []
        protocol, wire = guarded()(), Wire(answered)
        protocol.connection_made(wire)
        for at in range(1, len(HEAD)):
            for piece in (HEAD[:at], HEAD[at:]):
                assert wire.reads
                protocol.data_received(piece)
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            assert len(answered) == at

    asyncio.run(asked())


def test_many_heads_that_trickle_together_are_taken_a_few_at_a_time_and_in_order() -> None:
    async def turns() -> list[list[int]]:
        make, found = guarded(), list[list[int]]()
        both = [(make(), Wire([])) for _ in range(2 * AT_ONCE + 1)]
        for protocol, wire in both:
            protocol.connection_made(wire)
            for piece in (HEAD[:3], HEAD[3:5]):
                assert wire.reads
                protocol.data_received(piece)
        assert not any(wire.reads for _, wire in both)
        while len(found) < 3:
            await asyncio.sleep(0)
            turned = [at for at, (_, wire) in enumerate(both) if wire.reads]
            found += [turned] if turned else []
            for at in turned:  # more comes at once, and has to wait again, behind the others
                both[at][0].data_received(HEAD[5:6])
        while not all(wire.reads for _, wire in both):  # and nobody is forgotten
            await asyncio.sleep(0)
        return found

    found = asyncio.run(asyncio.wait_for(turns(), 20))
    some, others, last = list(range(AT_ONCE)), list(range(AT_ONCE, 2 * AT_ONCE)), 2 * AT_ONCE
    assert found == [some, others, [*some[:-1], last]]


def test_a_turn_does_not_take_what_waits_behind_an_answer() -> None:
    """While a request is worked on and another stands behind it, nothing is read, whoever's turn it is."""

    async def asked() -> tuple[bool, bool, list[bytes]]:
        answered: list[bytes] = []
        protocol, wire = guarded()(), Wire(answered)
        protocol.connection_made(wire)
        for piece in (HEAD[:3], HEAD[3:5]):  # its turn is still to come
            protocol.data_received(piece)
        protocol.flow.resume_reading()  # as an answer that was given does
        protocol.data_received(HEAD[5:6])
        assert wire.reads  # it waits for one turn, not for two
        protocol.data_received(HEAD[6:] + HEAD + HEAD[:7])
        before = wire.reads
        protocol.go_on()
        at_its_turn = wire.reads
        while len(answered) < 2:
            await asyncio.sleep(0)
        protocol.data_received(HEAD[7:])
        while len(answered) < 3:
            await asyncio.sleep(0)
        return before, at_its_turn, answered

    before, at_its_turn, answered = asyncio.run(asyncio.wait_for(asked(), 20))
    assert (before, at_its_turn) == (False, False)
    assert [each.rpartition(b"\r\n")[2] for each in answered] == [b"/whole"] * 3


def test_a_turn_does_not_take_a_body_that_nobody_reads() -> None:
    async def asked() -> tuple[bool, bool]:
        protocol, wire = guarded()(), Wire([])
        protocol.connection_made(wire)
        for piece in (b"PO", b"ST"):
            protocol.data_received(piece)
        protocol.flow.resume_reading()
        protocol.data_received(b" / HTTP/1.1\r\nHost: a\r\nContent-Length: 900000\r\n\r\n" + bytes(200_000))
        before = wire.reads
        protocol.go_on()
        return before, wire.reads

    assert asyncio.run(asked()) == (False, False)
