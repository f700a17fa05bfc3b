"""A command as a child process, and what it cost: CPU seconds of it and all its descendants, peak memory, time.

`wait4` gives the usage of exactly this child with those that it waited for. The parent must stay small: the kernel
counts the parent's memory at the fork into the child's peak, so no figure imports polars or numpy into itself.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
BENCHMARKS = Path(__file__).parent
TILLAGE = ("-m", "tillage.face.main")


@dataclass(frozen=True)
class Used:
    """What a child cost; `cpu` and `wall` in seconds, `peak` in MB (2^20 bytes)."""

    cpu: float
    peak: float
    wall: float
    out: str


STARTS = 7
"""Starts of which the cheapest is taken, where what is measured is less than what one start costs more than another."""


def least(runs: Sequence[Used]) -> Used:
    """The run of least CPU: whatever else the machine does adds to the same work, and never takes away."""
    return min(runs, key=lambda used: used.cpu)


def python(*arguments: str | Path, cwd: Path | None = None) -> Used:
    """Run `python ARGUMENTS` with the project on its path and a fixed key; RuntimeError with its words if it fails."""
    return run([sys.executable, *map(str, arguments)], cwd)


def tillage(*arguments: str, cwd: Path, code: int = 0) -> Used:
    """Run `tillage ARGUMENTS` in a folder; RuntimeError with its words if it ends with another exit code."""
    return run([sys.executable, *TILLAGE, *arguments], cwd, code)


def compiled() -> None:
    """Make the byte code of the project, as an installation has it."""
    python("-m", "compileall", "-q", ROOT / "src" / "tillage")


def run(command: Sequence[str], cwd: Path | None = None, code: int = 0) -> Used:
    """Run a command; its standard output is kept. RuntimeError with its words when it ends with another exit code."""
    path = os.pathsep.join(p for p in (str(ROOT / "src"), os.environ.get("PYTHONPATH")) if p)
    environment = {**os.environ, "PYTHONPATH": path, "TILLAGE_KEY": "ab" * 32, "PYTHONHASHSEED": "0"}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # an installation has byte code, so the figures have it too
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as errors:
        begun = time.monotonic()
        started = subprocess.Popen(command, cwd=cwd, env=environment, stdout=out, stderr=errors)
        _, status, used = os.wait4(started.pid, 0)
        wall = time.monotonic() - begun
        started.returncode = os.waitstatus_to_exitcode(status)  # so that Popen does not wait for it again
        out.seek(0)
        errors.seek(0)
        said, failed = out.read().decode(errors="replace"), errors.read().decode(errors="replace")
    if started.returncode != code:
        raise RuntimeError(f"{' '.join(command)} ended with {started.returncode}:\n{said[-2000:]}{failed[-4000:]}")
    return Used(used.ru_utime + used.ru_stime, used.ru_maxrss / 1024, wall, said)
