"""What a file holds: decided by its first bytes, and by its extension only where these leave it open."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import Literal

from tillage.collect.arc import ARC_MAGIC, ArcReader
from tillage.collect.arrow import FILE, STREAM, ArrowReader
from tillage.collect.content import Content
from tillage.collect.csv import CsvReader
from tillage.collect.encoding import decoded, detect
from tillage.collect.html import PAGE, page_reader
from tillage.collect.jsonl import JsonReader, lines_after_all
from tillage.collect.log import LogReader
from tillage.collect.media import (
    PICTURE_SUFFIXES,
    SOUND_SUFFIXES,
    is_picture,
    is_sound,
    picture_reader,
    sound_reader,
)
from tillage.collect.parquet import ParquetReader
from tillage.collect.piece import Reader, Way
from tillage.collect.text import TextReader
from tillage.collect.unpack import Unreadable
from tillage.collect.warc import MAGIC, WarcReader

Format = Literal["auto", "csv", "jsonl", "parquet", "arrow", "text", "log", "html", "warc", "arc", "image", "audio"]

_ARRAY = re.compile(rb"\s*\[")
_OBJECTS = re.compile(rb"\s*(?:\[\s*)?\{\s*(?:\"|\})")
_EMPTY_ARRAY = re.compile(rb"\s*\[\s*\]\s*$")
_JSON_SUFFIXES = {".json", ".jsonl", ".ndjson"}
_TEXT_SUFFIXES = {".txt", ".text", ".log", ".md"}
_TABLE_SUFFIXES = {".csv", ".tsv", ".json", ".jsonl", ".ndjson"}
_PAGE_SUFFIXES = {".html", ".htm", ".xhtml"}
_ARROW_SUFFIXES = {".arrow", ".arrows", ".feather", ".ipc"}
_PACKED_SUFFIXES = {".gz", ".zst"}
_TAR = slice(257, 262)
_PACKED = (
    (b"BZh", "a bzip2 archive"),
    (b"\xfd7zXZ\x00", "an xz archive"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (b"Rar!\x1a\x07", "a RAR archive"),
)
_OTHERS = (
    (b"PK\x03\x04", "a zip archive (or a spreadsheet)"),
    (b"FEA1", "a Feather file of version 1"),
    (b"Obj\x01", "an Avro file"),
    (b"SQLite format 3\x00", "an SQLite database"),
    (b"\x89PNG", "an image"),
    (b"\xff\xd8\xff", "an image"),
    (b"%PDF-", "a PDF"),
)


def opened(content: Content, path: str, form: Format, way: Way, *, suppose: bool = False) -> Reader:
    """The reader of a file; raises Unreadable for a file that cannot be read as what it is.

    `suppose`: a text is taken for UTF-8; the reader, or this, raises OtherEncodingError where it is none.
    """
    limits = way.limits
    suffix = _suffix(path)
    content.prove()
    if content.head.startswith(b"PAR1") and form in ("auto", "parquet"):
        return ParquetReader(content, path, limits)
    if form == "parquet" or (form == "auto" and suffix == ".parquet" and b"\0" in content.head[:4096]):
        raise Unreadable("unreadable_file", "The file does not begin as Parquet does.")
    if form in ("auto", "arrow") and _is_arrow(content.head, suffix, form):
        return ArrowReader(content, path, limits)
    if form == "arrow" or (form == "auto" and suffix in _ARROW_SUFFIXES and b"\0" in content.head[:4096]):
        raise Unreadable("unreadable_file", "The file does not begin as Arrow files and streams do.")
    if form == "warc" or (form == "auto" and content.head.startswith(MAGIC)):
        return WarcReader(content, limits)
    if form == "arc" or (form == "auto" and content.head.startswith(ARC_MAGIC)):
        return ArcReader(content, limits)
    media = suffix not in _TABLE_SUFFIXES | _TEXT_SUFFIXES
    if form == "image" or (form == "auto" and media and (suffix in PICTURE_SUFFIXES or is_picture(content.head))):
        return picture_reader(content, path, way)
    if form == "audio" or (form == "auto" and media and (suffix in SOUND_SUFFIXES or is_sound(content.head))):
        return sound_reader(content, path, way)
    if form == "html" or (form == "auto" and _is_page(content.head, suffix)):
        return page_reader(content, path, "" if way.encoding == "auto" else way.encoding, limits)
    for magic, what in _OTHERS:
        if content.head.startswith(magic):
            raise Unreadable("unreadable_file", f"The file is {what}, which is not read; turn it into CSV or Parquet.")
    _refuse_packed(content.head)
    found = detect(content, way.encoding, suppose=suppose)
    if form == "log" or (form == "auto" and way.template):
        return LogReader(content, path, found, way.template, way.continued, limits)
    if form == "auto":
        form = _by_content(next(decoded(content, found), b""), suffix)
    if form == "jsonl":
        head = next(decoded(content, found), b"")
        array = bool(_ARRAY.match(head)) and not lines_after_all(head[:65_536])
        if suffix == ".jsonl":
            array = array and bool(_OBJECTS.match(head) or _EMPTY_ARRAY.match(head))
        return JsonReader(content, path, found, limits, array)
    if form == "text":
        return TextReader(content, found, limits)
    return CsvReader(content, path, found, way.delimiter, limits)


def _refuse_packed(head: bytes) -> None:
    """Raise Unreadable for an archive of a kind that is not read: how to pack it instead is all that helps."""
    is_tar = head[_TAR] == b"ustar" and b"\0" in head[: _TAR.start]
    what = "a tar archive" if is_tar else next((what for magic, what in _PACKED if head.startswith(magic)), "")
    if what:
        raise Unreadable(
            "unreadable_file", f"The file is {what}, which is not read; unpack it, or pack it as zip, gzip or zstd."
        )


def _suffix(path: str) -> str:
    """What the name says of the content, whatever it is packed in."""
    plain = PurePosixPath(path)
    return (plain.with_suffix("") if plain.suffix.lower() in _PACKED_SUFFIXES else plain).suffix.lower()


def _is_arrow(head: bytes, suffix: str, form: Format) -> bool:
    """An Arrow file shows itself; a stream begins with four bytes that other formats might."""
    return head.startswith(FILE) or (head.startswith(STREAM) and (form == "arrow" or suffix in _ARROW_SUFFIXES))


def _is_page(head: bytes, suffix: str) -> bool:
    """A web page, by its name or its beginning; raises Unreadable for one under the name of a table."""
    shown = PAGE.match(head[:4096]) is not None
    if shown and suffix in _TABLE_SUFFIXES:
        raise Unreadable("unreadable_file", f"The file is a web page, not what its name says ({suffix}).")
    return suffix in _PAGE_SUFFIXES or (shown and suffix not in _TEXT_SUFFIXES)


def _by_content(head: bytes, suffix: str) -> Format:
    """The format of a text: JSON shows itself; text is told from CSV by its extension alone."""
    if _OBJECTS.match(head) and suffix not in _TEXT_SUFFIXES:
        return "jsonl"
    if suffix in _JSON_SUFFIXES:
        lines = head[:65_536].split(b"\n")[:20]
        blank = not head.strip()
        return "jsonl" if blank or any(line.lstrip()[:1] in (b"{", b"[") for line in lines) else "csv"
    return "text" if suffix in _TEXT_SUFFIXES else "csv"
