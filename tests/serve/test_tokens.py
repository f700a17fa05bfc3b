"""Scoped tokens: each may do what it is for, none after its time, and the file that keeps them opens nothing."""

from __future__ import annotations

import json
import ssl
import subprocess
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from tests.serve.running import Server, lay, tillage, until
from tillage.core.errors import Denied, UnknownName, UsageError
from tillage.serve.certificate import refuse_keys
from tillage.serve.scoped_tokens import FILE, Tokens, new_token, read_tokens, revoke_token


def made(server: Server, *options: str) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(tillage(server.folder, "token", "new", *options, "--json"))
    return value


def asked(server: Server, token: str, method: str, path: str, body: Any = None) -> int:
    return server.ask(method, path, body, {"Authorization": f"Bearer {token}"})[0]


def test_each_scope_may_what_it_is_for_and_no_more(server: Server) -> None:
    rows = {"rows": [{"size": 1.0, "text": "a"}]}
    wanted = [
        ("POST", "/v1/services/desk", rows, "predict"),
        ("POST", "/v2/models/desk/infer", {"inputs": []}, "predict"),
        ("POST", "/feedback", {"id": "x", "label": 1}, "feedback"),
        ("POST", "/v1/services/desk/rollback", {"version": "none"}, "admin"),
        ("GET", "/v1/services", None, ""),
        ("GET", "/metrics", None, ""),
        ("DELETE", "/v1/services/desk", None, "predict"),
        ("PUT", "/anything", None, "admin"),
    ]
    seen = 0
    for scope in ("predict", "feedback", "admin"):
        token = made(server, "--scope", scope)["token"]
        for method, path, body, needed in wanted:
            status = asked(server, token, method, path, body)
            assert (status == 403) == (scope not in ("admin", needed) and needed != ""), (scope, method, path, status)
            assert status != 401
            seen += 1
    assert seen == 24
    both = made(server, "--scope", "predict", "--scope", "feedback")["token"]
    assert asked(server, both, "POST", "/v1/services/desk", rows) == 200
    status, value, _ = server.ask(
        "POST", "/v1/services/desk/rollback", {"version": 1}, {"Authorization": f"Bearer {both}"}
    )
    assert (status, value["error"]) == (403, "This token may predict and feedback; this needs 'admin'.")


def test_a_token_is_refused_once_revoked_or_expired_and_nowhere_in_the_store(server: Server) -> None:
    told = made(server, "--scope", "predict", "--expires", "30d", "--name", "the shop")
    token, name = told["token"], told["id"]
    assert asked(server, token, "GET", "/v1/services") == 200
    for wrong in (token[:-1] + ("A" if token[-1] != "A" else "B"), token.replace(name, "0" * 8), token[:-1], token * 2):
        assert asked(server, wrong, "GET", "/v1/services") == 401
    secret = token.rpartition("_")[2].encode()
    for path in (server.folder / ".tillage").rglob("*"):
        assert not path.is_file() or secret not in path.read_bytes(), path
    path = server.folder / ".tillage" / FILE
    assert path.stat().st_mode & 0o777 == 0o600
    listed = json.loads(tillage(server.folder, "token", "list", "--json"))["tokens"]
    assert next(t for t in listed if t["id"] == name)["name"] == "the shop"
    tillage(server.folder, "token", "revoke", name)
    assert asked(server, token, "GET", "/v1/services") == 401
    acts = (server.folder / ".tillage" / "serve.audit.jsonl").read_text()
    assert f'"act": "token revoke", "token": "{name}"' in acts
    assert token not in acts


def test_time_ends_a_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text, kept = new_token(tmp_path, ("admin", "predict"), "1h")
    assert kept.scopes == ("predict", "admin")
    tokens = Tokens(tmp_path)
    assert tokens.find(text.encode()) == kept
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 3599)
    assert tokens.find(text.encode()) == kept
    monkeypatch.setattr(time, "time", lambda: now + 3601)
    assert tokens.find(text.encode()) is None
    assert read_tokens(tmp_path)[0].expired()
    (tmp_path / FILE).unlink()
    assert tokens.find(text.encode()) is None


def test_what_is_wrong_is_said(tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="Did you mean 'predict'"):
        new_token(tmp_path, ("predcit",))
    with pytest.raises(UsageError, match="must be for something"):
        new_token(tmp_path, ())
    with pytest.raises(UsageError, match="no span of time"):
        new_token(tmp_path, ("admin",), "soon")
    with pytest.raises(UnknownName):
        revoke_token(tmp_path, "00000000")
    new_token(tmp_path, ("admin",))
    (tmp_path / FILE).chmod(0o644)
    with pytest.raises(Denied, match="chmod 600"):
        read_tokens(tmp_path)


def test_https_with_a_certificate(tmp_path: Path) -> None:
    (tmp_path / "p").mkdir()
    project_folder = lay(tmp_path / "p")
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    _certificate(cert, key)
    with pytest.raises(AssertionError, match="go together"):
        tillage(project_folder, "serve", "--tls-cert", str(cert))
    with pytest.raises(AssertionError, match="are no certificate and its key"):
        tillage(project_folder, "serve", "--tls-cert", str(cert), "--tls-key", str(cert))
    with Server(project_folder, "--tls-cert", str(cert), "--tls-key", str(key)) as server:
        assert server.address.startswith("https://127.0.0.1:")
        trusted = ssl.create_default_context(cafile=str(cert))
        request = urllib.request.Request(
            f"{server.address}/v1/services/desk",
            data=json.dumps({"rows": [{"size": 2.0, "text": "a"}]}).encode(),
            headers={"Authorization": f"Bearer {server.token}", "Origin": server.address},
        )
        with urllib.request.urlopen(request, context=trusted, timeout=20) as answer:
            assert json.load(answer)["predictions"][0]["prediction"] == 4.0
        assert server.end() == 0


def test_a_renewed_certificate_is_taken_while_the_server_answers(tmp_path: Path) -> None:
    (tmp_path / "p").mkdir()
    project_folder = lay(tmp_path / "p")
    files = cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    other = other_cert, other_key = tmp_path / "other.pem", tmp_path / "other.key"
    _certificate(*files)
    _certificate(*other)
    with Server(project_folder, "--tls-cert", str(cert), "--tls-key", str(key)) as server:
        port = int(server.address.rsplit(":", 1)[1])
        first = ssl.get_server_certificate(("127.0.0.1", port), timeout=20)
        cert.write_bytes(other_cert.read_bytes())  # and the key is still the old one's
        until(lambda: "The one before is kept" in server.said())
        assert ssl.get_server_certificate(("127.0.0.1", port), timeout=20) == first
        key.write_bytes(other_key.read_bytes())
        until(lambda: "was renewed" in server.said())
        assert ssl.get_server_certificate(("127.0.0.1", port), timeout=20).split() == other_cert.read_text().split()
        assert server.end() == 0


def test_a_key_with_a_passphrase_is_refused_and_asks_nobody(tmp_path: Path) -> None:
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    _certificate(cert, key)
    command = ["openssl", "rsa", "-aes128", "-passout", "pass:secret", "-in", str(key), "-out", str(tmp_path / "shut")]
    subprocess.run(command, check=True, capture_output=True)
    with pytest.raises(UsageError, match="without a passphrase"):
        refuse_keys((cert, tmp_path / "shut"))


def _certificate(cert: Path, key: Path) -> None:
    command = (
        "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -addext subjectAltName=IP:127.0.0.1"
    )
    done = subprocess.run(
        [*command.split(), "-keyout", str(key), "-out", str(cert)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
