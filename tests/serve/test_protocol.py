"""What an answer is on the wire."""

from __future__ import annotations

import pytest

from tillage.serve.protocol import _head


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
