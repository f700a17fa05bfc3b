"""What a run tells while it runs: the stage, how much of it is done, the rate and the time left.

The runner reports facts; who listens (a terminal, a test, nobody) decides what is shown.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass
class Progress:
    """The stage at work: `done` of `total` rows."""

    stage: str
    total: int
    done: int = 0
    note: str = ""
    started: float = field(default_factory=time.monotonic)

    @property
    def rate(self) -> float:
        """Rows per second so far."""
        return self.done / max(time.monotonic() - self.started, 1e-6)

    @property
    def left(self) -> float | None:
        """Seconds until the stage is done at this rate; None before the first rows."""
        return max(self.total - self.done, 0) / self.rate if self.done else None


Listener = Callable[[Progress], None]


def silent(_: Progress) -> None:
    """Nobody listens."""
