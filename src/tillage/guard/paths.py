"""Names and paths that come from outside: what they may be, and how a file is opened without leaving its folder.

A link may point anywhere inside the root; one that leads out of it is refused by name, never skipped in silence.
`open_inside` walks by folder handles with O_NOFOLLOW, so nothing can be exchanged between the check and the opening.
Cost: one lstat a path component.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Iterator
from fnmatch import translate
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from tillage.core.errors import Denied, UsageError

NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_MAGIC = re.compile(r"[*?\[]")


def checked_name(name: str, what: str = "name") -> str:
    """`name` itself when it may name a table, model, service or version in a path or URL; else UsageError.

    >>> checked_name("notes-2")
    'notes-2'
    >>> checked_name("../etc", "table")
    Traceback (most recent call last):
    tillage.core.errors.UsageError: '../etc' cannot be a table. Use 1 to 64 of a-z, 0-9, '_' and '-', ...
    """
    if not NAME.fullmatch(name):
        raise UsageError(
            f"{name[:80]!r} cannot be a {what}.",
            fix="Use 1 to 64 of a-z, 0-9, '_' and '-', beginning with a letter or digit.",
        )
    return name


@lru_cache(maxsize=64)
def _real(root: str) -> str:
    """The real path of a root: asked for with every file, and the same for all of a run."""
    return os.path.realpath(root)


def inside(root: Path, path: str | Path) -> Path:
    """The real path of `path`, which must lie in `root` after every link is followed; else Denied.

    >>> inside(Path("/"), "usr/../etc").name
    'etc'
    >>> inside(Path("/usr"), "../etc")
    Traceback (most recent call last):
    tillage.core.errors.Denied: '../etc' leads out of /usr. ...
    """
    base = _real(str(root))
    real = os.path.realpath(Path(base, path))
    if real != base and not real.startswith(base.rstrip("/") + "/"):
        raise Denied(
            f"{str(path)!r} leads out of {base}.", fix="Move the file inside, or name its place by an absolute path."
        )
    return Path(real)


def matches(root: Path, pattern: str) -> list[Path]:
    """The files in `root` that the glob `pattern` matches (`*`, `?`, `[...]`, `**` for any folders), sorted.

    Paths are returned below `root` as they are named there. Hidden names match only a pattern that begins with a dot;
    `**` does not go through links. A file that exists under the very text of the pattern is that file. Folders, pipes
    and devices never match; a link to what is not there does, so that nobody misses it in silence (`is_dangling`).
    Raises Denied for `..`, an absolute pattern, and a match that is a link out of `root`.

    >>> matches(Path("/nowhere"), "*.csv")
    []
    """
    parts = PurePosixPath(pattern).parts
    if not parts or PurePosixPath(pattern).is_absolute() or ".." in parts:
        raise Denied(f"{pattern!r} leads out of {root}.", fix="Write a path below the folder, without '..'.")
    literal = root / pattern
    found = [literal] if _is_match(literal) else sorted(set(_expand(root, parts)))
    files = [path for path in found if _is_match(path)]
    checked: set[Path] = set()
    for path in files:
        if path.is_symlink():
            inside(root, path.relative_to(root))
        elif path.parent not in checked:
            inside(root, path.parent.relative_to(root))
            checked.add(path.parent)
    return files


def open_inside(root: Path, path: str | Path) -> BinaryIO:
    """Open a file for reading below `root` through folder handles; no component may be a link or `..`.

    Raises Denied for a link, FileNotFoundError when it is not there.

    >>> import tempfile
    >>> root = Path(tempfile.mkdtemp())
    >>> _ = (root / "a.txt").write_text("hello")
    >>> with open_inside(root, "a.txt") as file:
    ...     file.read()
    b'hello'
    """
    parts = PurePosixPath(path).parts
    if not parts or PurePosixPath(path).is_absolute() or ".." in parts:
        raise Denied(f"{str(path)!r} leads out of {root}.", fix="Name a file below that folder.")
    folder = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for part in parts[:-1]:
            inner = _open_at(folder, part, os.O_DIRECTORY, path)
            os.close(folder)
            folder = inner
        handle = _open_at(folder, parts[-1], os.O_NONBLOCK, path)
    finally:
        os.close(folder)
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise Denied(f"{str(path)!r} is not a plain file.", fix="Name a file, not a folder, pipe or device.")
    return os.fdopen(handle, "rb")


def _open_at(folder: int, part: str, flags: int, path: str | Path) -> int:
    try:
        return os.open(part, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | flags, dir_fd=folder)
    except OSError as error:
        if isinstance(error, FileNotFoundError):
            raise
        raise Denied(
            f"{str(path)!r} cannot be opened safely at {part!r}: {error.strerror}.", fix="Replace the link by the file."
        ) from error


def is_dangling(path: Path) -> bool:
    """Whether a path is a link to what is not there, or to itself.

    >>> is_dangling(Path("/nowhere"))
    False
    """
    try:
        if not path.is_symlink():
            return False
        path.stat()
    except FileNotFoundError:
        return True
    except OSError as error:
        return error.errno == errno.ELOOP
    return False


def _is_match(path: Path) -> bool:
    return _is_file(path) or is_dangling(path)


def _is_file(path: Path) -> bool:
    """A plain file, after links: opening a pipe or device could wait for ever."""
    try:
        return stat.S_ISREG(path.stat().st_mode)
    except (OSError, ValueError):
        return False


def _expand(folder: Path, parts: tuple[str, ...]) -> Iterator[Path]:
    part, rest = parts[0], parts[1:]
    if part == "**":
        yield from _expand(folder, rest or ("*",))
        for entry in _entries(folder):
            if entry.is_dir(follow_symlinks=False) and not entry.name.startswith("."):
                yield from _expand(folder / entry.name, parts)
        return
    if not _MAGIC.search(part):
        names = [part]
    else:
        wanted = re.compile(translate(part))
        hidden = part.startswith(".")
        names = [e.name for e in _entries(folder) if wanted.match(e.name) and e.name.startswith(".") == hidden]
    for name in names:
        if rest:
            yield from _expand(folder / name, rest)
        else:
            yield folder / name


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except (FileNotFoundError, NotADirectoryError):
        return []
