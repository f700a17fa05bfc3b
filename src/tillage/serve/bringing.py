"""The log is brought into the prediction table by a process of its own: in the server's it would hold the interpreter.

A full segment is a second of work on texts and numbers, most of which holds the lock of the interpreter; each request
meanwhile would wait for it again and again. What such a process takes of memory is given back when it ends. It may
die at any moment: the commit says which segments it has brought. Cost: half a CPU second to start it.

Usage: python -m tillage.serve.bringing STORE SEGMENT
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from threading import Lock

from tillage.core.errors import TillageError
from tillage.flow.prediction_table import bring
from tillage.store.tables import Store

HELD = 3
"""Exit code where somebody holds the store: another look, another try."""

POLITE = 5
"""By how much it is nicer than the server: where both want a core, requests go first."""

log = logging.getLogger("tillage.serve")


class Bringing:
    """Brings segments into the table in processes, one at a time; in this one where none can be had.

    >>> import tempfile
    >>> store = Store(Path(tempfile.mkdtemp()))
    >>> Bringing()(store)
    True
    >>> store.close()
    """

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._changing = Lock()
        self._ended = False

    def __call__(self, store: Store, but: int = 0) -> bool:
        """As `prediction_table.bring` does it: false while someone holds the store, or after `end`."""
        process = self._start(store, but)
        if process is not None:
            code = process.wait()
            if code in (0, HELD):
                return code == 0
            if not self._ended:
                log.warning("the process that brings the log into the table ended with %s; it is done here", code)
        # what went wrong there is told by its own error here
        return not self._ended and bring(store, but)

    def _start(self, store: Store, but: int) -> subprocess.Popen[bytes] | None:
        """The process; None where there can be none."""
        command = [sys.executable, "-m", "tillage.serve.bringing", str(store.root), str(but)]
        around = {**os.environ, "POLARS_MAX_THREADS": "1"}
        with self._changing:
            if self._ended:
                return None
            try:
                self._process = subprocess.Popen(  # noqa: S603 - our own command, and no shell
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    env=around,
                    close_fds=False,  # none of ours is inherited anyway; so it needs no pipes to be started
                )
            except OSError as error:
                log.warning("a process cannot be started: %s", error.strerror)
                return None
            return self._process

    def end(self) -> None:
        """Begin none any more, and end the one that works; what it has not brought, the next one brings."""
        with self._changing:
            self._ended = True
            if self._process is not None:
                self._process.kill()
                self._process.wait()


def main(root: str, but: str) -> int:
    """Bring every segment of a store but one; the exit code."""
    with suppress(PermissionError):  # who runs it by hand has done so
        os.setsid()  # Ctrl-C is for the server, which ends it
    os.nice(POLITE)
    store = Store(Path(root))
    try:
        return 0 if bring(store, int(but)) else HELD
    finally:
        store.close()


if __name__ == "__main__":
    try:
        sys.exit(main(*sys.argv[1:]))
    except TillageError as failed:
        sys.exit(str(failed))


__all__ = ["Bringing", "main"]
