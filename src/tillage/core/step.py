"""The kinds of step. A step's kind says what a change of its input costs, and how it spreads over machines.

    Map     rows -> rows, each on its own            new rows cost themselves; a lost row is filtered out
    Fold    rows -> result, in any order             new rows are merged in; a lost row redoes its chunk
    Fit     rows -> result, each once, in order      new rows continue; a lost row replays
    Group   rows of one key -> rows                  the touched keys
    Whole   everything -> rows or a result           recompute; `change`, or the touched shards, where the step has them
    Source  a cursor -> upserts and removals

A step is a frozen model: its fields are its parameters, each declared once with default, bounds and meaning.
State is a value and never lives in the step.
"""

from __future__ import annotations

import hashlib
import json
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol, TypeAlias, TypeVar

import polars as pl
from pydantic import BaseModel, ConfigDict, Field

from tillage.core.code import source_digest
from tillage.core.keys import fraction
from tillage.core.rows import ID
from tillage.core.state import State


def snake_case(name: str) -> str:
    """The name of a class as plans write it.

    >>> snake_case("DropDuplicates")
    'drop_duplicates'
    """
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


class Step(BaseModel, ABC):
    """A named computation with declared parameters; equal fingerprints mean equal results."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", arbitrary_types_allowed=True, ser_json_inf_nan="constants", defer_build=True
    )

    version: ClassVar[int] = 1
    """Raised when the same parameters come to give a different result."""

    ports: ClassVar[tuple[str, ...]] = ("rows",)
    """Names of the inputs."""

    makes_children: ClassVar[bool] = False
    """True when `apply`, or that of the Map which a fitted step returns, may return rows that were not there, each with
    its `_parent`."""

    synthetic: ClassVar[bool] = False
    """True when rows are made up or left out for training's sake alone: children then carry `_origin`, never test, and
    never train where their origin tests; a row that is scored passes the step over."""

    @classmethod
    def name(cls) -> str:
        """The name in plans: the class name in snake case (`DropDuplicates` is `drop_duplicates`)."""
        return snake_case(cls.__name__)

    def params(self) -> dict[str, Any]:
        """The parameters as plain JSON values."""
        return json.loads(self.model_dump_json())  # type: ignore[no-any-return]

    def fingerprint(self) -> str:
        """128 bits in hexadecimal over name, version, parameters and source; the same on every machine."""
        cls = type(self)
        spec = [cls.__module__, cls.__qualname__, cls.version, self.params(), source_digest(cls.__module__)]
        return hashlib.sha256(json.dumps(spec, sort_keys=True).encode()).hexdigest()[:32]

    def needs(self) -> tuple[str, ...]:
        """The columns that the step needs to find; `check` reports those that its table lacks."""
        return ()

    def fit(self, rows: Any) -> Any:
        """`rows.fit(self)`: a learner may be asked as well as the rows of a pipeline (`flow.pipeline.Rows`)."""
        return rows.fit(self)


class Map(Step):
    """Each row on its own."""

    @abstractmethod
    def apply(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Rows in (`_id` and the user's columns), rows out.

        A row that leaves is returned marked (`core.rows.leave`); a child carries `_parent` and an id of
        `core.keys.child_ids`. No row may influence another, none may be lost, and no `_id` invented.
        """

    def may_remark(self) -> bool:
        """Whether `remarks` may have something to say; rows are read for that."""
        return False

    def remarks(self, rows: pl.DataFrame) -> tuple[str, ...]:
        """What its owner should hear of rows such as these, some of those that came out: what it left as it was."""
        return ()


class Fitted(Map):
    """A Map that a Fold, Fit or Whole returned: a fitted scaler, a vocabulary, a trained model.

    It is its state: saved with `core.state`, loaded by name, and the same in a plan, a file and a server.
    """

    state: dict[str, Any]

    def params(self) -> dict[str, Any]:
        """The digest of the state stands for it, so that a fingerprint follows what was learnt."""
        from tillage.core.state import digest

        return {"state": digest(self.state)}

    def notes(self) -> tuple[str, ...]:
        """What its owner should hear of what was learnt, such as a column that had nothing to learn from."""
        return ()


class Fold(Step):
    """A summary whose states can be merged in any order, exactly."""

    @abstractmethod
    def start(self) -> State:
        """The state before any row; the identity of `merge`."""

    @abstractmethod
    def update(self, state: State, rows: pl.DataFrame) -> State:
        """The state after `rows`; `state` itself is left as it was."""

    @abstractmethod
    def merge(self, a: State, b: State) -> State:
        """The state of two disjoint sets of rows: associative, commutative; neither argument is changed."""

    @abstractmethod
    def finish(self, state: State) -> Result:
        """The result: a Map, a verdict, or numbers."""


@dataclass(frozen=True)
class Beside:
    """What the result of a Fold is judged by, beside its own rows: the result of another Fold."""

    step: Fold
    """Its result is a dict of numbers and arrays."""
    table: str | None = None
    """The table whose rows it sees; None: those that the Fold itself sees."""
    version: int | None = None
    """The version of the Fold's own table at which it stays; None: it follows its rows."""
    columns: tuple[str, ...] = ()
    """The columns of `table` that it looks at."""
    place: tuple[str | int, ...] = ()
    """Where the Fold's parameters ask for it, for messages."""


class Comparing(Fold):
    """A Fold whose result depends on other rows as well: of another table, or of an earlier version of its own.

    What is beside it is folded by itself, so each follows its own changes, and only `finish` sees both.
    """

    @abstractmethod
    def beside(self) -> tuple[Beside, ...]:
        """What the result is judged by, always in the same order."""

    @abstractmethod
    def finish_beside(
        self, state: State, beside: Sequence[Result], rows: Callable[[], Iterator[pl.DataFrame]]
    ) -> Result:
        """The result, from the state and the results of `beside`, in their order.

        `rows()` reads the own rows again, chunk by chunk, for what a state is too small to hold.
        """

    def finish(self, state: State) -> Result:
        """The result where nothing is beside it."""
        return self.finish_beside(state, (), lambda: iter(()))


class Fit(Step):
    """A summary of rows taken each once, in the recorded order."""

    @abstractmethod
    def start(self) -> State:
        """The state before any row."""

    @abstractmethod
    def update(self, state: State, rows: pl.DataFrame) -> State:
        """The state after `rows`; `state` itself is left as it was."""

    @abstractmethod
    def finish(self, state: State) -> Result:
        """The result: a Map, a verdict, or numbers."""


class Group(Step):
    """Rows of one key become rows; keys do not know of each other."""

    @abstractmethod
    def key(self, rows: pl.DataFrame, port: str) -> tuple[str, ...]:
        """The columns of `rows` that make the key."""

    @abstractmethod
    def apply(self, rows: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
        """Output rows of any number of complete keys, by port; the law says that keys taken apart give the same.

        Each frame carries `_key` (UInt128) beside its rows, and so must the output; the runner gives it its ids.
        A Group of one port that declares `needs` sees those columns and no others.
        """


class Algebraic(Group):
    """A Group of one port whose rows can be taken in parts: what is known of some rows of a key merges with the rest.

    The runner keeps the partial results of large keys, so that rows which come cost no look at those which are there.
    Where a row leaves a key, all of that key's rows are taken again: a partial result forgets nobody.
    Source: Gray et al., Data Cube, Data Mining and Knowledge Discovery 1 (1997): distributive and algebraic functions.
    """

    def in_parts(self) -> bool:
        """Whether these parameters allow it: a partial result has to be small beside its rows."""
        return True

    @abstractmethod
    def partial(self, rows: pl.DataFrame) -> pl.DataFrame:
        """One row a key: `_key`, `_n` (Int64, how many rows it stands for), and whatever `merge` and `finish` need."""

    @abstractmethod
    def merge(self, partials: pl.DataFrame) -> pl.DataFrame:
        """One row a key, from several; a single one is made as short as it can be."""

    @abstractmethod
    def finish(self, partials: pl.DataFrame) -> pl.DataFrame:
        """Output rows of complete keys, as `apply` gives them."""

    def apply(self, rows: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
        """Output rows of complete keys."""
        return self.finish(self.partial(rows[self.ports[0]]))


Out = TypeVar("Out")


class Keyed(Protocol):
    """What a Whole with `change` may ask of its state: entries (`_key`, `_id`, payload) read by key.

    It may ask again, with keys that an answer led it to; each answer costs the pages of the keys asked for.
    """

    def known(self) -> bool:
        """Whether there is any entry; in a first run there is none."""
        ...

    def read(self, keys: pl.Series) -> pl.DataFrame:
        """All entries under these keys as they stood before this change, without the columns that are `recalled`."""
        ...

    def recall(self, rows: pl.Series) -> pl.DataFrame:
        """All entries of the rows with these ids, made of the rows as they stood before this change, whole.

        What it costs are the chunks that hold them.
        """
        ...

    def keys_of(self, rows: pl.Series) -> pl.Series | None:
        """The keys under which the rows with these ids stand; None where to tell would cost more than to recall them.

        So a chain may be followed to its end before anything is recalled, and rows be recalled at once.
        """
        ...

    def each(self, rows: pl.Series, work: Callable[[pl.DataFrame], Out]) -> Iterator[Out]:
        """What `work` makes of the rows with these ids, which came with this change, some of them at a time.

        It is done on as many threads as there are workers, in any order of the rows.
        """
        ...


class Whole(Step):
    """Everything at once. A step that can follow changes declares `entries` and `change`."""

    incremental: ClassVar[bool] = False
    """True when `entries` and `change` are there; a law compares them with `compute`."""

    @abstractmethod
    def compute(self, inputs: Mapping[str, pl.DataFrame]) -> Any:
        """Rows (those that leave marked with `_reason`, `_into`) or a result, from all rows of each port."""

    def entries(self, rows: pl.DataFrame) -> pl.DataFrame:
        """What `change` needs to know of each row: `_id`, `_key` (UInt128, what is indexed), payload. Row by row.

        A row may have several entries, each under a key of its own.
        """
        raise TypeError(f"{type(self).__name__} does not follow changes")

    def recalled(self) -> tuple[str, ...]:
        """Columns of entries that the index leaves out: heavy ones, which `Keyed.recall` makes of the rows again."""
        return ()

    def reads_again(self) -> bool:
        """Whether `change` asks `Keyed.each` for what is recalled of added rows, where entries come without it.

        So nobody need hold what is heavy of all rows that come, of which few may be asked for.
        """
        return False

    def decides_by_key(self) -> bool:
        """Whether a merged row shares a key with its keeper; else a chain of rows may lead from one to the other."""
        return True

    def change(self, state: Keyed, added: pl.DataFrame, removed: pl.DataFrame) -> pl.DataFrame:
        """Decisions (`_id`, `_reason`, `_into`) on every added row and every other whose decision may differ now.

        `added` and `removed` are entries, those removed with or without the columns that are recalled, and those added
        too where it `reads_again`; the runner keeps the index itself up to date.
        """
        raise TypeError(f"{type(self).__name__} does not follow changes")


class Sharded(Whole):
    """A Whole that may learn in shards: each from its own rows alone, a slice more at a time; their states are joined.

    A row's shard and slice follow from its `_id` alone, so a row that leaves costs its shard, from its slice on, and
    the states of the others stand. Source: Bourtoule et al., Machine Unlearning, IEEE S&P 2021 (SISA).
    """

    resumes: ClassVar[bool] = False
    """True when `train` goes on from a state; where it begins anew each time, a slice would keep nothing worth having,
    and a shard is one slice."""

    shards: int = Field(1, ge=1, le=1000, description="parts of the rows that learn apart and answer together")
    slices: int = Field(1, ge=1, le=100, description="steps in which a shard learns its rows, each kept to resume from")

    @abstractmethod
    def train(self, rows: pl.DataFrame, before: State | None) -> State:
        """What the rows of a shard teach; `before`: the state after all slices but the last, which stays as it was."""

    @abstractmethod
    def join(self, states: Sequence[State]) -> Result:
        """The result, from the state of each shard in order."""

    def refused(self, state: State) -> str | None:
        """Why a shard takes no part in the result; None where it does."""
        return None

    def in_shards(self) -> bool:
        """Whether rows are parted at all."""
        return self.shards * self.slices > 1

    def parted(self, rows: pl.DataFrame) -> list[list[pl.DataFrame]]:
        """The rows of each shard, by slice; each by ascending `_id`."""
        slices = self.slices if self.resumes else 1
        shard = (fraction(rows[ID], "shard") * self.shards).cast(pl.Int64)
        place = shard * slices + (fraction(rows[ID], "slice") * slices).cast(pl.Int64)
        placed = rows.with_columns(place.alias("_place")).sort(ID)
        found = placed.partition_by("_place", as_dict=True, include_key=False)
        none = rows.clear()
        return [[found.get((n * slices + k,), none) for k in range(slices)] for n in range(self.shards)]

    def compute(self, inputs: Mapping[str, pl.DataFrame]) -> Any:
        """The result, from all rows, shard by shard."""
        states = []
        for slices in self.parted(inputs["rows"]) if self.in_shards() else [[inputs["rows"]]]:
            state = None
            for k in range(len(slices)):
                state = self.train(pl.concat(slices[: k + 1]), state)
            states.append(state)
        return self.join(states)


class MultiPass(Whole):
    """A Whole that looks at its rows in several passes, chunk by chunk, and holds a chunk at a time.

    However the rows are cut and in whatever order they come, the result is the same to the last bit.
    """

    @abstractmethod
    def compute_in_passes(self, rows: Callable[[], Iterator[pl.DataFrame]]) -> Any:
        """The result; each call of `rows` reads all of them again."""

    def compute(self, inputs: Mapping[str, pl.DataFrame]) -> Any:
        """The result of rows that are held already."""
        return self.compute_in_passes(lambda: iter((inputs["rows"],)))


class Verdict(BaseModel):
    """What a check found: the measured value beside its limit, and why it matters."""

    model_config = ConfigDict(frozen=True, defer_build=True)

    name: str
    passed: bool
    measured: float | int | str | None
    limit: float | int | str | None
    why: str


Result: TypeAlias = "Map | Verdict | tuple[Verdict, ...] | dict[str, Any]"


class BadRecord(BaseModel):
    """A record that could not be read: its place, the reason, and its bytes (kept encrypted)."""

    model_config = ConfigDict(frozen=True, defer_build=True)

    record: int
    byte_start: int
    byte_end: int
    stage: str
    reason: str
    column: str = ""
    message: str
    raw: bytes


class Batch:
    """Rows of one object of a source: a frame of user columns, the record number of each row, the bad records."""

    def __init__(self, rows: pl.DataFrame, records: pl.Series, bad: list[BadRecord]) -> None:
        self.rows, self.records, self.bad = rows, records, bad


class Found(BaseModel):
    """One object of a source: its path relative to the root and the stamp by which a change shows."""

    model_config = ConfigDict(frozen=True, defer_build=True)

    path: str
    stamp: dict[str, Any]
    """Compared as a whole: when it is equal to the last one, the object is not opened."""


class Source(Step):
    """Objects outside (files, tables, pages) that are read when they are new or changed."""

    sees_deletions: ClassVar[bool] = True

    @abstractmethod
    def scan(self, root: Path) -> list[Found]:
        """What is there now, sorted by path; nothing is read. Raises InputMissing when nothing is there."""

    @abstractmethod
    def checksum(self, root: Path, path: str) -> str:
        """The digest of the object's content, so that a touch or a rename is told from an edit."""

    @abstractmethod
    def observe(self, root: Path, path: str) -> State:
        """The mergeable type state of the object: a dict of column to what its values need."""

    def side_by_side(self) -> bool:
        """Whether `observe` may be asked of several objects at once, on threads."""
        return False

    @abstractmethod
    def column_types(self, states: list[State]) -> dict[str, str]:
        """Column to type name over all live objects (sorted by path); raises ConfigurationError when they clash."""

    @abstractmethod
    def read(self, root: Path, path: str, schema: Mapping[str, str]) -> Iterator[Batch]:
        """The object's records, cast to `schema`, in order, in batches of bounded size."""


__all__ = [
    "ID",
    "Algebraic",
    "BadRecord",
    "Batch",
    "Beside",
    "Comparing",
    "Fit",
    "Fitted",
    "Fold",
    "Found",
    "Group",
    "Keyed",
    "Map",
    "Result",
    "Sharded",
    "Source",
    "State",
    "Step",
    "Verdict",
    "Whole",
    "snake_case",
]
