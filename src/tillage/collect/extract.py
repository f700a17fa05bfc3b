"""The main text of an HTML page, without menus, adverts and footers, by trafilatura, in a process of its own.

A hostile page can hold a parser for minutes, or kill it, so a page has two seconds of CPU, its process two gigabytes;
one that is too late is ended and the next page gets a new one. Some 25 ms a page, and one second for the process.
Extra: `pip install tillage[web]`. Source: Barbaresi, Trafilatura, ACL 2021 (system demonstrations).
"""

from __future__ import annotations

import atexit
import codecs
import json
import os
import re
import select
import signal
import struct
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from threading import Lock
from typing import IO, Any

from tillage.collect.content import Unreadable
from tillage.core.errors import TillageError, Unavailable
from tillage.guard.child import bare_environment, end

SECONDS = 2.0
"""Of CPU that a page has: not of wall time, or a busy machine would set pages aside that a quiet one reads."""

LATEST = 30.0
"""Seconds of wall time after which a process that says nothing is given up."""

MEMORY = 2 << 30
START_SECONDS = 60.0
_LENGTH = struct.Struct(">I")
_TOO_LATE = signal.SIGPROF
_META = re.compile(rb"""<meta[^>]{0,200}?charset\s*=\s*["']?\s*([\w:.-]{1,40})""", re.IGNORECASE)
_LANGUAGE = re.compile(r"""<html\b[^>]{0,500}?\slang\s*=\s*["']?\s*([A-Za-z]{2,3}(?:-[\w-]{1,30})?)""", re.IGNORECASE)
_MARKS = ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))
_WIDER = {"iso8859-1": "cp1252", "ascii": "cp1252", "gb2312": "gb18030", "gbk": "gb18030"}
"""What pages that name these are written in (WHATWG Encoding Standard, section 4.2)."""


@dataclass(frozen=True)
class Article:
    """The text of a page: `title` and `text` (paragraphs apart by line breaks), `language` as its mark-up names it."""

    title: str
    text: str
    language: str


def main_text(html: bytes, url: str = "", charset: str = "") -> Article:
    """The main text of a page.

    `charset`: what the HTTP header says, which may be wrong. Raises Unreadable, whose reason is `bad_encoding`,
    `page_too_slow` or `page_unreadable`; Unavailable when trafilatura is not installed.

    >>> page = "<html lang=en><title>Tea</title><body><article><p>Green tea is not fermented at all.</article></html>"
    >>> main_text(page.encode())
    Article(title='Tea', text='Green tea is not fermented at all.', language='en')
    """
    text = decoded_page(html, charset)
    answer = _extractor.ask({"html": text, "url": url})
    language = _LANGUAGE.search(text[:20_000])
    return Article(answer["title"], answer["text"], language[1] if language else "")


def decoded_page(data: bytes, charset: str = "") -> str:
    """The text of a page's bytes: by its mark, else as UTF-8 where it is, else as header, page or GB18030 have it.

    UTF-8 goes before the header, because text in another encoding hardly ever is valid UTF-8, and headers are often
    wrong. Raises Unreadable (`bad_encoding`) when nothing fits.

    >>> decoded_page("naïve".encode(), "iso-8859-1"), decoded_page("naïve".encode("latin-1"), "iso-8859-1")
    ('naïve', 'naïve')
    """
    for mark, codec in _MARKS:
        if data.startswith(mark):
            return _decoded(data, codec, "") if codec == "utf-16" else data.decode(codec, errors="replace")
    named = _META.search(data[:4096])
    for codec in ("utf-8", charset, named[1].decode() if named else "", "gb18030"):
        with suppress(LookupError, UnicodeDecodeError):
            name = codecs.lookup(codec).name
            return data.decode(_WIDER.get(name, name))
        if codec and codec.lower().replace("_", "-") in ("iso-8859-1", "latin-1", "latin1", "us-ascii"):
            return data.decode("latin-1")  # the few bytes that cp1252 lacks
    return _decoded(data, "utf-8", charset)


def _decoded(data: bytes, codec: str, charset: str) -> str:
    try:
        return data.decode(codec)
    except UnicodeDecodeError as error:
        said = f" (its header says {charset!r})" if charset else ""
        raise Unreadable("bad_encoding", f"Byte {error.start:,} of the page fits no encoding{said}.") from error


class _Extractor:
    """The process that extracts; started when it is first needed, and again after a page that killed it."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = Lock()

    def ask(self, page: dict[str, str]) -> dict[str, str]:
        with self._lock:
            process = self._ready()
            try:
                answer = _exchange(process, json.dumps(page).encode(), LATEST)
            except (OSError, EOFError) as error:  # a TimeoutError is an OSError
                slow = isinstance(error, TimeoutError) or process.wait() == -_TOO_LATE
                self._kill()
                if slow:
                    raise Unreadable(
                        "page_too_slow", f"The page took more than {SECONDS:g} s: it may be nested too deeply."
                    ) from None
                raise Unreadable("page_unreadable", "The page ended the process that extracts its text.") from None
        if "error" in answer:
            raise Unreadable("page_unreadable", f"The page cannot be read: {answer['error']}.")
        return answer

    def _ready(self) -> subprocess.Popen[bytes]:
        if self._process is not None and self._process.poll() is None:
            return self._process
        if find_spec("trafilatura") is None:
            raise Unavailable(
                "The main text of pages needs the library trafilatura.", fix="Install it: pip install 'tillage[web]'"
            )
        code = "from tillage.collect.extract import serve; serve()"
        self._process = subprocess.Popen(  # noqa: S603 - our own command, and no shell
            [sys.executable, "-W", "ignore", "-c", code],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=bare_environment(),
        )
        try:
            _exchange(self._process, json.dumps({"html": "<p>ready</p>", "url": ""}).encode(), START_SECONDS)
        except (TimeoutError, OSError, EOFError) as error:
            self._kill()
            raise TillageError(
                "The process that extracts text could not be started.", fix="See its message above."
            ) from error
        return self._process

    def _kill(self) -> None:
        if self._process is not None:
            end(self._process)
            self._process = None

    def close(self) -> None:
        """End the process, if there is one."""
        with self._lock:
            self._kill()


def _exchange(process: subprocess.Popen[bytes], said: bytes, seconds: float) -> dict[str, str]:
    """One page out, one answer back; raises TimeoutError, EOFError or OSError."""
    until = time.monotonic() + seconds
    if process.stdin is None or process.stdout is None:
        raise TypeError("the process was started without pipes")
    to, back = process.stdin.fileno(), process.stdout.fileno()
    os.set_blocking(to, False)
    left = memoryview(_LENGTH.pack(len(said)) + said)
    while left:
        _, ready, _ = select.select([], [to], [], max(0.0, until - time.monotonic()))
        if not ready:
            raise TimeoutError
        left = left[os.write(to, left) :]
    head = _received(back, _LENGTH.size, until)
    answer: dict[str, str] = json.loads(_received(back, _LENGTH.unpack(head)[0], until))
    return answer


def _received(back: int, size: int, until: float) -> bytes:
    out = bytearray()
    while len(out) < size:
        ready, _, _ = select.select([back], [], [], max(0.0, until - time.monotonic()))
        if not ready:
            raise TimeoutError
        part = os.read(back, min(1 << 20, size - len(out)))
        if not part:
            raise EOFError
        out += part
    return bytes(out)


def serve() -> None:
    """Answer pages on the standard input until it ends: the whole life of the process that extracts."""
    with suppress(ImportError):  # no limits of this kind on Windows: there the time alone bounds a page
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    import_module("trafilatura")  # not on the first page's time
    source, sink = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints must not be taken for an answer
    while head := source.read(_LENGTH.size):
        page = json.loads(source.read(_LENGTH.unpack(head)[0]))
        _answer(sink, page)


def _answer(sink: IO[bytes], page: dict[str, str]) -> None:
    signal.setitimer(signal.ITIMER_PROF, SECONDS)  # the signal ends the process, whatever that is doing
    try:
        answer: dict[str, Any] = _extracted(page["html"], page["url"])
    except (ValueError, TypeError, AttributeError, RecursionError, MemoryError) as error:
        answer = {"error": f"{type(error).__name__}: {error}"[:500]}
    signal.setitimer(signal.ITIMER_PROF, 0)
    said = json.dumps(answer).encode()
    sink.write(_LENGTH.pack(len(said)) + said)
    sink.flush()


def _extracted(html: str, url: str) -> dict[str, str]:
    import trafilatura

    found = trafilatura.bare_extraction(html, url=url or None, include_comments=False, with_metadata=True)
    if found is None:
        return {"title": "", "text": ""}
    said = found if isinstance(found, dict) else found.as_dict()
    return {"title": said.get("title") or "", "text": said.get("text") or ""}


_extractor = _Extractor()
atexit.register(_extractor.close)
