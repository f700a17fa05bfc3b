"""The progress of a run on stderr: a bar with rate and time left on a terminal, now and then a line elsewhere."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from tillage.face.screen import printable

if TYPE_CHECKING:
    from tillage.flow.progress import Progress

EVERY = 10.0
"""Seconds between two lines where there is no terminal."""


class Watching:
    """What a project tells while it runs goes to `listen`; as a context it takes the bar away at the end."""

    def __init__(self, every: float = EVERY) -> None:
        self.every = every
        self._last = time.monotonic()
        self._bar: Any = None
        self._tasks: dict[str, Any] = {}

    def __enter__(self) -> Self:
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, TextColumn
            from rich.progress import Progress as Bar

            self._bar = Bar(
                TextColumn("{task.description}", markup=False),
                BarColumn(bar_width=None),
                TextColumn("{task.fields[said]}", markup=False),
                console=Console(stderr=True),
                transient=True,
                expand=True,
            )
            self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        if self._bar is not None:
            self._bar.stop()

    def listen(self, progress: Progress) -> None:
        """One more piece is done."""
        if self._bar is not None:
            self._show(progress)
        elif time.monotonic() - self._last >= self.every:
            self._last = time.monotonic()
            print(f"{_name(progress)}: {said(progress)}", file=sys.stderr, flush=True)  # noqa: T201

    def _show(self, progress: Progress) -> None:
        name = _name(progress)
        if name not in self._tasks:
            self._tasks[name] = self._bar.add_task(name, total=progress.total or None, said="")
        self._bar.update(self._tasks[name], completed=progress.done, said=said(progress))


def _name(progress: Progress) -> str:
    return printable(progress.note or progress.stage)


def said(progress: Progress) -> str:
    """`500 of 1,000 rows, 250 a second, 2 s left`."""
    left = progress.left
    parts = [f"{progress.done:,} of {progress.total:,} rows", f"{progress.rate:,.0f} a second"]
    if left is not None and progress.done < progress.total:
        parts.append(f"{duration(left)} left")
    return ", ".join(parts)


def duration(seconds: float) -> str:
    """Seconds as people say them.

    >>> [duration(s) for s in (0.4, 59, 150, 7300)]
    ['1 s', '59 s', '3 min', '2 h 2 min']
    """
    if seconds < 60:
        return f"{max(1, round(seconds))} s"
    minutes = -(-int(seconds) // 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
