"""WARC (ISO 28500): what a crawler was answered, a row a response: url, date, status, type, headers, title, text.

Rows are the records `response`, `resource` and `conversion` (the plain texts of Common Crawl); `warcinfo`, `request`,
`metadata` and `revisit` tell about others and are no rows. The text is the main text of an HTML page (`extract`), all
of another text, null for what is none. Records are framed here, so that a damaged one costs itself: after it, the next
line that begins one counts, and of a packed file that was cut those before the cut. What is in them is warcio's work
(chunks, compression, digests, which are verified). A space in an address is read as %20. Cost: 25 ms an HTML page.
Extra: `pip install tillage[web]`.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from io import BytesIO
from typing import IO, Any

import numpy as np
import polars as pl

from tillage.collect.content import Content
from tillage.collect.extract import decoded_page, main_text
from tillage.collect.piece import Limits, Piece
from tillage.collect.records import LONGEST, bad_record
from tillage.collect.unpack import CUT, Unreadable
from tillage.core.errors import Unavailable
from tillage.core.step import BadRecord

MAGIC = (b"WARC/1.", b"WARC/0.")
ROW_TYPES = {"response", "resource", "conversion"}
SCHEMA: dict[str, pl.DataType] = {
    "url": pl.String(),
    "date": pl.String(),
    "status": pl.Int64(),
    "content_type": pl.String(),
    "headers": pl.String(),
    "title": pl.String(),
    "text": pl.String(),
}
_ROWS = 200
_HEADER = 64 << 10
_LINE = 8 << 10
"""Bytes of a line that begins a record, at most."""

_BEGIN = re.compile(rb"(?:\A|(?<=\n))WARC/[01]\.\d")
_LENGTH = re.compile(rb"^content-length:[ \t]*(\d{1,18})[ \t]*\r?$", re.IGNORECASE | re.MULTILINE)
_TYPE = re.compile(rb"^warc-type:[ \t]*([\w-]+)", re.IGNORECASE | re.MULTILINE)
_CHARSET = re.compile(r"charset\s*=\s*[\"']?([\w.:-]+)", re.IGNORECASE)
_TEXTS = re.compile(r"text/|application/(?:[\w.+-]*\+)?(?:json|xml|(?:x-)?javascript)\b", re.IGNORECASE)
_ENDS = (b"\r\n\r\n", b"\n\n")
_PAGES = ("text/html", "application/xhtml+xml")


@dataclass(frozen=True)
class Framing:
    """How records lie in a file. `begin`: a line that begins one, after a line break; `head`: of the bytes from there
    (lengths of header and body), None where they are no header; `ends`: whether a record ends before these bytes, None
    where it does unless another begins inside it."""

    begin: re.Pattern[bytes]
    head: Callable[[bytes], tuple[int, int] | None]
    ends: Callable[[bytes], bool | None]


class WarcReader:
    """One WARC file; raises Unavailable when warcio is not installed."""

    form = "warc"

    def __init__(self, content: Content, limits: Limits) -> None:
        if find_spec("warcio") is None:
            raise Unavailable("WARC needs the library warcio.", fix="Install it: pip install 'tillage[web]'")
        logging.getLogger("warcio.recordloader").setLevel(logging.ERROR)  # it names every address with a space
        self._content, self._limits = content, limits
        self.facts: dict[str, Any] = {"format": self.form, "encoding": "", "delimiter": "", "header": list(SCHEMA)}

    def pieces(self) -> Iterator[Piece]:
        """See `piece.Reader`."""
        rows: list[dict[str, Any]] = []
        numbers: list[int] = []
        places: list[tuple[int, int]] = []
        bad: list[BadRecord] = []
        number = 0
        with self._content.seekable() as (file, cut):
            size, untold = file.seek(0, 2), cut
            for start, end, found in _framed(file, self.framing):
                last = untold and found is not None and _past_breaks(file, end, size) == size
                wrong, untold = CUT if last else found, untold and not last
                raw = _slice(file, start, min(end, start + LONGEST))
                if not wrong and not self.is_row(raw):
                    continue
                try:
                    if wrong:
                        raise Unreadable(*wrong)
                    rows.append(self._row(self.as_read(raw)))
                    numbers.append(number)
                    places.append((start, end))
                except Unreadable as refused:
                    bad.append(_bad(number, start, end, raw, "parse", refused.reason, refused.message, ""))
                number += 1
                if len(rows) + len(bad) >= _ROWS:
                    yield _piece(rows, numbers, places, bad)
                    rows, numbers, places, bad = [], [], [], []
            if untold:
                bad.append(_bad(number, size, size, b"", "parse", *CUT, ""))
        yield _piece(rows, numbers, places, bad)

    @property
    def framing(self) -> Framing:
        """How its records lie in it."""
        return _FRAMING

    def is_row(self, raw: bytes) -> bool:
        """Whether a record is one of those that are rows."""
        kind = _TYPE.search(raw[:_HEADER])
        return not kind or kind[1].decode().lower() in ROW_TYPES

    def as_read(self, raw: bytes) -> bytes:
        """A record as warcio is to read it."""
        return raw

    def type_of(self, raw: bytes, told: str | None) -> str | None:
        """The content type of a record that holds no answer's head; `told`: what warcio takes it to be."""
        return told

    def _row(self, raw: bytes) -> dict[str, Any]:
        from warcio.archiveiterator import ArchiveIterator
        from warcio.exceptions import ArchiveLoadFailed

        try:
            record = next(ArchiveIterator(BytesIO(raw), check_digests=True, arc2warc=True))
            body = record.content_stream().read(LONGEST + 1)
            while len(body) <= LONGEST and (more := record.content_stream().read(LONGEST + 1 - len(body))):
                body += more
            if record.digest_checker.passed is False:
                problems = "; ".join(map(str, record.digest_checker.problems))
                raise Unreadable("bad_digest", f"The record is not what its digest says: {problems[:200]}.")
        except Unreadable:
            raise
        except (ArchiveLoadFailed, StopIteration, ValueError, EOFError, OSError, AttributeError, KeyError) as error:
            raise Unreadable("bad_warc", f"The record cannot be read: {str(error).strip()[:200]}.") from error
        if len(body) > LONGEST:
            raise Unreadable("field_too_long", f"The body is larger than {LONGEST:,} bytes when it is unpacked.")
        http = record.http_headers
        headers = list(http.headers) if http is not None else []
        given = next((v for k, v in headers if k.lower() == "content-type"), None)
        told = given if http else self.type_of(raw, record.content_type)
        url = record.rec_headers.get_header("WARC-Target-URI") or ""
        title, text = self._text(body, url, told or "")
        status = http.get_statuscode() if http is not None else None
        row = {
            "url": url,
            "date": record.rec_headers.get_header("WARC-Date"),
            "status": int(status) if status and status.isdigit() else None,
            "content_type": told,
            "headers": json.dumps([[k, v] for k, v in headers], ensure_ascii=False) if http else None,
            "title": title,
            "text": text,
        }
        return {k: v.encode("utf-8", "replace").decode() if isinstance(v, str) else v for k, v in row.items()}

    def _text(self, body: bytes, url: str, told: str) -> tuple[str | None, str | None]:
        charset = _CHARSET.search(told)
        named = charset[1] if charset else ""
        if told.lower().startswith(_PAGES):
            article = main_text(body, url, named)
            title, text = article.title, article.text
        elif _TEXTS.match(told):
            title, text = None, decoded_page(body, named)
        else:
            return None, None
        if len(text.encode("utf-8", "replace")) > self._limits.max_field:
            raise Unreadable("field_too_long", f"The text is longer than max_field ({self._limits.max_field:,} bytes).")
        return title, text


def _piece(
    rows: list[dict[str, Any]], numbers: list[int], places: list[tuple[int, int]], bad: list[BadRecord]
) -> Piece:
    def fail(row: int, stage: str, reason: str, message: str, column: str) -> BadRecord:
        start, end = places[row]
        raw = json.dumps(rows[row], ensure_ascii=False).encode()
        return _bad(numbers[row], start, end, raw, stage, reason, message, column)

    frame = pl.DataFrame({name: [row[name] for row in rows] for name in SCHEMA}, schema=SCHEMA)
    return Piece(frame, np.array(numbers, dtype=np.int64), frozenset(), fail, bad)


def _bad(
    number: int, start: int, end: int, raw: bytes, stage: str, reason: str, message: str, column: str
) -> BadRecord:
    return bad_record(number, start, end, stage=stage, reason=reason, message=message, raw=raw, column=column)


def _head(head: bytes) -> tuple[int, int] | None:
    if not _BEGIN.match(head):
        return None
    blank = re.search(rb"\r?\n\r?\n", head)
    length = _LENGTH.search(head[: blank.start() + 2]) if blank else None
    return (blank.end(), int(length[1])) if blank and length else (0, -1)


def _ends(follows: bytes) -> bool:
    follows = follows[:16]
    return follows.startswith(_ENDS) or not follows.strip() or follows.lstrip().startswith(MAGIC)


_FRAMING = Framing(re.compile(rb"\nWARC/[01]\.\d"), _head, _ends)


def _framed(file: IO[bytes], framing: Framing) -> Iterator[tuple[int, int, tuple[str, str] | None]]:
    """(start, end, what is wrong) of each record; a damaged one goes on to the next line that begins a record."""
    size = file.seek(0, 2)
    at = _past_breaks(file, 0, size)
    while at < size:
        found = framing.head(_slice(file, at, min(size, at + _HEADER)))
        wrong = ("bad_warc", "No record begins here.")
        if found is not None:
            header, body = found
            wrong = ("bad_warc", "The header of the record has no end or no length.")
            if body >= 0:
                end = at + header + body
                wrong = ("cut_record", "The file ends before the record does.")
                if end <= size:
                    wrong = ("bad_length", "The record does not end where its length says.")
                    ends = framing.ends(_slice(file, end, min(size, end + _LINE)))
                    if ends is None:
                        ends = framing.begin.search(_slice(file, at + header - 1, min(end, at + LONGEST))) is None
                    if ends:
                        yield at, end, _too_large(end - at)
                        at = _past_breaks(file, end, size)
                        continue
        following = _next_record(file, at + 1, size, framing.begin)
        end = following
        yield at, len(_slice(file, at, end).rstrip(b"\r\n")) + at if end - at < LONGEST else end, wrong
        at = following


def _too_large(size: int) -> tuple[str, str] | None:
    return ("field_too_long", f"The record is longer than {LONGEST:,} bytes.") if size > LONGEST else None


def _slice(file: IO[bytes], start: int, end: int) -> bytes:
    file.seek(start)
    return file.read(max(0, end - start))


def _past_breaks(file: IO[bytes], at: int, size: int) -> int:
    while at < size:
        block = _slice(file, at, min(size, at + 4096))
        rest = block.lstrip(b"\r\n")
        at += len(block) - len(rest)
        if rest:
            break
    return at


def _next_record(file: IO[bytes], at: int, size: int, begin: re.Pattern[bytes]) -> int:
    """Where the next line that begins a record stands, or the end of the file."""
    while at < size:
        block = _slice(file, at - 1, min(size, at + (1 << 20)))
        found = begin.search(block)
        if found:
            return at + found.start()
        at += (1 << 20) - _LINE
    return size
