"""What a head may say, and what it is taken for: other protocols, other names, requests behind one another."""

from __future__ import annotations

import json
import os
import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.serve.running import Server, lay
from tillage.core.errors import BadData, Denied
from tillage.serve.door import host_name
from tillage.serve.scoped_tokens import FILE, Tokens, new_token, read_tokens

BODY = b'{"rows":[{"size":1.5,"text":"a"}]}'


@pytest.fixture(scope="module")
def heads(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(lay(tmp_path_factory.mktemp("heads"))) as server:
        yield server


def request(server: Server, *more: bytes, target: bytes = b"/v1/services/desk", body: bytes = BODY) -> bytes:
    lines = [
        b"POST %b HTTP/1.1" % target,
        b"Host: 127.0.0.1",
        b"Authorization: Bearer " + server.token.strip().encode(),
    ]
    return b"\r\n".join([*lines, b"Content-Length: %d" % len(body), *more, b"", body])


def statuses(server: Server, *requests: bytes) -> list[int]:
    """The statuses of all that is answered to what is sent at once; the last request asks for the end."""
    with socket.create_connection((server.host, server.port), timeout=10) as open_:
        open_.sendall(b"".join(requests))
        said = b""
        while piece := open_.recv(1 << 16):
            said += piece
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3}) ", said)]


LAST = b"Connection: close"


def test_a_client_that_would_rather_speak_http_2_is_answered_in_http_1(heads: Server) -> None:
    wants = (b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA")
    asked = request(heads, *wants)
    assert statuses(heads, *[asked] * 3, request(heads, LAST)) == [200] * 4


def test_a_body_that_comes_behind_the_head_of_such_a_client_is_read(heads: Server) -> None:
    head, _, body = request(heads, b"Connection: close, Upgrade", b"Upgrade: h2c").partition(b"\r\n\r\n")
    with socket.create_connection((heads.host, heads.port), timeout=10) as open_:
        open_.sendall(head + b"\r\n\r\n" + body[:5])
        open_.sendall(body[5:])
        assert b" 200 OK\r\n" in open_.recv(1 << 16)


def test_what_cannot_be_read_is_told_behind_the_answers_to_the_requests_before_it(heads: Server) -> None:
    good = request(heads)
    assert statuses(heads, good, good, b"\x00 no request\r\n\r\n", good) == [200, 200, 400]
    both = request(heads, b"Transfer-Encoding: chunked")
    assert statuses(heads, good, both) == [200, 400]
    broken = request(heads).replace(b"Content-Length: %d" % len(BODY), b"Transfer-Encoding: chunked")
    assert statuses(heads, good, good, broken) == [200, 200, 400]
    assert statuses(heads, broken) == [400]


def test_the_name_in_a_whole_url_holds_whatever_host_says(heads: Server) -> None:
    own = b"http://127.0.0.1:%d/v1/services/desk" % (heads.port or 0)
    assert statuses(heads, request(heads, LAST, target=own)) == [200]
    assert statuses(heads, request(heads, LAST, target=b"http://[::1]/v1/services/desk")) == [200]
    assert statuses(heads, request(heads, LAST, target=b"http://example.org/v1/services/desk")) == [421]
    assert statuses(heads, request(heads, b"Host: localhost", target=own)) == [400]


@pytest.mark.parametrize("header", [b"[::1", b"[::1]example.org", b"localhost:evil", b"localhost:80:90", b"::1]", b"["])
def test_a_host_that_is_no_name_and_port_is_no_name_of_ours(header: bytes) -> None:
    assert host_name(header) == ""


@pytest.mark.parametrize(
    "kept",
    [b"", b"{", b"[1]", b'[{"id":1}]', b"\xff", b'[{"id":"a","scopes":[],"digest":"","created":"","expires":"b"}]'],
)
def test_no_token_is_right_of_a_file_that_cannot_be_read(
    tmp_path: Path, kept: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    text = new_token(tmp_path, ("predict",))[0].encode()
    known, path = Tokens(tmp_path), tmp_path / FILE
    assert known.find(text) is not None
    before = path.read_bytes()
    path.write_bytes(kept)
    os.utime(path, ns=(1, 1))
    assert known.find(text) is None
    assert known.find(text) is None
    assert len(caplog.records) == 1
    with pytest.raises(BadData, match="holds no tokens"):
        read_tokens(tmp_path)
    path.write_bytes(before)
    assert json.loads(before)
    assert known.find(text) is not None


def test_no_token_is_right_of_a_file_that_others_can_read_until_they_cannot(tmp_path: Path) -> None:
    text = new_token(tmp_path, ("predict",))[0].encode()
    known, path = Tokens(tmp_path), tmp_path / FILE
    assert known.find(text) is not None
    path.chmod(0o644)
    assert known.find(text) is None
    path.chmod(0o600)
    assert known.find(text) is not None
    path.rename(tmp_path / "other")
    path.symlink_to(tmp_path / "other")
    assert known.find(text) is None
    with pytest.raises(Denied, match="cannot be read"):
        read_tokens(tmp_path)
