"""Purging rows: every chunk that holds them, in every version kept, is written again without them.

Versions that showed them get an erasure epoch; the sums of the touched chunks before and after stay on record. Then
old objects are deleted and the catalog is vacuumed, so that no deleted value is left in a free page. The commit
records what is still to be deleted: a purge that was killed after it is ended by the next purge, or by `gc`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from hashlib import sha256
from typing import Any

import polars as pl

from tillage.core.rows import ID, MERGED, PARENT, REASON, ids, only, without
from tillage.store.catalog import dump, load
from tillage.store.digests import MODULUS, row_sum
from tillage.store.failpoints import reach
from tillage.store.gc import PURGING, erase_replaced, forget_remembered, remembered
from tillage.store.locate import drop_runs, holding, kept_runs, thinned
from tillage.store.objects import Stored
from tillage.store.tables import FEW, LEFT, ROWS, Chunk, Store, Version, pack, unpack

QUARANTINE = "quarantine"


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
    return purge_doomed(store, Doomed(_holders(store, gone)), stripped=gone, vacuum=vacuum)


def purge_doomed(
    store: Store,
    doomed: Doomed,
    *,
    stripped: Mapping[str, pl.Series] | None = None,
    vacuum: bool = True,
    within: Callable[[int], None] | None = None,
) -> Purged:
    """Take away what is listed; `within` is called with the epoch inside the transaction."""
    work = _rewritten(store, doomed.objects)
    losing: dict[int, pl.Series] = {}
    for name, (_, _, lost) in work.items():
        losing |= {int(r[0]): lost[ID] for r in store.catalog.rows("SELECT id FROM chunks WHERE object = ?", name)}
    pieces = thinned(store, losing)
    reach("purge.rewritten")
    store.objects.sync()
    with store.catalog.transaction():
        epoch = int(store.catalog.meta("epoch") or 0) + 1
        store.catalog.set_meta("epoch", str(epoch))
        debt = {*load(store.catalog.meta(PURGING) or "[]"), *work}
        for name, (_, stored, lost) in work.items():
            _swap(store, name, stored, lost, epoch)
        store.catalog.write_many(
            "UPDATE pieces SET object = ?, checksum = ?, entries = ? WHERE run = ? AND first = ?",
            [(t.new.name, t.new.checksum, t.new.rows, t.run, t.old.first) for t in pieces],
        )
        debt |= {t.old.object for t in pieces}
        for stage, wanted in (stripped or {}).items():
            _strip_removals(store, "c.stage", stage, wanted)
        if len(doomed.ids):
            _strip_removals(store, "1", 1, doomed.ids)
        debt |= _drop_chunks(store, doomed.chunks)
        _mark_erased(store, doomed.versions, epoch)
        forget_remembered(store, remembered(store, lambda names: bool(names & debt)))
        if within is not None:
            within(epoch)
        store.catalog.set_meta(PURGING, dump(sorted(debt)))
        reach("purge.commit")
    erase_replaced(store, vacuum=vacuum)
    lost_rows = sum(lost.height for _, _, lost in work.values())
    return Purged(epoch, lost_rows, len(work), sum(c.rows for c, _, _ in work.values()))


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


def _rewritten(
    store: Store, wanted: Mapping[str, tuple[Chunk, pl.Series]]
) -> dict[str, tuple[Chunk, Stored, pl.DataFrame]]:
    """By old object: a chunk on it, the object written in its place, the rows it loses."""
    work = {}
    for name, (chunk, going) in wanted.items():
        frame = store.objects.get_frame(name, chunk.checksum)
        lost = only(frame, going)
        if lost.height:
            key = sha256(dump(["purge", name]).encode()).hexdigest()[:32]
            work[name] = (chunk, store.objects.put_frame(key, without(frame, going)), lost)
    return work


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


def _mark_erased(store: Store, versions: Mapping[str, set[int]], epoch: int) -> None:
    """Leave of a version its place in time, its inputs and its digest; what it was made of may name its rows."""
    for stage, numbers in versions.items():
        for number in numbers:
            facts = store.version(stage, number).facts
            kept = {k: facts[k] for k in ("kind", "digest") if k in facts}
            store.catalog.write(
                "UPDATE versions SET epoch = ?, facts = ? WHERE stage = ? AND version = ?",
                epoch,
                dump({**kept, "erased": epoch}),
                stage,
                number,
            )


def _swap(store: Store, name: str, stored: Stored, lost: pl.DataFrame, epoch: int) -> None:
    """Put the rewritten object in the place of the old one in every chunk that stands on it."""
    chunks = {int(row["id"]) for row in store.catalog.rows("SELECT id FROM chunks WHERE object = ?", name)}
    kept: pl.DataFrame | None = None
    total = 0
    for number in sorted(chunks):
        chunk = store.chunk(number)
        shown = list(_shown(store, chunk, lost)) if chunk.part in (ROWS, LEFT, QUARANTINE) else []
        _recount(store, chunk, shown)
        if chunk.part == ROWS and shown:
            if kept is None:
                kept = store.objects.get_frame(stored.name, stored.checksum)
                total = row_sum(kept)
            _record(store, chunk, kept, total, shown, epoch)
        store.catalog.write(
            "UPDATE chunks SET object = ?, checksum = ?, size = ?, rows = ? WHERE id = ?",
            stored.name,
            stored.checksum,
            stored.size,
            stored.rows,
            chunk.id,
        )
        store.catalog.write("DELETE FROM digests WHERE chunk = ?", chunk.id)
        _strip_removals(store, "c.id", chunk.id, lost[ID])


@dataclass(frozen=True)
class Shown:
    """Versions that showed the same rows of a chunk: what they hid of it, and which of the lost rows they showed."""

    versions: list[Version]
    hidden: pl.Series
    lost: pl.DataFrame


def _shown(store: Store, chunk: Chunk, lost: pl.DataFrame) -> Iterator[Shown]:
    """The versions that showed any of the lost rows; those between two removals are looked at once."""
    taken = store.catalog.rows("SELECT version, ids FROM removals WHERE chunk = ? ORDER BY version", chunk.id)
    removals = [(int(row["version"]), unpack(row["ids"])) for row in taken]
    alike: dict[int, list[Version]] = {}
    for version in store.versions(chunk.stage):
        if chunk.added <= version.version and (chunk.ended is None or version.version < chunk.ended):
            alike.setdefault(sum(at <= version.version for at, _ in removals), []).append(version)
    for count, versions in alike.items():
        hidden = pl.concat([ids(), *(gone for _, gone in removals[:count])])
        rows = without(lost, hidden)
        if rows.height:
            yield Shown(versions, hidden, rows)


def _record(store: Store, chunk: Chunk, kept: pl.DataFrame, total: int, shown: list[Shown], epoch: int) -> None:
    """Note, for each version that showed the chunk, the row sums of its touched chunks before and after.

    `total`: the sum of the rows that the object keeps; what a version hides of them is taken off.
    """
    now = datetime.now(UTC).isoformat(timespec="seconds")
    for state in shown:
        after = (total - (row_sum(only(kept, state.hidden)) if len(state.hidden) else 0)) % MODULUS
        before = (after + row_sum(state.lost)) % MODULUS
        for version in state.versions:
            row = store.catalog.row(
                "SELECT rows, old, new FROM erasures WHERE epoch = ? AND stage = ? AND version = ?",
                epoch,
                chunk.stage,
                version.version,
            )
            rows, old, new = (row[0], int(row[1], 16), int(row[2], 16)) if row else (0, 0, 0)
            store.catalog.write(
                "UPDATE versions SET epoch = ? WHERE stage = ? AND version = ?", epoch, chunk.stage, version.version
            )
            store.catalog.write(
                "INSERT OR REPLACE INTO erasures VALUES (?, ?, ?, ?, ?, ?, ?)",
                epoch,
                chunk.stage,
                version.version,
                rows + state.lost.height,
                f"{(old + before) % MODULUS:032x}",
                f"{(new + after) % MODULUS:032x}",
                now,
            )


def _recount(store: Store, chunk: Chunk, states: Iterable[Shown]) -> None:
    """Take purged rows out of the counts of every version that showed them."""
    for version, shown in [(version, state.lost) for state in states for version in state.versions]:
        counts = version.counts
        if "rows" not in counts:
            continue
        if chunk.part == ROWS:
            counts["rows"] -= shown.height
            made = shown.height - shown[PARENT].null_count() if PARENT in shown.columns else 0
            made = shown.height if counts["created"] > counts["rows"] else made
            counts["created"] -= made
            counts["in"] -= shown.height - made
        elif chunk.part == QUARANTINE:
            _take_from(counts, counts["quarantined"], shown["reason"])
        else:  # a row made inside the table counts nowhere once it has left
            original = shown.filter(pl.col(PARENT).is_null()) if PARENT in shown.columns else shown
            merged = {MERGED: counts["merged"]}
            _take_from(counts, merged, original[REASON].filter(original[REASON] == MERGED))
            counts["merged"] = merged.get(MERGED, 0)
            _take_from(counts, counts["dropped"], original[REASON].filter(original[REASON] != MERGED))
        store.catalog.write(
            "UPDATE versions SET counts = ? WHERE stage = ? AND version = ?", dump(counts), chunk.stage, version.version
        )


def _take_from(counts: dict[str, Any], named: dict[str, int], reasons: pl.Series) -> None:
    for reason, n in reasons.value_counts().rows():
        counted = min(n, named.get(reason, 0))  # none where the stage counts only rows made inside its table
        named[reason] = named.get(reason, 0) - counted
        counts["in"] -= counted
        if not named[reason]:
            del named[reason]


def _strip_removals(store: Store, column: str, value: str | int, wanted: pl.Series) -> None:
    query = f"SELECT r.chunk, r.version, r.ids FROM removals r JOIN chunks c ON c.id = r.chunk WHERE {column} = ?"  # noqa: S608
    found = store.catalog.rows(query, value)
    going = set(wanted.to_list()) if found else set()
    for row in found:
        listed = unpack(row["ids"])
        if len(listed) <= FEW and going.isdisjoint(listed.to_list()):
            continue
        kept = without(listed.to_frame(ID), wanted)[ID]
        if len(kept) < len(listed):
            if len(kept):
                store.catalog.write(
                    "UPDATE removals SET ids = ? WHERE chunk = ? AND version = ?",
                    pack(kept),
                    row["chunk"],
                    row["version"],
                )
            else:
                store.catalog.write(
                    "DELETE FROM removals WHERE chunk = ? AND version = ?", row["chunk"], row["version"]
                )
