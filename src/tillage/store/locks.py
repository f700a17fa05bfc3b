"""Locks of the operating system, one a target: a dead process holds nothing, and nobody trusts a pid file.

The file's text names the holder for the message alone; the lock is `flock`.
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


@contextmanager
def hold(folder: Path, targets: Iterable[str], *, wait: bool = False, shared: bool = False) -> Iterator[None]:
    """Hold the locks of `targets` (taken in sorted order); raises Locked naming the holder unless `wait`."""
    with ExitStack() as stack:
        for target in sorted(set(targets)):
            stack.enter_context(_hold_one(folder, target, wait, shared))
        yield


@contextmanager
def _hold_one(folder: Path, target: str, wait: bool, shared: bool) -> Iterator[None]:
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
                fix="Wait for it to end, or run again with --wait.",
            ) from None
        who = {"pid": os.getpid(), "command": " ".join(sys.argv[:2]), "since": time.strftime("%Y-%m-%d %H:%M:%S")}
        os.ftruncate(fd, 0)
        os.pwrite(fd, json.dumps(who).encode(), 0)  # of several that share it, the last to come is named
        try:
            yield
        finally:
            if not shared:
                os.ftruncate(fd, 0)
    finally:
        os.close(fd)


def _holder(path: Path) -> str:
    try:
        who = json.loads(path.read_text() or "{}")
        os.kill(who["pid"], 0)  # a killed holder's text outlives it
        return f"process {who['pid']} since {who['since']} ({who['command']})"
    except (ValueError, KeyError, TypeError, OSError):
        return "another process"
