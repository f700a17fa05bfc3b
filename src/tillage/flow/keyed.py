"""Stages that look across rows: Groups by touched key, Wholes by `change`, and the gate that publishes a table.

Both keep an index of entries by hashed key in the store and read the pages of touched keys alone. A Whole that only
takes rows out copies nothing: its chunks are its input's objects with other ids removed.
"""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256
from typing import Any

import polars as pl
import polars_hash as plh

from tillage.core.keys import hash_text
from tillage.core.rows import ID, INTO, PARENT, REASON, distinct, drop_columns, high, ids, low, only, without
from tillage.core.step import Algebraic, Group, Whole
from tillage.flow.chunking import chunk_rows
from tillage.flow.counts import Counts
from tillage.flow.engine import Engine
from tillage.flow.maps import ledger
from tillage.flow.progress import Listener, Progress
from tillage.flow.readied import Entered, Readied, entered
from tillage.flow.recall import Asked, cleaned
from tillage.flow.schema import recorded
from tillage.flow.showing import shown_among
from tillage.flow.stacking import refuse_twice
from tillage.flow.stages import Stage
from tillage.store.digests import content_hashes
from tillage.store.entries import LARGEST_RUN, Entries
from tillage.store.index import KEY, Index
from tillage.store.locate import Run, candidates, locate
from tillage.store.objects import CACHE_BYTES, Stored
from tillage.store.tables import LEFT, ROWS, Changes, Chunk, Draft, NewChunk, Store, Version

INDEX = "keys"
PARTS = "parts"
LARGE = 64
"""Rows of a key from which on its partial result is kept: below, its entries are read as fast."""
PORT = "_port"


class KeyedRun:
    """What Groups and Wholes share: the draft, the inputs' changes, the count of rows read."""

    def __init__(self, store: Store, stage: Stage, fingerprint: str, listen: Listener) -> None:
        self.store, self.stage, self.listen = store, stage, listen
        if stage.kind != "gate":
            refuse_twice(store, stage.stacks, stage.target)
        last = store.latest(stage.name)
        same = last is not None and last.fingerprint == fingerprint and "erased" not in last.facts
        self.last: Version | None = last if last is not None and same and self._same_columns(last) else None
        why = "first run" if last is None else "input changed" if same else "plan changed"
        self.draft = Draft(stage.name, why, fingerprint)
        self.counts = Counts(self.last.counts if self.last else None)
        self.touched = 0
        self.left: list[pl.DataFrame] = []
        self.arrived: list[tuple[Chunk, pl.DataFrame]] = []
        """The ids of the rows that came, by chunk, once they have been read."""
        self.noted = Entries(0)
        """The ids of all rows in those chunks, for the locator."""
        if self.last is None:
            self.draft.ended = [c.id for part in store.parts(stage.name) for c in store.chunks(stage.name, part)]
        self.changes: dict[str, Changes] = {}
        for port, source in stage.inputs.items():
            newest = store.latest(source)
            until = newest.version if newest else 0
            since = self.last.inputs.get(source, 0) if self.last else 0
            self.draft.inputs[source] = until
            self.changes[port] = store.changes(source, since, until)
        total = sum(c.rows for changes in self.changes.values() for c in changes.new)
        self.progress = Progress(stage.target, total, note=stage.name)

    def _same_columns(self, last: Version) -> bool:
        """The inputs have the columns and types that the index was made of: entries of two types would not mix.

        Where they have not, every row of the input came anew, so that beginning again costs no more.
        """
        for source in self.stage.inputs.values():
            now, since = self.store.latest(source), last.inputs.get(source)
            was = self.store.version(source, since).columns if since else {}
            if list(was.items()) != list(now.columns.items() if now else ()):
                return False
        return True

    def nothing(self) -> bool:
        """The inputs stand where they stood."""
        return self.last is not None and self.draft.inputs == self.last.inputs

    def rows_in(self, port: str) -> Iterator[pl.DataFrame]:
        """The rows that came by a port."""
        for chunk in self.changes[port].new:
            every = self.store.objects.get_frame(chunk.object, chunk.checksum)
            rows = without(every, self.store.removed(chunk, self.changes[port].until))
            self.touched += rows.height
            self.progress.done += rows.height
            self.listen(self.progress)
            yield cleaned(self.stage, rows)

    def entries_in(self, engine: Engine, readied: Readied) -> Iterator[pl.DataFrame]:
        """The entries of the rows that came; their ids are noted."""
        until = self.changes["rows"].until

        def entries(chunk: Chunk) -> tuple[pl.Series, Entered]:
            made, hidden = readied.take(self.stage.name, chunk.object), self.store.removed(chunk, until)
            if made is not None:
                return made.ids[ID], Entered(without(made.ids, hidden), without(made.entries, hidden))
            every = self.store.objects.get_frame(chunk.object, chunk.checksum)
            return every[ID], entered(self.stage, without(every, hidden))

        new = self.changes["rows"].new
        for chunk, (every, made) in zip(new, engine.each(entries, new), strict=True):
            self.touched += made.ids.height
            self.progress.done += made.ids.height
            self.listen(self.progress)
            self.arrived.append((chunk, made.ids))
            if len(self.arrived) <= LARGEST_RUN:
                self.noted.add(every)
            yield made.entries

    def rows_out(self, port: str) -> Iterator[pl.DataFrame]:
        """The rows that went by a port, as they stood."""
        for _, rows in self.store.removed_rows(self.changes[port]):
            self.touched += rows.height
            yield cleaned(self.stage, rows)

    def index(self, name: str = INDEX) -> Index:
        """An index of the stage as it stands, or an empty one."""
        index = Index(self.store, self.stage.name, name)
        if self.last is None:
            index.chunks, index.pages = [], 0
        return index

    def located(self) -> Run | None:
        """Where the rows are that came, by the objects' names: those that a Whole shows by reference."""
        objects = [chunk.object for chunk, _ in self.arrived]
        return (self.noted.sorted(), objects) if 0 < len(objects) <= LARGEST_RUN else None

    def put(self, part: str, rows: pl.DataFrame, **place: Any) -> None:
        """Add a chunk of rows to the draft."""
        key = sha256(f"{self.draft.fingerprint}\n{part}".encode()).hexdigest()[:32]
        self.draft.added.append(NewChunk(part, self.store.objects.put_frame(key, rows), **place))

    def ended(self) -> tuple[Draft, int]:
        """The draft with its ledger and counts, and the rows read."""
        if self.left:
            self.put(LEFT, pl.concat(self.left))
        self.draft.counts = self.counts.value()
        return self.draft, self.touched


def run_group(store: Store, stage: Stage, fingerprint: str, listen: Listener) -> tuple[Draft | None, int]:
    """Compute the touched keys again; what differs from the rows that stand for them is the change of the output."""
    step = stage.step
    if not isinstance(step, Group):
        raise TypeError(stage.name)
    run = KeyedRun(store, stage, fingerprint, listen)
    if run.nothing():
        return None, 0
    added = _entries(run, step, [(p, rows) for p in stage.inputs for rows in run.rows_in(p)])
    removed = _entries(run, step, [(p, rows) for p in stage.inputs for rows in run.rows_out(p)])
    keys = pl.concat([added[KEY], removed[KEY]]).unique()
    if isinstance(step, Algebraic) and step.in_parts() and len(run.stage.inputs) == 1:
        rows = _in_parts(run, step, added, removed)
    else:
        rows = _outputs(run, step, added, removed)
    new, old = _named(run, rows), _standing(run, keys)
    run.index().change(run.draft, added, removed)
    _replace(run, old, new)
    run.counts.enter(added.height - removed.height)
    run.counts.consumed += _originals(run, added) - _originals(run, removed)
    run.counts.rows += new.height - old.height
    run.counts.created = run.counts.rows
    run.draft.columns = {c: str(t) for c, t in new.schema.items() if not c.startswith("_")}
    return run.ended()


def _outputs(run: KeyedRun, step: Group, added: pl.DataFrame, removed: pl.DataFrame) -> pl.DataFrame:
    """The step's rows for the touched keys, from all of their entries."""
    entries = _entries_now(run, step, pl.concat([added[KEY], removed[KEY]]), added, removed)
    ports: dict[str, pl.DataFrame] = {}
    for port in run.stage.inputs:
        several = PORT in entries.columns and len(run.stage.inputs) > 1
        rows = _only_of(port, entries.filter(pl.col(PORT) == port)) if several else entries
        ports[port] = _typed(run, port, rows.drop(PORT, strict=False))
    return step.apply(ports)


def _in_parts(run: KeyedRun, step: Algebraic, added: pl.DataFrame, removed: pl.DataFrame) -> pl.DataFrame:
    """The same from the partial results of large keys and the entries that came; keys that lose entries begin anew."""
    (port,) = run.stage.inputs
    parts = run.index(PARTS)
    held = parts.read(pl.concat([added[KEY], removed[KEY]]))
    run.touched += parts.touched
    keys, came = pl.concat([added[KEY], removed[KEY]]), added
    now = []
    stand = held.join(removed.select(KEY), on=KEY, how="anti")
    if stand.height:
        keys = keys.to_frame().join(stand.select(KEY), on=KEY, how="anti")[KEY]
        came = added.join(stand.select(KEY), on=KEY, how="anti")
        news = step.partial(_typed(run, port, added.join(stand.select(KEY), on=KEY, how="semi")))
        now.append(step.merge(pl.concat([stand.select(news.columns), news])))
    if len(keys) or not stand.height:
        now.append(step.partial(_typed(run, port, _entries_now(run, step, keys, came, removed))))
    whole = pl.concat(now)
    large = step.merge(whole.filter(pl.col("_n") >= LARGE))
    parts.change(run.draft, large.with_columns(pl.col(KEY).alias(ID)), held)
    return step.finish(whole)


def _entries_now(
    run: KeyedRun, step: Group, keys: pl.Series, added: pl.DataFrame, removed: pl.DataFrame
) -> pl.DataFrame:
    """All entries under these keys as they stand after the change."""
    index = run.index()
    before = index.read(keys, ids=removed.height > 0 or not _projected(run, step))
    run.touched += index.touched
    return pl.concat([without_entries(before, removed), added], how="diagonal_relaxed")


def without_entries(before: pl.DataFrame, removed: pl.DataFrame) -> pl.DataFrame:
    """Entries less those of removed rows; an updated row leaves as it was and comes as it is."""
    if before.is_empty() or removed.is_empty():
        return before
    return before.join(removed.select(KEY, ID).unique(), on=[KEY, ID], how="anti")


def _entries(run: KeyedRun, step: Group, frames: list[tuple[str, pl.DataFrame]]) -> pl.DataFrame:
    out = []
    for port, rows in frames:
        key = step.key(rows, port)
        marks = [hash_text(rows, key).alias(KEY), *([pl.lit(port).alias(PORT)] if len(run.stage.inputs) > 1 else [])]
        needed = [ID, *(c for c in rows.columns if c == PARENT), *_projected(run, step)]
        kept = (rows.select(needed) if _projected(run, step) else rows).with_columns(marks)
        out.append(_set_apart(port, kept) if len(run.stage.inputs) > 1 else kept)
    if out:
        return pl.concat(out, how="diagonal_relaxed")
    return pl.DataFrame(schema={KEY: pl.UInt128, ID: pl.UInt128})


def _set_apart(port: str, rows: pl.DataFrame) -> pl.DataFrame:
    """Entries of a port under names of its own: columns of two tables that share a name keep a type each.

    >>> _set_apart("left", pl.DataFrame({"_id": [1], "k": [7]})).columns
    ['_id', 'left/k']
    """
    return rows.rename({c: f"{port}/{c}" for c in rows.columns if not c.startswith("_")})


def _only_of(port: str, entries: pl.DataFrame) -> pl.DataFrame:
    """The entries with the columns of one port, called as in its table.

    >>> _only_of("left", pl.DataFrame({"_id": [1], "left/k": [7], "right/k": [7.5]})).columns
    ['_id', 'k']
    """
    own = {c: c.removeprefix(f"{port}/") for c in entries.columns if c.startswith(f"{port}/")}
    return entries.select(*(c for c in entries.columns if c.startswith("_")), *own).rename(own)


def _projected(run: KeyedRun, step: Group) -> tuple[str, ...]:
    """The columns that the index keeps: those that the step says it needs, if it has one port; none: all."""
    return step.needs() if len(run.stage.inputs) == 1 else ()


def _standing(run: KeyedRun, keys: pl.Series) -> pl.DataFrame:
    """The output rows that stand for these keys, found by the ids that they must have."""
    out = [pl.DataFrame(schema={ID: pl.UInt128, "_h": pl.UInt128})]
    occurrence = 0
    while run.last is not None and len(keys):
        wanted = _made(run, keys.to_frame(KEY).with_columns(pl.lit(occurrence, dtype=pl.Int64).alias("_n")))
        found = [rows for _, rows in locate(run.store, run.stage.name, wanted)]
        out += [rows.select(ID, content_hashes(rows).alias("_h")) for rows in found]
        keys = pl.concat([rows[KEY] for rows in found]) if found else keys.clear()
        occurrence += 1
    return pl.concat(out)


def _made(run: KeyedRun, rows: pl.DataFrame) -> pl.Series:
    """The `_id` of each output row, of its key and its occurrence under that key."""
    unit = rows.select(plh.hash_rows(low(KEY), high(KEY), pl.col("_n")).alias("u"))
    return run.store.keys.key_ids(run.stage.target, unit.select(plh.col("u").nchash.xxh3_128().alias("u"))["u"])


def _named(run: KeyedRun, rows: pl.DataFrame) -> pl.DataFrame:
    """Output rows with ids: of the key, and of the occurrence where one key has several rows."""
    rows = rows.drop(ID, strict=False)
    hashes = content_hashes(rows.select(c for c in rows.columns if not c.startswith("_")))
    rows = rows.with_columns(hashes.alias("_h")).sort(KEY, "_h")
    rows = rows.with_columns((pl.int_range(pl.len()).over(KEY)).alias("_n"))
    return rows.with_columns(_made(run, rows).alias(ID)).drop("_n")


def _typed(run: KeyedRun, port: str, rows: pl.DataFrame) -> pl.DataFrame:
    """The rows of a port with the columns that its table has, also when there is none."""
    if not rows.is_empty():
        drop = [c for c in rows.columns if not c.startswith("_") and c not in _columns(run, port)]
        return rows.drop(drop)
    return pl.DataFrame(schema={KEY: pl.UInt128, ID: pl.UInt128, **recorded(_columns(run, port))})


def _columns(run: KeyedRun, port: str) -> dict[str, str]:
    source = run.store.latest(run.stage.inputs[port])
    return source.columns if source else {}


def _originals(run: KeyedRun, entries: pl.DataFrame) -> int:
    if run.stage.created_before:
        return 0
    if run.stage.children and PARENT in entries.columns:
        return int(entries[PARENT].null_count())
    return entries.height


def _replace(run: KeyedRun, old: pl.DataFrame, new: pl.DataFrame) -> None:
    """Put the difference between two outputs of the touched keys into the draft."""
    if "_h" in old.columns and "_h" in new.columns:
        same = old.join(new, on=[ID, "_h"], how="semi")[ID]
        old, new = without(old, same), without(new, same)
    if old.height:
        for chunk, rows in locate(run.store, run.stage.name, old[ID]):
            run.draft.remove(chunk, rows[ID])
            run.touched += rows.height
    rows = new.drop("_h", strict=False)
    size = chunk_rows(rows.height)
    for at in range(0, rows.height, size):
        run.put(ROWS, rows[at : at + size])


def run_whole(
    store: Store, stage: Stage, fingerprint: str, engine: Engine, listen: Listener, readied: Readied
) -> tuple[Draft | None, int, Run | None]:
    """Follow the change where the step can; else compute everything and keep the difference.

    The draft, the rows read, and where the rows are that came, if they stay where they are.
    """
    step = stage.step
    if not isinstance(step, Whole):
        raise TypeError(stage.name)
    run = KeyedRun(store, stage, fingerprint, listen)
    if run.nothing():
        return None, 0, None
    if not step.incremental:
        return *_compute(run, step), None
    source = stage.inputs["rows"]
    _follow_input(run)
    index, seen = run.index(), run.last.inputs.get(source, 0) if run.last else 0
    came = list(run.entries_in(engine, readied))
    every = bool(came and step.recalled()) and index.whole(pl.concat([entries[KEY] for entries in came]))
    asked = Asked(store, stage, step, index, seen, every=every, came=run.arrived, engine=engine)
    out = run.changes["rows"].removed
    if every and out and not run.changes["rows"].gone:  # no row need be read, whose heavy columns no entry keeps
        went = [index.of(pl.concat([gone for _, gone in out]))]
    else:
        went = list(engine.each(step.entries, run.rows_out("rows")))
    if came or went:
        added, removed = pl.concat(came or [went[0].clear()]), pl.concat(went or [came[0].clear()])
        came.clear()  # what is under way then is the heaviest of a run
        went.clear()
        if sum(chunk.size for chunk in run.changes["rows"].new) > CACHE_BYTES:  # what was read is pushed out anyway
            store.objects.forget()
        decisions = step.change(asked, added, removed)
        run.touched += asked.touched
        added, removed = (drop_columns(entries, *step.recalled()) for entries in (added, removed))
        index.change(run.draft, added, removed, engine.each)
        _decide(run, step, source, decisions, added)
    newest = store.latest(source)
    run.draft.columns = newest.columns if newest else {}
    return *run.ended(), run.located()


def run_gate(store: Store, stage: Stage, fingerprint: str, listen: Listener) -> tuple[Draft | None, int]:
    """Publish the input as it stands, copying nothing."""
    run = KeyedRun(store, stage, fingerprint, listen)
    source = stage.inputs["rows"]
    del run.changes["verdicts"]
    if run.nothing():
        return None, 0
    _follow_input(run)
    for chunk in run.changes["rows"].new:
        hidden = run.store.removed(chunk, run.changes["rows"].until)
        run.counts.rows += chunk.rows - len(hidden)
        run.draft.added.append(_reference(chunk.object, chunk.checksum, chunk.size, chunk.rows, chunk.id, hidden))
    newest = store.latest(source)
    counts = newest.counts if newest else {}
    run.draft.counts = {
        **Counts(None).value(),
        "in": counts["rows"],
        "rows": counts["rows"],
        "created": counts["created"],
    }
    run.draft.columns = newest.columns if newest else {}
    return run.draft, 0


def _follow_input(run: KeyedRun) -> None:
    """What left the input leaves here too: from the rows by the chunk it was in, from the ledger by id."""
    changes = run.changes["rows"]
    if run.last is None or not (changes.gone or changes.removed):
        return
    shown: dict[int | None, list[Chunk]] = {}
    sources = [chunk.id for chunk in (*changes.gone, *(chunk for chunk, _ in changes.removed))]
    for chunk in run.store.chunks_from(run.stage.name, ROWS, sources):
        shown.setdefault(chunk.source, []).append(chunk)
    going = [run.store.read(chunk, changes.since, [ID])[ID] for chunk in changes.gone]
    every = pl.concat([*going, *(gone for _, gone in changes.removed)])
    run.touched += len(every)
    run.counts.leave(len(every))
    left = locate(run.store, run.stage.name, every, LEFT)
    for chunk, entries in left:
        run.draft.remove(chunk, entries[ID])
        run.counts.count_left(entries, run.stage, sign=-1)
        run.touched += entries.height
    before = distinct([ids(), *(entries[ID] for _, entries in left)])
    for chunk in changes.gone:
        for own in shown.get(chunk.id, []):
            run.counts.count_rows(run.store.read(own, columns=_parent(run)), run.stage, sign=-1)
            run.draft.ended.append(own.id)
    for chunk, gone in changes.removed:
        rest = without(gone.to_frame(), before)  # each is in one of the chunks that were made of its own
        for own, rows in shown_among(run.store, [(own, rest[ID]) for own in shown.get(chunk.id, [])], _parent(run)):
            run.counts.count_rows(rows, run.stage, sign=-1)
            run.draft.remove(own, rows[ID])


def _decide(run: KeyedRun, step: Whole, source: str, decisions: pl.DataFrame, added: pl.DataFrame) -> None:
    """Write what the step decided: new rows by reference to their chunks, others where the decision changed."""
    if decisions.is_empty() and not run.changes["rows"].new:
        return
    leaving = decisions.filter(pl.col(REASON).is_not_null())
    changes = run.changes["rows"]
    placed = [rows.with_columns(pl.lit(chunk.id).alias("_chunk")) for chunk, rows in run.arrived]
    arrived = pl.concat(placed) if placed else pl.DataFrame(schema={ID: pl.UInt128, "_chunk": pl.Int32})
    out = leaving.join(arrived, on=ID)
    by_chunk = {int(str(c)): f for (c,), f in out.partition_by("_chunk", as_dict=True).items()}
    run.counts.enter(arrived.height)
    run.counts.count_rows(without(arrived, out[ID]), run.stage)
    for chunk in changes.new:
        hidden = [run.store.removed(chunk, changes.until)]
        hidden += [by_chunk[chunk.id][ID]] if chunk.id in by_chunk else []
        unseen = pl.concat(hidden)
        run.draft.added.append(_reference(chunk.object, chunk.checksum, chunk.size, chunk.rows, chunk.id, unseen))
    _enter(run, step, out)
    older = without(decisions, added[ID].unique())
    if older.height:
        _revise(run, step, source, older)


def _revise(run: KeyedRun, step: Whole, source: str, older: pl.DataFrame) -> None:
    """Rows that were there before and whose decision may differ now."""
    entered = [(chunk, _still(run, chunk.id, e)) for chunk, e in locate(run.store, run.stage.name, older[ID], LEFT)]
    leaving = older.filter(pl.col(REASON).is_not_null())
    standing = without(leaving, distinct([ids(), *(entries[ID] for _, entries in entered)]))
    pairs = [
        (chunk, near)
        for chunk, near in candidates(run.store, run.stage.name, standing[ID], ROWS, living=True)
        if chunk.id not in run.draft.ended
    ]
    gone = []
    for chunk, rows in shown_among(run.store, pairs, _parent(run)):
        going = _still(run, chunk.id, rows)
        run.draft.remove(chunk, going[ID])
        run.counts.count_rows(going, run.stage, sign=-1)
        run.touched += rows.height
        gone.append(going.select(ID, *_parent(run)))
    if gone:
        _enter(run, step, leaving.join(pl.concat(gone), on=ID))
    for chunk, was in entered:
        now = was.select(ID, pl.col(REASON).alias("_was"), pl.col(INTO).alias("_where")).join(older, on=ID)
        moved = now.filter(pl.col(REASON).ne_missing(pl.col("_was")) | pl.col(INTO).ne_missing(pl.col("_where")))
        changed = only(was, moved[ID])
        run.touched += was.height
        run.draft.remove(chunk, changed[ID])
        run.counts.count_left(changed, run.stage, sign=-1)
        still_out = older.join(changed.select(ID, *_parent(run)), on=ID).filter(pl.col(REASON).is_not_null())
        _enter(run, step, still_out)
        back = only(older.filter(pl.col(REASON).is_null()), changed[ID])[ID]
        for origin, rows in locate(run.store, source, back):
            run.touched += rows.height
            run.counts.count_rows(rows, run.stage)
            run.put(ROWS, rows, source=origin.id)


def _still(run: KeyedRun, chunk: int, rows: pl.DataFrame) -> pl.DataFrame:
    taken = run.draft.removals.get(chunk)
    if chunk in run.draft.ended:
        return rows.clear()
    return rows if taken is None else without(rows, taken)


def _enter(run: KeyedRun, step: Whole, out: pl.DataFrame) -> None:
    """Note rows that leave, for the ledger's chunk of this version."""
    if out.height:
        into = pl.col(INTO) if INTO in out.columns else pl.lit(None, dtype=pl.UInt128).alias(INTO)
        entries = ledger(out.with_columns(into), step.name())
        run.counts.count_left(entries, run.stage)
        run.left.append(entries)


def _parent(run: KeyedRun) -> list[str]:
    return [PARENT] if run.stage.children and not run.stage.first else []


def _reference(name: str, checksum: str, size: int, rows: int, source: int, hidden: pl.Series) -> NewChunk:
    return NewChunk(ROWS, Stored(name, checksum, size, rows), source=source, removed=hidden if len(hidden) else None)


def _compute(run: KeyedRun, step: Whole) -> tuple[Draft, int]:
    """Everything at once; unchanged rows keep their chunks, so what follows sees the difference alone."""
    inputs = {}
    for port, source in run.stage.inputs.items():
        frames = [cleaned(run.stage, f) for f in run.store.frames(source)]
        nothing = pl.DataFrame(schema={ID: pl.UInt128, **recorded(_columns(run, port))})
        inputs[port] = pl.concat(frames, how="diagonal_relaxed") if frames else nothing
        run.touched += inputs[port].height
    out = step.compute(inputs)
    stay = out.filter(pl.col(REASON).is_null()).drop(REASON, INTO, strict=False) if REASON in out.columns else out
    left = without(out, stay[ID]) if REASON in out.columns else out.clear()
    stay = stay.with_columns(content_hashes(stay).alias("_h"))
    old = pl.concat(
        [pl.DataFrame(schema={ID: pl.UInt128, "_h": pl.UInt128})]
        + [
            rows.select(ID, content_hashes(rows).alias("_h"))
            for rows in (run.store.frames(run.stage.name) if run.last else [])
            if rows.height
        ]
    )
    _replace(run, old, stay)
    run.draft.ended += [c.id for c in run.store.chunks(run.stage.name, LEFT) if c.id not in run.draft.ended]
    run.counts = Counts(None)
    run.counts.enter(sum(f.height for f in inputs.values()))
    run.counts.count_rows(stay, run.stage)
    _enter(run, step, left)
    run.draft.columns = {c: str(t) for c, t in stay.schema.items() if not c.startswith("_")}
    return run.ended()
