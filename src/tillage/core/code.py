"""The code that a step stands on, as one digest: an edit that could change a result must show in its fingerprint.

A step of ours stands on its room, whole, and on the rooms that compute for it. A user's step stands on its own file
and on the project's files that it imports, however indirectly; installed libraries count by the lock, not here. A file
is read once a process.
"""

from __future__ import annotations

import ast
import sys
from functools import cache
from hashlib import sha256
from pathlib import Path

OURS = Path(__file__).resolve().parents[1]
COMPUTING = ("core", "measure", "text", "media", "onnx")
"""Rooms whose functions make values: an edit there may change what any step gives."""


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
    return _digest(root, sorted(_imported(path, root)))


@cache
def _room_digest(name: str) -> str:
    """Of all files of a room of ours, data beside the code included."""
    room = OURS / name
    files = (p for p in room.rglob("*") if p.is_file() and "__pycache__" not in p.parts) if room.is_dir() else [room]
    return _digest(OURS, sorted(files))


def _digest(root: Path, files: list[Path]) -> str:
    digest = sha256()
    for file in files:
        digest.update(f"{file.relative_to(root).as_posix()}\n".encode())
        digest.update(sha256(file.read_bytes()).digest())
    return digest.hexdigest()


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
