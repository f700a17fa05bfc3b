"""Files at addresses elsewhere (`https://`, `s3://`, `gs://`, `ftp://`), by fsspec and whatever it finds installed.

Nothing is trusted for being fresh: listings are not cached, and a file counts as unchanged only where the file system
gives a tag that follows its content (an ETag, an MD5, a generation) and it is the same. Where there is none, and a time
of change to the second is none, the file is fetched at each look and its SHA-256 is the tag. What is read is what was
hashed: a file is fetched once, to a temporary one, of which 1 GB are kept until they are read.
Passwords do not stand in plans; fsspec takes them from its own configuration (`FSSPEC_FTP_USERNAME`, ...), and file
systems from where theirs are (`AWS_PROFILE`). Extras: `tillage[remote]` (http too), `tillage[s3]`; for any other file
system its own package.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from importlib.util import find_spec
from pathlib import Path, PurePosixPath
from threading import Lock
from typing import IO, Any
from urllib.parse import urlsplit
from weakref import finalize

from tillage.collect.content import Content
from tillage.core.errors import Denied, InputMissing, TillageError, Unavailable
from tillage.core.step import Found
from tillage.guard.hosts import networks, resolved

ROOM = 1 << 30
"""Bytes of fetched files that are kept until they are read."""

SCHEMES = ("http", "https")
"""Those of the web. What reaches them is imported when an address wants it: asyncio is a fiftieth of a short run."""

HOSTS = ("ftp", "sftp", "ssh", "smb", "webhdfs")
"""Schemes, beside those of the web, whose addresses name a host to connect to."""

_FRESH = {"use_listings_cache": False, "skip_instance_cache": True}
_TAGS = ("ETag", "etag", "e_tag", "md5Hash", "content_md5", "Content-MD5", "generation", "version_id", "VersionId")
_MAGIC = re.compile(r"[*?\[]")
_WEB = tuple(f"{scheme}://" for scheme in SCHEMES)
_LAYERS = ("reference", "cached", "blockcache", "filecache", "simplecache", "dir", "generic", "asynclocal")
"""File systems of fsspec that show another one as it was, or that read what to do from a file."""


def is_address(path: str) -> bool:
    """Whether a path of a plan is an address elsewhere.

    >>> is_address("s3://bucket/*.csv"), is_address("data/*.csv"), is_address("file:///data/*.csv")
    (True, False, False)
    """
    return "://" in path and not path.startswith("file://")


def checked(address: str) -> str:
    """The address itself; ValueError for one that may not stand in a plan.

    >>> checked("ftp://me:secret@host/a.csv")
    Traceback (most recent call last):
    ValueError: a password does not belong into a plan: set FSSPEC_FTP_PASSWORD instead
    """
    scheme, _, _ = address.partition("://")
    if scheme != scheme.lower():
        raise ValueError(f"write {scheme.lower()}:// in small letters")
    if "::" in address or scheme in _LAYERS:
        raise ValueError("file systems are not stacked here: name the files where they are")
    if scheme in SCHEMES:
        from tillage.collect.http_files import checked_http

        checked_http(address)
        return address
    if urlsplit(address).password is not None:
        raise ValueError(f"a password does not belong into a plan: set FSSPEC_{scheme.upper()}_PASSWORD instead")
    return address


@dataclass(frozen=True)
class Trust:
    """How far a plan trusts addresses: `networks` inside that they may lead to; `times`: whether a web server's time of
    change, once it is a minute old, stands for the content where there is no tag."""

    networks: tuple[str, ...] = ()
    times: bool = False


NO_TRUST = Trust()


@dataclass
class _Copy:
    """A fetched file and its SHA-256."""

    path: Path
    checksum: str
    size: int


@dataclass
class Elsewhere:
    """Files at addresses, as this process sees them; each was fetched after the last listing that named it.

    `trust`: how far what they lead to and say is trusted.
    """

    room: int = ROOM
    trust: Trust = NO_TRUST
    _systems: dict[tuple[str, str], Any] = field(default_factory=dict)
    _copies: dict[str, _Copy] = field(default_factory=dict)
    _checksums: dict[str, str] = field(default_factory=dict)
    _folder: str | None = None
    _lock: Any = field(default_factory=Lock)

    def find(self, pattern: str) -> list[Found]:
        """The files that match an address with globs."""
        with _told(pattern):
            system, path = self._system(pattern)
            if pattern.startswith(_WEB):
                return self._find_http(system, pattern)
            system.invalidate_cache()
            listed = []
            for info in sorted(_expand(system, path), key=lambda info: str(info["name"])):
                address = _address(pattern, path, info["name"])
                self._drop(address)
                listed.append(Found(path=address, stamp=self._stamp(address, info)))
        return listed

    def _find_http(self, system: Any, pattern: str) -> list[Found]:
        from tillage.collect.http_files import found, looked

        addresses = found(system, pattern)
        for address in addresses:
            self._drop(address)
        try:
            told = looked(system, addresses, trust_times=self.trust.times)
        except InputMissing:
            if addresses == [pattern]:
                return []
            raise
        return [
            Found(path=one, stamp=stamp or {"sha256": self._fetched(one).checksum})
            for one, stamp in zip(addresses, told, strict=True)
        ]

    def content(self, address: str) -> Content:
        """The bytes of a file."""
        copy = self._fetched(address)
        return Content.open(copy.path, self.identity(address))

    def identity(self, address: str) -> tuple[str, str]:
        """What tells one fetched state of a file from another."""
        return address, self._fetched(address).checksum

    def checksum(self, address: str) -> str:
        """SHA-256 of the bytes, in hexadecimal."""
        return self._fetched(address).checksum

    def size(self, address: str) -> int:
        """Its bytes."""
        return self._fetched(address).size

    def _stamp(self, address: str, info: dict[str, Any]) -> dict[str, Any]:
        tags = {name: str(info[name]) for name in _TAGS if info.get(name) and not str(info[name]).startswith("W/")}
        return {"size": info.get("size"), **(tags or {"sha256": self._fetched(address).checksum})}

    def _fetched(self, address: str) -> _Copy:
        with self._lock:
            copy = self._copies.get(address)
            if copy is None or not copy.path.exists():
                with _told(address):
                    copy = self._fetch(address)
                known = self._checksums.setdefault(address, copy.checksum)
                if known != copy.checksum:
                    raise Unavailable(f"{address} changed while it was read.", fix="Run again.")
                self._copies[address] = copy
                self._make_room(address)
            return copy

    def _fetch(self, address: str) -> _Copy:
        system, path = self._system(address)
        if self._folder is None:
            self._folder = tempfile.mkdtemp(prefix="tillage-")
            finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
        handle, name = tempfile.mkstemp(dir=self._folder)
        try:
            with open(handle, "wb") as out:  # noqa: PTH123 - a handle, not a path
                stated = self._write(address, system, path, out)
            with Path(name).open("rb") as file:
                made, size = hashlib.file_digest(file, "sha256").hexdigest(), file.tell()
            if isinstance(stated, int) and stated != size:
                raise Unavailable(f"{address} has {stated:,} bytes, and {size:,} came.", fix="Run again.")
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
        return _Copy(Path(name), made, size)

    def _write(self, address: str, system: Any, path: str, out: IO[bytes]) -> object:
        """Write a file of elsewhere; returns its size, where its server said it."""
        if not address.startswith(_WEB):
            return _copy(system, path, out)
        from tillage.collect.http_files import fetch

        return fetch(system, path, out)

    def _make_room(self, newest: str) -> None:
        total = sum(copy.size for copy in self._copies.values())
        for address in [a for a in self._copies if a != newest]:
            if total <= self.room:
                return
            copy = self._copies.pop(address)
            total -= copy.size
            copy.path.unlink(missing_ok=True)

    def _drop(self, address: str) -> None:
        self._checksums.pop(address, None)
        copy = self._copies.pop(address, None)
        if copy is not None:
            copy.path.unlink(missing_ok=True)

    def _system(self, address: str) -> tuple[Any, str]:
        """The file system of an address, and the path in it."""
        if find_spec("fsspec") is None:
            raise Unavailable("Addresses need the library fsspec.", fix="Install it: pip install 'tillage[remote]'")
        from fsspec.core import url_to_fs

        parts = urlsplit(address)
        key = (parts.scheme, parts.netloc)
        if key not in self._systems and parts.scheme in SCHEMES:
            from fsspec import filesystem

            from tillage.collect.http_files import http_settings

            self._systems[key] = filesystem(parts.scheme, **http_settings(networks(self.trust.networks)))
        if key not in self._systems and parts.scheme in HOSTS:
            self._systems[key] = self._judged(address)
        if key not in self._systems:
            self._systems[key], _ = url_to_fs(address, **_FRESH)
        system = self._systems[key]
        return system, system._strip_protocol(address)

    def _judged(self, address: str) -> Any:
        """The file system of a host that the plan may lead to.

        FTP is given the address that was judged, since a name may mean another one a moment later; what a server says
        of its own address is not followed (ftplib).
        """
        from fsspec import filesystem, get_filesystem_class

        parts = urlsplit(address)
        found = resolved(parts.hostname or "", networks(self.trust.networks))
        given = get_filesystem_class(parts.scheme)._get_kwargs_from_urls(address)
        pinned = {"host": found} if parts.scheme == "ftp" else {}
        return filesystem(parts.scheme, **{**given, **pinned}, **_FRESH)


def _copy(system: Any, path: str, out: IO[bytes]) -> object:
    """Fetch a file; what its file system says of its size."""
    with system.open(path, "rb") as file:
        shutil.copyfileobj(file, out, 4 << 20)
    return system.info(path).get("size")


@contextmanager
def _told(address: str) -> Iterator[None]:
    """What file systems raise, each in its own way, as what it means for the run."""
    try:
        yield
    except TillageError:
        raise
    except FileNotFoundError as error:
        raise InputMissing(f"{address} is not there.", fix="Check the address; it may have been moved.") from error
    except PermissionError as error:
        raise Denied(f"{address} may not be read: {_short(error)}.", fix="Check the credentials.") from error
    except ImportError as error:
        scheme = address.partition("://")[0]
        fix = (
            "Install it: pip install 'tillage[s3]'" if scheme in ("s3", "s3a") else "Install the package that it names."
        )
        raise Unavailable(f"{address} cannot be opened: {_short(error)}.", fix=fix) from error
    except ValueError as error:
        raise Unavailable(f"{address} cannot be opened: {_short(error)}.", fix="Check the address.") from error
    except Exception as error:
        if "credentials" in type(error).__name__.lower():
            raise Denied(f"{address} may not be read: {_short(error)}.", fix="Check the credentials.") from error
        raise Unavailable(
            f"{address} cannot be reached: {_short(error)}.", fix="Check the address and the network, then run again."
        ) from error


def _expand(system: Any, path: str) -> Iterator[dict[str, Any]]:
    """The files that a glob matches. fsspec's own leaves out, without a word, the folders that it could not list: with
    a network that fails half-way, their rows would count as deleted."""
    parts = PurePosixPath(path).parts
    fixed = next((i for i, part in enumerate(parts) if _MAGIC.search(part)), len(parts) - 1)
    return _below(system, str(PurePosixPath(*parts[:fixed])) if fixed else "", parts[fixed:])


def _below(system: Any, folder: str, parts: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    part, rest = parts[0], parts[1:]
    if not _MAGIC.search(part):
        name = f"{folder.rstrip('/')}/{part}" if folder else part
        if rest:
            yield from _below(system, name, rest)
            return
        try:
            info = system.info(name)
        except FileNotFoundError:
            return
        if info["type"] == "file":
            yield info
        return
    entries = [(PurePosixPath(str(entry["name"])).name, entry) for entry in _listed(system, folder)]
    if part == "**":
        yield from _below(system, folder, rest or ("*",))
        for name, entry in entries:
            if entry["type"] == "directory" and not name.startswith("."):
                yield from _below(system, str(entry["name"]), parts)
        return
    for name, entry in entries:
        if not fnmatchcase(name, part) or name.startswith(".") != part.startswith("."):
            continue
        if rest and entry["type"] == "directory":
            yield from _below(system, str(entry["name"]), rest)
        elif not rest and entry["type"] == "file":
            yield entry


def _listed(system: Any, folder: str) -> list[dict[str, Any]]:
    try:
        found = system.ls(folder, detail=True)
    except FileNotFoundError:
        return []
    own = folder.strip("/")
    return [entry for entry in found if str(entry["name"]).strip("/") != own]


def _short(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__)[:200].rstrip(".")


def _address(pattern: str, path: str, name: str) -> str:
    """The address of a listed name; `path`: what the file system calls the pattern."""
    parts = urlsplit(pattern)
    inside = bool(parts.netloc) and path.lstrip("/").startswith(
        parts.netloc
    )  # a bucket is part of the path, a host not
    host = "" if inside or not parts.netloc else f"{parts.netloc}/"
    return f"{parts.scheme}://{host}{name.lstrip('/')}"


_views: dict[Trust, Elsewhere] = {}


def elsewhere(trust: Trust = NO_TRUST) -> Elsewhere:
    """This process's view of addresses elsewhere, for a source that trusts them so far.

    >>> elsewhere(Trust(("127.0.0.1",))) is elsewhere(Trust(("127.0.0.1",))), elsewhere().trust.times
    (True, False)
    """
    return _views.setdefault(trust, Elsewhere(trust=trust))
