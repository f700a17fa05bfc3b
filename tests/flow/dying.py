"""Runs of a project that are cut off: a server that has imported everything and forks one process a run.

A line of JSON in, `{"folder", "failpoint", "cpu_s"}`; a line out, `{"signal", "code", "cpu_s", "passed"}`. A fork
spares each run a second of imports; nothing is computed before it, so the child starts with no thread but its own.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
import traceback
from pathlib import Path
from typing import Any

import tillage.face.rooms
from tillage.core import TillageError
from tillage.flow import chunking, compact, results
from tillage.store import failpoints, index, locate, objects, tables

tillage.face.rooms.registry()

UNAVAILABLE = 69


def shrink() -> None:
    """The sizes of `world.small_chunks`, for a process without pytest."""
    chunking.LEAST_ROWS, chunking.MOST_CHUNKS = 5, 8
    index.PAGE_ROWS, index.MANY_DELTAS = 4, 3
    locate.MANY_RUNS = 2
    objects.SMALL = 1200
    results.NEIGHBOURS = 2
    compact.SLACK = 6


def live(order: dict[str, Any], report: int) -> None:
    """Bring the project up to date, and perhaps die of it."""
    shrink()
    armed: Any = order.get("failpoint") or "nowhere"
    failpoints._armed = armed
    seen: list[str] = []
    if order.get("list"):
        for module in (objects, tables, compact):
            vars(module)["reach"] = seen.append
    if order.get("cpu_s"):
        # SIGPROF's default action ends a process at once, as SIGKILL does, and its clock runs only while this one does.
        signal.signal(signal.SIGPROF, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_PROF, order["cpu_s"])
    began = resource.getrusage(resource.RUSAGE_SELF)
    with tillage.face.rooms.project(Path(order["folder"])) as p:
        p.run()
    ended = resource.getrusage(resource.RUSAGE_SELF)
    spent = ended.ru_utime + ended.ru_stime - began.ru_utime - began.ru_stime
    os.write(report, json.dumps({"cpu_s": spent, "passed": seen}).encode())


def serve() -> None:
    for line in sys.stdin:
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            code = 0
            try:
                live(json.loads(line), write)
            except TillageError as error:
                code = error.exit_code
                if code != UNAVAILABLE:
                    traceback.print_exc()
            except BaseException:
                traceback.print_exc()
                code = 1
            os._exit(code)
        os.close(write)
        with os.fdopen(read) as pipe:
            told = pipe.read()
        _, status = os.waitpid(child, 0)
        ended = {"signal": os.WTERMSIG(status)} if os.WIFSIGNALED(status) else {"code": os.WEXITSTATUS(status)}
        print(json.dumps({**ended, **(json.loads(told) if told else {})}), flush=True)


if __name__ == "__main__":
    serve()
