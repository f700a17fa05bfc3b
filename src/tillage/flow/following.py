"""Sources that must know what they gave last time to ask for what is new: a database by a cursor, a site by its stamps.

Files say by themselves what is there; a site answers "unchanged" only to one who names what it has. Such a source is
handed its objects as they were last read, and gives those that are there now; one that it gives back with the same
stamp is not opened. It may give a new object for what came since: of one key's records those of the object that sorts
last win, so that objects can follow one another like the pages of a log. What a stream gave may be gone there when it
is asked for again (`Expired`): then the rows that were made of it stay, and are all there is.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import polars as pl

from tillage.core.errors import ConfigurationError, InputMissing, TillageError
from tillage.core.step import Batch, Found, Source, State
from tillage.flow.stages import Stage
from tillage.store.catalog import load
from tillage.store.tables import Store


class Expired(InputMissing):
    """An object that was read cannot be had again, as is the way of streams; its rows stay as they are."""


@dataclass(frozen=True)
class Held:
    """An object as it was last read: `state` is what `observe` said of it."""

    path: str
    stamp: dict[str, Any]
    state: Any


@dataclass(frozen=True)
class Looked:
    """What is there now, sorted by path, and what the user should know of how it was found."""

    found: list[Found]
    notes: tuple[str, ...] = ()


class Following(Source):
    """A source that looks for what is new since what it gave last.

    Looking takes a database or a site its time, so that it is done at the run and not to foretell one, unless `cheap`.
    """

    cheap: ClassVar[bool] = True
    """Whether to look costs next to nothing."""

    @abstractmethod
    def follow(self, root: Path, held: Sequence[Held]) -> Looked:
        """What is there now, given what was read from it. Raises InputMissing when nothing is there."""

    def notes(self, states: Sequence[State]) -> tuple[str, ...]:
        """What is to be known of the rows, from the states of all live objects: what is not seen, what is changed."""
        return ()

    def masked(self, held: Sequence[Held], named: Collection[str]) -> list[Held]:
        """The objects as they stay on record once rows are forgotten that stood in those `named`: no name, stamp or
        state may show a value of a row. `follow` and `read` are given what this returned."""
        return list(held)

    def needs_key(self) -> bool:
        """Whether a record can come again in another object, so that its table must name a key."""
        return False

    def identified(self) -> tuple[Self, tuple[str, ...]]:
        """The source as a table without a key of its own reads it, and the columns that identify a row of it then."""
        return self, ()

    def recast(self, rows: pl.DataFrame, records: pl.Series, schema: Mapping[str, str]) -> Batch:
        """Rows that were made of an object which has expired, and their record numbers, in the types of `schema`."""
        raise TypeError(f"{type(self).__name__} has no objects that expire")

    def settled(self, root: Path, paths: Sequence[str]) -> None:
        """What it gave is in the store: the objects at these paths, newly read. It may tell those who sent it."""

    def scan(self, root: Path) -> list[Found]:
        """What is there for one who has nothing yet."""
        return self.follow(root, ()).found


def identified(source: Source | None, key: tuple[str, ...]) -> tuple[Source | None, tuple[str, ...]]:
    """The source of a table and its key: the one that the plan names, or else the source's own.

    >>> identified(None, ("id",))
    (None, ('id',))
    """
    return source.identified() if isinstance(source, Following) and not key else (source, key)


def look(source: Source, store: Store, stage: Stage, root: Path) -> Looked:
    """What a source holds now, whatever its kind; raises ConfigurationError for a table that lacks the key it needs.

    Whatever goes wrong names the table: a database that several are read from says the same of all.
    """
    try:
        return _looked(source, store, stage, root)
    except TillageError as error:
        error.at(f"Table '{stage.target}'")
        raise


def _looked(source: Source, store: Store, stage: Stage, root: Path) -> Looked:
    if not isinstance(source, Following):
        return Looked(source.scan(root))
    if source.needs_key() and stage.table is not None and not stage.table.key:
        raise ConfigurationError(
            f"Table '{stage.target}' must name its key: a row of it that was updated comes again.",
            fix=f"Name the columns that identify a row: 'key' of table '{stage.target}'.",
        )
    rows = store.catalog.rows("SELECT * FROM sources WHERE stage = ? AND ended IS NULL ORDER BY path", stage.name)
    return source.follow(root, [Held(r["path"], load(r["stamp"]), load(r["state"])) for r in rows])
