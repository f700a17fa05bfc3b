"""OpenTelemetry: a span for each request, and one within it for the model, sent by OTLP over HTTP.

The trace of a caller goes on (W3C Trace Context), where the caller has a right token. A span says which route, service,
model and version answered, how many rows, and how that ended; it holds nothing of what was asked or answered, no
address, no path as it came, no id. Nothing is sent unless an address was given. Cost: 0.1 ms a request, sending apart.
Sources: OpenTelemetry semantic conventions for HTTP spans 1.23; W3C Trace Context.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from threading import Thread
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from tillage.core.errors import Unavailable, UsageError

SEEN = "tillage.seen"
"""Where in the scope it stands what a span will tell."""

VARIABLES = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
"""Where an address is looked for that was not given."""

ENDING = 3.0
"""Seconds for which the end of the server waits for what is still to be sent."""

log = logging.getLogger("tillage.serve")

_PATH = "/v1/traces"
_CALLER = (b"traceparent", b"tracestate")


@dataclass
class Seen:
    """What is known of a request when it is answered."""

    began: int = field(default_factory=time.time_ns)
    """Nanoseconds since 1970, as all times here."""
    route: str = ""
    """As the application declares it; empty where there is none."""
    known: bool = False
    """Whether the caller has a right token."""
    about: dict[str, str | int] = field(default_factory=dict)
    answering: tuple[int, int] | None = None
    """When the rows went to the model, and when the answers were there."""


def endpoint_of(given: str | None, environment: Mapping[str, str] = os.environ) -> str:
    """The address that spans are sent to; empty where none is wanted. UsageError for what is no address.

    A path is added to what was given, unless it is there; OTEL_EXPORTER_OTLP_TRACES_ENDPOINT is taken as it is. What is
    no address in the environment is warned of, and nothing is sent. Neither tells more of an address than its host.

    >>> endpoint_of("http://localhost:4318", {}), endpoint_of(None, {})
    ('http://localhost:4318/v1/traces', '')
    >>> endpoint_of("ftp://localhost", {})
    Traceback (most recent call last):
    tillage.core.errors.UsageError: --otel: ftp://localhost is no address that traces can be sent to. ...
    """
    off = (
        environment.get("OTEL_SDK_DISABLED", "").lower() == "true" or environment.get("OTEL_TRACES_EXPORTER") == "none"
    )
    exact, base = ("", "") if off else (environment.get(name, "") for name in VARIABLES)
    address = given or exact or base
    if not address:
        return ""
    told = ""
    try:
        place = urlsplit(address)
        told = f": {place.scheme}://{place.hostname}" if place.hostname else ""
        found = place.scheme in ("http", "https") and bool(place.hostname) and place.port != 0
    except ValueError:
        found = False
    if not found:
        said, fix = f"{told} is no address that traces can be sent to.", "Write it like http://localhost:4318."
        if given:
            raise UsageError(f"--otel{said}", fix=fix)
        log.warning("%s%s %s Until then none are sent.", VARIABLES[0 if exact else 1], said, fix)
        return ""
    if place.path.endswith(_PATH) or (not given and exact):
        return address
    return urlunsplit((place.scheme, place.netloc, place.path.rstrip("/") + _PATH, place.query, ""))


class Traces:
    """What makes spans and sends them."""

    def __init__(self, endpoint: str, version: str, processors: Iterable[Any] = ()) -> None:
        """`version`: of Tillage; `processors`: take the spans instead of the address. Unavailable without the extra."""
        try:
            from opentelemetry import trace
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
            from opentelemetry.sdk.resources import Resource
            from opentelemetry.sdk.trace import TracerProvider
            from opentelemetry.sdk.trace.export import BatchSpanProcessor
            from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
        except ImportError as error:
            raise Unavailable(
                "Traces are sent by OpenTelemetry, which is not installed.", fix="Run: pip install 'tillage[otel]'"
            ) from error
        named = "OTEL_SERVICE_NAME" in os.environ or "service.name=" in os.environ.get("OTEL_RESOURCE_ATTRIBUTES", "")
        own = {"service.version": version} if named else {"service.name": "tillage", "service.version": version}
        self._provider = TracerProvider(resource=Resource.create(own), shutdown_on_exit=False)
        for processor in processors or [BatchSpanProcessor(OTLPSpanExporter(endpoint))]:
            self._provider.add_span_processor(processor)
        self._tracer = self._provider.get_tracer("tillage.serve", version)
        self._caller = TraceContextTextMapPropagator()
        self._trace = trace

    def ended(self, seen: Seen, scope: Mapping[str, Any], status: int) -> None:
        """Tell of a request that was answered with this status."""
        trace, method = self._trace, scope["method"]
        parent = None
        if seen.known:
            brought = {n.decode(): v.decode("latin-1") for n, v in scope["headers"] if n in _CALLER}
            parent = self._caller.extract(brought) if brought else None
        about: dict[str, str | int] = {
            "http.request.method": method,
            "http.response.status_code": status,
            "url.scheme": scope["scheme"],
            **seen.about,
        }
        if seen.route:
            about["http.route"] = seen.route
        if status >= 500:
            about["error.type"] = str(status)
        name = f"{method} {seen.route}" if seen.route else method
        span = self._tracer.start_span(
            name, parent, kind=trace.SpanKind.SERVER, attributes=about, start_time=seen.began
        )
        if status >= 500:
            span.set_status(trace.Status(trace.StatusCode.ERROR))
        if seen.answering is not None:
            within = trace.set_span_in_context(span)
            began, ended = seen.answering
            self._tracer.start_span("predict", within, attributes=seen.about, start_time=began).end(ended)
        span.end(time.time_ns())

    def close(self) -> None:
        """Send what is left; for ENDING seconds at most, whether the receiver is there or not."""
        ending = Thread(target=self._provider.shutdown, daemon=True)
        ending.start()
        ending.join(ENDING)


__all__ = ["SEEN", "Seen", "Traces", "endpoint_of"]
