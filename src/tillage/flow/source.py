"""Bringing a source's table up to date: only new or changed objects are opened, only changed rows are written.

An object (a file) counts as unchanged while its stamp is; a new stamp with the old checksum is a touch or a rename.
A changed object is read whole and compared with its rows in the table by row_id and content, so what goes downstream
is the difference. Of one key's records the last one of the path that sorts last wins; the others wait in the ledger
as `superseded`, whole, and return when it leaves. Memory: 8 bytes a row for uniqueness beside the chunks in flight.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import polars_hash as plh

from tillage.core.errors import BadData, RowIdCollision
from tillage.core.rows import ID, REASON, high, ids, low, only, without
from tillage.core.step import BadRecord, Batch
from tillage.flow.ahead import Ahead
from tillage.flow.bad_records import bad_row
from tillage.flow.chunking import chunk_rows, fitting
from tillage.flow.following import Expired, Following, Held
from tillage.flow.kept import kept_aside, kept_rows
from tillage.flow.mending import LOST
from tillage.flow.progress import Listener, Progress, silent
from tillage.flow.quarantine import PART as QUARANTINE
from tillage.flow.quarantine import sealed
from tillage.flow.stages import Stage
from tillage.flow.survey import Known, Survey, held_objects, note_replaced, read_before, source_of, table_of
from tillage.flow.tombstones import Tombstones
from tillage.store.catalog import dump
from tillage.store.digests import content_hashes
from tillage.store.entries import Entries, alike, places_of, prefixes
from tillage.store.locate import Run, locate
from tillage.store.tables import LEFT, ROWS, Chunk, Draft, NewChunk, Store, Version

OBJECT = "_object"
RECORD = "_record"
PLACES = "places"
SUPERSEDED = "superseded"
LEAST_BAD = 10
"""Fewer bad records than this never stop a run."""


@dataclass
class Reading:
    """The draft of a stage's next version, and what it cost."""

    draft: Draft | None
    touched: int
    sources: list[tuple[str, tuple[Any, ...]]] = field(default_factory=list)
    """Statements that record the objects, to run in the commit."""

    run: Run | None = None
    """Where the rows just written are, for the locator, by the objects' names."""

    fresh: tuple[str, ...] = ()
    """Paths of the objects that were read."""


class SourceRun:
    """One reading of one source."""

    def __init__(
        self, store: Store, stage: Stage, root: Path, found: Survey, ahead: Ahead | None, listen: Listener = silent
    ) -> None:
        self.ahead = ahead
        self.store, self.stage, self.root, self.found = store, stage, root, found
        self.table = table_of(stage)
        self.last: Version | None = store.latest(stage.name)
        other = self.last is not None and read_before(store, stage.name) is None  # by another plan, of another stage
        self.rewrite = self.last is None or other or bool(found.retype) or self.last.fingerprint == LOST
        self.columns = list(found.columns)
        self.held = set() if self.rewrite else set(held_objects(store, stage.name))
        """Objects whose rows the table shows now."""
        facts = {"types": found.columns, **({"notes": list(found.notes)} if found.notes else {})}
        self.draft = Draft(stage.name, "source", stage.fingerprint(), columns={}, facts=facts)
        self.paths = {k.ordinal: k.path for k in [*found.live, *found.gone]}
        self.forgotten = Tombstones(store, stage.name, self.table.key)
        self.screened: set[str] = set()
        """Objects of which records were kept out, since they are of someone who was forgotten."""
        self.touched = 0
        self.examples: list[str] = []
        total = sum(int(k.state.get("records", 0)) for k in found.fresh)
        self.size = chunk_rows(sum(int(k.state.get("records", 0)) for k in found.live))
        self.progress = Progress(stage.target, total)
        self.listen = listen
        self.buffer: list[pl.DataFrame] = []
        self.buffered = 0
        self.written: list[NewChunk] = []
        self.noted = Entries(total if self.table.key else 0)
        """The ids in each chunk written by reading; `entries` when all are."""
        self.schema: pl.Schema | None = None
        self.entries = np.empty(0, dtype="<u8")
        self.numbered = 0
        """Chunks written by reading, which `entries` numbers; settling may add others."""
        self.gone_ids: list[pl.Series] = []
        self.removals: dict[int, tuple[Chunk, list[pl.Series]]] = {}
        self.new_left: list[pl.DataFrame] = []
        self.quarantined: list[pl.DataFrame] = []
        self.places: list[tuple[int, pl.DataFrame, pl.Series]] = []
        """By object: rows that stand elsewhere in it than where they were read; all rows that were not read anew."""

    def run(self) -> Reading:
        """Read what is fresh, drop what is gone, settle who wins; the draft is None when nothing changed."""
        found = self.found
        for k in found.live:
            k.fresh = self.rewrite or (k.fresh and not (k.again and self._still_bad(k)))
        sources = self._source_statements()
        if not found.fresh and not found.gone and self.last is not None:
            self._judge(self.last.counts)  # the limit may have been lowered since
            return Reading(None, self.touched, sources)
        if self.rewrite:
            self.draft.ended = [
                c.id for part in self.store.parts(self.stage.name) for c in self.store.chunks(self.stage.name, part)
            ]
        for k in found.gone:
            self._leave(k)
        for k in found.fresh:
            self._read(k)
        self.forgotten.refuse()
        if self._mask() | note_replaced(self.root, found.fresh):
            sources = self._source_statements()
        self._cut(final=True)
        self.numbered = len(self.written)
        if self.table.key:
            self.entries = self.noted.sorted()
            self._settle()
        self._finish()
        self._judge(self.draft.counts)
        return Reading(self.draft, self.touched, sources, self._run(), tuple(k.path for k in found.fresh))

    def cost(self) -> int:
        """The records read so far, good and bad: what a reading that is refused has cost."""
        return self.touched + sum(rows.height for rows in self.quarantined)

    def _run(self) -> Run | None:
        return (self.entries, [new.stored.name for new in self.written[: self.numbered]]) if self.table.key else None

    def _judge(self, counts: dict[str, Any]) -> None:
        """Refuse a version with too many bad records: of the whole table, so that a rebuild would be refused too."""
        bad, records = sum(counts["quarantined"].values()), int(counts["in"])
        nothing = bool(bad) and not self.columns and self.table.max_quarantine < 1
        if not nothing and (bad < LEAST_BAD or bad <= self.table.max_quarantine * records):
            return
        limit = f"more than the limit of {self.table.max_quarantine:.1%}"
        examples = "".join(f"\n  {one}" for one in self.examples)
        raise BadData(
            f"Table '{self.table.name}': {bad:,} of {records:,} records cannot be read, "
            f"{'so it would have no column' if nothing else limit}. "
            + ("The last version stays." if self.last else "There is no version of it yet.")
            + (f" For example:{examples}" if examples else ""),
            fix="Mend the files or the way they are read (delimiter, encoding, types), or raise max_quarantine.",
        )

    # -- reading ----------------------------------------------------------------------------------------------------

    def _still_bad(self, k: Known) -> bool:
        """Whether just those records of an object cannot be read that could not: then nothing of it is written anew."""
        told = ["record", "byte_start", "byte_end", "stage", "reason", "column", "message"]
        chunks = self.store.chunks_of_origin(self.stage.name, QUARANTINE, k.ordinal)
        was = [
            row for c in chunks for row in self.store.read(c).filter(pl.col(OBJECT) == k.ordinal).select(told).rows()
        ]
        now: list[tuple[Any, ...]] = []
        batches = self._batches(k)
        if batches is None:
            return True
        for batch in batches:
            self.touched += batch.rows.height
            bad = self.forgotten.readable(self._with_keys(batch, k).bad, k.path, k.checksum)
            now += sealed(bad, self.table.name, k.path, k.ordinal, self.store.keys).select(told).rows()
        return sorted(was) == sorted(now)

    def _read(self, k: Known) -> None:
        batches = self._batches(k)
        if batches is None:
            return
        before = self._rows_of(k.ordinal) if k.ordinal in self.held else None
        held: list[pl.DataFrame] = []
        seen: list[pl.Series] = []
        occurrences: dict[int, int] = {}
        self._clear(k.ordinal, QUARANTINE)
        self._clear(k.ordinal, LEFT)
        for batch in batches:
            self.touched += batch.rows.height
            self.progress.done += batch.rows.height
            keyed = self._with_keys(batch, k)
            rows = self._placed(keyed, k)
            if not self.table.key:
                rows = rows.hstack([self._by_content(rows.select(self.columns), k.path, occurrences)])
            elif before is not None or self.forgotten.by_row:
                rows = self._identified(rows)
            here = rows.height
            if self.forgotten.untold(rows, k.path, k.checksum):
                return
            rows = self.forgotten.screen(rows, k.path, k.checksum)
            bad = self.forgotten.readable(keyed.bad, k.path, k.checksum)
            if rows.height < here or len(bad) < len(keyed.bad):
                self.screened.add(k.path)
            self._set_aside(bad, k)
            if before is not None:
                seen.append(rows[ID])
                rows = self._difference(rows, before, held)
            self._buffer(rows, k.ordinal)
            self.listen(self.progress)
        if before is not None:
            self._compare(k, before, pl.concat(seen) if seen else ids(), held)

    def _mask(self) -> bool:
        """Let no object be named by a value of a row that a tombstone has kept out; whether any was."""
        source, live = source_of(self.stage), self.found.live
        if not self.screened or not isinstance(source, Following):
            return False
        held = source.masked([Held(k.path, k.stamp, k.state) for k in live], self.screened)
        for k, now in zip(live, held, strict=True):
            k.path, k.stamp, k.state = now.path, now.stamp, now.state
        return True

    def _batches(self, k: Known) -> Iterator[Batch] | None:
        """The records of an object; where it has expired, those that were made of it: None if these can just stay."""
        source = source_of(self.stage)
        batches = source.read(self.root, k.path, self.found.columns)
        try:
            first = [next(batches)]
        except StopIteration:
            first = []
        except Expired:
            if not isinstance(source, Following) or k.ordinal not in held_objects(self.store, self.stage.name):
                raise
            if not self.rewrite:
                return None
            self.quarantined += kept_aside(self.store, self.stage.name, k.ordinal)
            return kept_rows(self.store, self.stage.name, source, k.ordinal, self.found.columns)
        return chain(first, batches)

    def _compare(self, k: Known, before: pl.DataFrame, here: pl.Series, held: list[pl.DataFrame]) -> None:
        """End the reading of a changed object: drop what it lost, note what stands elsewhere in it now."""
        self._remove(without(before, here.unique()), lost=True)
        same = pl.concat(held) if held else before.select(ID, RECORD, pl.col(RECORD).alias("_at")).clear()
        twice = here.filter(here.is_duplicated()).unique()
        if len(twice):  # the last record of a key wins: all of them are written anew, and settled with the rest
            again = only(same, twice)
            for (chunk,), found in only(before, again[ID].unique()).partition_by("_chunk", as_dict=True).items():
                rows = self.store.read(self.store.chunk(int(str(chunk)))).drop(RECORD)
                self._buffer(only(rows, found[ID]).join(again.select(ID, RECORD), on=ID), k.ordinal)
            self._remove(only(before, twice), lost=False)
            same = without(same, twice)
        moved = same.filter(pl.col("_at") != pl.col(RECORD)).select(ID, RECORD)
        if moved.height or self._places(k.ordinal) is not None:
            self.places.append((k.ordinal, moved, same[ID]))

    def _with_keys(self, batch: Batch, k: Known) -> Batch:
        """The batch, with records whose key is missing set aside."""
        missing = [c for c in self.table.key if batch.rows.height and batch.rows[c].null_count()]
        if not missing:
            return batch
        lacks = batch.rows.select(pl.any_horizontal(pl.col(c).is_null() for c in missing)).to_series()
        bad = list(batch.bad)
        for record, row in zip(
            batch.records.filter(lacks), batch.rows.filter(lacks).iter_rows(named=True), strict=True
        ):
            column = next(c for c in missing if row[c] is None)
            message = "The key is empty, so the row could never be found again."
            bad.append(bad_row(record, "key", "missing_key", message, column, row))
        return Batch(batch.rows.filter(~lacks), batch.records.filter(~lacks), bad)

    def _placed(self, batch: Batch, k: Known) -> pl.DataFrame:
        """The rows of a batch with their object and record; without a query, since small files are many."""
        place = pl.Series(OBJECT, np.full(batch.rows.height, k.ordinal, dtype=np.uint32))
        return batch.rows.hstack([place, batch.records.alias(RECORD)])

    def _identified(self, rows: pl.DataFrame) -> pl.DataFrame:
        return rows.hstack([self.store.keys.row_ids(self.table.name, rows, self.table.key)])

    def _by_content(self, rows: pl.DataFrame, path: str, occurrences: dict[int, int]) -> pl.Series:
        content = content_hashes(rows).alias("h").to_frame()
        content = content.with_columns(pl.int_range(pl.len()).over("h").alias("n"))
        counts = content.group_by("h").len().rows()
        if occurrences:
            earlier = (
                [occurrences.get(h, 0) for h in content["h"]] if any(h in occurrences for h, _ in counts) else None
            )
            if earlier is not None:
                content = content.with_columns(pl.col("n") + pl.Series(earlier, dtype=pl.Int64))
        for h, n in counts:
            occurrences[h] = occurrences.get(h, 0) + n
        parts = content.select(plh.hash_rows(pl.lit(path), low("h"), high("h"), pl.col("n")).alias("h"))
        hashed = parts.select(plh.col("h").nchash.xxh3_128().alias("h"))["h"]
        return self.store.keys.key_ids(self.table.name, hashed)

    def _difference(self, rows: pl.DataFrame, before: pl.DataFrame, held: list[pl.DataFrame]) -> pl.DataFrame:
        """The rows that are new or changed; the others are noted in `held` with their record then and now."""
        marked = rows.with_columns(content_hashes(rows).alias("_hash"))
        old = before.select(ID, pl.col("_hash").alias("_was"), pl.col(RECORD).alias("_at"))
        joined = marked.join(old, on=ID, how="left", maintain_order="left")
        same = (pl.col("_was") == pl.col("_hash")).fill_null(value=False)
        changed = joined.filter(pl.col("_was").is_not_null() & ~same)
        self._remove(only(before, changed[ID].unique()), lost=False)
        held.append(joined.filter(same).select(ID, RECORD, "_at"))
        return joined.filter(~same).drop("_hash", "_was", "_at")

    def _rows_of(self, ordinal: int) -> pl.DataFrame:
        """The rows that the table shows of one object: `_id`, `_hash`, `_record`, `_chunk`."""
        out = [pl.DataFrame(schema={ID: pl.UInt128, "_hash": pl.UInt128, RECORD: pl.UInt64, "_chunk": pl.Int64})]
        for chunk in self.store.chunks_of_origin(self.stage.name, ROWS, ordinal):
            rows = self.store.read(chunk).filter(pl.col(OBJECT) == ordinal)
            self.touched += rows.height
            hashed = content_hashes(rows).alias("_hash")
            out.append(rows.select(ID, hashed, RECORD, pl.lit(chunk.id, dtype=pl.Int64).alias("_chunk")))
        found = pl.concat(out)
        places = self._places(ordinal)
        return found if places is None else found.update(places, on=ID)

    def _places(self, ordinal: int) -> pl.DataFrame | None:
        found = [self.store.read(c) for c in self.store.chunks(self.stage.name, PLACES, page=ordinal)]
        return pl.concat(found).unique(ID, keep="last", maintain_order=True) if found else None

    def _leave(self, k: Known) -> None:
        """An object that is gone takes its rows with it."""
        if self.rewrite:
            return
        for part in (ROWS, LEFT, QUARANTINE):
            self._clear(k.ordinal, part)
        self.draft.ended += [c.id for c in self.store.chunks(self.stage.name, PLACES, page=k.ordinal)]

    def _clear(self, ordinal: int, part: str) -> None:
        """Take all rows of one object out of a part."""
        if self.rewrite:
            return
        for chunk in self.store.chunks_of_origin(self.stage.name, part, ordinal):
            rows = self.store.read(chunk).filter(pl.col(OBJECT) == ordinal)
            self.touched += rows.height
            self._take(chunk, rows[ID])
            if part == ROWS:
                self.gone_ids.append(rows[ID])

    def _remove(self, rows: pl.DataFrame, *, lost: bool) -> None:
        for (chunk,), found in rows.partition_by("_chunk", as_dict=True).items():
            self._take(self.store.chunk(int(str(chunk))), found[ID])
            if lost:
                self.gone_ids.append(found[ID])

    def _take(self, chunk: Chunk, gone: pl.Series) -> None:
        self.removals.setdefault(chunk.id, (chunk, []))[1].append(gone)

    # -- writing ----------------------------------------------------------------------------------------------------

    def _buffer(self, rows: pl.DataFrame, ordinal: int) -> None:
        if self.schema is None:
            kinds = rows.schema  # asked once: it is made anew each time, which ten thousand columns would feel
            self.schema = pl.Schema({c: kinds[c] for c in self.columns})
        if rows.height:
            self.buffer.append(rows)
            self.buffered += rows.height
        if self.buffered >= self.size:
            self._cut(final=False)

    def _cut(self, *, final: bool) -> None:
        if not self.buffered:
            return
        if any(ID in rows.columns for rows in self.buffer):
            alike = [rows if ID in rows.columns else self._identified(rows) for rows in self.buffer]
            self.buffer = [rows.select(ID, OBJECT, RECORD, *self.columns) for rows in alike]
        whole = pl.concat(self.buffer)
        size = fitting(whole, self.size)
        at = 0
        while whole.height - at >= size or (final and at < whole.height):
            self._write(whole[at : at + size])
            at += size
        rest = whole[at:]
        self.buffer, self.buffered = ([rest] if rest.height else []), rest.height

    def _write(self, rows: pl.DataFrame) -> None:
        made = None
        if ID not in rows.columns:
            made = self.store.keys.row_halves(self.table.name, rows, self.table.key)
            rows = rows.hstack([made.joined()])
        rows = rows[[ID, OBJECT, RECORD, *self.columns]].rechunk()  # once, or each query on them would
        key = sha256(f"{self.draft.fingerprint}\n{rows[ID][0]}\n{rows.height}".encode()).hexdigest()[:32]
        stored = self.store.objects.put_frame(key, rows, made)
        self.written.append(NewChunk(ROWS, stored, origins=_origins(rows[OBJECT])))
        if self.table.key and not self.numbered:
            self.noted.add(rows[ID], made)
        if self.ahead is not None:
            self.ahead.chunk(self.stage.name, stored, rows)

    def _set_aside(self, bad: list[BadRecord], k: Known) -> None:
        for b in bad[: max(0, 5 - len(self.examples))]:
            column = f", column '{b.column}'" if b.column else ""
            record = f" record {b.record}" if b.record >= 0 else ""  # or it is the object as a whole
            self.examples.append(f"{k.path}{record}{column}: {b.reason}: {b.message}")
        if bad:
            self.quarantined.append(sealed(bad, self.table.name, k.path, k.ordinal, self.store.keys))

    # -- one key twice ----------------------------------------------------------------------------------------------

    def _settle(self) -> None:
        """Decide among records of one key: those just written, those shown, those superseded earlier."""
        twice = self._twice()
        lost = pl.concat(self.gone_ids).unique() if self.gone_ids else ids()
        shown = self._elsewhere(ROWS) if not self.rewrite else []
        waiting = self._elsewhere(LEFT, also=lost) if not self.rewrite else []
        claimed = [twice, *(rows.select(ID) for _, rows in [*shown, *waiting])]
        disputed = pl.concat([c.select(ID) for c in claimed]).unique()[ID]
        if disputed.is_empty():
            return
        rivals = [self._rival(rows, ROWS, c.id) for c, rows in shown] + [
            self._rival(rows, LEFT, c.id) for c, rows in waiting
        ]
        for place, new in enumerate(self.written):
            rows = only(self.store.objects.get_frame(new.stored.name, new.stored.checksum), disputed)
            if rows.height:
                rivals.append(self._rival(rows, "new", place))
        self._award(pl.concat(rivals, how="diagonal_relaxed"))

    def _rival(self, rows: pl.DataFrame, held: str, place: int) -> pl.DataFrame:
        return rows.with_columns(pl.lit(held).alias("_held"), pl.lit(place, dtype=pl.Int64).alias("_place"))

    def _award(self, rivals: pl.DataFrame) -> None:
        rank = {o: i for i, o in enumerate(sorted(self.paths, key=lambda o: self.paths[o]))}
        ranked = rivals.with_columns(pl.col(OBJECT).cast(pl.Int64).replace_strict(rank, default=-1).alias("_rank"))
        clash = ranked.group_by(ID).agg(
            pl.struct(pl.col(c).cast(pl.String) for c in self.table.key).n_unique().alias("n")
        )
        if clash.height and int(clash["n"].max() or 0) > 1:  # type: ignore[arg-type]
            raise RowIdCollision(
                f"Two different keys of '{self.table.name}' have one row_id.",
                fix="Set another TILLAGE_KEY and start a new store.",
            )
        ranked = ranked.sort("_rank", RECORD)
        last = pl.int_range(pl.len()).over(ID) == pl.len().over(ID) - 1
        ranked = ranked.with_columns(last.alias("_wins"))
        drop = ["_held", "_place", "_rank", "_wins", REASON, "_into", "_step"]
        for (held, place), rows in ranked.partition_by("_held", "_place", as_dict=True).items():
            lose, win = rows.filter(~pl.col("_wins")), rows.filter("_wins")
            if held == "new":
                at = int(str(place))
                if lose.height:
                    self.written[at] = self._without_losers(self.written[at], lose)
                    self.new_left.append(lose.drop(drop, strict=False))
            elif held == ROWS and lose.height:
                self._take(self.store.chunk(int(str(place))), lose[ID])
                self.new_left.append(lose.drop(drop, strict=False))
            elif held == LEFT and win.height:
                self._take(self.store.chunk(int(str(place))), win[ID])
                self._write(win.drop(drop, strict=False).sort(ID))

    def _without_losers(self, new: NewChunk, lose: pl.DataFrame) -> NewChunk:
        """The chunk written again: an id that stands in it twice could not be hidden by id."""
        rows = self.store.objects.get_frame(new.stored.name, new.stored.checksum)
        kept = rows.join(lose.select(ID, OBJECT, RECORD), on=[ID, OBJECT, RECORD], how="anti", maintain_order="left")
        stored = self.store.objects.put_frame(new.stored.name.split("/")[1].split("-")[0], kept)
        return NewChunk(new.part, stored, origins=new.origins)

    def _twice(self) -> pl.DataFrame:
        """Ids that stand more than once in what was just written (by their first 48 bits, then exactly)."""
        same = alike(self.entries)
        none = pl.DataFrame(schema={ID: pl.UInt128})
        if not len(same):
            return none
        found = [none]
        for new in (self.written[place] for place in places_of(self.entries, same)):
            row_ids = self.store.objects.get_frame(new.stored.name, new.stored.checksum, [ID])
            found.append(row_ids.filter(np.isin(prefixes(row_ids[ID]), same)))
        return pl.concat(found).filter(pl.col(ID).is_duplicated())

    def _elsewhere(self, part: str, also: pl.Series | None = None) -> list[tuple[Chunk, pl.DataFrame]]:
        """Rows of a part, not leaving now, whose key was just written (or is among `also`)."""
        if not self.store.chunks(self.stage.name, part):
            return []
        wanted = [self.store.objects.get_frame(n.stored.name, n.stored.checksum, [ID])[ID] for n in self.written]
        wanted += [also] if also is not None else []
        if not wanted:
            return []
        out = []
        for chunk, rows in locate(self.store, self.stage.name, pl.concat(wanted).unique(), part):
            self.touched += rows.height
            _, taken = self.removals.get(chunk.id, (chunk, []))
            kept = without(rows, pl.concat(taken)) if taken else rows
            if kept.height:
                out.append((chunk, kept))
        return out

    # -- the draft --------------------------------------------------------------------------------------------------

    def _finish(self) -> None:
        draft, store, name = self.draft, self.store, self.stage.name
        draft.added += self.written
        for chunk, gone in self.removals.values():
            if not self.rewrite:
                draft.remove(chunk, pl.concat(gone).unique())
        left = [f for f in self.new_left if f.height]
        if left:
            entries = pl.concat(left, how="diagonal_relaxed").with_columns(
                pl.lit(SUPERSEDED).alias(REASON),
                pl.lit(None, dtype=pl.UInt128).alias("_into"),
                pl.lit("key").alias("_step"),
                (pl.int_range(pl.len()).over(ID)).alias("_nth"),
            )
            for rows in entries.partition_by("_nth", include_key=False):  # ids are removed from a chunk by id
                self._add(LEFT, rows)
        if self.quarantined:
            self._add(QUARANTINE, pl.concat(self.quarantined))
        for ordinal, moved, same in self.places:
            draft.ended += [c.id for c in store.chunks(name, PLACES, page=ordinal)]
            before = self._places(ordinal)
            whole = moved if before is None else pl.concat([without(only(before, same), moved[ID]), moved])
            if whole.is_empty():
                continue
            draft.added.append(NewChunk(PLACES, store.objects.put_frame(self._key(PLACES), whole), page=ordinal))
        schema = self.schema
        if schema is not None:
            draft.columns = {c: str(t) for c, t in schema.items() if not c.startswith("_")}
        elif self.last is not None and not self.rewrite:
            draft.columns = self.last.columns
        else:
            draft.columns = dict(self.found.columns)
        draft.counts = self._counts()

    def _add(self, part: str, rows: pl.DataFrame) -> None:
        stored = self.store.objects.put_frame(self._key(part), rows)
        self.draft.added.append(NewChunk(part, stored, origins=tuple(rows[OBJECT].unique().sort().to_list())))

    def _key(self, part: str) -> str:
        return sha256(f"{self.draft.fingerprint}\n{part}".encode()).hexdigest()[:32]

    def _counts(self) -> dict[str, Any]:
        rows = self._alive(ROWS)
        superseded = self._alive(LEFT)
        reasons: dict[str, int] = {}
        for chunk, gone in self._surviving(QUARANTINE):
            for reason, n in without(self.store.read(chunk), gone)["reason"].value_counts().rows():
                reasons[reason] = reasons.get(reason, 0) + n
        for frame in self.quarantined:
            for reason, n in frame["reason"].value_counts().rows():
                reasons[reason] = reasons.get(reason, 0) + n
        records = rows + superseded + sum(n for r, n in reasons.items())
        return {
            "in": records,
            "rows": rows,
            "created": 0,
            "dropped": {SUPERSEDED: superseded} if superseded else {},
            "merged": 0,
            "consumed": 0,
            "quarantined": dict(sorted(reasons.items())),
        }

    def _surviving(self, part: str) -> Iterator[tuple[Chunk, pl.Series]]:
        ended = set(self.draft.ended)
        for chunk in self.store.chunks(self.stage.name, part):
            if chunk.id not in ended:
                yield chunk, self.draft.removals.get(chunk.id, ids())

    def _alive(self, part: str) -> int:
        total = 0
        if self.last is not None and not self.rewrite:
            total = int(self.last.counts["rows"] if part == ROWS else self.last.counts["dropped"].get(SUPERSEDED, 0))
            total -= sum(len(g) for c, g in self._surviving(part) if c.id in self.draft.removals)
        for new in self.draft.added:
            if new.part == part:
                total += new.stored.rows - (len(new.removed) if new.removed is not None else 0)
        return total

    def _source_statements(self) -> list[tuple[str, tuple[Any, ...]]]:
        number = (self.last.version if self.last else 0) + 1
        name = self.stage.name
        before = held_objects(self.store, name)
        out: list[tuple[str, tuple[Any, ...]]] = []
        end = "UPDATE sources SET ended = ? WHERE stage = ? AND ordinal = ? AND ended IS NULL"
        for k in self.found.live:
            old = before.get(k.ordinal)
            stamp = dump(k.stamp)
            if old is not None and not k.fresh:
                if old != (k.path, stamp):
                    query = "UPDATE sources SET path = ?, stamp = ?, state = ? "
                    query += "WHERE stage = ? AND ordinal = ? AND ended IS NULL"
                    out.append((query, (k.path, stamp, dump(k.state), name, k.ordinal)))
                continue
            if old is not None:
                out.append((end, (number, name, k.ordinal)))
            values = (name, k.ordinal, k.path, stamp, k.checksum, dump(k.state), number)
            out.append(("INSERT OR REPLACE INTO sources VALUES (?, ?, ?, ?, ?, ?, ?, NULL)", values))
        out += [(end, (number, name, k.ordinal)) for k in self.found.gone]
        return out


def _origins(objects: pl.Series) -> tuple[int, ...]:
    """The source objects that rows of a chunk come from; nearly always one."""
    first, last = int(objects.min()), int(objects.max())  # type: ignore[arg-type]
    return (first,) if first == last else tuple(sorted(set(objects.to_list())))
