"""A web site that behaves as it is told: pages, stamps, robots.txt, and what a crawl must survive."""

from __future__ import annotations

import gzip
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Answer = Callable[["Handler"], None]


@dataclass
class Page:
    """One answer: `status`, `headers` and `body`, or `does`, which writes it itself."""

    body: str | bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    does: Answer | None = None


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    site: Site

    def do_HEAD(self) -> None:
        """As GET, without the body; 501 where the site knows no such question."""
        if self.site.heads:
            self.do_GET()
        else:
            self.send_error(501)

    def do_GET(self) -> None:
        site = self.site
        (site.asked if self.command == "GET" else site.looked).append((time.monotonic(), self.path, dict(self.headers)))
        page = site.pages.get(self.path)
        if callable(page):
            page = page(len([1 for _, path, _ in site.asked if path == self.path]))
        if page is None:
            page = Page(status=404)
        if page.does is not None:
            page.does(self)
            return
        body = page.body if isinstance(page.body, bytes) else page.body.encode()
        etag = page.headers.get("ETag")
        if etag and self.headers.get("If-None-Match") == etag:
            self.send_response(304)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(page.status)
        for name, value in {"Content-Type": "text/html", **page.headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Silent."""


@dataclass
class Site:
    """A running site; `pages`: path to a Page, or to a function from how often it was asked (from 1) to one; `asked`
    by GET and `looked` at by HEAD, which it knows if `heads`."""

    url: str
    pages: dict[str, Page | Callable[[int], Page]] = field(default_factory=dict)
    asked: list[tuple[float, str, dict[str, str]]] = field(default_factory=list)
    looked: list[tuple[float, str, dict[str, str]]] = field(default_factory=list)
    heads: bool = False

    def paths(self) -> list[str]:
        """What was asked for, in order."""
        return [path for _, path, _ in self.asked]


@contextmanager
def site(pages: dict[str, Page | Callable[[int], Page]] | None = None) -> Iterator[Site]:
    """A site on this machine."""
    handler = type("Own", (Handler,), {})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    made = Site(f"http://127.0.0.1:{server.server_address[1]}", dict(pages or {}))
    handler.site = made  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield made
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def article(text: str, *links: str, title: str = "A page", around: str = "") -> str:
    """A page with a main text, links, and something around it."""
    menu = "".join(f'<li><a href="{link}">{link}</a></li>' for link in links)
    body = f"<p>{text} This is said at some length, so that it is taken for the text and not for a menu.</p>" * 3
    return (
        f"<html lang='en'><head><title>{title}</title></head><body><nav><ul>{menu}</ul></nav>{around}"
        f"<article><h1>{title}</h1>{body}</article><footer>All rights reserved</footer></body></html>"
    )


def dripping(handler: Handler) -> None:
    """A body that never ends, a byte at a time."""
    handler.send_response(200)
    handler.send_header("Content-Type", "text/html")
    handler.send_header("Content-Length", "1000000")
    handler.end_headers()
    for _ in range(600):
        try:
            handler.wfile.write(b"x")
            handler.wfile.flush()
        except OSError:
            return
        time.sleep(0.05)


def bomb(size: int) -> bytes:
    """Zeroes, packed."""
    return gzip.compress(b"\0" * size)
