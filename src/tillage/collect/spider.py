"""The crawl itself, by Scrapy, in a process of its own: told what to fetch on its input, it writes pages to its output.

Scrapy brings the frontier, the rates, redirects, unpacking, robots.txt; here is what it leaves open: addresses are
judged as they are resolved, a robots.txt that cannot be had forbids, `Retry-After` and `Crawl-delay` are kept, and what
was fetched before is asked for with its stamps. This file alone imports Scrapy, and only the child process loads it.
Sources: RFC 9309 (robots.txt, 2.3.1), RFC 9110 (10.2.3 Retry-After, 13 conditional requests), docs.scrapy.org.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import struct
import sys
import time
from collections.abc import AsyncIterator, Iterator
from email.utils import parsedate_to_datetime
from typing import IO, Any
from urllib.parse import urldefrag, urlsplit

import scrapy
from protego import Protego
from scrapy.crawler import AsyncCrawlerProcess
from scrapy.exceptions import IgnoreRequest
from scrapy.http import HtmlResponse, Request, Response, TextResponse
from scrapy.linkextractors import LinkExtractor
from scrapy.resolver import CachingThreadedResolver
from twisted.internet import threads
from twisted.internet.error import DNSLookupError

from tillage.guard.hosts import may_reach, networks

HEAD = struct.Struct(">II")
"""Lengths of the JSON and of the body of one message."""

PATIENCE = 300.0
"""Seconds that a host may ask us to wait."""

TRIES = 3
LINKS = 1000
"""Links of a page that are kept."""

ROBOTS = "/robots.txt"
DENY = b"User-agent: *\nDisallow: /\n"
inside: set[str] = set()
"""Hosts that stand for an address which may not be reached."""


class Resolver(CachingThreadedResolver):
    """Names to addresses: every address of a name must be one that may be reached, and the first is connected to."""

    allowed = networks(())

    def getHostByName(self, name: str, timeout: Any = ()) -> Any:  # noqa: N802 - Twisted's name
        return threads.deferToThread(self._judged, name)

    def _judged(self, name: str) -> str:
        try:
            found = {str(info[4][0]) for info in socket.getaddrinfo(name, None, socket.AF_INET, socket.SOCK_STREAM)}
        except OSError as error:
            raise DNSLookupError(str(error)) from None
        if not all(may_reach(address, self.allowed) for address in found):
            inside.add(name)
            raise DNSLookupError(f"{name} stands for an address inside")
        return min(found)


class Gate:
    """What each request passes, redirected ones and those for robots.txt too."""

    def __init__(self, crawler: Any) -> None:
        self.spider: Pages = crawler.spider
        self.orders = self.spider.orders
        self.not_before: dict[str, float] = {}
        self.delays: dict[str, float] = {}

    @classmethod
    def from_crawler(cls, crawler: Any) -> Gate:
        return cls(crawler)

    async def process_request(self, request: Request) -> None:
        parts = urlsplit(request.url)
        host = parts.hostname or ""
        if parts.scheme not in ("http", "https") or not host:
            raise IgnoreRequest("scheme")
        if _is_address(host) and not may_reach(host, Resolver.allowed):
            inside.add(host)
            raise IgnoreRequest("inside")
        held = self.orders["held"].get(request.url)
        for header, name in (("If-None-Match", "etag"), ("If-Modified-Since", "modified")):
            request.headers.pop(header, None)
            if held and held.get(name):
                request.headers[header] = held[name]
        now = time.monotonic()
        start = max(now, self.not_before.get(parts.netloc, 0.0))
        self.not_before[parts.netloc] = start + self.delays.get(parts.netloc, 0.0)
        if start > now:
            await asyncio.sleep(start - now)

    async def process_response(self, request: Request, response: Response) -> Response | Request:
        netloc = urlsplit(request.url).netloc
        tries = int(request.meta.get("tries", 0))
        if response.status in (429, 503) and tries < TRIES:
            wait = _asked_to_wait(response.headers.get("Retry-After"), 2.0**tries)
            if wait <= PATIENCE:
                self.not_before[netloc] = max(self.not_before.get(netloc, 0.0), time.monotonic() + wait)
                again: Request = request.replace(dont_filter=True)
                again.meta["tries"] = tries + 1
                return again
        if _is_robots(request):
            return self._robots(request, response)
        return response

    def _robots(self, request: Request, response: Response) -> Response:
        """A robots.txt that is not there allows all; one that cannot be had forbids all, for now."""
        netloc = urlsplit(request.meta.get("redirect_urls", [request.url])[0]).netloc
        if response.status >= 500 or response.status == 429:
            self.spider.no_robots.add(netloc)
            return TextResponse(request.url, body=DENY)
        if response.status >= 300:
            return TextResponse(request.url, body=b"")
        delay = Protego.parse(response.body.decode(errors="replace")).crawl_delay(self.orders["agent"])
        self.delays[netloc] = min(float(delay or 0.0), PATIENCE)
        return response

    def process_exception(self, request: Request, exception: Exception) -> Response | None:
        """A robots.txt that could not be fetched."""
        if not _is_robots(request):
            return None
        self.spider.no_robots.add(urlsplit(request.meta.get("redirect_urls", [request.url])[0]).netloc)
        return TextResponse(request.url, body=DENY)


class Pages(scrapy.Spider):
    """Pages from the given ones on, as deep as asked."""

    name = "tillage"

    def __init__(self, orders: dict[str, Any], sink: IO[bytes]) -> None:
        super().__init__()
        self.orders, self.sink = orders, sink
        self.hosts = {urlsplit(url).netloc for url in orders["urls"]}
        self.led = {via: url for url, stamp in orders["held"].items() for via in stamp.get("via", ())}
        """Addresses that were redirected last time, and the pages that they led to."""
        self.no_robots: set[str] = set()
        self.told: set[str] = set()
        self.asked: set[str] = set()
        """Instead of Scrapy's own filter, which drops a redirect to a page that was asked for without a word."""
        self.cut = False
        self.links = LinkExtractor(unique=True)

    async def start(self) -> AsyncIterator[Any]:
        for url in self.orders["urls"]:
            for request in self._request(url, 0):
                yield request

    def _request(self, url: str, depth: int) -> Iterator[Request]:
        if url in self.asked:
            return
        if len(self.asked) >= self.orders["max_pages"]:
            self.cut = True
            return
        self.asked.add(url)
        yield Request(url, self.arrived, errback=self.failed, cb_kwargs={"depth": depth}, dont_filter=True)

    def arrived(self, response: Response, depth: int) -> Iterator[Request]:
        """A page, or the answer that there is none, or that it is as it was."""
        asked = _asked_for(response.request)
        url = urldefrag(response.url)[0]
        if asked in self.orders["urls"]:
            self.hosts.add(urlsplit(url).netloc)
        held = self.orders["held"].get(url, {})
        if response.status == 304 and held:
            self.tell({"url": url, "status": 304})
            yield from self._onward(held.get("links", []), depth)
        elif response.status == 200:
            if not isinstance(response, HtmlResponse):
                self.tell({"url": url, "skipped": "not_html"})
                return
            links = self._links(response)
            via = [urldefrag(u)[0] for u in response.meta.get("redirect_urls", ())]
            self.tell({"url": url, "status": 200, "links": links, "via": via, **_stamps(response)}, response.body)
            yield from self._onward(links, depth)
        elif response.status in (404, 410):
            self.tell({"url": url, "gone": response.status})
        else:
            self.tell({"url": url, "failed": f"status_{response.status}"})
            yield from self._past(url, asked, depth)

    def failed(self, failure: Any) -> Iterator[Request]:
        """No answer, or none that we take."""
        request = failure.request
        url, reason = _asked_for(request), _reason(failure, request.url)
        if reason == "robots" and urlsplit(request.url).netloc in self.no_robots:
            reason = "robots_unavailable"
        kind = "skipped" if reason in ("robots", "inside", "scheme", "redirects") else "failed"
        self.tell({"url": url, kind: reason})
        if kind == "failed":
            yield from self._past(url, url, int(request.cb_kwargs.get("depth", 0)))

    def _past(self, url: str, asked: str, depth: int) -> Iterator[Request]:
        """What a page that cannot be had for the moment led to when it was had last, itself or by a redirect."""
        led = self.led.get(url, url)
        if asked in self.orders["urls"]:
            self.hosts.add(urlsplit(led).netloc)
        yield from self._onward(self.orders["held"].get(led, {}).get("links", []), depth)

    def _onward(self, links: list[str], depth: int) -> Iterator[Request]:
        if depth >= self.orders["depth"]:
            return
        for link in links:
            if urlsplit(link).netloc in self.hosts and link not in self.told:
                yield from self._request(link, depth + 1)

    def _links(self, response: HtmlResponse) -> list[str]:
        if not self.orders["depth"]:
            return []
        found = (urldefrag(link.url)[0] for link in self.links.extract_links(response) if not link.nofollow)
        return list(dict.fromkeys(url for url in found if urlsplit(url).netloc in self.hosts))[:LINKS]

    def tell(self, said: dict[str, Any], body: bytes = b"") -> None:
        """One message to the parent; one for each page."""
        if said["url"] in self.told:
            return
        self.told.add(said["url"])
        send(self.sink, said, body)


def send(sink: IO[bytes], said: dict[str, Any], body: bytes = b"") -> None:
    head = json.dumps(said).encode()
    sink.write(HEAD.pack(len(head), len(body)) + head + body)
    sink.flush()


def _stamps(response: Response) -> dict[str, str]:
    def header(name: str) -> str:
        value = response.headers.get(name)
        return value.decode("latin-1") if value else ""

    kind = header("Content-Type")
    charset = kind.lower().partition("charset=")[2].split(";")[0].strip(" \"'")
    return {"etag": header("ETag"), "modified": header("Last-Modified"), "charset": charset}


def _asked_for(request: Any) -> str:
    """The address that a chain of redirects began with."""
    return str(request.meta.get("redirect_urls", [request.url])[0])


def _is_robots(request: Request) -> bool:
    first = urlsplit(_asked_for(request))
    return first.path == ROBOTS and bool(request.meta.get("dont_obey_robotstxt"))


def _is_address(host: str) -> bool:
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, host.partition("%")[0])
        except OSError:
            continue
        return True
    return False


def _asked_to_wait(header: bytes | None, otherwise: float) -> float:
    """Seconds, from a number of them or a date; a header that is neither counts as none."""
    if header is None:
        return otherwise
    text = header.decode("latin-1").strip()
    if text.isdigit():
        return float(text)
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    except ValueError:
        return otherwise


def _reason(failure: Any, url: str) -> str:
    """Why a request came to nothing, in one word."""
    name, said = type(failure.value).__name__, str(failure.value)
    if (urlsplit(url).hostname or "") in inside:
        return "inside"
    if "robots.txt" in said:
        return "robots"
    if "redirect" in said:
        return "redirects"
    if said == "scheme":
        return said
    if "maxsize" in said.lower() or "MAXSIZE" in said or "Cancelled" in name or "size" in said.lower():
        return "page_too_large"
    if "Timeout" in name:
        return "timeout"
    if "DataLoss" in name:
        return "cut"
    return "unreachable"


def main() -> None:
    """Crawl as the first line of the standard input says."""
    orders = json.loads(sys.stdin.buffer.readline())
    sink = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints must not be taken for a page
    Resolver.allowed = networks(orders["allow_private"])
    process = AsyncCrawlerProcess(settings(orders))
    crawler = process.create_crawler(Pages)
    process.crawl(crawler, orders=orders, sink=sink)
    process.start()
    send(sink, {"url": "", "end": True, "cut": bool(getattr(crawler.spider, "cut", False))})


def settings(orders: dict[str, Any]) -> dict[str, Any]:
    """What Scrapy is told: politeness, limits, and nothing that listens, caches or leads around the gate."""
    return {
        "USER_AGENT": orders["agent"],
        "ROBOTSTXT_OBEY": True,
        "ROBOTSTXT_USER_AGENT": orders["agent"],
        "CONCURRENT_REQUESTS": 8,
        "CONCURRENT_REQUESTS_PER_DOMAIN": 1,
        "DOWNLOAD_DELAY": 1 / orders["rate"],
        "DOWNLOAD_DELAY_JITTER": 0,
        "DOWNLOAD_TIMEOUT": orders["timeout"],
        "DOWNLOAD_MAXSIZE": orders["max_bytes"],
        "DOWNLOAD_WARNSIZE": 0,
        "DOWNLOAD_VERIFY_CERTIFICATES": True,
        "REDIRECT_MAX_TIMES": 5,
        "DNS_RESOLVER": Resolver,
        "DOWNLOADER_MIDDLEWARES": {Gate: 120},
        "DOWNLOAD_HANDLERS": {"file": None, "data": None, "ftp": None, "s3": None},
        "HTTPERROR_ALLOW_ALL": True,
        "RETRY_ENABLED": False,
        "COOKIES_ENABLED": False,
        "METAREFRESH_ENABLED": False,
        "HTTPPROXY_ENABLED": False,
        "EXTENSIONS_BASE": {},  # some of them listen on a port
        "LOG_LEVEL": os.environ.get("TILLAGE_CRAWL_LOG", "CRITICAL"),
    }


if __name__ == "__main__":
    main()
