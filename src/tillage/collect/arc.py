"""ARC, what crawlers wrote before WARC: a row a response, in the columns that WARC files have.

A record is a line (URL, IP address, time, type, length; in the second version five words more) and so many bytes: what
the server answered, head and all. The first record tells of the file and is no row. A record is given to warcio as one
of the first version, which reads it as it reads WARC; records carry no digest, so that a changed byte is not seen.
Source: Burner and Kahle, Arc file format, Internet Archive, 1996.
"""

from __future__ import annotations

import re

from tillage.collect.warc import Framing, WarcReader

ARC_MAGIC = b"filedesc://"
_LINE = (
    rb"[a-z][a-z0-9+.-]*:[^\n]{1,4000}? [^ \n]{1,100} \d{14} [^ \n]{1,200}(?: [^ \n]{1,400}){0,6} \d{1,18}[ \t]*\r?\n"
)
_HEAD = re.compile(
    rb"(?P<url>[a-z][a-z0-9+.-]*:[^\n]*?) (?P<ip>[^ \n]+) (?P<time>\d{14}) (?P<type>[^ \n]+)"
    rb"(?: (?:\d{3}|-) [^ \n]+ [^ \n]+ [^ \n]+ [^ \n]+)? (?P<length>\d{1,18})[ \t]*\r?\n",
    re.IGNORECASE,
)


def _head(head: bytes) -> tuple[int, int] | None:
    found = _HEAD.match(head)
    if found is not None:
        return found.end(), int(found["length"])
    return (0, -1) if head.startswith(ARC_MAGIC) else None


def _ends(follows: bytes) -> bool | None:
    """A line break and another record, or nothing; with anything else behind it, a length may have been too long."""
    rest = follows.lstrip(b"\r\n")
    if rest and not follows.startswith((b"\n", b"\r\n")):
        return False
    return True if not rest or _HEAD.match(rest) else None


_FRAMING = Framing(re.compile(rb"\n" + _LINE, re.IGNORECASE), _head, _ends)


class ArcReader(WarcReader):
    """One ARC file; raises Unavailable when warcio is not installed."""

    form = "arc"

    @property
    def framing(self) -> Framing:
        return _FRAMING

    def is_row(self, raw: bytes) -> bool:
        return not raw.startswith(ARC_MAGIC)

    def as_read(self, raw: bytes) -> bytes:
        found = _HEAD.match(raw)
        if found is None:  # what is wrong with it was said before
            return raw
        line = b" ".join(found[name] for name in ("url", "ip", "time", "type", "length"))
        return line + b"\n" + raw[found.end() :]

    def type_of(self, raw: bytes, told: str | None) -> str | None:
        found = _HEAD.match(raw)
        return told if found is None else found["type"].decode("utf-8", "replace")
