"""Objects: immutable pieces of bytes, whole or absent, each verified against its SHA-256 at every read.

A large one is a file, a small one (a ledger entry of a chunk, a state) a row of the catalog: a file costs 2 ms, most
of it the wait for the disk.

Temporary name, fsync, rename, and fsync of the folder before the catalog names the file. The name is that of the work
it came from and of its content, so the same work finds the same file. Parquet readers do not notice a flipped bit; the
checksum does (0.6 ms a megabyte).
"""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from threading import Lock
from uuid import uuid4

import polars as pl

from tillage.core.errors import TillageError, Unavailable, VerifyFailed
from tillage.core.rows import Halves, only
from tillage.store.catalog import Catalog
from tillage.store.failpoints import reach
from tillage.store.frames import STREAM, packed, some, unpacked

CACHE_BYTES = 32 << 20
"""Frames just written or read are kept in memory up to this size in all; more would be memory that is never warm."""


FEW = 8
"""Row_ids up to which who forgets them keeps the chunks that hold them, to be written again, in memory."""

AT_ONCE = 500
"""Objects that one query asks for."""

SMALL = 48 << 10
"""Bytes up to which an object lives in the catalog."""

_SMALL = "small/"

MENDED = (
    "`tillage verify` tells the extent. `tillage run` makes newest versions again (delete a damaged file first); what "
    "older ones alone need comes back from a backup."
)
"""What to do about an object that is missing or damaged."""


@dataclass(frozen=True)
class Stored:
    """An object that has been written: its name, its SHA-256, its size."""

    name: str
    checksum: str
    size: int
    rows: int


class Objects:
    """The folder of objects, and the catalog's table of small ones (without a catalog, all are files)."""

    def __init__(self, root: Path, catalog: Catalog | None = None) -> None:
        self.root, self.catalog = root, catalog
        self._pending: dict[str, bytes] = {}
        self._cache: OrderedDict[str, tuple[pl.DataFrame, int]] = OrderedDict()
        self._cached = 0
        self._lock = Lock()
        self._unsynced: set[Path] = set()

    def put(self, key: str, data: bytes | memoryview, suffix: str, rows: int = 0) -> Stored:
        """Write `data`: whole when this returns, durable after the next `sync`. Unavailable when the disk refuses."""
        checksum = sha256(data).hexdigest()
        if self.catalog is not None and len(data) <= SMALL:
            name = f"{_SMALL}{key}-{checksum[:16]}.{suffix}"
            with self._lock:
                self._pending[name] = bytes(data)
            return Stored(name, checksum, len(data), rows)
        name = f"{key[:1]}/{key}-{checksum[:16]}.{suffix}"
        try:
            self._settle(self.root / name, data, checksum)
        except OSError as error:
            raise Unavailable(
                f"The object {name} cannot be written to {self.root}: {error.strerror or error}.",
                fix="Free space or mend the permissions, then run again: finished work is kept.",
            ) from error
        return Stored(name, checksum, len(data), rows)

    def _settle(self, final: Path, data: bytes | memoryview, checksum: str) -> None:
        if _is(final, len(data), checksum):
            self._renamed(final.parent)  # it may have been renamed by a run that was killed before its sync
            return
        reach("object.open")
        final.parent.mkdir(parents=True, exist_ok=True)
        temporary = final.parent / f".{uuid4().hex}.tmp"
        try:
            with temporary.open("xb") as file:
                reach("object.write")
                file.write(data)
                file.flush()
                reach("object.fsync")
                os.fsync(file.fileno())
            reach("object.rename")
            temporary.rename(final)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        self._renamed(final.parent)

    def _renamed(self, folder: Path) -> None:
        with self._lock:
            self._unsynced.add(folder)

    def sync(self) -> None:
        """Make all that was put so far durable; the catalog calls it before it names them."""
        with self._lock:
            folders, self._unsynced = self._unsynced, set()
            pending = list(self._pending.items())
        try:
            if pending and self.catalog is not None:
                with self.catalog.transaction():  # what is damaged there is mended
                    self.catalog.write_many("INSERT OR REPLACE INTO small VALUES (?, ?)", pending)
                    self.catalog.once_committed(lambda: self._durable(pending))
            for folder in sorted(folders):
                reach("object.folder")
                sync_folder(folder)
            if folders:
                sync_folder(self.root)
        except BaseException as error:
            with self._lock:
                self._unsynced |= folders
            if isinstance(error, OSError) and not isinstance(error, TillageError):
                raise Unavailable(
                    f"The names of files in {self.root} cannot be made durable: {error.strerror or error}.",
                    fix="Mend the disk, then run again: finished work is kept.",
                ) from error
            raise

    def _durable(self, small: Iterable[tuple[str, bytes]]) -> None:
        with self._lock:
            for name, _ in small:
                self._pending.pop(name, None)

    def put_frame(self, key: str, frame: pl.DataFrame, made: Halves | None = None) -> Stored:
        """Write rows; `made`: their `_id` in halves, where these are at hand."""
        data, suffix = packed(frame, made)
        stored = self.put(key, data, suffix, frame.height)
        self._remember(stored.name, frame)
        return stored

    def get(self, name: str, checksum: str) -> bytes:
        """The bytes of an object; VerifyFailed when they are missing or not what was written."""
        try:
            data = self._bytes(name)
        except FileNotFoundError:
            raise _lost(name, f"The object {name} is missing from {self.root}.") from None
        except OSError as error:
            raise Unavailable(
                f"The object {name} in {self.root} cannot be read: {error.strerror or error}.",
                fix="Mend the permissions or the disk, then run again.",
            ) from error
        if sha256(data).hexdigest() != checksum:
            raise _lost(name, f"The object {name} in {self.root} is damaged: its SHA-256 is not the recorded one.")
        return data

    def _bytes(self, name: str) -> bytes:
        if not name.startswith(_SMALL) or self.catalog is None:
            return (self.root / name).read_bytes()
        with self._lock:
            data = self._pending.get(name)
        if data is None:
            row = self.catalog.row("SELECT data FROM small WHERE name = ?", name)
            if row is None:
                raise FileNotFoundError(name)
            data = bytes(row[0])
        return data

    def get_many(self, wanted: Sequence[tuple[str, str]]) -> list[bytes]:
        """The bytes of objects, each named with its checksum, in one query where they are small."""
        with self._lock:
            held = {name for name, _ in wanted if name in self._pending}
        small = sorted({name for name, _ in wanted if name.startswith(_SMALL)} - held)
        found: dict[str, bytes] = {}
        for at in range(0, len(small) if self.catalog is not None else 0, AT_ONCE):
            part = small[at : at + AT_ONCE]
            query = f"SELECT name, data FROM small WHERE name IN ({', '.join('?' * len(part))})"  # noqa: S608
            found |= {str(r[0]): bytes(r[1]) for r in (self.catalog.rows(query, *part) if self.catalog else ())}
        out = []
        for name, checksum in wanted:
            data = found.get(name)
            whole = data is not None and sha256(data).hexdigest() == checksum
            out.append(data if data is not None and whole else self.get(name, checksum))
        return out

    def _there(self, name: str) -> bool:
        if not name.startswith(_SMALL) or self.catalog is None:
            return (self.root / name).exists()
        with self._lock:
            pending = name in self._pending
        return pending or self.catalog.row("SELECT 1 FROM small WHERE name = ?", name) is not None

    def get_frame(
        self, name: str, checksum: str, columns: list[str] | None = None, *, but: str | None = None, keep: bool = False
    ) -> pl.DataFrame:
        """The rows of an object: all columns, some of them, or all `but` one.

        `keep`: all of it is asked for soon, so unless it is heavy it is decoded once, and kept in memory.
        """
        found = self._remembered(name)
        if found is None:
            data = self.get(name, checksum)
            with _decoding(name):
                if (columns is not None or but is not None) and not (keep and name.endswith(STREAM)):
                    return unpacked(data, name, columns, but=but)
                found = unpacked(data, name)
            self._remember(name, found)
        if but is not None:
            return found[[c for c in found.columns if c != but]]
        return found if columns is None else found[columns]

    def get_some(self, name: str, checksum: str, wanted: pl.Series) -> pl.DataFrame:
        """The rows of an object whose `_id` is among `wanted`; of a large one with few of them, little is decoded."""
        found = self._remembered(name)
        if found is not None:
            return only(found, wanted)
        data = self.get(name, checksum)
        with _decoding(name):
            return some(data, name, wanted)

    def _remembered(self, name: str) -> pl.DataFrame | None:
        with self._lock:
            found, _ = self._cache.get(name, (None, 0))
            if found is not None:
                self._cache.move_to_end(name)
        if found is not None and not self._there(name):  # another process purged it
            self.forget(name)
            found = None
        return found

    def delete(self, name: str) -> int:
        """Remove a file; the bytes freed (0 when it was not there)."""
        self.forget(name)
        if name.startswith(_SMALL):
            return self.delete_small([name])
        path = self.root / name
        try:
            size = path.stat().st_size
            path.unlink()
        except FileNotFoundError:
            return 0
        return size

    def delete_small(self, names: Iterable[str]) -> int:
        """Remove those of these objects that live in the catalog, in one transaction; the bytes freed."""
        small = [name for name in names if is_small(name)]
        if self.catalog is None or not small:
            return 0
        size = 0
        for name in small:
            self.forget(name)
        with self.catalog.transaction():
            for at in range(0, len(small), AT_ONCE):
                part = small[at : at + AT_ONCE]
                named = f"name IN ({', '.join('?' * len(part))})"
                row = self.catalog.row(f"SELECT total(length(data)) FROM small WHERE {named}", *part)  # noqa: S608
                size += int(row[0]) if row else 0
                self.catalog.write(f"DELETE FROM small WHERE {named}", *part)  # noqa: S608
        return size

    def files(self) -> dict[str, int]:
        """Every object there is, half-written files too, with its size."""
        small = self.catalog.rows("SELECT name, length(data) FROM small") if self.catalog is not None else []
        found = {str(name): int(size) for name, size in small}
        for name, entry in self._listed():
            with suppress(FileNotFoundError):  # a temporary file that has got its name meanwhile
                found[name] = entry.stat().st_size
        return found

    def names(self) -> set[str]:
        """The same without the sizes, which cost most of it."""
        small = self.catalog.rows("SELECT name FROM small") if self.catalog is not None else []
        return {str(row[0]) for row in small}.union(name for name, _ in self._listed())

    def _listed(self) -> Iterator[tuple[str, os.DirEntry[str]]]:
        waiting, root = [""], str(self.root)
        while waiting:  # a path of pathlib costs more than all else here
            inner = waiting.pop()
            with os.scandir(f"{root}/{inner}") as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(f"{inner}{entry.name}/")
                    elif entry.is_file():
                        yield f"{inner}{entry.name}", entry

    def forget(self, name: str | None = None) -> None:
        """Drop a frame, or all, from memory."""
        with self._lock:
            for held in [name] if name else list(self._cache):
                _, size = self._cache.pop(held, (None, 0))
                self._cached -= size

    def _remember(self, name: str, frame: pl.DataFrame) -> None:
        size = int(frame.estimated_size())
        if size > CACHE_BYTES // 4:
            return
        with self._lock:
            if name not in self._cache:
                self._cache[name] = frame, size
                self._cached += size
            while self._cached > CACHE_BYTES:
                _, (_, freed) = self._cache.popitem(last=False)
                self._cached -= freed


@contextmanager
def _decoding(name: str) -> Iterator[None]:
    """What Polars cannot decode is told as damage of the object."""
    try:
        yield
    except pl.exceptions.ColumnNotFoundError:  # asked for by someone who looks through versions of a table
        raise
    except (pl.exceptions.PolarsError, OSError) as error:
        raise VerifyFailed(f"The object {name} cannot be decoded: {error}.", fix="Run `tillage verify`.") from error


def is_small(name: str) -> bool:
    """Whether an object of this name lives in the catalog."""
    return name.startswith(_SMALL)


def _lost(name: str, message: str) -> VerifyFailed:
    error = VerifyFailed(message, fix=MENDED)
    error.object = name
    return error


def _is(path: Path, size: int, checksum: str) -> bool:
    """The file is there and what was written; a damaged one is not, so writing it again mends it."""
    try:
        return path.stat().st_size == size and sha256(path.read_bytes()).hexdigest() == checksum
    except FileNotFoundError:
        return False


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
