"""Where the objects of a source are: files of this machine, members of the zip archives among them, files elsewhere.

An object is named by its path (`data/a.csv`, `data/a.zip/in/b.csv`, `s3://bucket/a.csv`), its stamp says when to look
again, its checksum whether it changed. An archive that must be refused is one object, so that its refusal has a place.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path, PurePath, PurePosixPath

from tillage.collect import members
from tillage.collect.content import Content, opening, stamped
from tillage.collect.remote import NO_TRUST, Trust, elsewhere, is_address
from tillage.collect.unpack import Unreadable
from tillage.core.errors import ConfigurationError, InputMissing
from tillage.core.step import Found
from tillage.guard.paths import inside, is_dangling, matches


def find(root: Path, patterns: tuple[str, ...], trust: Trust = NO_TRUST) -> list[Found]:
    """The objects that match, by name; of an archive its directory is read. Raises InputMissing when there is none.

    `trust`, here and below: how far addresses are trusted.
    """
    found: dict[str, Found] = {}
    base = str(root.absolute())
    for pattern in patterns:
        if is_address(pattern):
            found |= {one.path: one for one in elsewhere(trust).find(pattern)}
            continue
        for file, wanted in _matching(Path(base), pattern.removeprefix("file://")):
            info = _status(file)
            stamp = {
                "size": info.st_size,
                "mtime_ns": info.st_mtime_ns,
                "ctime_ns": info.st_ctime_ns,
                "inode": info.st_ino,
            }
            for name in _objects(_name(base, file), file, wanted):
                found[name] = Found(path=name, stamp=stamp)
    if not found:
        raise _nothing_matches(root, patterns)
    return [found[name] for name in sorted(found)]


def content(root: Path, path: str, trust: Trust = NO_TRUST) -> Content:
    """The object's bytes; raises InputMissing, Denied, Unavailable, or Unreadable for a damaged archive."""
    if is_address(path):
        return elsewhere(trust).content(path)
    place = _place(root, path)
    inner = members.within(place)
    if inner is None:
        _refuse_dangling(root, path)
        return Content.open(place)
    archive, name = inner
    identity = stamped(place, archive.stat())
    if name not in members.members(archive):
        raise InputMissing(f"{archive} holds no {name!r}.", fix="Run again: the archive was replaced.")
    return Content.member(lambda: members.opened(archive, name), identity)  # type: ignore[arg-type, return-value]


def identity(root: Path, path: str, trust: Trust = NO_TRUST) -> tuple[str | int, ...] | None:
    """What `content` would give as identity, without reading the object; None where it is not there."""
    if is_address(path):
        return elsewhere(trust).identity(path)
    place = _place(root, path)
    try:
        return stamped(place, (members.within(place) or (place,))[0].stat())
    except OSError:  # whoever opens it is told what is the matter
        return None


def checksum(root: Path, path: str, trust: Trust = NO_TRUST) -> str:
    """SHA-256 of the object's bytes (of a member: unpacked), in hexadecimal; of the archive where it is damaged."""
    if is_address(path):
        return elsewhere(trust).checksum(path)
    place = _place(root, path)
    inner = members.within(place)
    if inner is not None:
        archive, name = inner
        made = hashlib.sha256()
        try:
            for block in Content.member(lambda: members.opened(archive, name), ()).blocks():  # type: ignore[arg-type, return-value]
                made.update(block)
        except (Unreadable, KeyError):
            place = archive
        else:
            return made.hexdigest()
    if is_dangling(named := Path(root, path)):
        return hashlib.sha256(b"link\0" + os.fsencode(named.readlink())).hexdigest()
    with opening(place), place.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def size(root: Path, path: str, trust: Trust = NO_TRUST) -> int:
    """The object's bytes, as it is stored."""
    if is_address(path):
        return elsewhere(trust).size(path)
    place = _place(root, path)
    inner = members.within(place)
    if inner is None:
        return 0 if is_dangling(Path(root, path)) else place.stat().st_size
    entry = members.members(inner[0]).get(inner[1])
    return entry.file_size if entry is not None else 0


def refused(root: Path, path: str) -> None:
    """Raise Unreadable for a zip archive that may not be opened; one that may is no object itself."""
    if path.lower().endswith(members.SUFFIX) and not is_address(path):
        place = _place(root, path)
        _refuse_dangling(root, path)
        if members.is_zip(place):
            members.members(place)


def _status(file: Path) -> os.stat_result:
    """What the system says of a file; of a link to what is not there, what it says of the link."""
    try:
        return file.stat()
    except OSError:
        with opening(file):
            return file.lstat()


def _refuse_dangling(root: Path, path: str) -> None:
    """Raise Unreadable for a link to what is not there."""
    named = Path(root, path)
    if is_dangling(named):
        raise Unreadable("dangling_link", f"It is a link to {str(named.readlink())!r}, which is not there.")


def _place(root: Path, path: str) -> Path:
    return Path(path) if PurePath(path).is_absolute() else inside(root, path)


def _matching(root: Path, pattern: str) -> Iterator[tuple[Path, tuple[str, ...]]]:
    """The files that match, each with the glob for its members where the pattern goes on into archives."""
    parts = PurePosixPath(pattern).parts
    into = next((i for i, part in enumerate(parts[:-1]) if part.lower().endswith(members.SUFFIX)), None)
    outer, wanted = (pattern, ()) if into is None else (str(PurePosixPath(*parts[: into + 1])), parts[into + 1 :])
    absolute = PurePosixPath(outer).is_absolute()
    for file in matches(Path("/") if absolute else root, outer.lstrip("/") if absolute else outer):
        yield file, wanted


def _objects(name: str, file: Path, wanted: tuple[str, ...]) -> Iterator[str]:
    if not members.is_zip(file):
        if not wanted:
            yield name
        return
    try:
        held = members.members(file)
    except Unreadable:
        yield name
        return
    for member in held:
        if not wanted or members.fits(member, wanted):
            yield f"{name}/{member}"


def _name(base: str, file: Path) -> str:
    name = str(file).removeprefix(base.rstrip("/") + "/")
    try:
        name.encode()
    except UnicodeEncodeError:
        raise ConfigurationError(f"The name of {name!r} is not UTF-8.", fix="Rename the file.") from None
    return name


def _nothing_matches(root: Path, patterns: tuple[str, ...]) -> InputMissing:
    """The error that says what is there instead."""
    hints = []
    for pattern in patterns:
        path = root / pattern.removeprefix("file://")
        if is_address(pattern):
            continue
        if path.is_dir():
            hints.append(f"{pattern!r} is a folder: write {pattern.rstrip('/') + '/*'!r}.")
        elif not path.parent.is_dir() and "*" not in str(path.parent):
            hints.append(f"There is no folder {str(path.parent)!r}.")
        elif path.parent.is_dir():
            others = sorted(entry.name for entry in path.parent.iterdir() if entry.is_file())[:5]
            hints.append(f"{str(path.parent)!r} holds " + (", ".join(others) if others else "no file") + ".")
    named = " or ".join(repr(p) for p in patterns)
    where = "" if all(map(is_address, patterns)) else f" in {root}"
    return InputMissing(f"No file matches {named}{where}.", fix=" ".join([*hints, "Mend the path or add the file."]))
