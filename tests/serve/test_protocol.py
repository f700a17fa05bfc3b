"""What an answer is on the wire."""

from __future__ import annotations

import asyncio

import pytest

from tillage.serve.protocol import AT_ONCE, LOOK, PAUSE, _head, watch


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
