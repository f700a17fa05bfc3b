"""What a process of ours that opens strangers' bytes is told of the world: where things lie, and no secret."""

from __future__ import annotations

import os
import sys

_HANDED_ON = ("PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "SYSTEMROOT", "TMPDIR")


def bare_environment() -> dict[str, str]:
    """The environment for such a process: the search paths of this one, one thread; no key, no password, no token.

    >>> "TILLAGE_KEY" in bare_environment()
    False
    """
    around = {name: os.environ[name] for name in _HANDED_ON if name in os.environ}
    around |= {"OPENBLAS_NUM_THREADS": "1", "POLARS_MAX_THREADS": "1"}
    return around | {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
