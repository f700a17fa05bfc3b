"""Locks of the operating system, one a target: a dead process holds nothing, and nobody trusts a pid file.

The file's text names the holders, a line each, for the message alone; the lock is `flock`.
"""

from __future__ import annotations

import fcntl
import json
import os
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tillage.core.errors import Locked

_WAIT = "Wait for it to end, or run again with --wait."


@contextmanager
def hold(
    folder: Path, targets: Iterable[str], *, wait: bool = False, shared: bool = False, fix: str = _WAIT
) -> Iterator[None]:
    """Hold the locks of `targets` (in sorted order); raises Locked, with its holder and `fix`, unless `wait`."""
    with ExitStack() as stack:
        for target in sorted(set(targets)):
            stack.enter_context(_hold_one(folder, target, wait, shared, fix))
        yield


@contextmanager
def _hold_one(folder: Path, target: str, wait: bool, shared: bool, fix: str) -> Iterator[None]:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{target.replace('%', '%25').replace('/', '%2F')}.lock"
    fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
        try:
            fcntl.flock(fd, kind if wait else kind | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Locked(
                f"'{target}' is being worked on by {_holder(path)}.",
                fix=fix,
            ) from None
        mine = json.dumps(
            {"pid": os.getpid(), "command": " ".join(sys.argv[:2]), "since": time.strftime("%Y-%m-%d %H:%M:%S")}
        )
        _write(fd, [*(_holders(fd) if shared else ()), mine])
        try:
            yield
        finally:
            rest = _holders(fd) if shared else []
            if mine in rest:
                rest.remove(mine)
            _write(fd, rest)
    finally:
        os.close(fd)


def _holders(fd: int) -> list[str]:
    """The lines of those who hold the lock and live; a killed holder's text outlives it."""
    size = os.fstat(fd).st_size
    return [line for line in os.pread(fd, size, 0).decode("utf-8", "replace").splitlines() if _alive(line)]


def _write(fd: int, lines: list[str]) -> None:
    """Name the holders; of two that write at once one may be left out, which costs a name in a message."""
    data = "".join(f"{line}\n" for line in lines).encode()
    os.ftruncate(fd, 0)
    os.pwrite(fd, data, 0)


def _alive(line: str) -> bool:
    try:
        os.kill(json.loads(line)["pid"], 0)
    except PermissionError:  # another user's process
        return True
    except (ValueError, KeyError, TypeError, OSError):
        return False
    return True


def _holder(path: Path) -> str:
    fd = os.open(path, os.O_RDONLY)
    try:
        lines = _holders(fd)
    finally:
        os.close(fd)
    named = [json.loads(line) for line in lines]
    return (
        " and ".join(
            f"process {who['pid']} since {who.get('since', 'some time')} ({who.get('command', '?')})" for who in named
        )
        or "another process"
    )
