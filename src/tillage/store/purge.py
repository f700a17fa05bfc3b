"""Purging rows: every chunk that holds them, in every version kept, is written again without them.

Versions that showed them get an erasure epoch; the sum of the row hashes that they lost stays on record, which tells
the digest that they had from the one that they have. Then old objects are deleted and the catalog is vacuumed, so that
no deleted value is left in a free page. The commit records what is still to be deleted: a purge that was killed after
it is ended by the next purge, or by `gc`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from hashlib import sha256
from itertools import groupby
from typing import Any

import polars as pl

from tillage.core.rows import ID, MERGED, PARENT, REASON, ids, where_true, without
from tillage.store.catalog import dump, load
from tillage.store.digests import MODULUS, row_sum
from tillage.store.failpoints import reach
from tillage.store.gc import PURGING, erase_replaced, forget_remembered, remembered
from tillage.store.locate import drop_runs, holding, kept_runs, thinned
from tillage.store.objects import Stored
from tillage.store.tables import LEFT, ROWS, Chunk, Store, pack, unpack

QUARANTINE = "quarantine"
MEMBERS = "index:keys"
"""The rows that a Group has consumed, by key; a Whole keeps there what it decides by."""
MANY = 16 << 10
"""Bytes of packed row_ids from which a query costs less than to look at them one by one."""


Within = Callable[[int, Mapping[str, Sequence[int]]], None]
"""What else belongs into the transaction of a purge, told of its epoch and of the versions that it erases."""


@dataclass(frozen=True)
class Purged:
    """What a purge did: the erasure epoch, the rows taken out (over all stages and parts), the chunks rewritten."""

    epoch: int
    rows: int
    chunks: int
    touched: int
    """Rows read."""


@dataclass
class Doomed:
    """What a purge takes away, found beforehand by someone who knows where to look."""

    objects: dict[str, tuple[Chunk, pl.Series]] = field(default_factory=dict)
    """By object: a chunk on it, and the row_ids that it loses."""
    chunks: list[int] = field(default_factory=list)
    """Chunks that go whole, with their objects unless others stand on those."""
    versions: dict[str, set[int]] = field(default_factory=dict)
    """By stage: versions that lose what they show; they stay on record."""
    ids: pl.Series = field(default_factory=ids)
    """Row_ids that leave every list of removals."""


def purge(store: Store, gone: Mapping[str, pl.Series], *, vacuum: bool = True) -> Purged:
    """Take these row_ids, by stage, out of every part and every version that is kept.

    An object on which several stages stand is rewritten for all of them.
    """
    done = purge_doomed(store, Doomed(_holders(store, gone)), stripped=gone)
    erase_replaced(store, vacuum=vacuum)
    return done


def purge_doomed(
    store: Store,
    doomed: Doomed,
    *,
    stripped: Mapping[str, pl.Series] | None = None,
    within: Within | None = None,
) -> Purged:
    """Take away what is listed; `within` is called with the epoch, and by stage the versions that are erased now,
    inside the transaction.

    The objects that were replaced are deleted, and the catalog vacuumed, by `erase_replaced`.
    """
    while (epoch := _purged(store, work := Rewriting(store), doomed, stripped or {}, within)) is None:
        pass  # somebody else wrote meanwhile: what was read may stand otherwise now
    return Purged(epoch, work.lost, len(work.written), work.touched)


def _purged(
    store: Store,
    work: Rewriting,
    doomed: Doomed,
    stripped: Mapping[str, pl.Series],
    within: Within | None,
) -> int | None:
    """The epoch of the erasure; None when another connection wrote between what was read and the transaction."""
    at = store.catalog.state()[0]
    for name, (chunk, going) in doomed.objects.items():
        work.rewrite(name, chunk, going)
    pieces = thinned(store, work.losing)
    reach("purge.rewritten")
    store.objects.sync()
    with store.catalog.transaction():
        if store.catalog.state()[0] != at:
            return None
        epoch = int(store.catalog.meta("epoch") or 0) + 1
        store.catalog.set_meta("epoch", str(epoch))
        work.record(epoch)
        store.catalog.write_many(
            "UPDATE pieces SET object = ?, checksum = ?, entries = ? WHERE run = ? AND first = ?",
            [(t.new.name, t.new.checksum, t.new.rows, t.run, t.old.first) for t in pieces],
        )
        _strip_removals(store, work.losing, stripped, doomed.ids)
        replaced = {*work.written, *(t.old.object for t in pieces), *_drop_chunks(store, doomed.chunks)}
        debt = replaced.union(load(store.catalog.meta(PURGING) or "[]"))
        erased = _mark_erased(store, doomed.versions, epoch)
        forget_remembered(store, remembered(store, lambda names: names & debt))
        if within is not None:
            within(epoch, erased)
        store.catalog.set_meta(PURGING, dump(sorted(debt)))
        reach("purge.commit")
    return epoch


def _holders(store: Store, gone: Mapping[str, pl.Series]) -> dict[str, tuple[Chunk, pl.Series]]:
    """By object that may hold rows to go: a chunk on it, and those row_ids."""
    wanted: dict[str, tuple[Chunk, list[pl.Series]]] = {}
    every = {s: {p: store.every_chunk(s, p) for p in store.parts(s)} for s in gone}
    home = {c.id: s for s, parts in every.items() for c in parts.get(ROWS, ())}
    hit: set[int] = set()

    @cache
    def among(stage: str, origin: str) -> bool:
        """All that goes from a stage goes from another: a chunk made of one that is looked at need not be searched."""
        return without(gone[stage].to_frame(ID), gone[origin]).is_empty()

    seen: set[str] = set()

    def look(stage: str) -> None:
        """Find the chunks of a stage, after those of the stages that its chunks were made from."""
        if stage in seen:
            return
        seen.add(stage)
        going = gone[stage]
        for part, chunks in every[stage].items():
            if part not in (ROWS, LEFT, QUARANTINE, "places") and not part.startswith("index:"):
                continue
            found = chunks
            if part in (ROWS, LEFT):
                for origin in {home[c.source] for c in chunks if c.source in home}:
                    look(origin)
                near = {c.id for c in chunks if c.source in home and among(stage, home[c.source])}
                far = holding(store, stage, going, part, [c for c in chunks if c.id not in near])
                found = [*far, *(c for c in chunks if c.id in near and c.source in hit)]
                hit.update(c.id for c in found)
            for chunk in found:
                wanted.setdefault(chunk.object, (chunk, []))[1].append(going)

    for stage in gone:
        look(stage)
    return {name: (chunk, pl.concat(asked).unique()) for name, (chunk, asked) in wanted.items()}


class Rewriting:
    """Objects written again without rows, and what that changes in the catalog: found first, recorded at once.

    A chunk's rows are read and written once; only those that leave are hashed.
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        self.written: dict[str, Stored] = {}
        """By old object: the one in its place."""
        self.losing: dict[int, pl.Series] = {}
        """By chunk: the ids that its object loses."""
        self.lost = self.touched = 0
        """Rows taken out, and rows read."""
        self._counts: dict[str, dict[int, dict[str, Any]]] = {}
        """By stage and version, of the stages that are met."""
        self._counted: dict[tuple[str, int], dict[str, Any]] = {}
        self._sums: dict[tuple[str, int], tuple[int, int]] = {}
        """By stage and version: rows taken out, and the sum of their hashes."""

    def rewrite(self, name: str, chunk: Chunk, going: pl.Series) -> None:
        """Write an object again without these rows; `chunk` stands on it, others may."""
        store = self.store
        frame = store.objects.get_frame(name, chunk.checksum)
        store.objects.forget(name)  # it goes, and the next one is decoded in its place
        leaves = frame[ID] == going if len(going) == 1 else frame[ID].is_in(going.implode())
        if not leaves.any():
            return
        lost = where_true(frame, leaves)
        key = sha256(dump(["purge", name]).encode()).hexdigest()[:32]
        self.written[name] = store.objects.put_frame(key, where_true(frame, ~leaves))
        self.lost += lost.height
        self.touched += chunk.rows
        packed = pack(lost[ID])
        whole: int | None = None
        for own in store.chunks_on(name):
            self.losing[own.id] = lost[ID]
            if own.part not in (ROWS, LEFT, QUARANTINE, MEMBERS):
                continue
            for shown in self._shown(own, lost, packed):
                for version in shown.versions:
                    counts = self._counted[own.stage, version] = self._counts[own.stage][version]
                    _recount(counts, own.part, shown.lost)
                if own.part == ROWS:
                    whole = row_sum(lost) if whole is None else whole
                    self._add(own.stage, shown, whole if shown.lost is lost else row_sum(shown.lost))

    def _add(self, stage: str, shown: Shown, total: int) -> None:
        for version in shown.versions:
            rows, before = self._sums.get((stage, version), (0, 0))
            self._sums[stage, version] = rows + shown.lost.height, (before + total) % MODULUS

    def _shown(self, chunk: Chunk, lost: pl.DataFrame, packed: bytes) -> Iterator[Shown]:
        """The versions that showed any of the lost rows; those between two removals are looked at once."""
        if chunk.stage not in self._counts:
            query = "SELECT version, counts FROM versions WHERE stage = ? ORDER BY version"
            self._counts[chunk.stage] = {n: load(counts) for n, counts in self.store.catalog.rows(query, chunk.stage)}
        removals = self.store.removal_lists(chunk)
        alike: dict[int, list[int]] = {}
        for version in self._counts[chunk.stage]:
            if chunk.added <= version and (chunk.ended is None or version < chunk.ended):
                alike.setdefault(sum(at <= version for at, _ in removals), []).append(version)
        for count, versions in alike.items():
            if not count:
                yield Shown(versions, lost)
                continue
            hidden = b"".join(gone for _, gone in removals[:count])
            there = _apart(hidden)
            stays = [row not in there for row in _each(packed)]
            if any(stays):
                yield Shown(versions, lost if all(stays) else lost.filter(pl.Series(stays)))

    def _spans(self) -> Iterator[tuple[str, int, int, int, int]]:
        """Versions one after another that lost the same: (stage, first, last, rows, sum of their hashes). A line for
        each version would make the lines of n forgettings n times as many as there are versions."""
        for stage, counts in self._counts.items():
            sums = {version: self._sums.get((stage, version)) for version in sorted(counts)}
            for lost, span in groupby(sums, sums.__getitem__):
                if lost is not None:
                    first, *more = span
                    yield stage, first, more[-1] if more else first, *lost

    def record(self, epoch: int) -> None:
        """Put the new objects in the place of the old ones, with the counts and sums that follow; in a transaction."""
        catalog, now = self.store.catalog, datetime.now(UTC).isoformat(timespec="seconds")
        catalog.write_many(
            "UPDATE versions SET counts = ? WHERE stage = ? AND version = ?",
            [(dump(counts), *at) for at, counts in self._counted.items()],
        )
        catalog.write_many(
            "UPDATE versions SET epoch = ? WHERE stage = ? AND version = ?", [(epoch, *at) for at in self._sums]
        )
        catalog.write_many(
            "INSERT INTO erasures VALUES (?, ?, ?, ?, ?, ?, ?)",
            [(epoch, stage, first, n, f"{lost:032x}", now, last) for stage, first, last, n, lost in self._spans()],
        )
        catalog.write_many(
            "UPDATE chunks SET object = ?, checksum = ?, size = ?, rows = ? WHERE object = ?",
            [(new.name, new.checksum, new.size, new.rows, old) for old, new in self.written.items()],
        )
        catalog.write_many("DELETE FROM digests WHERE chunk = ?", [(number,) for number in self.losing])


@dataclass(frozen=True)
class Shown:
    """Versions that showed the same rows of a chunk, and which of the lost rows these were."""

    versions: list[int]
    lost: pl.DataFrame


def drop_damaged(store: Store, chunks: Iterable[Chunk]) -> None:
    """Take chunks that cannot be read out of every version, in a transaction: those that showed them are erased, since
    nobody can say what else they held."""
    dropped = list(chunks)
    versions: dict[str, set[int]] = {}
    for chunk in dropped:
        shown = {v.version for v in store.versions(chunk.stage) if v.version >= chunk.added}
        versions.setdefault(chunk.stage, set()).update(n for n in shown if chunk.ended is None or n < chunk.ended)
    debt = _drop_chunks(store, [chunk.id for chunk in dropped]).union(load(store.catalog.meta(PURGING) or "[]"))
    store.catalog.set_meta(PURGING, dump(sorted(debt)))
    _mark_erased(store, versions, int(store.catalog.meta("epoch") or 0) + 1)


def _drop_chunks(store: Store, chunks: Iterable[int]) -> set[str]:
    """Take chunks out of every version; the objects that nobody stands on any more, their locators' among them."""
    numbers = set(chunks)
    names = {store.chunk(number).object for number in numbers}
    for table in ("removals", "digests", "placed"):
        store.catalog.write_many(f"DELETE FROM {table} WHERE chunk = ?", [(n,) for n in numbers])  # noqa: S608
    store.catalog.write_many("DELETE FROM chunks WHERE id = ?", [(n,) for n in numbers])
    dead = [run for run in kept_runs(store) if not numbers.isdisjoint(run.chunks)] if numbers else []
    drop_runs(store, [run.number for run in dead if run.number is not None])
    return names.union(piece.object for run in dead for piece in run.pieces)


def _mark_erased(store: Store, versions: Mapping[str, set[int]], epoch: int) -> dict[str, list[int]]:
    """Leave of a version its place in time, its inputs and its digest; what it was made of may name its rows.

    By stage the versions that were not erased before, ascending.
    """
    marked: dict[str, list[int]] = {}
    query = "SELECT version, facts FROM versions WHERE stage = ? ORDER BY version"
    for stage, numbers in versions.items():
        for number, told in store.catalog.rows(query, stage):
            facts = load(told) if number in numbers else {"erased": 0}
            if "erased" in facts:
                continue
            kept = {k: facts[k] for k in ("kind", "digest") if k in facts}
            store.catalog.write(
                "UPDATE versions SET epoch = ?, facts = ?, columns = '{}' WHERE stage = ? AND version = ?",
                epoch,
                dump({**kept, "erased": epoch}),  # columns may be called as values are: `encode` makes them so
                stage,
                number,
            )
            marked.setdefault(stage, []).append(number)
    return marked


def _recount(counts: dict[str, Any], part: str, shown: pl.DataFrame) -> None:
    """Take purged rows out of the counts of a version that showed them."""
    if "rows" not in counts:
        return
    if part == MEMBERS:
        if counts["consumed"]:
            own = shown[PARENT].null_count() if PARENT in shown.columns else shown.height
            counts["in"] -= shown.height
            counts["consumed"] -= min(own, counts["consumed"])
        return
    if part == ROWS:
        counts["rows"] -= shown.height
        made = shown.height - shown[PARENT].null_count() if PARENT in shown.columns else 0
        made = shown.height if counts["created"] > counts["rows"] else made
        counts["created"] -= made
        counts["in"] -= shown.height - made
    elif part == QUARANTINE:
        _take_from(counts, counts["quarantined"], shown["reason"])
    else:  # a row made inside the table counts nowhere once it has left
        original = shown.filter(pl.col(PARENT).is_null()) if PARENT in shown.columns else shown
        merged = {MERGED: counts["merged"]}
        _take_from(counts, merged, original[REASON].filter(original[REASON] == MERGED))
        counts["merged"] = merged.get(MERGED, 0)
        _take_from(counts, counts["dropped"], original[REASON].filter(original[REASON] != MERGED))


def _take_from(counts: dict[str, Any], named: dict[str, int], reasons: pl.Series) -> None:
    for reason, n in reasons.value_counts().rows():
        counted = min(n, named.get(reason, 0))  # none where the stage counts only rows made inside its table
        named[reason] = named.get(reason, 0) - counted
        counts["in"] -= counted
        if not named[reason]:
            del named[reason]


def _strip_removals(
    store: Store, losing: Mapping[int, pl.Series], stripped: Mapping[str, pl.Series], everywhere: pl.Series
) -> None:
    """Take row_ids out of the lists of removals: by chunk, by stage, or out of all."""
    lists = "SELECT r.chunk, r.version, r.ids, c.stage FROM removals r JOIN chunks c ON c.id = r.chunk"
    by_stage = {stage: _apart(pack(pl.concat([wanted, everywhere]))) for stage, wanted in stripped.items()}
    of_all = _apart(pack(everywhere))
    shorter: list[tuple[bytes, int, int]] = []
    for chunk, version, listed, stage in store.catalog.rows(lists):
        going = by_stage.get(stage, of_all)
        own = _apart(pack(losing[chunk])) if chunk in losing else ()
        if not going and not own:
            continue
        if len(listed) > MANY:
            left = pack(without(unpack(listed).to_frame(ID), unpack(b"".join({*going, *own})))[ID])
            kept = left if len(left) < len(listed) else listed
        else:
            kept = b"".join(row for row in _each(listed) if row not in going and row not in own)
        if len(kept) < len(listed):
            shorter.append((kept, chunk, version))
    store.catalog.write_many("UPDATE removals SET ids = ? WHERE chunk = ? AND version = ?", shorter)
    emptied = [at for kept, *at in shorter if not kept]
    store.catalog.write_many("DELETE FROM removals WHERE chunk = ? AND version = ?", emptied)


def _each(packed: bytes) -> list[bytes]:
    """Packed row_ids one by one; for some hundred a query costs more."""
    return [packed[at : at + 16] for at in range(0, len(packed), 16)]


def _apart(packed: bytes) -> frozenset[bytes]:
    return frozenset(_each(packed))
