"""Spans as someone else's receiver gets them: OTLP over HTTP on loopback, read by OpenTelemetry's own messages."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from tests.serve.running import Server, environment
from tillage.core.errors import UsageError
from tillage.serve.tracing import endpoint_of

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
CALLER = {"traceparent": f"00-{TRACE}-{PARENT}-01", "tracestate": "vendor=1"}
ROW = {"id": 4711, "size": 2.5, "text": "Zebulon Quux"}
ROUTE = "/v1/services/{name}"
TOLD = {
    "http.request.method", "http.response.status_code", "http.route", "url.scheme", "error.type",
    "tillage.service", "tillage.model", "tillage.version", "tillage.rows", "tillage.rows_turned_away",
}  # fmt: skip


class Receiver:
    """A collector of spans."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.paths: list[str] = []
        own = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                own.paths.append(self.path)
                own.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
                self.send_response(200)
                self.send_header("Content-Type", "application/x-protobuf")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_port}"

    def resources(self) -> list[Any]:
        from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

        return [found for body in self.bodies for found in ExportTraceServiceRequest.FromString(body).resource_spans]

    def spans(self) -> list[Any]:
        return [span for one in self.resources() for group in one.scope_spans for span in group.spans]

    def resource(self) -> dict[str, Any]:
        return about(self.resources()[0].resource)


def about(what: Any) -> dict[str, Any]:
    """Its attributes."""
    return {a.key: getattr(a.value, a.value.WhichOneof("value")) for a in what.attributes}


@contextlib.contextmanager
def receiving() -> Iterator[Receiver]:
    made = Receiver()
    thread = Thread(target=made.server.serve_forever)
    thread.start()
    try:
        yield made
    finally:
        made.server.shutdown()
        thread.join()
        made.server.server_close()


@pytest.fixture
def folder(project_folder: Path, tmp_path: Path) -> Path:
    """The project, for a server of its own."""
    return Path(shutil.copytree(project_folder, tmp_path / "own"))


def test_each_request_is_a_span_of_the_callers_trace_that_tells_nothing_of_what_was_asked(folder: Path) -> None:
    with receiving() as receiver, Server(folder, "--otel", receiver.address) as server:
        began = time.time_ns()
        value = server.ask("POST", "/v1/services/desk", {"rows": [ROW, {**ROW, "size": -1}]}, dict(CALLER))[1]
        assert server.ask("POST", "/v1/services/desk", {"rows": [ROW]})[0] == 200
        assert server.ask("POST", "/v1/services/desk", {"rows": [{**ROW, "size": 1300}]})[0] == 500
        assert server.ask("POST", "/v1/services/desk", {}, {**CALLER, "Authorization": "Bearer Zebulon"})[0] == 401
        assert server.ask("GET", "/v2/models/desk?who=Zebulon", headers=dict(CALLER))[0] == 200
        assert server.ask("GET", "/Zebulon/4711")[0] == 404
        assert server.ask("GET", "/v2/health/live")[0] == server.ask("GET", "/metrics")[0] == 200
        assert server.end() == 0
        ended = time.time_ns()
    assert set(receiver.paths) == {"/v1/traces"}
    assert receiver.resource()["service.name"] == "tillage"
    assert "service.version" in receiver.resource()
    spans = receiver.spans()
    served = [s for s in spans if s.kind == s.SPAN_KIND_SERVER]
    assert sorted((about(s)["http.response.status_code"], s.name) for s in served) == [
        (200, "GET /v2/models/{name}"),
        (200, f"POST {ROUTE}"),
        (200, f"POST {ROUTE}"),
        (401, "POST"),
        (404, "GET"),
        (500, f"POST {ROUTE}"),
    ]
    continued = [s for s in served if s.trace_id.hex() == TRACE]
    assert sorted(s.name for s in continued) == ["GET /v2/models/{name}", f"POST {ROUTE}"], "not of who has no token"
    assert {(s.parent_span_id.hex(), s.trace_state) for s in continued} == {(PARENT, "vendor=1")}
    assert all(not s.parent_span_id for s in served if s not in continued)
    [first] = [s for s in continued if s.name.startswith("POST")]
    assert about(first) == {
        "http.request.method": "POST", "http.response.status_code": 200, "http.route": ROUTE, "url.scheme": "http",
        "tillage.service": "desk", "tillage.model": "double", "tillage.version": 1, "tillage.rows": 2,
        "tillage.rows_turned_away": 1,
    }  # fmt: skip
    within = [s for s in spans if s.name == "predict"]
    assert len(within) == 2, "one for each request that was answered"
    [inner] = [s for s in within if s.parent_span_id == first.span_id]
    assert began <= first.start_time_unix_nano <= inner.start_time_unix_nano
    assert inner.start_time_unix_nano < inner.end_time_unix_nano <= first.end_time_unix_nano <= ended
    [failed] = [s for s in served if about(s)["http.response.status_code"] == 500]
    assert (failed.status.code, about(failed)["error.type"]) == (failed.status.STATUS_CODE_ERROR, "500")
    assert set().union(*(about(s) for s in spans)) <= TOLD
    sent = b"".join(receiver.bodies)
    for secret in ("Zebulon", "4711", server.token, value["predictions"][0]["id"], "127.0.0.1", "secret of the inside"):
        assert secret.encode() not in sent


def test_the_variable_that_others_read_is_read_and_a_receiver_that_is_gone_holds_nothing_up(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with receiving() as receiver:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.address)
        monkeypatch.setenv("OTEL_SERVICE_NAME", "shop")
        with Server(folder) as server:
            server.predict(ROW)
            assert server.end() == 0
        assert [s.name for s in receiver.spans()] == ["predict", f"POST {ROUTE}"]
        assert receiver.resource()["service.name"] == "shop"
        monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
        receiver.bodies.clear()
        with Server(folder) as server:
            server.predict(ROW)
            assert server.end() == 0
        assert receiver.bodies == []
    monkeypatch.delenv("OTEL_SDK_DISABLED")
    with Server(folder) as server:  # nobody is there any more
        server.predict(ROW)
        began = time.monotonic()
        assert server.end() == 0
        assert time.monotonic() - began < 10


def test_without_the_library_the_option_is_refused_and_the_variable_is_told_of(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without = "import sys\nsys.modules['opentelemetry'] = None"
    script = f"{without}\nfrom tillage.face.main import main\nmain()"
    command = [sys.executable, "-c", script, "serve", "--port", "0", "--otel", "http://127.0.0.1:4318"]
    done = subprocess.run(command, cwd=folder, env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 69
    assert "pip install 'tillage[otel]'" in done.stderr
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318")
    with Server(folder, before=without) as server:
        assert server.predict(ROW)["predictions"][0]["prediction"] == 5.0
        assert "none are sent" in server.said()


BASE, EXACT = "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"


@pytest.mark.parametrize(
    ("given", "variables", "expected"),
    [
        (None, {}, ""),
        ("http://h:4318/", {}, "http://h:4318/v1/traces"),
        ("https://h/v1/traces", {}, "https://h/v1/traces"),
        ("http://h", {BASE: "http://x"}, "http://h/v1/traces"),
        (None, {BASE: "http://x/base/"}, "http://x/base/v1/traces"),
        (None, {BASE: "http://x", EXACT: "http://y/t"}, "http://y/t"),
        (None, {BASE: "http://x", "OTEL_TRACES_EXPORTER": "none"}, ""),
        ("http://h", {"OTEL_SDK_DISABLED": "true"}, "http://h/v1/traces"),
        ("http://h:4318?x=1", {}, "http://h:4318/v1/traces?x=1"),
        ("http://h/base/?x=1#part", {}, "http://h/base/v1/traces?x=1"),
        ("http://u:p@[::1]:4318", {}, "http://u:p@[::1]:4318/v1/traces"),
        (None, {EXACT: "http://y/t?key=1"}, "http://y/t?key=1"),
    ],
)
def test_where_traces_go(given: str | None, variables: dict[str, str], expected: str) -> None:
    assert endpoint_of(given, variables) == expected


@pytest.mark.parametrize("given", ["h:4318", "ftp://h", "http://", "http://h:x", "http://[", "/v1/traces"])
def test_what_is_no_address_is_refused(given: str) -> None:
    with pytest.raises(UsageError, match="no address"):
        endpoint_of(given, {})


@pytest.mark.parametrize(
    "given", ["ftp://u:SECRET@h", "http://u:SECRET@h:x", "u:SECRET@h", "http://u:SECRET@[", "SECRET"]
)
def test_an_address_that_is_none_is_told_without_what_is_secret_in_it(
    given: str, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(UsageError, match="no address") as caught:
        endpoint_of(given, {})
    assert "SECRET" not in str(caught.value)
    for name in (BASE, EXACT):
        caplog.clear()
        assert endpoint_of(None, {name: given}) == ""
        [record] = caplog.records
        assert name in record.getMessage()
        assert "none are sent" in record.getMessage()
        assert "SECRET" not in record.getMessage()


def test_a_bad_address_in_the_environment_does_not_stop_the_server(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "localhost:4317")
    with Server(folder) as server:
        assert server.predict(ROW)["predictions"][0]["prediction"] == 5.0
        assert "OTEL_EXPORTER_OTLP_ENDPOINT is no address" in server.said()
