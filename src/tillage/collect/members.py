"""Zip archives as folders: which members one holds, and what of it is refused before a byte is unpacked.

Refused whole: names that lead out of the folder, links, two members of one name, encryption, members that overlap or
are said to grow more than a hundredfold, more than 100,000 of them, more than 64 GB. What a member holds is cut at its
declared size, and its CRC-32 is checked to its end. Cost: the directory of the archive is read once for each version.
Source: PKWARE APPNOTE 6.3; overlapping members: Fifield, USENIX WOOT 2019.
"""

from __future__ import annotations

import os
import stat
import zipfile
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import IO

from tillage.collect.encoding import codec_of_names
from tillage.collect.unpack import FREE, RATIO, Unreadable, bomb

MOST = 100_000
"""Members of one archive."""

TOTAL = 64 << 30
"""Bytes of all members of one archive."""

SUFFIX = ".zip"
_ENCRYPTED = 0x1
_WIDE_NAME = 0x800
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2)

Stamp = tuple[str | int, ...]


def is_zip(path: Path) -> bool:
    """Whether a file that calls itself a zip archive begins (or, when empty, ends) as one."""
    if path.name[-len(SUFFIX) :].lower() != SUFFIX:
        return False
    try:
        with path.open("rb") as file:
            return file.read(4) in (b"PK\x03\x04", b"PK\x05\x06")
    except OSError:
        return False


def members(path: Path) -> dict[str, zipfile.ZipInfo]:
    """Name to entry of the files in an archive, folders and hidden ones left out; raises Unreadable for a bad one.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "a.zip"
    >>> with zipfile.ZipFile(path, "w") as archive:
    ...     archive.writestr("in/b.csv", "id")
    >>> list(members(path))
    ['in/b.csv']
    """
    return _archive(path)[1]


def opened(path: Path, name: str) -> IO[bytes]:
    """A member as a stream; raises Unreadable, KeyError when there is none of that name."""
    archive, held = _archive(path)
    return archive.open(held[name])


def _archive(path: Path) -> tuple[zipfile.ZipFile, dict[str, zipfile.ZipInfo]]:
    info = path.stat()
    return _listed(str(path), info.st_size, info.st_mtime_ns, info.st_ctime_ns, info.st_ino)


@lru_cache(maxsize=4)
def _listed(path: str, size: int, *_stamp: int) -> tuple[zipfile.ZipFile, dict[str, zipfile.ZipInfo]]:
    """An archive by its place and stamp, kept open: a directory of many members is read once, not for each of them."""
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, NotImplementedError, ValueError, OverflowError) as error:
        raise Unreadable("bad_archive", f"The zip archive cannot be read: {str(error)[:200]}.") from error
    try:
        return archive, _checked(archive.infolist(), size)
    except Unreadable:
        archive.close()
        raise


def _checked(entries: list[zipfile.ZipInfo], size: int) -> dict[str, zipfile.ZipInfo]:
    if len(entries) > MOST:
        raise Unreadable("archive_bomb", f"The archive has {len(entries):,} members, more than {MOST:,}.")
    held: dict[str, zipfile.ZipInfo] = {}
    for entry, name in zip(entries, _names(entries), strict=True):
        _safe(entry, name)
        if entry.is_dir():
            continue
        if name in held:
            raise Unreadable("unsafe_archive", f"Two members of the archive are called {name[:80]!r}.")
        if entry.file_size > FREE and entry.file_size > RATIO * entry.compress_size:
            raise bomb()
        held[name] = entry
    total = sum(entry.file_size for entry in held.values())
    if total > TOTAL or (total > FREE and total > RATIO * size):
        raise bomb()
    end = 0
    for entry in sorted(held.values(), key=lambda e: e.header_offset):
        if entry.header_offset < end:
            raise Unreadable("archive_bomb", "Members of the archive overlap.")
        end = entry.header_offset + 30 + entry.compress_size
    if not held:
        raise Unreadable("empty_archive", "The archive holds no file.")
    return {name: held[name] for name in sorted(held) if not _is_hidden(name)}


def _names(entries: list[zipfile.ZipInfo]) -> list[str]:
    """The names as who packed them wrote them: one that is not marked as UTF-8 is read as code page 437 by the
    standard, and is UTF-8 or GBK all the same where macOS or a Chinese Windows packed it."""

    def raw(entry: zipfile.ZipInfo) -> bytes | None:
        told = entry.flag_bits & _WIDE_NAME or entry.filename != entry.orig_filename  # by an extra field
        return None if told or entry.filename.isascii() else entry.filename.encode("cp437")

    found = [raw(entry) for entry in entries]
    codec = codec_of_names(b"\n".join(name for name in found if name is not None))
    return [e.filename if name is None else name.decode(codec) for e, name in zip(entries, found, strict=True)]


def _safe(entry: zipfile.ZipInfo, name: str) -> None:
    parts = PurePosixPath(name).parts
    leads_out = name.startswith("/") or ".." in parts or "\\" in name or "\0" in entry.orig_filename or name[1:2] == ":"
    if leads_out or not parts:
        raise Unreadable("unsafe_archive", f"The name {name[:80]!r} in the archive leads out of its folder.")
    if stat.S_ISLNK(entry.external_attr >> 16):
        raise Unreadable("unsafe_archive", f"{name[:80]!r} in the archive is a link.")
    if entry.flag_bits & _ENCRYPTED:
        raise Unreadable("encrypted_archive", "The archive is encrypted; unpack it yourself.")
    if entry.compress_type not in _METHODS:
        raise Unreadable("bad_archive", f"{name[:80]!r} in the archive is packed by an unknown method.")


def _is_hidden(name: str) -> bool:
    return any(part.startswith(".") or part == "__MACOSX" for part in PurePosixPath(name).parts)


def fits(name: str, pattern: tuple[str, ...]) -> bool:
    """Whether a member's name matches the parts of a glob; `**` stands for any folders.

    >>> fits("in/b.csv", ("**", "*.csv")), fits("in/b.csv", ("*.csv",))
    (True, False)
    """
    from fnmatch import fnmatchcase

    def match(parts: tuple[str, ...], rest: tuple[str, ...]) -> bool:
        if not rest:
            return not parts
        if rest[0] == "**":
            return match(parts, rest[1:] or ("*",)) or (bool(parts) and match(parts[1:], rest))
        return bool(parts) and fnmatchcase(parts[0], rest[0]) and match(parts[1:], rest[1:])

    return match(PurePosixPath(name).parts, pattern)


def within(place: Path) -> tuple[Path, str] | None:
    """The archive in which a path lies, and the member's name; None when it lies in none.

    >>> within(Path("/nowhere/a.csv")) is None
    True
    """
    text = str(place)
    at = text.lower().find(SUFFIX + os.sep)
    while at >= 0:
        archive = Path(text[: at + len(SUFFIX)])
        if archive.is_file():
            return archive, text[at + len(SUFFIX) + 1 :]
        at = text.lower().find(SUFFIX + os.sep, at + 1)
    return None
