"""Which chunk shows a row_id: sorted runs of 8 bytes a row, so that an update by key need not read its table.

An entry is the top 48 bits of the id and the chunk's place in the run in the low 16; a run is one sorted array, kept
in pieces of a quarter of a megabyte, so that a look-up reads, and a purge writes again, the pieces that it is about. A
look-up is a binary search; the one in 2^48 a row that only looks like it is told apart by reading the chunk.
Runs are built when first asked for and merged when they are many (as in O'Neil et al., The LSM-tree, 1996).
A process keeps the pieces that it has read, up to 64 MB a store: they are immutable, and a name means one content.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import pairwise
from threading import Lock
from typing import NamedTuple, TypeAlias
from weakref import WeakKeyDictionary

import numpy as np
import polars as pl

from tillage.core.rows import ID, only
from tillage.store.catalog import dump, load
from tillage.store.entries import HIGH48, LARGEST_RUN, PLACE, Entries, ascending, prefixes
from tillage.store.objects import Objects, Stored
from tillage.store.tables import ROWS, Chunk, Store

MANY_RUNS = 6

PIECE_ENTRIES = 1 << 15
"""Most entries of a piece: a quarter of a megabyte."""

MOST_PIECES = 256
"""Pieces kept in memory for each store."""

_PLACE_BITS = np.uint64(16)
_NONE = np.empty(0, dtype="<u8")

Run: TypeAlias = tuple[np.ndarray, list[str]]
"""Sorted entries, and the objects that their places number."""

_read: WeakKeyDictionary[Objects, OrderedDict[str, np.ndarray]] = WeakKeyDictionary()
_reading = Lock()


class Piece(NamedTuple):
    """A piece of a run: its least prefix in 48 bits (the first piece's is 0), its object, how many entries it has."""

    first: int
    object: str
    checksum: str
    entries: int


@dataclass(frozen=True)
class Sorted:
    """A run: the chunks that its entries number, and the entries, in memory or in pieces that are read when asked."""

    number: int | None
    """As the catalog knows it; None while it is not kept."""
    chunks: list[int]
    fresh: np.ndarray | None = None
    pieces: tuple[Piece, ...] = ()

    def __len__(self) -> int:
        return len(self.fresh) if self.fresh is not None else sum(piece.entries for piece in self.pieces)

    def whole(self, store: Store) -> np.ndarray:
        """All entries."""
        if self.fresh is not None:
            return self.fresh
        return np.concatenate([_NONE, *(_piece(store.objects, piece) for piece in self.pieces)])

    def near(self, store: Store, needles: np.ndarray) -> Iterator[tuple[int, int, np.ndarray]]:
        """Pieces that may hold some of the sorted prefixes: (first and last but one of those, entries)."""
        if self.fresh is not None:
            yield 0, len(needles), self.fresh
            return
        firsts = np.array([piece.first for piece in self.pieces[1:]], dtype=np.uint64) << _PLACE_BITS
        bounds = [0, *np.searchsorted(needles, firsts).tolist(), len(needles)]
        for piece, start, stop in zip(self.pieces, bounds, bounds[1:], strict=False):
            if start < stop:
                yield start, stop, _piece(store.objects, piece)


def locate(
    store: Store, stage: str, wanted: pl.Series, part: str = ROWS, columns: Sequence[str] | None = None
) -> list[tuple[Chunk, pl.DataFrame]]:
    """The chunks alive now that show any of `wanted`, each with the rows found there: whole, or `_id` and `columns`."""
    found = []
    for chunk, near in candidates(store, stage, wanted, part, living=True):
        rows = store.some(chunk, near) if columns is None else only(store.read(chunk, columns=columns), near)
        if rows.height:
            found.append((chunk, rows))
    return found


def holding(
    store: Store,
    stage: str,
    wanted: pl.Series,
    part: str,
    chunks: Sequence[Chunk] | None = None,
    *,
    living: bool = False,
) -> list[Chunk]:
    """Those of `chunks` whose objects may hold any of `wanted`; nearly always they do."""
    return [chunk for chunk, _ in candidates(store, stage, wanted, part, chunks, living=living)]


def candidates(
    store: Store,
    stage: str,
    wanted: pl.Series,
    part: str,
    chunks: Sequence[Chunk] | None = None,
    *,
    living: bool = False,
) -> list[tuple[Chunk, pl.Series]]:
    """The chunks whose objects may hold any of `wanted`, each with the ids that it may hold.

    Among `chunks`; without them, among all of the part, or all that are alive now.
    """
    if wanted.is_empty() or (chunks is not None and not chunks):
        return []
    if chunks is None:
        query = "SELECT id FROM chunks WHERE stage = ? AND part = ?" + (" AND ended IS NULL" if living else "")  # noqa: S608
        among = {int(row[0]) for row in store.catalog.rows(query, stage, part)}
    else:
        among = {c.id for c in chunks}
    if not among:
        return []
    keys = prefixes(wanted)
    order = np.argsort(keys, kind="stable")  # np.unique would load numpy.ma, for 10 ms
    needles = keys[order]
    found: list[tuple[np.ndarray, np.ndarray]] = [(np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64))]
    for run in _runs(store, stage, part, among):
        numbers = np.array(run.chunks, dtype=np.int64)
        for start, stop, entries in run.near(store, needles):
            which, places = _search(entries, needles[start:stop])
            found.append((numbers[places], order[start + which]))
    at = np.concatenate([n for n, _ in found])
    which = np.concatenate([w for _, w in found])
    one = len(wanted) == 1
    near = dict.fromkeys(sorted(set(at.tolist())), wanted) if one else _by_chunk(wanted, at, which)
    met = [number for number in near if number in among]
    known = store.numbered(met) if chunks is None else {c.id: c for c in chunks}
    return [(known[number], near[number]) for number in met]


def _by_chunk(wanted: pl.Series, at: np.ndarray, which: np.ndarray) -> dict[int, pl.Series]:
    """The ids by the number of the chunk where they were found, ascending."""
    by_chunk = np.lexsort((which, at))
    at = at[by_chunk]
    ordered = wanted.gather(which[by_chunk].tolist())
    bounds = [0, *(np.flatnonzero(at[1:] != at[:-1]) + 1).tolist(), len(at)]
    return {int(at[a]): ordered.slice(a, b - a) for a, b in pairwise(bounds) if a < b}


def _search(entries: np.ndarray, needles: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Each find among the entries: the needle's position, and the place that the entry numbers."""
    start = np.searchsorted(entries, needles, side="left")
    finds = np.searchsorted(entries, needles | PLACE, side="right") - start
    which = np.repeat(np.arange(len(needles)), finds)
    within = np.arange(len(which)) - np.repeat(np.cumsum(finds) - finds, finds)
    return which, (entries[start[which] + within] & PLACE).astype(np.int64)


def _runs(store: Store, stage: str, part: str, among: set[int]) -> list[Sorted]:
    """The runs of a part; chunks that none covers get one."""
    runs = kept_runs(store, stage, part)
    missing = list(store.numbered(among.difference(*(run.chunks for run in runs))).values())
    for at in range(0, len(missing), LARGEST_RUN):
        entries, chunks = _build(store, missing[at : at + LARGEST_RUN])
        runs.append(Sorted(None, chunks, entries))
    if missing and not store.catalog.read_only:  # who may only read looks again each time
        _keep(store, stage, part, runs, among)
    return runs


def kept_runs(store: Store, stage: str | None = None, part: str = ROWS) -> list[Sorted]:
    """The runs in the catalog: of a part of a stage, or all; nothing of them is read."""
    named = () if stage is None else (stage, part)
    return list(store.once(("runs", *named), lambda: _kept_runs(store, *named)))


def _kept_runs(store: Store, stage: str | None = None, part: str = ROWS) -> list[Sorted]:
    named, values = ("WHERE stage = ? AND part = ? ", (stage, part)) if stage is not None else ("", ())
    found = []
    for number, chunks in store.catalog.rows(f"SELECT id, chunks FROM runs {named}ORDER BY id", *values):  # noqa: S608
        query = "SELECT first, object, checksum, entries FROM pieces WHERE run = ? ORDER BY first"
        pieces = tuple(Piece(*row) for row in store.catalog.rows(query, number))
        found.append(Sorted(number, load(chunks), None, pieces))
    return [run for run in found if run.pieces]


def drop_runs(store: Store, numbers: Iterable[int]) -> None:
    """Take runs out of the catalog; their objects have no owner then."""
    for table, column in (("runs", "id"), ("pieces", "run")):
        store.catalog.write_many(f"DELETE FROM {table} WHERE {column} = ?", [(n,) for n in numbers])  # noqa: S608


def _piece(objects: Objects, piece: Piece) -> np.ndarray:
    """One piece, read and verified once a process."""
    with _reading:
        kept = _read.setdefault(objects, OrderedDict())
        if piece.object in kept:
            kept.move_to_end(piece.object)
            return kept[piece.object]
    entries = np.frombuffer(objects.get(piece.object, piece.checksum), dtype="<u8")
    with _reading:
        kept[piece.object] = entries
        while len(kept) > MOST_PIECES:
            kept.popitem(last=False)
    return entries


def release(store: Store) -> None:
    """Let go of the pieces that were read: for a process that lives long and seldom looks."""
    with _reading:
        _read.pop(store.objects, None)


def _build(store: Store, chunks: list[Chunk]) -> tuple[np.ndarray, list[int]]:
    run = Entries(sum(c.rows for c in chunks))
    for c in chunks:
        run.add(store.objects.get_frame(c.object, c.checksum, [ID])[ID])
    return run.sorted(), [c.id for c in chunks]


def note(store: Store, stage: str, run: Run) -> None:
    """Keep the run of chunks that were just committed, so that the first look-up need not read them back."""
    entries, names = run
    numbers = {c.object: c.id for c in store.chunks(stage, ROWS)}
    if len(entries) and all(name in numbers for name in names):
        fresh = Sorted(None, [numbers[name] for name in names], entries)
        _keep(store, stage, ROWS, [*kept_runs(store, stage), fresh], set(numbers.values()))


@dataclass(frozen=True)
class Thinned:
    """A piece of a run, and the object that stands in its place without the ids that chunks lose."""

    run: int
    old: Piece
    new: Stored


def thinned(store: Store, lost: Mapping[int, pl.Series]) -> list[Thinned]:
    """The pieces written again without the ids that chunks lose."""
    out = []
    for run in kept_runs(store):
        losing = [(place, lost[number]) for place, number in enumerate(run.chunks) if number in lost]
        if not losing or run.number is None:
            continue
        places = np.repeat([place for place, _ in losing], [len(gone) for _, gone in losing]).astype(np.uint64)
        going = np.sort(prefixes(pl.concat([gone for _, gone in losing])) | places)
        kept = iter(run.pieces)
        bounds = np.array([piece.first for piece in run.pieces[1:]], dtype=np.uint64) << _PLACE_BITS
        for own in np.split(going, np.searchsorted(going, bounds)):
            piece = next(kept)
            if len(own):
                left = _without(_piece(store.objects, piece), own)
                key = sha256(dump(["thinned", piece.object]).encode()).hexdigest()[:32]
                out.append(Thinned(run.number, piece, _put(store, key, left)))
    return out


def _without(entries: np.ndarray, going: np.ndarray) -> np.ndarray:
    """Sorted entries less others, sorted too; of equal ones as many leave as there are of them."""
    nth = np.arange(len(going)) - np.searchsorted(going, going)
    at = np.searchsorted(entries, going) + nth
    at = at[at < len(entries)][: len(going)]
    stays = np.ones(len(entries), dtype=bool)
    stays[at[entries[at] == going[: len(at)]]] = False
    return entries[stays]


def _put(store: Store, key: str, entries: np.ndarray) -> Stored:
    return store.objects.put(key, entries.view("u1").data, "run", len(entries))


def _cut(entries: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """The entries in pieces, each with its least prefix; what has one prefix stays in one piece."""
    start = 0
    while start < len(entries) or not start:
        stop = min(start + PIECE_ENTRIES, len(entries))
        if stop < len(entries):
            stop = int(np.searchsorted(entries, entries[stop - 1] | PLACE, side="right"))
        yield int(entries[start] >> _PLACE_BITS) if start else 0, entries[start:stop]
        if stop == len(entries):
            return
        start = stop


def _keep(store: Store, stage: str, part: str, runs: list[Sorted], alive: set[int]) -> None:
    fresh = [run for run in runs if run.number is None]
    stale: list[int] = []
    if len(runs) > MANY_RUNS and sum(len(run.chunks) for run in runs) < LARGEST_RUN:
        *few, large = sorted(runs, key=len)
        light = large.number is not None and sum(map(len, few)) * 4 < len(large)
        merging = few if light else runs  # a large run is left alone while the others are light beside it
        fresh = [_merge(store, merging, alive)]
        stale = [run.number for run in merging if run.number is not None]
    kept = []
    for run in fresh:
        key = sha256(dump([stage, part, run.chunks]).encode()).hexdigest()[:32]
        kept.append((run.chunks, [(first, _put(store, key, own)) for first, own in _cut(run.whole(store))]))
    store.objects.sync()
    with store.catalog.transaction():
        drop_runs(store, stale)
        for chunks, pieces in kept:
            number = store.catalog.write(
                "INSERT INTO runs (stage, part, chunks) VALUES (?, ?, ?)", stage, part, dump(chunks)
            )
            store.catalog.write_many(
                "INSERT INTO pieces VALUES (?, ?, ?, ?, ?)",
                [(number, first, stored.name, stored.checksum, stored.rows) for first, stored in pieces],
            )


def _merge(store: Store, runs: list[Sorted], alive: set[int]) -> Sorted:
    """One run of all; chunks that are dead leave it, and its list too, so that a purge knows to read them."""
    chunks: list[int] = []
    parts = []
    for run in runs:
        entries, own = run.whole(store), run.chunks
        kept = np.array([c in alive for c in own], dtype=bool)
        place = (len(chunks) + np.cumsum(kept) - 1).astype(np.uint64)
        at = (entries & PLACE).astype(np.int64)
        here = kept[at]
        parts.append((entries[here] & HIGH48) | place[at[here]])
        chunks += [c for c in own if c in alive]
    return Sorted(None, chunks, ascending(np.concatenate(parts)))
