"""What a head may name: a host that is ours, a token that can be read."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tillage.core.errors import BadData, Denied
from tillage.serve.door import host_name
from tillage.serve.scoped_tokens import FILE, Tokens, new_token, read_tokens


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
