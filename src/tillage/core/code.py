"""The code that a step stands on, as one digest: an edit that could change a result must show in its fingerprint.

A step of ours stands on its room, whole, and on the rooms that compute for it. A user's step stands on its own file
and on the project's files that it imports, however indirectly; installed libraries count by the lock, not here. A file
is read once a process.
"""

from __future__ import annotations

import ast
import os
import sys
from collections.abc import Iterable, Iterator
from functools import cache
from hashlib import sha256
from pathlib import Path

OURS = Path(__file__).resolve().parents[1]
COMPUTING = ("core", "measure", "text", "media", "onnx")
"""Rooms whose functions make values: an edit there may change what any step gives."""

AT_ONCE = 1 << 18
"""Bytes of a file that are read at once."""


@cache
def source_digest(module: str) -> str:
    """SHA-256 over the source files behind a module; empty when it has none (an interactive session).

    >>> source_digest("tillage.core.code") == source_digest("tillage.core.rows")
    True
    """
    name = getattr(sys.modules.get(module), "__file__", None)
    if not name:
        return ""
    path = Path(name).resolve()
    if OURS in path.parents:
        own = path.relative_to(OURS).parts[0]
        return sha256("".join(_room_digest(room) for room in sorted({own, *COMPUTING})).encode()).hexdigest()
    root = path.parents[module.count(".") + (path.name == "__init__.py")]
    return _digest((file.relative_to(root).as_posix(), str(file)) for file in sorted(_imported(path, root)))


@cache
def _room_digest(name: str) -> str:
    """Of all files of a room of ours, data beside the code included."""
    room = OURS / name
    files = list(_below(str(room), name)) if room.is_dir() else [(name, str(room))]
    return _digest(sorted(files, key=lambda file: file[0].split("/")))


def _below(folder: str, named: str) -> Iterator[tuple[str, str]]:
    """Every file below a folder of this name: (its name, its path). By text: paths as objects cost four times as much,
    and a short command would do little else."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                if entry.name != "__pycache__":
                    yield from _below(entry.path, f"{named}/{entry.name}")
            elif entry.is_file():
                yield f"{named}/{entry.name}", entry.path


def _digest(files: Iterable[tuple[str, str]]) -> str:
    """SHA-256 over the names and contents of files, each given by its name and its path."""
    digest = sha256()
    for name, path in files:
        digest.update(f"{name}\n".encode() + sha256(_content(path)).digest())
    return digest.hexdigest()


def _content(path: str) -> bytes:
    """The bytes of a file; a file object costs as much as reading a small one twice."""
    number = os.open(path, os.O_RDONLY)
    try:
        content = part = os.read(number, AT_ONCE)
        while len(part) == AT_ONCE:  # of a file a shorter part is the last
            part = os.read(number, AT_ONCE)
            content += part
    finally:
        os.close(number)
    return content


def _imported(path: Path, root: Path) -> set[Path]:
    """The file and every file below `root` that it imports, directly or not."""
    found: set[Path] = set()
    waiting = [path]
    while waiting:
        file = waiting.pop()
        if file in found:
            continue
        found.add(file)
        for parts in _import_names(file, root):
            for size in range(1, len(parts) + 1):
                base = root.joinpath(*parts[:size])
                waiting += [p for p in (base.with_suffix(".py"), base / "__init__.py") if p.is_file()]
    return found


def _import_names(file: Path, root: Path) -> list[tuple[str, ...]]:
    """The dotted names that a file imports, relative ones resolved, as parts below `root`."""
    here = file.relative_to(root).parent.parts
    out: list[tuple[str, ...]] = []
    for node in ast.walk(ast.parse(file.read_bytes(), str(file))):
        if isinstance(node, ast.Import):
            out += [tuple(alias.name.split(".")) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = here[: len(here) - node.level + 1] if node.level else ()
            parts = (*base, *(node.module.split(".") if node.module else ()))
            out += [(*parts, alias.name) for alias in node.names]
    return out
