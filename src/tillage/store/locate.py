"""Which chunk shows a row_id: sorted runs of 8 bytes a row, so that an update by key need not read its table.

An entry is the top 48 bits of the id and the chunk's place in the run in the low 16; a run is one sorted array. A
look-up is a binary search; the one in 2^48 a row that only looks like it is told apart by reading the chunk.
Runs are built when first asked for and merged when they are many (as in O'Neil et al., The LSM-tree, 1996).
A process keeps the runs that it has read, up to 64 MB a store: they are immutable, and a name means one content.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from hashlib import sha256
from threading import Lock
from typing import TypeAlias
from weakref import WeakKeyDictionary

import numpy as np
import polars as pl

from tillage.core.errors import TillageError
from tillage.core.rows import ID, high, only
from tillage.store.catalog import dump, load
from tillage.store.objects import Objects, Stored
from tillage.store.tables import ROWS, Chunk, Store

MANY_RUNS = 6
LARGEST_RUN = 1 << 16
"""Chunks a run can tell apart."""

CACHE_BYTES = 64 << 20
"""Runs kept in memory for each store, in all."""

PIECE = 1 << 18
"""Entries compared at a time."""

PLACE = np.uint64(0xFFFF)
"""The bits of an entry that number a chunk of its run."""

_HIGH48 = ~PLACE

Run: TypeAlias = tuple[np.ndarray, list[str]]
"""Sorted entries, and the objects that their places number."""

_read: WeakKeyDictionary[Objects, OrderedDict[str, np.ndarray]] = WeakKeyDictionary()
_reading = Lock()


def locate(
    store: Store, stage: str, wanted: pl.Series, part: str = ROWS, columns: Sequence[str] | None = None
) -> list[tuple[Chunk, pl.DataFrame]]:
    """The chunks alive now that show any of `wanted`, each with the rows found there: whole, or `_id` and `columns`."""
    found = []
    for chunk in holding(store, stage, wanted, part, store.chunks(stage, part)):
        rows = only(store.read(chunk, columns=columns), wanted)
        if rows.height:
            found.append((chunk, rows))
    return found


def holding(store: Store, stage: str, wanted: pl.Series, part: str, chunks: Sequence[Chunk]) -> list[Chunk]:
    """Those of `chunks` whose objects may hold any of `wanted`; nearly always they do."""
    if wanted.is_empty():
        return []
    alive = {c.id: c for c in chunks}
    needles = np.sort(prefixes(wanted))  # np.unique would load numpy.ma, for 90 ms
    candidates: set[int] = set()
    for entries, numbers in _runs(store, stage, part, list(alive.values())):
        candidates |= {c for c in _search(entries, numbers, needles) if c in alive}
    return [alive[number] for number in sorted(candidates)]


def prefixes(wanted: pl.Series) -> np.ndarray:
    """The top 48 bits of each id, in place."""
    return wanted.rename(ID).to_frame().select(high(ID))[ID].to_numpy() & _HIGH48


def _search(entries: np.ndarray, chunks: Sequence[int], needles: np.ndarray) -> set[int]:
    if not len(entries):
        return set()
    start = np.searchsorted(entries, needles, side="left")
    first = entries[np.minimum(start, len(entries) - 1)]
    hits = (start < len(entries)) & (first & _HIGH48 == needles)
    stop = np.searchsorted(entries, needles[hits] | PLACE, side="right")
    out: set[int] = set()
    for a, b in zip(start[hits].tolist(), stop.tolist(), strict=True):
        out.update(chunks[int(e)] for e in entries[a:b] & PLACE)
    return out


def _runs(store: Store, stage: str, part: str, alive: list[Chunk]) -> list[tuple[np.ndarray, list[int]]]:
    kept = store.catalog.rows("SELECT * FROM runs WHERE stage = ? AND part = ?", stage, part)
    runs: list[tuple[int | None, np.ndarray, list[int]]] = [
        (row["id"], _run(store.objects, row["object"], row["checksum"]), load(row["chunks"])) for row in kept
    ]
    covered = {c for _, _, chunks in runs for c in chunks}
    missing = [c for c in alive if c.id not in covered]
    runs += [(None, *_build(store, missing[at : at + LARGEST_RUN])) for at in range(0, len(missing), LARGEST_RUN)]
    if missing:
        _keep(store, stage, part, runs, {c.id for c in alive})
    return [(entries, chunks) for _, entries, chunks in runs]


def _run(objects: Objects, name: str, checksum: str) -> np.ndarray:
    """One run, read and verified once a process."""
    with _reading:
        kept = _read.setdefault(objects, OrderedDict())
        if name in kept:
            kept.move_to_end(name)
            return kept[name]
    entries = np.frombuffer(objects.get(name, checksum), dtype="<u8")
    with _reading:
        kept[name] = entries
        while len(kept) > 1 and sum(e.nbytes for e in kept.values()) > CACHE_BYTES:
            kept.popitem(last=False)
    return entries


def _build(store: Store, chunks: list[Chunk]) -> tuple[np.ndarray, list[int]]:
    run = Entries(sum(c.rows for c in chunks))
    for c in chunks:
        run.add(store.objects.get_frame(c.object, c.checksum, [ID])[ID])
    return run.sorted(), [c.id for c in chunks]


class Entries:
    """The entries of a run in the making: 8 bytes a row, set aside at once, so that no part of them is held twice.

    >>> run = Entries(2)
    >>> run.add(pl.Series([5 << 80, 3 << 80], dtype=pl.UInt128))
    >>> [int(e) >> 16 for e in run.sorted()]
    [3, 5]
    """

    def __init__(self, expected: int) -> None:
        """`expected`: about how many rows will come; memory is taken as they do."""
        self._entries = np.empty(expected, dtype="<u8")
        self._rows = self._chunks = 0

    def add(self, shown: pl.Series) -> None:
        """The ids that the next chunk shows; raises TillageError for more chunks than a run can tell apart."""
        if self._chunks == LARGEST_RUN:
            raise TillageError(
                f"One reading wrote more than {LARGEST_RUN:,} chunks, too many for a table with a key.",
                fix="Add the files in several runs.",
            )
        end = self._rows + len(shown)
        if end > len(self._entries):
            self._entries = np.concatenate([self._entries[: self._rows], np.empty(end, dtype="<u8")])
        np.bitwise_or(prefixes(shown), np.uint64(self._chunks), out=self._entries[self._rows : end])
        self._rows, self._chunks = end, self._chunks + 1

    def sorted(self) -> np.ndarray:
        """All entries, ascending."""
        entries = self._entries[: self._rows]
        entries.sort()
        return entries


def alike(entries: np.ndarray) -> np.ndarray:
    """The prefixes that stand more than once in a run, in pieces, so that memory stays that of the run."""
    found = [np.empty(0, dtype="<u8")]
    for at in range(0, len(entries) - 1, PIECE):
        some = entries[at : at + PIECE + 1]
        found.append(some[1:][(some[1:] ^ some[:-1]) <= PLACE] & _HIGH48)
    return np.concatenate(found)


def places_of(entries: np.ndarray, same: np.ndarray) -> list[int]:
    """The places, ascending, of the chunks that show ids with one of these prefixes."""
    first, stop = np.searchsorted(entries, same), np.searchsorted(entries, same | PLACE, side="right")
    return sorted({int(e) for a, b in zip(first, stop, strict=True) for e in entries[a:b] & PLACE})


def note(store: Store, stage: str, run: Run) -> None:
    """Keep the run of chunks that were just committed, so that the first look-up need not read them back."""
    entries, names = run
    numbers = {c.object: c.id for c in store.chunks(stage, ROWS)}
    if len(entries) and all(name in numbers for name in names):
        kept = store.catalog.rows("SELECT * FROM runs WHERE stage = ? AND part = ?", stage, ROWS)
        old = [(r["id"], _run(store.objects, r["object"], r["checksum"]), load(r["chunks"])) for r in kept]
        fresh = (None, entries, [numbers[name] for name in names])
        _keep(store, stage, ROWS, [*old, fresh], set(numbers.values()))


def thinned(store: Store, lost: Mapping[int, pl.Series]) -> list[tuple[int, str, Stored]]:
    """Runs written again without the ids that chunks lose: (its number, the object it was, the object it is now)."""
    out = []
    for row in store.catalog.rows("SELECT * FROM runs"):
        numbers = load(row["chunks"])
        places = [(place, lost[number]) for place, number in enumerate(numbers) if number in lost]
        if not places:
            continue
        entries = _run(store.objects, row["object"], row["checksum"])
        going = np.concatenate([np.unique(prefixes(gone)) | np.uint64(place) for place, gone in places])
        at = np.searchsorted(entries, going)
        found = at[(at < len(entries)) & (entries[np.minimum(at, len(entries) - 1)] == going)]
        kept = np.delete(entries, found)
        key = sha256(dump(["thinned", row["object"]]).encode()).hexdigest()[:32]
        out.append((row["id"], str(row["object"]), store.objects.put(key, kept.view("u1").data, "run", len(kept))))
    return out


def _keep(
    store: Store, stage: str, part: str, runs: list[tuple[int | None, np.ndarray, list[int]]], alive: set[int]
) -> None:
    fresh = [r for r in runs if r[0] is None]
    stale: list[int] = []
    if len(runs) > MANY_RUNS and sum(len(c) for _, _, c in runs) < LARGEST_RUN:
        *few, large = sorted(runs, key=lambda r: len(r[1]))
        light = large[0] is not None and sum(len(r[1]) for r in few) * 4 < len(large[1])
        merging = few if light else runs  # a large run is left alone while the others are light beside it
        fresh = [_merge(merging, alive)]
        stale = [r[0] for r in merging if r[0] is not None]
    kept = []
    for _, entries, chunks in fresh:
        key = sha256(dump([stage, part, chunks]).encode()).hexdigest()[:32]
        kept.append((store.objects.put(key, entries.view("u1").data, "run", len(entries)), chunks))
    store.objects.sync()
    with store.catalog.transaction():
        store.catalog.write_many("DELETE FROM runs WHERE id = ?", [(s,) for s in stale])
        for stored, chunks in kept:
            store.catalog.write(
                "INSERT INTO runs (stage, part, object, checksum, chunks) VALUES (?, ?, ?, ?, ?)",
                stage,
                part,
                stored.name,
                stored.checksum,
                dump(chunks),
            )


def _merge(runs: list[tuple[int | None, np.ndarray, list[int]]], alive: set[int]) -> tuple[None, np.ndarray, list[int]]:
    """One run of all; chunks that are dead leave it, and its list too, so that a purge knows to read them."""
    chunks: list[int] = []
    parts = []
    for _, entries, own in runs:
        kept = np.array([c in alive for c in own], dtype=bool)
        place = (len(chunks) + np.cumsum(kept) - 1).astype(np.uint64)
        at = (entries & PLACE).astype(np.int64)
        here = kept[at]
        parts.append((entries[here] & _HIGH48) | place[at[here]])
        chunks += [c for c in own if c in alive]
    merged = np.concatenate(parts)
    merged.sort()
    return None, merged, chunks
