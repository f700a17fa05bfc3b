"""The server as others meet it: a child process, asked over loopback."""

from __future__ import annotations

import contextlib
import gzip
import http.client
import json
import os
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from tests.serve.running import Server, change, environment, lay, stored, tillage, until
from tillage.face.rooms import project
from tillage.promises import forget

ROW = {"id": 7, "size": 2.5, "text": "hello", "day": "2026-01-02", "old": True}


# ---- answers


def test_a_prediction_has_an_id_and_names_its_version(server: Server) -> None:
    value = server.predict(ROW, {"size": 4, "text": "the rest may be left out"})
    assert (value["model"], value["version"]) == ("double", 1)
    assert [p["prediction"] for p in value["predictions"]] == [5.0, 8.0]
    assert len({p["id"] for p in value["predictions"]}) == 2


def test_a_row_that_a_map_turns_away_says_why_and_its_neighbours_are_answered(server: Server) -> None:
    made = server.predict({**ROW, "size": -1}, ROW, {**ROW, "text": None})["predictions"]
    assert [p.get("error") for p in made] == ["negative", None, "silent"]
    assert [p.get("prediction") for p in made] == [None, 5.0, None]


def test_text_of_a_number_is_that_number_as_in_a_file(server: Server) -> None:
    assert server.predict({**ROW, "size": "2.5", "id": "7", "old": "false"})["predictions"][0]["prediction"] == 5.0


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b'{"rows": [{"text": "t", "size": NaN}]}', "rows[0].size"),
        (b'{"rows": [{"text": "t", "size": 1e999}]}', "rows[0].size"),
        (b'{"rows": [{"text": "t", "size": [1]}]}', "rows[0].size"),
        (b'{"rows": [{"size": 1, "text": {"a": 1}}]}', "rows[0].text"),
        (b'{"rows": [{"text": "t", "size": 1}, {"text": "t", "size": "x"}]}', "rows[1].size"),
        (b'{"rows": [{"text": "t", "size": 1, "id": 1.5}]}', "rows[0].id"),
        (b'{"rows": [{"text": "t", "size": 1, "id": 9223372036854775808}]}', "rows[0].id"),
        (b'{"rows": [{"size": 1, "text": "\\ud800"}]}', "rows[0].text"),
        (b'{"rows": [{"text": "t"}]}', "rows[0].size"),
        (b'{"rows": [7]}', "rows[0]"),
        (b'{"rows": {}}', "rows"),
        (b'{"rows": []}', "rows"),
        (b'{"row": []}', "row"),
        (b'{}', "rows"),
        (b'[]', None),
        (b'{"rows": ', None),
        (b'', None),
        (b'\xff', None),
        (b'{"rows": [{"text": "t", "size": ' + b"9" * 5000 + b"}]}", None),
        (b'{"rows": ' + b"[" * 100_000, None),
    ],
)  # fmt: skip
def test_a_bad_body_is_told_with_the_path_of_the_field(server: Server, body: bytes, field: str | None) -> None:
    status, value, _ = server.ask("POST", "/v1/services/desk", body)
    assert (status, value.get("field")) == (400, field)
    assert server.predict(ROW)["predictions"][0]["prediction"] == 5.0


def test_what_fails_inside_is_an_incident_and_tells_nothing(server: Server) -> None:
    status, value, _ = server.ask("POST", "/v1/services/desk", {"rows": [{**ROW, "size": 1300}]})
    assert status == 500
    assert "secret" not in json.dumps(value)
    assert f"incident {value['incident']}" in server.said()
    assert "secret of the inside" in server.said()


# ---- the door


def test_it_listens_on_loopback_with_a_token_that_others_cannot_read(server: Server) -> None:
    assert server.host == "127.0.0.1"
    path = server.folder / ".tillage" / "serve.token"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert len(server.token) >= 40
    lines = Path(f"/proc/{server.process.pid}/net/tcp").read_text().splitlines()[1:]
    bound = {
        line.split()[1] for line in lines if line.split()[3] == "0A" and line.split()[1].endswith(f"{server.port:04X}")
    }
    assert bound == {f"0100007F:{server.port:04X}"}


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE"])
@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "evil.example"}, 421),
        ({"Host": None}, 421),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Authorization": None}, 401),
        ({"Authorization": "Bearer wrong"}, 401),
        ({"Authorization": "Basic Og=="}, 401),
    ],
)
def test_host_origin_and_token_are_asked_of_every_method(
    server: Server, method: str, headers: dict[str, str | None], status: int
) -> None:
    for path in ("/v2", "/v1/services/desk", "/nothing"):
        assert server.ask(method, path, headers=headers)[0] == status


def test_its_own_pages_and_names_may_ask(server: Server) -> None:
    own = f"127.0.0.1:{server.port}"
    for headers in ({"Origin": f"http://{own}"}, {"Host": f"localhost:{server.port}"}, {"Host": "LOCALHOST"}):
        assert server.ask("GET", "/v2", headers=dict(headers))[0] == 200


def test_health_needs_no_token_but_the_right_host(server: Server) -> None:
    for path in ("/v2/health/live", "/v2/health/ready"):
        assert server.ask("GET", path, headers={"Authorization": None})[0] == 200
        assert server.ask("GET", path, headers={"Authorization": None, "Host": "evil.example"})[0] == 421


def raw(server: Server, data: bytes, wait: float = 5) -> bytes:
    """What comes back on a socket until it is closed."""
    with socket.create_connection((server.host, server.port), timeout=wait) as open_:
        open_.sendall(data)
        got = b""
        while piece := open_.recv(65536):
            got += piece
    return got


def test_two_hosts_are_one_too_many(server: Server) -> None:
    head = f"GET /v2 HTTP/1.1\r\nHost: localhost\r\nHost: evil\r\nAuthorization: Bearer {server.token}\r\n\r\n"
    assert raw(server, head.encode()).startswith(b"HTTP/1.1 400 ")


def test_a_large_body_is_refused_before_it_comes_or_when_it_has(server: Server) -> None:
    status, _, headers = server.ask("POST", "/v1/services/desk", b"", {"Content-Length": str(9 << 20)})
    assert status == 413
    assert headers["connection"] == "close"
    head = (
        f"POST /v1/services/desk HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {server.token}\r\n"
        "Transfer-Encoding: chunked\r\n\r\n"
    )
    with socket.create_connection((server.host, server.port), timeout=10) as open_:
        open_.sendall(head.encode())
        chunk = b"100000\r\n" + b" " * (1 << 20) + b"\r\n"
        for _ in range(16):  # twice what it takes; who sends it all can still read why it was in vain
            open_.sendall(chunk)
        got = b""
        while piece := open_.recv(65536):
            got += piece
    assert got.startswith(b"HTTP/1.1 413 ")
    assert got.endswith(b'{"error":"The body is larger than 8 MiB."}')
    assert b"connection: close" in got
    assert server.predict(ROW)["predictions"][0]["prediction"] == 5.0


def test_what_is_packed_or_in_parts_is_not_read(server: Server) -> None:
    whole = json.dumps({"rows": [ROW]}).encode()
    packed = gzip.compress(whole * 1000)
    status, value, headers = server.ask("POST", "/v1/services/desk", packed, {"Content-Encoding": "gzip"})
    assert (status, value["error"], headers["connection"]) == (415, "Compressed bodies are not read.", "close")
    parts = {"Content-Type": "multipart/form-data; boundary=" + "-" * 20_000}
    assert server.ask("POST", "/v1/services/desk", b"--" * 10_000, dict(parts))[0] == 400
    assert server.ask("POST", "/v1/services/desk", whole, dict(parts))[0] == 200, "what it is called is not looked at"


def test_no_answer_is_taken_for_a_page_or_kept(server: Server) -> None:
    for path, status in (("/v2", 200), ("/metrics", 200), ("/nothing", 404), ("/v1/services/<script>", 405)):
        found, _, headers = server.ask("GET", path)
        assert (found, headers["x-content-type-options"], headers["cache-control"]) == (status, "nosniff", "no-store")
        assert headers["content-type"].startswith(("application/json", "text/plain"))
    assert "server" not in headers


SMUGGLED = b"0\r\n\r\nGET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.mark.parametrize(
    ("head", "body"),
    [
        (b"Content-Length: %d\r\nTransfer-Encoding: chunked\r\n" % len(SMUGGLED), SMUGGLED),
        (b"Content-Length: 2\r\nContent-Length: 7\r\n", b"{}     "),
        (b"Content-Length: +2\r\n", b"{}"),
        (b"Transfer-Encoding: identity, chunked\r\nTransfer-Encoding: gzip\r\n", b"0\r\n\r\n"),
        (b"Content-Length : 2\r\n", b"{}"),
        (b"X: a\x00b\r\nContent-Length: 2\r\n", b"{}"),
        (b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nContent-Length: 2\r\n", b"{}"),
    ],
)
def test_a_request_that_could_be_two_is_one_or_none(server: Server, head: bytes, body: bytes) -> None:
    begin = f"POST /v1/services/desk HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {server.token}\r\n"
    got = raw(server, begin.encode() + head + b"Connection: close\r\n\r\n" + body)
    assert got.count(b"HTTP/1.1 ") == 1, got
    assert got.startswith(b"HTTP/1.1 4"), got
    assert server.predict(ROW)["predictions"][0]["prediction"] == 5.0


def test_the_host_of_the_line_is_no_other_than_that_of_the_header(server: Server) -> None:
    for line in (b"GET http://evil.example/v2 HTTP/1.1", b"GET //evil.example/v2 HTTP/1.1"):
        head = line + b"\r\nHost: localhost\r\nConnection: close\r\nAuthorization: Bearer "
        got = raw(server, head + server.token.encode() + b"\r\n\r\n")
        assert got.startswith((b"HTTP/1.1 404 ", b"HTTP/1.1 400 ", b"HTTP/1.1 421 ", b"HTTP/1.1 200 ")), got
        assert b"evil" not in got
    assert raw(server, b"GET /v2 HTTP/1.0\r\n\r\n").startswith(b"HTTP/1.1 421 ")


def test_who_never_ends_a_body_that_is_refused_is_cut_off(server: Server) -> None:
    head = (
        f"POST /v1/services/desk HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {server.token}\r\n"
        "Content-Length: 99999999\r\n\r\n"
    )
    began = time.monotonic()
    with socket.create_connection((server.host, server.port), timeout=10) as open_:
        open_.sendall(head.encode())
        assert open_.recv(12) == b"HTTP/1.1 413"

        def keep_sending() -> None:
            while time.monotonic() < began + 8:
                open_.sendall(b" ")
                time.sleep(0.05)

        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            keep_sending()
    assert time.monotonic() - began > 1


def test_a_head_without_end_is_refused(server: Server) -> None:
    assert raw(server, b"GET /v2 HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 60_000).startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/v1/services/Desk", 400),
        ("/v1/services/..%2f..%2fetc", 404),
        ("/v1/services/%2e%2e", 400),
        ("/v1/services/" + "a" * 65, 400),
        ("/v1/services/file:x", 400),
        ("/v1/services/other", 404),
        ("/v1/services/desk/", 404),
        ("/v2/models/desk/versions/2/infer", 404),
        ("/v2/repository/models/x/load", 404),
    ],
)
def test_a_name_is_looked_up_and_nothing_is_loaded(server: Server, path: str, status: int) -> None:
    assert server.ask("POST", path, {"rows": [ROW]})[0] == status


def test_another_address_wants_a_token_that_was_chosen(project_folder: Path) -> None:
    command = [sys.executable, "-m", "tillage.face.main", "serve", "--host", "0.0.0.0", "--port", "0"]
    clean = {k: v for k, v in environment().items() if k != "TILLAGE_TOKEN"}
    done = subprocess.run(
        command, cwd=project_folder, env=clean, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 2
    assert "can be reached from other machines" in done.stderr


def test_one_server_a_store(server: Server) -> None:
    command = [sys.executable, "-m", "tillage.face.main", "serve", "--port", "0"]
    done = subprocess.run(
        command, cwd=server.folder, env=environment(), capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 75
    assert "A project has one server" in done.stderr
    assert "--wait" not in done.stderr, "it has no such option"


# ---- descriptions


def test_every_path_of_the_openapi_document_is_there(server: Server) -> None:
    _, value, _ = server.ask("GET", "/openapi.json")
    assert value["openapi"].startswith("3.1")
    assert {"/v1/services/desk", "/v1/models/double", "/v2/models/desk/infer", "/feedback"} <= set(value["paths"])
    for template, methods in value["paths"].items():
        path = template.replace("{version}", "1")
        for method in methods.keys() - {"parameters"}:
            status, _, _ = server.ask(method.upper(), path, b"{}" if method == "post" else None)
            assert status in ((400,) if method == "post" else (200,)), path


def test_prometheus_can_read_the_numbers(server: Server) -> None:
    from prometheus_client.parser import text_string_to_metric_families

    def numbers() -> dict[str, float]:
        _, text, _ = server.ask("GET", "/metrics")
        families = text_string_to_metric_families(text.decode())
        return {s.name + str(sorted(s.labels.items())): s.value for f in families for s in f.samples}

    name = "tillage_predictions_total[('service', 'desk')]"
    turned = "tillage_rows_turned_away_total[('service', 'desk')]"
    before = numbers()
    server.predict(ROW, ROW, {**ROW, "size": -1})
    after = numbers()
    assert after[name] - before.get(name, 0) == 2
    assert after[turned] - before.get(turned, 0) == 1
    assert after["tillage_model_version[('service', 'desk')]"] == 1


# ---- the prediction table


def test_predictions_and_labels_survive_kill_9(tmp_path: Path) -> None:
    folder = lay(tmp_path)
    with Server(folder) as server:
        made = server.predict(ROW, {**ROW, "size": 3})["predictions"]
        turned = server.predict({**ROW, "size": -3})["predictions"][0]
        time.sleep(1.4)  # predictions are durable within a second
        assert server.ask("POST", "/feedback", {"id": made[0]["id"], "label": "first"})[0] == 200
        assert server.ask("POST", "/feedback", {"id": made[0]["id"], "label": 6.5})[0] == 200
        os.kill(server.process.pid, 9)
        server.process.wait()
    seen = {row["id"]: row for row in stored(folder).to_dicts()}
    assert seen.keys() == {made[0]["id"], made[1]["id"], turned["id"]}
    assert (seen[made[0]["id"]]["prediction"], seen[made[0]["id"]]["label"]) == ("5.0", "6.5")
    assert (seen[made[1]["id"]]["prediction"], seen[made[1]["id"]]["label"]) == ("6.0", None)
    assert (seen[turned["id"]]["prediction"], seen[turned["id"]]["error"]) == (None, "negative")
    with Server(folder) as server:  # what the killed one left is brought into the table, once
        later = server.predict(ROW)["predictions"][0]["id"]
        assert server.ask("POST", "/feedback", {"feedback": [{"id": made[1]["id"], "label": 6}]})[1] == {"accepted": 1}
        assert server.end() == 0
    table = stored(folder)
    assert not list((folder / ".tillage" / "predictions").iterdir())
    assert sorted(table["id"]) == sorted([*seen, later])
    assert dict(zip(table["id"], table["label"], strict=True))[made[1]["id"]] == "6"
    assert table["version"].to_list() == [1] * 4
    assert table["input"][0] != table["input"][1]
    assert table["input"][0] == table["input"][-1]  # the same request
    assert json.loads(tillage(folder, "verify", "--json"))["ok"]
    tillage(folder, "gc")
    assert stored(folder).equals(table)


def test_nothing_of_the_input_is_kept(tmp_path: Path) -> None:
    folder = lay(tmp_path)
    with Server(folder) as server:
        server.predict({**ROW, "text": "Zebulon Quux 4711"}, {**ROW, "text": "Zebulon", "size": -1})
        assert server.end() == 0
    held = b"".join(p.read_bytes() for p in (folder / ".tillage").rglob("*") if p.is_file())
    assert b"negative" in held  # the scan sees what the table holds
    assert b"Zebulon" not in held


@pytest.mark.parametrize(
    "body",
    [
        {"id": "../x", "label": 1},
        {"id": 5, "label": 1},
        {"label": 1},
        {"feedback": []},
        {"feedback": [5]},
    ],
)
def test_a_label_of_no_prediction_is_refused(server: Server, body: Any) -> None:
    assert server.ask("POST", "/feedback", body)[0] == 400
    assert server.ask("POST", "/feedback", {"id": "0" * 32, "label": 1})[0] == 404


def test_a_label_must_be_one_value(server: Server) -> None:
    name = server.predict(ROW)["predictions"][0]["id"]
    for label in (None, [1], {"a": 1}):
        status, value, _ = server.ask("POST", "/feedback", {"id": name, "label": label})
        assert (status, value["field"]) == (400, "label")
    for number in (b"NaN", b"Infinity", b"-Infinity", b"1e999"):
        body = b'{"id": "%s", "label": %s}' % (name.encode(), number)
        status, value, _ = server.ask("POST", "/feedback", body)
        assert (status, value["field"]) == (400, "label"), number
    assert server.ask("POST", "/feedback", {"id": name, "label": 1e300})[0] == 200


def test_a_label_without_end_is_refused(server: Server) -> None:
    name = server.predict(ROW)["predictions"][0]["id"]
    for label in ("x" * 65_537, "\u4e09" * 65_537):
        status, value, _ = server.ask("POST", "/feedback", {"id": name, "label": label})
        assert (status, value["field"]) == (400, "label")
    assert server.ask("POST", "/feedback", {"id": name, "label": "x" * 65_536})[0] == 200


# ---- its end, and newer versions


def test_sigterm_finishes_what_is_under_way_and_is_not_ready_at_once(tmp_path: Path) -> None:
    folder = lay(tmp_path, "slow: 1.5")
    with Server(folder) as server:
        found: list[Any] = []
        asking = Thread(target=lambda: found.append(server.predict(ROW)))
        asking.start()
        time.sleep(0.5)
        began = time.monotonic()
        server.process.terminate()
        time.sleep(0.1)
        assert server.ask("GET", "/v2/health/ready")[0] == 503
        assert server.ask("GET", "/v2/health/live")[0] == 200
        assert server.process.wait(15) == 0
        assert time.monotonic() - began < 10
        asking.join()
    assert found[0]["predictions"][0]["prediction"] == 5.0
    assert stored(folder)["prediction"].to_list() == ["5.0"]  # the log is not lost either


def test_a_newer_version_answers_and_a_bad_one_never_does(tmp_path: Path) -> None:
    folder = lay(tmp_path)
    with Server(folder) as server:
        answers: list[tuple[int, float]] = []
        stop = False

        def keep_asking() -> None:
            while not stop:
                value = server.predict({**ROW, "size": 2.25}, {**ROW, "size": 2.25})
                made = {p["prediction"] for p in value["predictions"]}
                assert len(made) == 1
                answers.append((value["version"], made.pop()))

        asking = Thread(target=keep_asking)
        asking.start()
        try:
            change(folder, "factor: 3")
            until(lambda: answers[-1][0] == 2)
            change(folder, "factor: 4, fails_at: 2.25")  # fails on the requests of late
            until(lambda: "version 3 does not answer" in server.said())
            change(folder, "factor: 4, mute_at: 2.25")  # has no answer to them
            until(lambda: "version 4 does not answer" in server.said())
            change(folder, "factor: 5")
            until(lambda: answers[-1][0] == 5)
        finally:
            stop = True
            asking.join()
        assert set(answers) == {(1, 4.5), (2, 6.75), (5, 11.25)}
        assert server.end() == 0
    assert set(stored(folder)["version"]) == {1, 2, 5}


def test_a_version_of_another_plan_waits_for_a_new_start(tmp_path: Path) -> None:
    folder = lay(tmp_path)
    plan = folder / "tillage.yaml"
    with Server(folder) as server:
        plan.write_text(plan.read_text().replace("size >= 0", "size >= 20"))
        tillage(folder, "run")
        until(lambda: "was made by another plan" in server.said())
        value = server.predict(ROW)  # the Maps and the model of one plan
        assert (value["version"], value["predictions"][0]["prediction"]) == (1, 5.0)
        assert server.end() == 0
    with Server(folder) as server:
        value = server.predict(ROW)
        assert (value["version"], value["predictions"][0]["error"]) == (2, "negative")
        assert server.end() == 0
    plan.write_text(plan.read_text().replace("size >= 20", "size >= 30"))
    command = [sys.executable, "-m", "tillage.face.main", "serve", "--port", "0"]
    done = subprocess.run(command, cwd=folder, env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 66
    assert "'clean' was made by another plan" in done.stderr


ENDLESS = """
import time, tillage.serve.batches as b
work, b.QUICK = b._work, 0.0
def endless(batch):
    if 77.0 in batch[0].columns["size"]:
        time.sleep(60)
    return work(batch)
b._work = endless
"""


def test_sigterm_is_obeyed_in_ten_seconds_though_a_batch_goes_on(tmp_path: Path) -> None:
    folder = lay(tmp_path)
    with Server(folder, before=ENDLESS) as server:
        [kept] = server.predict({"size": 2, "text": "a"})["predictions"]
        asking = Thread(target=ask_in_vain, args=(server,), daemon=True)
        asking.start()
        time.sleep(0.5)
        began = time.monotonic()
        status, _, _ = server.ask("POST", "/v1/services/desk", {"rows": [{"size": 2, "text": "a"}]})
        assert status == 503
        assert time.monotonic() - began < 5
        began = time.monotonic()
        assert server.end() == 0
        assert time.monotonic() - began < 10
        assert "is given up" in server.said()
    assert kept["id"] in stored(folder)["id"].to_list()


LOADS_FOR_EVER = """
import sys, time, tillage.serve.service as s
def for_ever(self, version=None):
    print("loading", file=sys.stderr, flush=True)
    time.sleep(60)
s.Served.prepare = for_ever
"""


def test_sigterm_is_obeyed_in_ten_seconds_though_a_version_is_being_loaded(tmp_path: Path) -> None:
    folder = lay(tmp_path)
    with Server(folder, before=LOADS_FOR_EVER) as server:
        change(folder, "factor: 3")
        until(lambda: "loading" in server.said())
        [kept] = server.predict(ROW)["predictions"]
        assert kept["prediction"] == 5.0
        began = time.monotonic()
        assert server.end() == 0
        assert time.monotonic() - began < 10
        assert "is given up" in server.said()
    assert stored(folder)["id"].to_list() == [kept["id"]]


def ask_in_vain(server: Server) -> None:
    with contextlib.suppress(OSError, http.client.HTTPException):
        server.predict({"size": 77, "text": "a"})


def test_a_model_that_was_erased_answers_no_more(tmp_path: Path) -> None:
    """It cannot be trained without the rows, so no newer version comes; the old one has learnt from them."""
    lay(tmp_path, "factor: 2, least: 20")
    with Server(tmp_path) as server:
        assert server.predict({"size": 4, "text": "a"})["version"] == 1
        with project(tmp_path) as p:
            told, _ = forget(p, "rows", where="id >= 9")
            assert "could not be trained" in told["notes"][0]
        until(lambda: server.ask("POST", "/v1/services/desk", {"rows": [{"size": 4, "text": "a"}]})[0] == 503)
        status, value, headers = server.ask("POST", "/v1/models/double", {"rows": [{"size": 4, "text": "a"}]})
        assert (status, headers["retry-after"]) == (503, "30")
        assert "was erased" in value["error"]
        assert server.ask("GET", "/v2/models/desk/ready")[0] == 503
        assert server.ask("GET", "/v2/health/ready")[0] == 200, "the server is"
        assert server.said().count("desk: version 1 was erased, and nothing answers in its place.") == 1
        lines = [f"{i},{i * 0.5},text {i},2026-01-01,true,{i}" for i in range(100, 160)]
        (tmp_path / "a.csv").write_text("id,size,text,day,old,y\n" + "\n".join(lines) + "\n")
        tillage(tmp_path, "run")
        until(lambda: server.ask("GET", "/v2/models/desk/ready")[0] == 200)
        assert server.predict({"size": 4, "text": "a"})["version"] > 1
