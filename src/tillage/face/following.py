"""`run --follow`: a plan whose sources grow is run again as they change, a line a turn, until it is told to end.

Sources are looked at by their stamps before each turn. So nothing is left out: a change that comes while a turn runs
differs from what was seen before it, and makes the next one. Cost: a look at the stamps each time; a database or a site
is asked, so give these a longer `--every`.
"""

from __future__ import annotations

import re
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from tillage.face.screen import Screen, many

if TYPE_CHECKING:
    from tillage.flow.run import Outcome, Project

EVERY = 2.0
"""Seconds between two looks."""

FAILED = 10
_SPAN = re.compile(r"([1-9][0-9]{0,5})([smhd])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}

Turn = Callable[[], tuple[dict[str, Any], "Outcome | None"]]


def seconds_of(span: str) -> float:
    """A span of time in seconds; UsageError for what is none.

    >>> seconds_of("90s"), seconds_of("2h")
    (90.0, 7200.0)
    """
    from tillage.core.errors import UsageError

    found = _SPAN.fullmatch(span)
    if found is None:
        raise UsageError(f"'{span}' is no span of time.", fix="Write it like 90s, 10m, 2h or 1d.")
    return float(int(found[1]) * _SECONDS[found[2]])


def follow(project: Project, screen: Screen, turn: Turn, *, seconds: float | None, every: float) -> int:
    """Run at once and after each change of a source, until SIGTERM, Ctrl-C or the end of `seconds`; the exit code.

    A run under way is finished. The code is that of the last turn: 0, 10 when expectations failed, or the error's.
    """
    end = time.monotonic() + seconds if seconds is not None else None
    code = turns = 0
    with _told_to_end() as stop:
        seen: Any = None
        while not stop.is_set() and (end is None or time.monotonic() < end):
            now = stamps(project)
            if now == seen:
                stop.wait(every if end is None else max(0.0, min(every, end - time.monotonic())))
                continue
            seen = now
            began = time.monotonic()
            value, outcome = _tried(turn)
            code = _told(screen, turns + 1, value, outcome, time.monotonic() - began)
            turns += 1
    screen.say(f"Ended after {many(turns, 'turn')}.")
    return code


def _tried(turn: Turn) -> tuple[dict[str, Any], Outcome | None]:
    """A turn; an error of the data, the plan or the machine is told, and the next change is waited for."""
    from tillage.core.errors import TillageError
    from tillage.face.failure import described

    try:
        return turn()
    except TillageError as error:
        return {"error": described(error)}, None


def stamps(project: Project) -> dict[str, Any]:
    """What the sources hold now, by their stamps; where one cannot be looked at, why."""
    from tillage.core.errors import TillageError
    from tillage.flow.following import look
    from tillage.flow.survey import source_of

    found: dict[str, Any] = {}
    for stage in project.stages.values():
        if stage.kind == "source":
            try:
                looked = look(source_of(stage), project.store, stage, project.plan.root)
                found[stage.name] = {one.path: one.stamp for one in looked.found}
            except TillageError as error:  # the turn tells it; the next look may find it
                found[stage.name] = error.message
    return found


def _told(screen: Screen, turn: int, value: dict[str, Any], outcome: Outcome | None, seconds: float) -> int:
    """One line of what a turn did; its exit code."""
    from datetime import datetime

    at = datetime.now().astimezone().strftime("%H:%M:%S")
    error = value.get("error")
    failed = list(outcome.failed) if outcome is not None else []
    changed = list(dict.fromkeys(name.partition("/")[0] for name in outcome.changed)) if outcome is not None else []
    rows = sum(outcome.touched.values()) if outcome is not None else 0
    if error is not None:
        did = f"error: {error['message']}"
    elif not changed:
        did = "nothing new"
    else:
        did = f"{', '.join(changed)}; {many(rows, 'row')} read"
    if failed:
        did += f"; expectations failed: {', '.join(failed)}"
    screen.line(f"{at}  turn {turn}  {did}  ({seconds:.1f} s)")
    told: dict[str, Any] = {"schema": "tillage.turn/1", "turn": turn, "changed": changed, "rows": rows}
    told |= {"failed": failed, "seconds": round(seconds, 3), **({"error": error} if error is not None else {})}
    screen.result(told)
    return int(error["exit_code"]) if error is not None else FAILED if failed else 0


@contextmanager
def _told_to_end() -> Iterator[threading.Event]:
    """An event that SIGTERM and Ctrl-C set, in the place of what they do otherwise."""
    stop = threading.Event()
    before = {number: signal.signal(number, lambda *_: stop.set()) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
