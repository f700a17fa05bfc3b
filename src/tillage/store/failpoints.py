"""Named places at which a test may kill the process or make a write fail, so that every crash can be tried.

Off unless TILLAGE_FAILPOINT is set: `NAME` kills at the first passage, `NAME:3` at the third, `NAME:3:ENOSPC`
raises that OSError there. A passage costs one dictionary look-up.
"""

from __future__ import annotations

import errno
import os
import signal
from collections import Counter
from threading import Lock

POINTS = (
    "object.open",
    "object.write",
    "object.fsync",
    "object.rename",
    "object.folder",
    "memo.commit",
    "version.begin",
    "version.chunks",
    "version.commit",
    "version.after",
    "gc.begin",
    "gc.file",
    "gc.after",
    "purge.rewritten",
    "purge.commit",
    "purge.vacuum",
    "compact.commit",
    "forget.begin",
    "forget.decided",
    "forget.stage",
    "forget.purged",
    "forget.ended",
)
"""Every failpoint; a test kills at each and fails when one is never reached."""

_armed = os.environ.get("TILLAGE_FAILPOINT", "")
_passed: Counter[str] = Counter()
_lock = Lock()


def reach(name: str) -> None:
    """Pass the point `name`: nothing happens unless it is armed."""
    if _armed:
        _fire(name)


def _fire(name: str) -> None:
    point, _, rest = _armed.partition(":")
    if point not in (name, "any"):
        return
    count, _, error = rest.partition(":")
    with _lock:
        _passed[point] += 1
        due = _passed[point] == int(count or 1)
    if due and error:
        code = getattr(errno, error)
        raise OSError(code, os.strerror(code), f"failpoint {name}")
    if due:
        os.kill(os.getpid(), signal.SIGKILL)
