"""Entries of a chunk for the Wholes that will ask for them, made while its rows are still in memory.

To read a chunk back and decode it costs more than most entries do. They are held and not remembered: a run that was
killed makes them of the chunk, as does one that has no room for more of them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from threading import Lock

import polars as pl

from tillage.core.rows import ID, PARENT, drop_columns
from tillage.core.step import Whole
from tillage.flow.recall import cleaned
from tillage.flow.stages import Stage

MOST_BYTES = 128 << 20
"""Entries are held up to this size in all."""


@dataclass(frozen=True)
class Entered:
    """What a Whole needs to know of rows: their ids, with `_parent` where that counts, and their entries."""

    ids: pl.DataFrame
    entries: pl.DataFrame


def entered(stage: Stage, rows: pl.DataFrame) -> Entered:
    """The entries of these rows, without what the step reads again."""
    step = stage.step
    if not isinstance(step, Whole):
        raise TypeError(stage.name)
    again = step.recalled() if step.reads_again() else ()
    own = [PARENT] if stage.children and not stage.first else []
    return Entered(rows[[ID, *own]], drop_columns(step.entries(cleaned(stage, rows)), *again))


class Readied:
    """The entries held for the stages of a run, by stage and object.

    >>> Readied(["clean"]).take("clean", "a/b.parquet") is None
    True
    """

    def __init__(self, wanted: Iterable[str] = ()) -> None:
        """`wanted`: the stages that the run brings up to date."""
        self._wanted = frozenset(wanted)
        self._held: dict[tuple[str, str], Entered] = {}
        self._room = MOST_BYTES
        self._lock = Lock()

    def wants(self, stage: Stage) -> bool:
        """Whether this is a Whole of the run that follows changes row by row."""
        follows = isinstance(stage.step, Whole) and stage.step.incremental
        return stage.kind == "whole" and follows and len(stage.inputs) == 1 and stage.name in self._wanted

    def make(self, stage: Stage, name: str, rows: pl.DataFrame) -> None:
        """Make the entries of all rows of the object of this name, while there is room."""
        if self._room > 0:
            made = entered(stage, rows)
            with self._lock:
                self._held[stage.name, name] = made
                self._room -= int(made.entries.estimated_size() + made.ids.estimated_size())

    def take(self, stage: str, name: str) -> Entered | None:
        """The entries of all rows of an object, once."""
        with self._lock:
            made = self._held.pop((stage, name), None)
            if made is not None:
                self._room += int(made.entries.estimated_size() + made.ids.estimated_size())
        return made
