"""The door: what every request must bring before anything of it is looked at, and what no answer may tell.

Host and Origin are checked on every method (DNS rebinding), then the token, then the size, by what was announced and
by what came. Whatever goes wrong inside is told by the number of an incident, whose trace is on the server's log.
"""

from __future__ import annotations

import logging
import re
import secrets
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from ipaddress import ip_address
from typing import Any

from tillage.serve.bodies import LARGEST, dumped
from tillage.serve.refusal import Refused
from tillage.serve.scoped_tokens import Tokens
from tillage.serve.tokens import is_right
from tillage.serve.tracing import SEEN, Seen, Traces

Scope = MutableMapping[str, Any]
Headers = tuple[tuple[bytes, bytes], ...]
Whole = tuple[bytes, Headers]
"""A body, and the headers that go with it, but for its length."""

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope], Awaitable[Whole]]
"""What answers a request whose body is in its scope; it raises Refused for one that it does not answer."""

OPEN = ("/v2/health/live", "/v2/health/ready")
"""What needs no token: whether the server lives and is ready tells nothing else."""

UNTRACED = (*OPEN, "/metrics")
"""What is asked every few seconds, by machines; a trace of it tells nothing."""

BODY = "tillage.body"
"""Where in the scope the whole body stands."""

WHO = "tillage.who"
"""Where in the scope it stands which token was brought."""

_HOST = re.compile(r"(?:\[([0-9a-f:.]+)\]|([^:\[\]]*))(?::[0-9]*)?")

_ONCE = (b"host", b"origin", b"authorization", b"content-length")

log = logging.getLogger("tillage.serve")


def is_loopback(host: str) -> bool:
    """Whether an address is this machine's own.

    >>> is_loopback("127.0.0.1"), is_loopback("localhost"), is_loopback("0.0.0.0")
    (True, True, False)
    """
    if host == "localhost":
        return True
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def host_name(header: bytes) -> str:
    """The name in a Host header, without its port; empty where the header is no name and port.

    >>> host_name(b"Example.org:80"), host_name(b"[::1]:8000"), host_name(b"[::1]example.org")
    ('example.org', '::1', '')
    """
    found = _HOST.fullmatch(header.decode("latin-1").strip().lower())
    return (found[1] or found[2]) if found is not None else ""


class Door:
    """The ASGI application: it lets in, has the answer made, and sends it as a whole."""

    def __init__(
        self,
        app: App,
        token: str,
        hosts: Iterable[str],
        told: Callable[[int], None],
        tokens: Tokens | None = None,
        traces: Traces | None = None,
    ) -> None:
        """`token` may do everything, `tokens` what their scopes say.

        `hosts`: names that a request may be addressed to, without port; `told` of the status of each refusal.
        """
        self.app, self.token, self.told, self.tokens = app, token.encode(), told, tokens
        self.traces = traces
        self.hosts = {"127.0.0.1", "localhost", "::1", *(h.strip("[]").lower() for h in hosts)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let in, or answer with a refusal."""
        if scope["type"] != "http":
            return
        status = 200
        seen = scope[SEEN] = Seen() if self.traces is not None and scope["path"] not in UNTRACED else None
        try:
            brought = self.let_in(scope)
            scope[BODY] = await whole_body(brought.get(b"content-length"), receive)
            body, headers = await self.app(scope)
        except Refused as refused:
            status = refused.status
            body, headers = refusal(refused)
        except Gone:
            return
        except Exception:
            status, incident = 500, secrets.token_hex(8)
            log.exception("incident %s", incident)
            body, headers = json({"error": "Something went wrong in the server.", "incident": incident})
        if status != 200:
            self.told(status)
        length = (b"content-length", b"%d" % len(body))
        await send({"type": "http.response.start", "status": status, "headers": (*headers, length)})
        await send({"type": "http.response.body", "body": body})
        if self.traces is not None and seen is not None:
            seen.known = WHO in scope
            self.traces.ended(seen, scope, status)

    def let_in(self, scope: Scope) -> dict[bytes, bytes]:
        """The headers of a request that may come in; else Refused."""
        headers: dict[bytes, bytes] = {}
        for name, value in scope["headers"]:
            if name in _ONCE and name in headers:
                raise Refused(400, f"The header {name.decode()} is there twice.", close=True)
            headers[name] = value
        host = headers.get(b"host")
        if host is None or host_name(host) not in self.hosts:
            raise Refused(421, "This server does not answer to that name; see --allow-host.", close=True)
        origin = headers.get(b"origin")
        if origin is not None and origin.lower() not in (b"http://" + host.lower(), b"https://" + host.lower()):
            raise Refused(403, "A page of another origin may not ask this server.", close=True)
        if scope["path"] not in OPEN:
            scope[WHO] = self._known(scope, headers.get(b"authorization"))
        if headers.get(b"content-encoding", b"identity").lower() != b"identity":
            raise Refused(415, "Compressed bodies are not read.", close=True)
        return headers

    def _known(self, scope: Scope, header: bytes | None) -> str:
        """Who asks, by the token that was brought; Refused where it is wrong, or may not do this."""
        if is_right(self.token, header):
            return "the server's own token"
        found = self.tokens.find(header[7:].strip()) if self.tokens and header and _bearer(header) else None
        if found is None:
            raise Refused(401, "The token is missing, wrong or expired: send the header Authorization: Bearer TOKEN.")
        wanted = scope_of(scope["method"], scope["path"])
        if not found.may(wanted):
            raise Refused(403, f"This token may {' and '.join(found.scopes)}; this needs '{wanted}'.")
        return f"token {found.id}"


def _bearer(header: bytes) -> bool:
    return header[:7].lower() == b"bearer "


def scope_of(method: str, path: str) -> str:
    """What a token must be for, to ask this; empty: any will do.

    >>> scope_of("POST", "/v1/services/desk"), scope_of("POST", "/v1/services/desk/rollback"), scope_of("GET", "/v2")
    ('predict', 'admin', '')
    """
    if method in ("GET", "HEAD"):
        return ""
    if path == "/feedback":
        return "feedback"
    parts = path.split("/")
    predicts = len(parts) == 4 and parts[1] == "v1"
    return "predict" if predicts or (parts[1:3] == ["v2", "models"] and parts[-1] == "infer") else "admin"


class Gone(Exception):
    """The client has gone away."""


async def whole_body(announced: bytes | None, receive: Receive) -> bytes:
    """The body, once it is known to be small enough; Refused (413) else, Gone when the client has left."""
    if announced is not None and (not announced.isdigit() or int(announced) > LARGEST):
        raise _too_large()
    message = await receive()
    body: bytes = message.get("body", b"")
    if message["type"] == "http.request" and not message.get("more_body"):
        if len(body) > LARGEST:
            raise _too_large()
        return body
    pieces, size = [body], len(body)
    while message["type"] == "http.request" and message.get("more_body"):
        message = await receive()
        pieces.append(message.get("body", b""))
        size += len(pieces[-1])
        if size > LARGEST:
            raise _too_large()
    if message["type"] != "http.request":
        raise Gone
    return b"".join(pieces)


def _too_large() -> Refused:
    return Refused(413, f"The body is larger than {LARGEST >> 20} MiB.", close=True)


SAFE = ((b"x-content-type-options", b"nosniff"), (b"cache-control", b"no-store"))
"""Headers of every answer: it is JSON and nothing else, and nobody keeps it."""

JSON: Headers = ((b"content-type", b"application/json"), *SAFE)


def json(value: Any) -> Whole:
    """An answer in JSON.

    >>> json({"live": True})[0]
    b'{"live":true}'
    """
    return dumped(value).encode("utf-8", "replace"), JSON


def refusal(refused: Refused) -> Whole:
    """The answer to a request that is refused."""
    body, headers = json(refused.value())
    if refused.retry_after:
        headers = (*headers, (b"retry-after", b"%d" % refused.retry_after))
    if refused.close:
        headers = (*headers, (b"connection", b"close"))
    if refused.allow:
        headers = (*headers, (b"allow", refused.allow.encode()))
    if refused.status == 401:
        headers = (*headers, (b"www-authenticate", b"Bearer"))
    return body, headers
