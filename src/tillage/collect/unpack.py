"""Packed bytes as plain ones, on the way: gzip (RFC 1952) and zstd (RFC 8878), any number of parts one after another.

What grows more than a hundredfold beyond 64 MB is refused (archive bombs); a cut or damaged archive gives what comes
before and raises, so nothing of it may count until its end was seen, unless each record stands by itself. Cost: one
pass of the codec, two blocks of memory.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable, Iterator
from typing import BinaryIO, Literal

from tillage.core.errors import BadData

FREE = 64 << 20
"""Bytes that an archive may hold whatever its ratio."""

RATIO = 100
"""Largest growth of a larger archive."""

Packing = Literal["", "gzip", "zstd"]

CUT = ("cut_archive", "The gzip file ends before its end mark: it was cut.")
_HALF_MARK = "(b'\\x1f')"
"""What gzip says it found where a file was cut behind the first byte of the next part."""

_MAGIC: tuple[tuple[bytes, Packing], ...] = ((b"\x1f\x8b", "gzip"), (b"\x28\xb5\x2f\xfd", "zstd"))


class Unreadable(BadData):
    """A whole file that cannot be read: `reason` goes to the ledger, the message to the user."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


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
            yield from _blocks(archive.read1, file, block)
    except EOFError as error:
        raise Unreadable(*CUT) from error
    except (gzip.BadGzipFile, zlib.error) as error:
        if str(error).endswith(_HALF_MARK):
            raise Unreadable(*CUT) from error
        raise Unreadable("bad_archive", f"The gzip file is damaged: {error}.") from error


def _unpacked_zstd(file: BinaryIO, block: int) -> Iterator[bytes]:
    import pyarrow as pa

    try:
        with pa.CompressedInputStream(pa.PythonFile(file, mode="r"), "zstd") as archive:
            yield from _blocks(archive.read, file, block)
    except OSError as error:
        if "Truncated" in str(error):
            raise Unreadable("cut_archive", "The zstd file ends before its end mark: it was cut.") from error
        raise Unreadable("bad_archive", f"The zstd file is damaged: {str(error)[:200]}.") from error


def _blocks(read: Callable[[int], bytes], file: BinaryIO, block: int) -> Iterator[bytes]:
    total = 0
    while True:
        parts: list[bytes] = []
        want, failure = block, None
        try:
            while want and (part := read(want)):
                parts.append(part)
                want -= len(part)
        except (EOFError, OSError, zlib.error) as error:
            failure = error
        total += block - want
        if total > FREE and total > RATIO * file.tell():
            raise bomb()
        if parts:
            yield b"".join(parts)
        if failure is not None:
            raise failure
        if want:
            return


def bomb() -> Unreadable:
    """The refusal of an archive that grows too much."""
    return Unreadable("archive_bomb", f"The archive grows more than {RATIO} times; unpack it yourself if you trust it.")
