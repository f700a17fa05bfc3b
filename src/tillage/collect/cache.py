"""Columns of files that were just observed, so that reading them next does not parse them twice.

At most 64 MB for the process. What comes first stays and is given out once: in a run over more files than fit, the
first ones are spared the second parse (with eviction of the oldest, none would be).
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

import numpy.typing as npt
import polars as pl

from tillage.collect.types import Column
from tillage.core.step import BadRecord

ROOM = 64 << 20


@dataclass
class Parsed:
    """Columns of a piece of a file in the types that it needs by itself, its record numbers, its bad records."""

    frame: pl.DataFrame
    columns: dict[str, Column]
    numbers: npt.NDArray[Any]
    bad: list[BadRecord]

    def size(self) -> int:
        """Bytes, about."""
        return int(self.frame.estimated_size()) + self.numbers.nbytes + sum(len(b.raw) + 500 for b in self.bad)


@dataclass
class Cache:
    """Files, each as the list of its pieces; one seen again under another stamp replaces its older self.

    >>> cache = Cache(room=0)
    >>> cache.put("a.csv", ("a.csv", 1), [Parsed(pl.DataFrame({"x": [1]}), {}, pl.Series([0]).to_numpy(), [])])
    >>> cache.take("a.csv", ("a.csv", 1)) is None
    True
    """

    room: int = ROOM
    _held: dict[Hashable, tuple[Hashable, list[Parsed], int]] = field(default_factory=dict)
    _used: int = 0
    _lock: Any = field(default_factory=Lock)

    def put(self, place: Hashable, stamp: Hashable, pieces: list[Parsed]) -> None:
        """Keep it if there is room."""
        size = sum(piece.size() for piece in pieces)
        with self._lock:
            self._drop(place)
            if self._used + size <= self.room:
                self._held[place] = (stamp, pieces, size)
                self._used += size

    def spare(self) -> int:
        """Bytes for which there is room."""
        return self.room - self._used

    def take(self, place: Hashable, stamp: Hashable) -> list[Parsed] | None:
        """Give it out, once, if it is there and of this stamp."""
        with self._lock:
            found = self._drop(place)
        return found[1] if found and found[0] == stamp else None

    def _drop(self, place: Hashable) -> tuple[Hashable, list[Parsed], int] | None:
        found = self._held.pop(place, None)
        if found:
            self._used -= found[2]
        return found
