"""The bytes of one object, in blocks: its head is kept, so that a small one is read once; archives are unpacked.

Memory: two blocks of 4 MB. A cut or damaged archive is found before any of it counts: `open` reads a small one whole,
and `prove` a larger one.
"""

from __future__ import annotations

import os
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, BinaryIO

from tillage.collect.unpack import CUT, Packing, Unreadable, packing, unpacked
from tillage.core.errors import Denied, InputMissing, TillageError

__all__ = ["BLOCK", "Content", "Unreadable", "opening", "stamped"]

BLOCK = 4 << 20
"""Bytes read at once."""
BY_RECORD = (b"WARC/1.", b"WARC/0.", b"filedesc://")
"""What begins files in which each record stands by itself, so that those before a cut count."""


@dataclass(frozen=True)
class Content:
    """One object as it stood when it was opened.

    `head`: the first block, unpacked; `whole`: whether that is all of it; `packed`: how it is packed; `identity`: its
    place and stamp, by which another opening of the same bytes is known; `path`: where it is a file of its own;
    `again`: opens it once more.
    """

    head: bytes
    whole: bool
    packed: Packing = ""
    path: Path | None = None
    identity: tuple[str | int, ...] = ()
    again: Callable[[], BinaryIO] | None = None

    @classmethod
    def open(cls, path: Path, identity: tuple[str | int, ...] | None = None) -> Content:
        """Read the head of a file; raises InputMissing, Denied, or Unreadable for a damaged archive."""
        with opening(path), path.open("rb") as file:
            return cls._read(file, path, identity or stamped(path, os.fstat(file.fileno())), lambda: path.open("rb"))

    @classmethod
    def member(cls, again: Callable[[], BinaryIO], identity: tuple[str | int, ...]) -> Content:
        """Read the head of what `again` opens: a member of a zip archive."""
        with _whole_member(), again() as file:
            return cls._read(file, None, identity, again)

    @classmethod
    def _read(
        cls, file: BinaryIO, path: Path | None, identity: tuple[str | int, ...], again: Callable[[], BinaryIO]
    ) -> Content:
        head = file.read(BLOCK)
        how = packing(head)
        if how:
            if path is None:
                raise Unreadable("nested_archive", f"An archive holds a {how} file; unpack it once.")
            file.seek(0)
            head = _first(file, how)
        return cls(head, len(head) < BLOCK, how, path, identity, again)

    @classmethod
    def of(cls, data: bytes) -> Content:
        """Bytes in memory as if they were a file."""
        return cls(data, whole=True)

    def blocks(self) -> Iterator[bytes]:
        """All bytes in order, in blocks of at most 4 MB; raises Unreadable for a damaged archive."""
        if self.head:
            yield self.head
        if self.whole or self.again is None:
            return
        with _whole_member(), self.again() as file:
            if self.packed:
                stream = unpacked(file, self.packed, BLOCK)
                next(stream, b"")
                yield from stream
            else:
                if self.path is not None:
                    file.seek(len(self.head))
                else:  # zipfile checks a member's checksum only when all of it is read
                    file.read(len(self.head))
                while block := file.read(BLOCK):
                    yield block

    def prove(self) -> None:
        """Read an archive to its end, which alone tells that it is whole; raises Unreadable when it is not."""
        if not self.whole and (self.packed or self.path is None):
            try:
                for _ in self.blocks():
                    pass
            except Unreadable as failure:
                if failure.reason != CUT[0] or not self.head.startswith(BY_RECORD):
                    raise

    def file(self) -> Any:
        """The plain bytes where pyarrow can seek in them: the name of the file, or an open temporary one if packed."""
        if self.path is not None and not self.packed:
            return str(self.path)
        import pyarrow as pa

        handle, name = tempfile.mkstemp()
        try:
            with os.fdopen(handle, "wb") as out:
                for block in self.blocks():
                    out.write(block)
            return pa.OSFile(name)  # which closes it when the reader lets go
        finally:
            Path(name).unlink()

    @contextmanager
    def seekable(self) -> Iterator[tuple[IO[bytes], bool]]:
        """The plain bytes as a file to seek in (the object's own, or a temporary one of what was packed), and whether
        they end where the archive was cut."""
        if self.path is not None and not self.packed:
            with self.path.open("rb") as file:
                yield file, False
            return
        with tempfile.TemporaryFile() as made:
            cut = False
            try:
                for block in self._unpacked() if self.packed else self.blocks():
                    made.write(block)
            except Unreadable as failure:
                if failure.reason != CUT[0]:
                    raise
                cut = True
            yield made, cut

    def _unpacked(self) -> Iterator[bytes]:
        """All of what was packed, up to where it was cut."""
        if self.again is not None:
            with self.again() as file:
                yield from unpacked(file, self.packed, BLOCK)

    def all(self, most: int) -> bytes | None:
        """All bytes in memory; None when there are more than `most`."""
        if self.whole:
            return self.head if len(self.head) <= most else None
        parts, size = [], 0
        for block in self.blocks():
            parts.append(block)
            size += len(block)
            if size > most:
                return None
        return b"".join(parts)


def _first(file: BinaryIO, how: Packing) -> bytes:
    """The first block of an archive; raises Unreadable where that is all, and damaged or cut."""
    stream = unpacked(file, how, BLOCK)
    head = next(stream, b"")
    if len(head) < BLOCK:
        try:
            next(stream, b"")
        except Unreadable as failure:
            if failure.reason != CUT[0] or not head.startswith(BY_RECORD):
                raise
    return head


@contextmanager
def opening(path: Path) -> Iterator[None]:
    """What the system says of a file that cannot be opened, as what it means for the run."""
    try:
        yield
    except TillageError:
        raise
    except FileNotFoundError as error:
        raise InputMissing(f"{path} is not there.", fix="Check the path; it may have been moved.") from error
    except PermissionError as error:
        raise Denied(f"{path} may not be read.", fix=f"Run: chmod u+r {path}") from error


def stamped(place: Path, info: os.stat_result) -> tuple[str | int, ...]:
    """The place of an object and the stamp of the file that holds it: its identity."""
    return (str(place), info.st_size, info.st_mtime_ns, info.st_ctime_ns, info.st_ino)


@contextmanager
def _whole_member() -> Iterator[None]:
    """What zipfile raises for a member that is damaged, as Unreadable."""
    try:
        yield
    except EOFError as error:
        raise Unreadable("cut_archive", "A member of the zip archive was cut.") from error
    except (zipfile.BadZipFile, zlib.error, NotImplementedError) as error:
        raise Unreadable("bad_archive", f"A member of the zip archive is damaged: {str(error)[:200]}.") from error
