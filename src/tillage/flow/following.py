"""Sources that must know what they gave last time to ask for what is new: a database by a cursor, a site by its stamps.

Files say by themselves what is there; a site answers "unchanged" only to one who names what it has. Such a source is
handed its objects as they were last read, and gives those that are there now; one that it gives back with the same
stamp is not opened. It may give a new object for what came since: of one key's records those of the object that sorts
last win, so that objects can follow one another like the pages of a log.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from tillage.core.errors import ConfigurationError
from tillage.core.step import Found, Source, State
from tillage.flow.stages import Stage
from tillage.store.catalog import load
from tillage.store.tables import Store


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

    def scan(self, root: Path) -> list[Found]:
        """What is there for one who has nothing yet."""
        return self.follow(root, ()).found


def look(source: Source, store: Store, stage: Stage, root: Path) -> Looked:
    """What a source holds now, whatever its kind; raises ConfigurationError for a table that lacks the key it needs."""
    if not isinstance(source, Following):
        return Looked(source.scan(root))
    if source.needs_key() and stage.table is not None and not stage.table.key:
        raise ConfigurationError(
            f"Table '{stage.target}' must name its key: a row of it that was updated comes again.",
            fix=f"Name the columns that identify a row: 'key' of table '{stage.target}'.",
        )
    rows = store.catalog.rows("SELECT * FROM sources WHERE stage = ? AND ended IS NULL ORDER BY path", stage.name)
    return source.follow(root, [Held(r["path"], load(r["stamp"]), load(r["state"])) for r in rows])
