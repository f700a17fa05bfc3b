"""Where rows are: the chunk of a stage that shows a row_id at a version, without reading the table.

A stage that keeps ids makes one chunk of one chunk and names it, so a row found where it came in is followed from
chunk to chunk by number; only where rows come in (a source, a Group, a Whole that computes, a Map with children) is
the locator asked. One chunk a stage is read, and of it the columns asked for.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from functools import cached_property

import numpy as np
import polars as pl

from tillage.core.errors import InputMissing
from tillage.core.rows import ID, PARENT, from_storage, ids, without
from tillage.core.step import Whole
from tillage.flow.run import Project
from tillage.flow.source import OBJECT, RECORD
from tillage.flow.stages import BESIDE, Stage
from tillage.store.frames import halves
from tillage.store.index import KEY
from tillage.store.locate import holding
from tillage.store.tables import ROWS, Chunk, Version

CHUNK = "_chunk"
FEW = 500
"""Rows up to which putting their halves together one by one is cheaper than a query."""

_LOW = (1 << 64) - 1
VERDICTS = "verdicts"

_HALVES = {name: (f"{name}:lo", f"{name}:hi") for name in (ID, KEY, PARENT)}
"""How 128-bit columns are stored."""


def rows_in(stage: Stage) -> list[str]:
    """The stages whose rows come into a stage."""
    return [source for port, source in stage.inputs.items() if port != VERDICTS and not port.startswith(BESIDE)]


def makes_children(stage: Stage) -> bool:
    """Whether a Map of this very stage may make rows from rows."""
    return any(m.makes_children for chain in stage.maps.values() for m in chain)


def follows_changes(stage: Stage) -> bool:
    """Whether a stage is a Whole that only takes rows out, and shows its input's chunks."""
    return stage.kind == "whole" and isinstance(stage.step, Whole) and stage.step.incremental


def keeps_chunks(stage: Stage) -> bool:
    """Whether each chunk of rows of a stage was made from one chunk of its input."""
    return stage.kind == "gate" or follows_changes(stage) or (stage.kind == "map" and not makes_children(stage))


class Places:
    """The store of a project, asked for single rows; what the catalog said is remembered for one trace."""

    def __init__(self, project: Project) -> None:
        self.project, self.store, self.stages = project, project.store, project.stages
        self._latest: dict[str, Version | None] = {}
        self._versions: dict[tuple[str, int], Version | None] = {}
        self._chunks: dict[tuple[str, str, int], list[Chunk]] = {}
        self._candidates: dict[tuple[str, int, str, tuple[int, ...]], list[Chunk]] = {}
        self._found: dict[tuple[str, int, str, tuple[int, ...]], pl.DataFrame] = {}
        """Single rows that were read whole."""

    @cached_property
    def readers(self) -> dict[str, list[Stage]]:
        """Stage to the stages that its rows go into."""
        out: dict[str, list[Stage]] = {}
        for stage in self.stages.values():
            for source in dict.fromkeys(stage.inputs.values()):
                out.setdefault(source, []).append(stage)
        return out

    @cached_property
    def users(self) -> dict[str, list[Stage]]:
        """Result to the stages that use it as a Map."""
        out: dict[str, list[Stage]] = {}
        for stage in self.stages.values():
            for name in sorted(stage.pinned()):
                out.setdefault(name, []).append(stage)
        return out

    def latest(self, stage: str) -> Version | None:
        """The newest version of a stage."""
        if stage not in self._latest:
            self._latest[stage] = found = self.store.latest(stage)
            if found is not None:
                self._versions[stage, found.version] = found
        return self._latest[stage]

    def version(self, stage: str, number: int) -> Version | None:
        """A version of a stage; None when it is not kept any more."""
        if (stage, number) not in self._versions:
            self.latest(stage)
        if (stage, number) not in self._versions:
            try:
                self._versions[stage, number] = self.store.version(stage, number)
            except InputMissing:
                self._versions[stage, number] = None
        return self._versions[stage, number]

    def seen(self, stage: str, version: int, source: str) -> int | None:
        """The version of an input that a version of a stage was made from; None when that is not known or kept."""
        at = self.version(stage, version)
        number = at.inputs.get(source) if at is not None else None
        return number if number is not None and self.version(source, number) is not None else None

    def find(
        self, stage: Stage, version: int, wanted: Iterable[int], part: str = ROWS, columns: Sequence[str] | None = ()
    ) -> pl.DataFrame:
        """Those of the rows that a part of a stage shows at a version: `_id`, `_chunk` and the columns (None: all)."""
        asked = tuple(wanted)
        key = (stage.name, version, part, asked)
        if key in self._found and {ID, CHUNK, *(columns or ())} <= set(self._found[key].columns):
            return self._found[key]
        frames = [self.pick(chunk, version, asked, columns) for chunk in self._holding(stage, version, asked, part)]
        found = joined(frames)
        if columns is None and len(asked) == 1:
            self._found[key] = found
        return found

    def made_from(
        self,
        stage: Stage,
        version: int,
        part: str,
        chunks: Iterable[int],
        wanted: Iterable[int],
        columns: Sequence[str] | None,
    ) -> pl.DataFrame:
        """Those of the rows that a stage shows in what it made of these chunks: `_id`, `_chunk` and the columns."""
        asked = tuple(wanted)
        made = self.store.chunks_from(stage.name, part, chunks, self.at(stage.name, version))
        return joined([self.pick(chunk, version, asked, columns) for chunk in made])

    def all_made_from(self, stage: Stage, version: int, part: str, chunks: Iterable[int]) -> pl.DataFrame:
        """All rows that a stage shows in what it made of these chunks, whole, with `_chunk`."""
        made = self.store.chunks_from(stage.name, part, chunks, self.at(stage.name, version))
        return joined([_placed(self.read(chunk, version, None), chunk) for chunk in made])

    def pick(self, chunk: Chunk, version: int, wanted: Sequence[int], columns: Sequence[str] | None) -> pl.DataFrame:
        """Those of the rows that a chunk shows at a version, with `_chunk`."""
        return _placed(self.pick_by(chunk, wanted, ID, columns, version), chunk)

    def pick_by(
        self, chunk: Chunk, wanted: Sequence[int], by: str, columns: Sequence[str] | None, version: int | None = None
    ) -> pl.DataFrame:
        """The rows that a chunk shows whose 128-bit column `by` is among `wanted`: that column and others (None: all).

        Halves are compared as they are stored, so that of a chunk only the rows asked for become a frame.
        """
        names = None if columns is None else dict.fromkeys((ID, by, *columns))
        frame = self.stored(chunk, names)
        low, high = _HALVES[by]
        found = np.flatnonzero(_among(frame[low].to_numpy(), frame[high].to_numpy(), set(wanted)))
        few = len(found) <= 1  # a slice costs less than a choice, and mostly one row or none is asked for
        rows = frame.slice(int(found[0]) if len(found) else 0, len(found)) if few else frame[found.tolist()]
        rows = _whole(rows) if len(found) <= FEW else from_storage(rows)
        gone = self.store.removed(chunk, version) if len(found) else ids()
        return without(rows, gone) if len(gone) else rows

    def smallest(
        self, chunk: Chunk, keys: Iterable[int], told: str | None, limit: int | None
    ) -> dict[int, tuple[list[tuple[int, str]], int]]:
        """By key: the `limit` entries of least `_id` in a chunk of an index (row, column `told`), and their number.

        A key may hold a large part of a table: its entries are compared and counted as they are stored.
        """
        asked = list(dict.fromkeys(keys))
        columns = [told] if told else []
        out = {}
        if len(self.store.removed(chunk)):
            for (key,), rows in self.pick_by(chunk, asked, KEY, columns).partition_by(KEY, as_dict=True).items():
                out[int(key)] = (_told(rows.sort(ID), told)[:limit], rows.height)
            return out
        frame = self.stored(chunk, (KEY, ID, *columns))
        low, high = (frame[half].to_numpy() for half in _HALVES[KEY])
        for key in asked:
            here = np.flatnonzero(_among(low, high, [key]))
            total = len(here)
            if limit is not None and total > limit:
                first = frame[_HALVES[ID][1]].to_numpy()[here]
                here = here[np.argpartition(first, limit)[:limit]]
            if total:
                out[key] = (sorted(_told(_whole(frame[here.tolist()]), told)), total)
        return out

    def stored(self, chunk: Chunk, columns: Iterable[str] | None) -> pl.DataFrame:
        """Columns of a chunk as they are stored, with rows that were removed since."""
        names = None if columns is None else [half for c in columns for half in _HALVES.get(c, (c,))]
        return halves(self.store.objects.get(chunk.object, chunk.checksum), chunk.object, names)

    def at_record(self, chunk: Chunk, version: int, ordinal: int, record: int) -> tuple[int, int, int | None]:
        """(least, greatest record of an object in a chunk, the row of this record if the chunk shows it)."""
        frame = self.stored(chunk, (OBJECT, RECORD, ID))
        own = np.flatnonzero(frame[OBJECT].to_numpy() == ordinal)
        records = frame[RECORD].to_numpy()[own]
        if not len(records):
            return 0, -1, None
        here = own[records == record]
        shown = without(_whole(frame[here.tolist()]), self.store.removed(chunk, version)) if len(here) else None
        row = int(shown[ID][0]) if shown is not None and shown.height else None
        return int(records.min()), int(records.max()), row

    def read(self, chunk: Chunk, version: int, columns: Sequence[str] | None) -> pl.DataFrame:
        """The rows that a chunk shows at a version."""
        return self.store.read(chunk, version, columns)

    def chunks(self, stage: str, part: str, version: int) -> list[Chunk]:
        """The chunks of a part at a version."""
        key = (stage, part, version)
        if key not in self._chunks:
            self._chunks[key] = self.store.chunks(stage, part, self.at(stage, version))
        return self._chunks[key]

    def at(self, stage: str, version: int) -> int | None:
        """The version as the store takes it: None for the newest, which it finds faster."""
        newest = self.latest(stage)
        return None if newest is not None and newest.version == version else version

    def _holding(self, stage: Stage, version: int, wanted: tuple[int, ...], part: str) -> list[Chunk]:
        """The chunks of a part that may show any of these rows; nearly always they do."""
        if not wanted:
            return []
        key = (stage.name, version, part, wanted)
        if key not in self._candidates:
            if keeps_chunks(stage) and (part == ROWS or stage.kind == "map"):
                above: list[Chunk] = []
                for source in rows_in(stage):
                    number = self.seen(stage.name, version, source)
                    if number is not None:
                        above += self._holding(self.stages[source], number, wanted, ROWS)
                found = self.store.chunks_from(stage.name, part, [c.id for c in above], self.at(stage.name, version))
            elif chunks := self.chunks(stage.name, part, version):
                found = holding(self.store, stage.name, ids(wanted), part, chunks)
            else:
                found = []
            self._candidates[key] = found
        return self._candidates[key]


def _among(low: np.ndarray, high: np.ndarray, wanted: Iterable[int]) -> np.ndarray:
    """Where two halves are those of one of the numbers wanted."""
    needles = sorted((i & _LOW, i >> 64) for i in wanted)
    lows = np.array([n[0] for n in needles], dtype="<u8")
    if len({n[0] for n in needles}) < len(needles):  # alike in 64 bits: told apart one by one
        return np.asarray(np.logical_or.reduce([(low == n[0]) & (high == n[1]) for n in needles]))
    if len(needles) == 1:
        return np.asarray((low == lows[0]) & (high == np.uint64(needles[0][1])))
    at = np.searchsorted(lows, low).clip(max=len(needles) - 1)
    return np.asarray((lows[at] == low) & (np.array([n[1] for n in needles], dtype="<u8")[at] == high))


def _told(rows: pl.DataFrame, column: str | None) -> list[tuple[int, str]]:
    said = rows[column].to_list() if column else [""] * rows.height
    return list(zip(rows[ID].to_list(), said, strict=True))


def _whole(rows: pl.DataFrame) -> pl.DataFrame:
    """A few stored rows as `core.rows.from_storage` gives them; without a query, which costs more than the rows."""
    columns: list[pl.Series] = []
    for name in rows.columns:
        base = name.removesuffix(":lo")
        if name.startswith("_") and base != name:
            pairs = zip(rows[name].to_list(), rows[f"{base}:hi"].to_list(), strict=True)
            values = [None if lo is None else hi << 64 | lo for lo, hi in pairs]
            columns.append(pl.Series(base, values, dtype=pl.UInt128))
        elif not (name.startswith("_") and name.endswith(":hi")):
            columns.append(rows[name])
    return pl.DataFrame(columns)


def _placed(rows: pl.DataFrame, chunk: Chunk) -> pl.DataFrame:
    return rows.hstack([pl.Series(CHUNK, [chunk.id] * rows.height, dtype=pl.Int64)])


def those(rows: pl.DataFrame, wanted: Collection[int]) -> pl.DataFrame:
    """Of a few rows those whose `_id` is wanted; without a query, which costs more than the rows."""
    here = [place for place, row in enumerate(rows[ID].to_list()) if row in wanted]
    return rows if len(here) == rows.height else rows[here] if here else rows.clear()


def pairs(rows: pl.DataFrame) -> list[tuple[int, int]]:
    """(row, chunk) of rows that were found."""
    return list(zip(rows[ID].to_list(), rows[CHUNK].to_list(), strict=True))


def joined(frames: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """The frames that have rows in one; a frame of ids and chunks without rows when none has."""
    found = [f for f in frames if f.height]
    if not found:
        return pl.DataFrame(schema={ID: pl.UInt128, CHUNK: pl.Int64})
    return found[0] if len(found) == 1 else pl.concat(found, how="diagonal_relaxed")
