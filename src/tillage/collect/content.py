"""The bytes of one file, in blocks: its head is kept, so that a small file is read once; gzip is unpacked on the way.

Memory: two blocks of 4 MB. A gzip file that grows more than a hundredfold beyond 64 MB is refused (archive bombs), and
a cut one is found before any of it counts.
"""

from __future__ import annotations

import gzip
import os
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from tillage.core.errors import BadData, Denied, InputMissing

BLOCK = 4 << 20
"""Bytes read at once."""

FREE = 64 << 20
"""Bytes that an archive may hold whatever its ratio."""

RATIO = 100
"""Largest growth of a larger archive."""

_GZIP = b"\x1f\x8b"


class Unreadable(BadData):
    """A whole file that cannot be read: `reason` goes to the ledger, the message to the user."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True)
class Content:
    """One file as it stood when it was opened.

    `head`: the first block, unpacked; `whole`: whether that is all of it; `packed`: whether it is gzip; `identity`:
    its place and stamp, by which another opening of the same bytes is known.
    """

    head: bytes
    whole: bool
    packed: bool = False
    path: Path | None = None
    identity: tuple[str | int, ...] = ()

    @classmethod
    def open(cls, path: Path) -> Content:
        """Read the head of a file; raises InputMissing, Denied, or Unreadable for a damaged archive."""
        try:
            with path.open("rb") as file:
                info = os.fstat(file.fileno())
                identity = (str(path), info.st_size, info.st_mtime_ns, info.st_ctime_ns, info.st_ino)
                head = file.read(BLOCK)
                if not head.startswith(_GZIP):
                    return cls(head, info.st_size <= len(head), False, path, identity)
                file.seek(0)
                head = next(_unpacked(file), b"")
                return cls(head, len(head) < BLOCK, True, path, identity)
        except FileNotFoundError as error:
            raise InputMissing(f"{path} is not there.", fix="Check the path; it may have been moved.") from error
        except PermissionError as error:
            raise Denied(f"{path} may not be read.", fix=f"Run: chmod u+r {path}") from error

    @classmethod
    def of(cls, data: bytes) -> Content:
        """Bytes in memory as if they were a file."""
        return cls(data, whole=True)

    def blocks(self) -> Iterator[bytes]:
        """All bytes in order, in blocks of at most 4 MB; raises Unreadable for a damaged archive."""
        if self.head:
            yield self.head
        if self.whole or self.path is None:
            return
        with self.path.open("rb") as file:
            if self.packed:
                stream = _unpacked(file)
                next(stream, b"")
                yield from stream
            else:
                file.seek(len(self.head))
                while block := file.read(BLOCK):
                    yield block


def _unpacked(file: BinaryIO) -> Iterator[bytes]:
    total = 0
    try:
        with gzip.GzipFile(fileobj=file, mode="rb") as archive:
            while True:
                parts: list[bytes] = []
                want = BLOCK
                while want and (part := archive.read(want)):
                    parts.append(part)
                    want -= len(part)
                if not parts:
                    return
                total += BLOCK - want
                if total > FREE and total > RATIO * file.tell():
                    raise Unreadable(
                        "archive_bomb",
                        f"The archive grows more than {RATIO} times; unpack it yourself if you trust it.",
                    )
                yield b"".join(parts)
                if want:
                    return
    except EOFError as error:
        raise Unreadable("cut_archive", "The gzip file ends before its end mark: it was cut.") from error
    except (gzip.BadGzipFile, zlib.error) as error:
        raise Unreadable("bad_archive", f"The gzip file is damaged: {error}.") from error
