"""Packed bytes as plain ones, on the way: gzip (RFC 1952) and zstd (RFC 8878), any number of parts one after another.

What grows more than a hundredfold beyond 64 MB is refused (archive bombs); a cut or damaged archive raises, so nothing
that came before may count until its end was seen. Cost: one pass of the codec, two blocks of memory.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from typing import BinaryIO, Literal, Protocol

from tillage.core.errors import BadData

FREE = 64 << 20
"""Bytes that an archive may hold whatever its ratio."""

RATIO = 100
"""Largest growth of a larger archive."""

Packing = Literal["", "gzip", "zstd"]

_MAGIC: tuple[tuple[bytes, Packing], ...] = ((b"\x1f\x8b", "gzip"), (b"\x28\xb5\x2f\xfd", "zstd"))


class Unreadable(BadData):
    """A whole file that cannot be read: `reason` goes to the ledger, the message to the user."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class _Stream(Protocol):
    def read(self, size: int, /) -> bytes: ...


def packing(head: bytes) -> Packing:
    """How bytes that begin so are packed.

    >>> packing(b"\\x1f\\x8b\\x08"), packing(b"id,name")
    ('gzip', '')
    """
    return next((name for magic, name in _MAGIC if head.startswith(magic)), "")


def unpacked(file: BinaryIO, how: Packing, block: int) -> Iterator[bytes]:
    """The plain bytes in blocks of `block`, the last one shorter; raises Unreadable for a bomb, a cut, damage.

    >>> from io import BytesIO
    >>> list(unpacked(BytesIO(gzip.compress(b"abc") + gzip.compress(b"de")), "gzip", 4))
    [b'abcd', b'e']
    """
    if how == "zstd":
        yield from _unpacked_zstd(file, block)
        return
    try:
        with gzip.GzipFile(fileobj=file, mode="rb") as archive:
            yield from _blocks(archive, file, block)
    except EOFError as error:
        raise Unreadable("cut_archive", "The gzip file ends before its end mark: it was cut.") from error
    except (gzip.BadGzipFile, zlib.error) as error:
        raise Unreadable("bad_archive", f"The gzip file is damaged: {error}.") from error


def _unpacked_zstd(file: BinaryIO, block: int) -> Iterator[bytes]:
    import pyarrow as pa

    try:
        with pa.CompressedInputStream(pa.PythonFile(file, mode="r"), "zstd") as archive:
            yield from _blocks(archive, file, block)
    except OSError as error:
        if "Truncated" in str(error):
            raise Unreadable("cut_archive", "The zstd file ends before its end mark: it was cut.") from error
        raise Unreadable("bad_archive", f"The zstd file is damaged: {str(error)[:200]}.") from error


def _blocks(archive: _Stream, file: BinaryIO, block: int) -> Iterator[bytes]:
    total = 0
    while True:
        parts: list[bytes] = []
        want = block
        while want and (part := archive.read(want)):
            parts.append(part)
            want -= len(part)
        if not parts:
            return
        total += block - want
        if total > FREE and total > RATIO * file.tell():
            raise bomb()
        yield b"".join(parts)
        if want:
            return


def bomb() -> Unreadable:
    """The refusal of an archive that grows too much."""
    return Unreadable("archive_bomb", f"The archive grows more than {RATIO} times; unpack it yourself if you trust it.")
