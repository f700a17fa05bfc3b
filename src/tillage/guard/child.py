"""Processes of ours that open strangers' bytes: what they are told of the world, which is no secret, and their end."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import suppress

_HANDED_ON = ("PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "SYSTEMROOT", "TMPDIR")


def bare_environment() -> dict[str, str]:
    """The environment for such a process: the search paths of this one, one thread; no key, no password, no token.

    >>> "TILLAGE_KEY" in bare_environment()
    False
    """
    around = {name: os.environ[name] for name in _HANDED_ON if name in os.environ}
    around |= {"OPENBLAS_NUM_THREADS": "1", "POLARS_MAX_THREADS": "1"}
    return around | {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}


def end(process: subprocess.Popen[bytes]) -> None:
    """Kill a process, wait for its end and close its pipes, whatever state it is in.

    >>> idle = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    >>> end(idle)
    >>> idle.returncode
    -9
    """
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with suppress(OSError):
                pipe.close()
