"""A crawl as its caller sees it: orders out, pages back, into a file without a name; no page is in memory but one.

The crawl runs in a process of its own (`spider.py`), which can be run once only and which a hostile page may end.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from struct import Struct
from typing import IO, Any
from weakref import finalize

from tillage.core.errors import TillageError, Unavailable
from tillage.guard.child import bare_environment

HEAD = Struct(">II")
"""Lengths of the JSON and of the body of one message of `spider.py`."""


@dataclass
class Crawl:
    """What a crawl found. `pages`: URL to what was said of it (`status`, `links`, stamps) where there is a page;
    `same`: pages that are as they were; `gone`: pages that are no more; `skipped`, `failed`: URL to the reason.
    `cut`: there was more than was asked for.
    """

    pages: dict[str, dict[str, Any]] = field(default_factory=dict)
    same: set[str] = field(default_factory=set)
    gone: set[str] = field(default_factory=set)
    skipped: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    cut: bool = False
    at: float = 0.0
    """When it began, in seconds since 1970."""

    def __post_init__(self) -> None:
        self._file = tempfile.TemporaryFile(prefix="tillage-")  # noqa: SIM115 - it lives as long as the crawl
        finalize(self, self._file.close)
        self._places: dict[tuple[str, str], tuple[int, int]] = {}

    def keep(self, url: str, what: str, data: bytes) -> None:
        """Keep bytes that belong to a page."""
        at = self._file.seek(0, 2)
        self._file.write(data)
        self._places[url, what] = (at, len(data))

    def kept(self, url: str, what: str) -> bytes | None:
        """Bytes that were kept; None when there are none."""
        place = self._places.get((url, what))
        if place is None:
            return None
        self._file.seek(place[0])
        return self._file.read(place[1])

    def close(self) -> None:
        """Give the room back."""
        self._file.close()


def crawl(orders: Mapping[str, Any]) -> Crawl:
    """Fetch what the orders say; raises Unavailable when Scrapy is not installed, TillageError when it breaks off."""
    if find_spec("scrapy") is None:
        raise Unavailable("A crawl needs the library scrapy.", fix="Install it: pip install 'tillage[web]'")
    found = Crawl(at=time.time())
    whole = False
    try:
        for said, body in _messages(orders):
            whole = whole or _take(found, said, body)
    except BaseException:
        found.close()
        raise
    if not whole:
        found.close()
        raise TillageError("The process that crawls ended before its time.", fix="See its message above; run again.")
    return found


def _take(found: Crawl, said: dict[str, Any], body: bytes) -> bool:
    """One message; whether it was the last."""
    url = said["url"]
    if said.get("end"):
        found.cut = said["cut"]
        return True
    if said.get("status") == 304:
        found.same.add(url)
    elif "status" in said:
        found.pages[url] = said
        found.keep(url, "body", body)
    elif "gone" in said:
        found.gone.add(url)
    elif "skipped" in said:
        found.skipped[url] = said["skipped"]
    else:
        found.failed[url] = said["failed"]
    return False


def _messages(orders: Mapping[str, Any]) -> Iterator[tuple[dict[str, Any], bytes]]:
    script = str(
        Path(__file__).with_name("spider.py")
    )  # by its path, so that it loads nothing of ours but what it needs
    with subprocess.Popen(  # noqa: S603 - our own command, and no shell
        [sys.executable, "-P", "-W", "ignore", script],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=bare_environment(),
    ) as process:
        if process.stdin is None or process.stdout is None:
            raise TypeError("the process was started without pipes")
        try:
            process.stdin.write(json.dumps(orders).encode() + b"\n")
            process.stdin.close()
            while (head := _exactly(process.stdout, HEAD.size)) is not None:
                size, length = HEAD.unpack(head)
                said, body = _exactly(process.stdout, size), _exactly(process.stdout, length)
                if said is None or body is None:
                    return
                yield json.loads(said), body
        finally:
            process.kill()


def _exactly(pipe: IO[bytes], size: int) -> bytes | None:
    data = pipe.read(size)
    return data if len(data) == size else None
