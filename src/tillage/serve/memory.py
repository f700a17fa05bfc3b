"""A budget of memory: a version whose loading takes the server beyond it does not answer, and the one before goes on.

What counts is the resident memory of the process, libraries and all, since that is what a machine runs out of. During a
swap both versions are held, so a budget must have room for the largest model twice.
"""

from __future__ import annotations

import gc
import os
from dataclasses import dataclass
from pathlib import Path

from tillage.core.errors import UsageError


@dataclass(frozen=True)
class Budget:
    """How much memory the server may hold."""

    megabytes: int | None = None
    """Of 10^6 bytes; None: as much as there is."""

    def hold(self, model: str, version: int) -> None:
        """Raise UsageError when a version that was just loaded is too much.

        >>> Budget().hold("intent", 3), Budget(1_000_000).hold("intent", 3)
        (None, None)
        >>> Budget(1).hold("intent", 3)
        Traceback (most recent call last):
        tillage.core.errors.UsageError: With version 3 of 'intent' the server holds ... MB, more than --memory 1. ...
        """
        if self.megabytes is None or resident() <= self.megabytes:
            return
        gc.collect()
        if (held := resident()) > self.megabytes:
            raise UsageError(
                f"With version {version} of '{model}' the server holds {held:,} MB, more than "
                f"--memory {self.megabytes}.",
                fix="Raise it, or take services or models out of the plan that is served.",
            )


def resident() -> int:
    """Megabytes of memory that this process holds.

    >>> resident() > 1
    True
    """
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") // 1_000_000
