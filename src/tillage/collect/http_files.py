"""Files at http and https addresses, by fsspec's file system for them and aiohttp: looked at, listed, fetched.

A web server has no globs, so one is matched against the links of the page that shows a folder (as nginx, Apache and
Python's http.server make it); links to other folders or hosts are none of it. A file's tag is its strong ETag or its
MD5; where there is none, it is fetched at each look, for a file may be put back with its old time and size. Who says
`trust_times` lets the time of change count, once it is a minute older than the answer that tells it: RFC 9110 (8.8.2.2)
has that stand for the content, and within the minute it does not.
An address, or a redirect, can name a server inside our network. So each connection's own IP address is judged when its
socket is made, at redirects again, and only networks that the plan allows are reached besides the public ones.
Passwords and signatures do not stand in plans: `FSSPEC_HTTPS='{"headers": {"Authorization": "Bearer ..."}}'` sends
them, and aiohttp leaves them out where a redirect leads to another host. Cost: a HEAD a file and look.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Iterator, Sequence
from email.utils import parsedate_to_datetime
from fnmatch import fnmatchcase
from html.parser import HTMLParser
from importlib.util import find_spec
from typing import IO, Any
from urllib.parse import parse_qsl, unquote, urljoin, urlsplit

from tillage.core.errors import Denied, InputMissing, TillageError, Unavailable
from tillage.guard.hosts import Network, inside, may_reach

SECONDS = 3600
"""How long one file may take, connection and all."""

SILENCE = 60
"""Seconds without a byte after which a server is given up."""

REDIRECTS = 5
LISTING = 64 << 20
"""Most bytes of a page that shows a folder."""

SETTLED = 60
"""Seconds after which a time of change stands for the content."""

PATIENCE = 30.0
"""Seconds that a busy server (429, 503) may ask us to wait, each of two times."""

AT_ONCE = 8
SECRETS = {
    "access_token",
    "api_key",
    "apikey",
    "key",
    "sig",
    "signature",
    "token",
    "x-amz-signature",
    "x-goog-signature",
}
"""Words of a query that hold what a plan must not."""


def checked_http(address: str) -> None:
    """Raise ValueError for an http address that may not stand in a plan.

    >>> checked_http("https://data.example/2026/*.csv")
    >>> checked_http("https://data.example/a.csv?sig=abc")
    Traceback (most recent call last):
    ValueError: 'sig' of the address is a secret, none for a plan: send it as a header, by FSSPEC_HTTPS
    """
    parts = urlsplit(address)
    if not parts.hostname:
        raise ValueError("an address names a host: https://HOST/PATH")
    if parts.username or parts.password:
        raise ValueError("a user or password does not belong into a plan: send it as a header, by FSSPEC_HTTPS")
    if parts.fragment:
        raise ValueError("an address of a file has no '#'")
    if parts.query and any(_is_glob(part) for part in parts.path.split("/")):
        raise ValueError("an address has a glob or a query, not both")
    for name, _ in parse_qsl(parts.query, keep_blank_values=True):
        if name.lower() in SECRETS:
            raise ValueError(
                f"'{name}' of the address is a secret, none for a plan: send it as a header, by FSSPEC_HTTPS"
            )


def http_settings(allowed: Sequence[Network]) -> dict[str, Any]:
    """What fsspec's file system of the web is made with: it reaches the public internet, and the networks allowed."""
    if find_spec("aiohttp") is None:
        raise Unavailable("http addresses need the library aiohttp.", fix="Install it: pip install 'tillage[remote]'")
    import aiohttp

    def judged(info: Any) -> socket.socket:
        family, kind, protocol, _, (address, *_) = info
        if not may_reach(str(address), allowed):
            raise PermissionError(INSIDE + str(address))
        return socket.socket(family, kind, protocol)

    async def client(**settings: Any) -> Any:
        waiting = aiohttp.ClientTimeout(total=SECONDS, sock_connect=30, sock_read=SILENCE)
        own = {"timeout": waiting, "auto_decompress": False, "headers": {"Accept-Encoding": "identity"}}
        return aiohttp.ClientSession(connector=aiohttp.TCPConnector(socket_factory=judged), **{**own, **settings})

    return {"get_client": client, "skip_instance_cache": True, "max_redirects": REDIRECTS}


INSIDE = "an address inside our network: "


def found(system: Any, pattern: str) -> list[str]:
    """The addresses that match, by name; one without a glob as it stands, if it is there."""
    scheme, _, rest = pattern.partition("://")
    host, _, path = rest.partition("/")
    parts = path.split("/")
    fixed = next((n for n, part in enumerate(parts) if _is_glob(part)), None)
    if fixed is None or "?" in path:
        return [pattern]
    start = "/".join([f"{scheme}://{host}", *parts[:fixed]]) + "/"
    return sorted(set(_below(system, start, parts[fixed:])))


def looked(system: Any, addresses: Sequence[str], *, trust_times: bool = False) -> list[dict[str, Any] | None]:
    """What each file's server says of it: `size`, and `etag`, `md5` or `modified` where one of them can be relied on.

    None where the server has no answer to such a question (HEAD), or says nothing to rely on; times are relied on where
    `trust_times` says so. Raises InputMissing, Denied, Unavailable.
    """

    async def each() -> list[dict[str, Any] | None]:
        turns = asyncio.Semaphore(AT_ONCE)

        async def one(address: str) -> dict[str, Any] | None:
            async with turns:
                return await _head(system, address, trust_times=trust_times)

        return list(await asyncio.gather(*map(one, addresses)))

    return _done(system, each)  # type: ignore[no-any-return]


def fetch(system: Any, address: str, out: IO[bytes]) -> int | None:
    """Write the file, in one answer; the bytes that were announced, if they were. Raises as `looked` does."""

    async def whole() -> int | None:
        session = await system.set_session()
        async with session.get(system.encode_url(address), **system.kwargs) as answer:
            _refused(address, answer.status, answer.headers.get("Retry-After"))
            async for block in answer.content.iter_chunked(4 << 20):
                out.write(block)
            length: int | None = answer.content_length
            return length

    return _done(system, whole)  # type: ignore[no-any-return]


async def _head(system: Any, address: str, *, trust_times: bool) -> dict[str, Any] | None:
    session = await system.set_session()
    async with session.head(system.encode_url(address), allow_redirects=True, **system.kwargs) as answer:
        if answer.status in (405, 501):
            return None
        _refused(address, answer.status, answer.headers.get("Retry-After"))
        told = answer.headers
    size = int(told["Content-Length"]) if told.get("Content-Length", "").isdigit() else None
    if told.get("ETag") and not told["ETag"].startswith("W/"):
        return {"size": size, "etag": told["ETag"]}
    if told.get("Content-MD5"):
        return {"size": size, "md5": told["Content-MD5"]}
    if not trust_times:
        return None
    try:
        age = (parsedate_to_datetime(told["Date"]) - parsedate_to_datetime(told["Last-Modified"])).total_seconds()
    except (KeyError, ValueError, TypeError):
        return None
    return {"size": size, "modified": told["Last-Modified"]} if size is not None and age >= SETTLED else None


def _below(system: Any, folder: str, parts: Sequence[str]) -> Iterator[str]:
    part, rest = parts[0], parts[1:]
    if not _is_glob(part):
        if rest:
            yield from _below(system, f"{folder}{part}/", rest)
        elif part in {unquote(name) for name in _links(system, folder)}:
            yield folder + part
        return
    if part == "**":
        yield from _below(system, folder, rest or ("*",))
    for name in _links(system, folder):
        plain = unquote(name.rstrip("/"))
        if part == "**":
            if name.endswith("/") and not plain.startswith("."):
                yield from _below(system, folder + name, parts)
        elif _fits(plain, part) and name.endswith("/") == bool(rest):
            yield from _below(system, folder + name, rest) if rest else (folder + name,)


def _links(system: Any, folder: str) -> list[str]:
    """What a folder's page links to that lies directly in it; a folder's name ends with `/`."""

    async def page() -> tuple[str, bytes]:
        session = await system.set_session()
        async with session.get(system.encode_url(folder), **system.kwargs) as answer:
            if answer.status == 404:
                return folder, b""
            _refused(folder, answer.status, answer.headers.get("Retry-After"))
            body = bytearray()
            async for block in answer.content.iter_chunked(1 << 20):
                body += block
                if len(body) > LISTING:
                    raise Unavailable(f"The page of {folder} is larger than {LISTING:,} bytes.", fix="Name the files.")
            return str(answer.url), bytes(body)

    base, body = _done(system, page)
    reader = _Links()
    reader.feed(body.decode("utf-8", "replace"))
    # Where the folder's page was moved to another address, what lies in that one is what is meant.
    base = base.partition("?")[0]
    base = base if base.endswith("/") else base.rpartition("/")[0] + "/"
    names = set()
    for link in reader.links:
        target = urljoin(base, link).partition("#")[0]
        name = target.removeprefix(base)
        if name != target and "?" not in name and name.strip("/") and "/" not in name.rstrip("/"):
            names.add(name)
    return sorted(names)


class _Links(HTMLParser):
    """The targets of a page's links; one that is shown as a folder, `name/`, ends with `/`."""

    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []
        self._open = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        target = dict(attrs).get("href") if tag == "a" else None
        self._open = bool(target)
        self.links += [target] if target else []

    def handle_data(self, data: str) -> None:
        if self._open and data.rstrip().endswith("/") and not self.links[-1].endswith("/"):
            self.links[-1] += "/"

    def handle_endtag(self, tag: str) -> None:
        self._open = self._open and tag != "a"


def _done(system: Any, task: Any) -> Any:
    """The result of a coroutine on the loop of the file system; errors as what they mean for the run."""
    for again in (True, True, False):
        try:
            return _tried(system, task)
        except _Busy as busy:
            if not again or busy.seconds > PATIENCE:
                raise
            time.sleep(busy.seconds)
    raise AssertionError("the last try gives a result, or an error")


def _tried(system: Any, task: Any) -> Any:
    try:
        return asyncio.run_coroutine_threadsafe(task(), system.loop).result()
    except TillageError:
        raise
    except Exception as error:
        inner: BaseException | None = error
        while inner is not None:
            if INSIDE in str(inner):
                address = str(inner).rpartition(INSIDE)[2].split("]")[0].split("'")[0]
                raise inside(address) from error
            inner = inner.__cause__ or getattr(inner, "os_error", None)
        raise


class _Busy(Unavailable):
    """A server that has no time now, and says when it may."""

    seconds = 1.0


def _refused(address: str, status: int, after: str | None = None) -> None:
    if status in (404, 410):
        raise InputMissing(f"{address} is not there ({status}).", fix="Check the address; it may have been moved.")
    if status in (401, 403, 407):
        raise Denied(f"{address} may not be read ({status}).", fix="Send what the server asks for by FSSPEC_HTTPS.")
    if status in (429, 503):
        busy = _Busy(f"The server of {address} has no time for us ({status}).", fix="Run again later.")
        busy.seconds = float(after) if after and after.isdigit() else 1.0
        raise busy
    if status >= 300:
        raise Unavailable(f"The server answered {status} to {address}.", fix="Run again later, or ask its keeper.")


def _is_glob(part: str) -> bool:
    return any(mark in part for mark in "*[")


def _fits(name: str, part: str) -> bool:
    return fnmatchcase(name, part) and name.startswith(".") == part.startswith(".")
