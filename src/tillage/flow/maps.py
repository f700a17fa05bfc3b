"""A stage of Maps: each chunk of its input becomes one chunk of rows and one of the ledger, and no chunk twice.

The key of that work is the Maps' fingerprint, the input object and the ids taken out of it, so finished chunks are
found again after a crash, and a change upstream costs the chunks that it brought.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import polars as pl

from tillage.core.errors import TillageError
from tillage.core.rows import ID, INTO, PARENT, REASON, drop_columns, only, split_left, without
from tillage.core.step import Map
from tillage.flow.counts import Counts
from tillage.flow.engine import Engine
from tillage.flow.progress import Listener, Progress
from tillage.flow.schema import recorded
from tillage.flow.showing import shown_among
from tillage.flow.stacking import TWICE, Shape, common_shape, fitted, standing_twice
from tillage.flow.stages import Stage
from tillage.store.catalog import dump
from tillage.store.objects import Stored
from tillage.store.tables import LEFT, ROWS, Changes, Chunk, Draft, NewChunk, Store, pack

STEP = "_step"
REMARKED = 1000
"""Rows by which a step remarks on what it leaves as it is."""


@dataclass(frozen=True)
class Task:
    """One chunk to pass through one chain of Maps."""

    stage: str
    port: str
    chunk: int
    version: int
    key: str

    @property
    def order(self) -> dict[str, Any]:
        """All that it takes to do it elsewhere: names and numbers."""
        return vars(self)


class Remote:
    """The Maps of a stage in another process: what it makes is in the store when it answers."""

    def __init__(self, store: Store, stage: Stage, chains: dict[str, tuple[Map, ...]]) -> None:
        self._store, self._stage, self._chains = store, stage, chains
        self._shape = stacked_shape(store, stage, chains)

    def done(self, order: dict[str, Any]) -> dict[str, Any]:
        """What was made of the chunk that the order names."""
        task = Task(**order)
        rows = self._store.read(self._store.chunk(task.chunk), task.version)
        result, _ = map_rows(self._store, self._stage, self._chains[task.port], rows, task.key, self._shape)
        self._store.objects.sync()
        return result


def run_maps(
    store: Store,
    stage: Stage,
    chains: dict[str, tuple[Map, ...]],
    fingerprint: str,
    engine: Engine,
    listen: Listener,
) -> tuple[Draft | None, int]:
    """The draft of the stage's next version (None when nothing changed) and the rows read for it."""
    last = store.latest(stage.name)
    shape = stacked_shape(store, stage, chains)
    kinds = dump([(c, str(t)) for c, t in shape.items()]) if shape is not None else ""
    stands = last is not None and last.fingerprint == fingerprint and "erased" not in last.facts
    same = stands and last is not None and last.facts.get("shape", "") == kinds
    draft = Draft(stage.name, "input changed" if same else "first run" if last is None else "plan changed", fingerprint)
    draft.facts["shape"] = kinds
    counts = Counts(last.counts if same and last else None)
    touched = 0
    if not same:
        draft.ended = [c.id for part in store.parts(stage.name) for c in store.chunks(stage.name, part)]
    tasks: list[Task] = []
    changed = last is None or not same
    for port, source in stage.inputs.items():
        newest = store.latest(source)
        until = newest.version if newest else 0
        since = last.inputs.get(source, 0) if same and last else 0
        draft.inputs[source] = until
        changes = store.changes(source, since, until)
        if same:
            touched += _take_out(store, stage, draft, changes, counts)
        changed = changed or bool(changes)
        for chunk in changes.new:
            key = work_key(fingerprint + kinds, port, chunk.object, store.removed(chunk, until))
            tasks.append(Task(stage.name, port, chunk.id, until, key))
    if not changed and last is not None and draft.inputs == last.inputs:
        return None, touched
    rows = {c.id: c.rows for c in (store.chunk(t.chunk) for t in tasks)}
    progress = Progress(stage.target, sum(rows.values()), note=stage.name)

    def work(task: Task) -> dict[str, Any]:
        rows = store.read(store.chunk(task.chunk), task.version)
        return map_rows(store, stage, chains[task.port], rows, task.key, shape)[0]

    columns: dict[str, str] | None = None
    for task, result in engine.map(store, work, tasks):
        draft.added += chunks_of(task, result)
        counts.add(result["counts"])
        touched += result["counts"]["in"]
        columns = dict(result["columns"]) if columns is None or result["counts"]["rows"] else columns
        progress.done += rows[task.chunk]
        listen(progress)
    if columns is None:
        port, source = next(iter(stage.inputs.items()))
        if same and last is not None and shape is None and _same_columns(store, source, last.inputs.get(source)):
            columns = last.columns
    if columns is None:
        schema = shape or _made_of_nothing(store, source, chains[port])
        columns = {c: str(t) for c, t in schema.items() if not c.startswith("_")}
    draft.columns = columns
    draft.counts = counts.value()
    if notes := _remarks(store, chains, draft):
        draft.facts["notes"] = notes
    if stage.name in stage.stacks:
        draft.facts[TWICE] = standing_twice(store, draft)
    return draft, touched


def _remarks(store: Store, chains: dict[str, tuple[Map, ...]], draft: Draft) -> list[str]:
    """What steps have to say of rows that were left as they are, by the first of those that came out."""
    speaking = [step for maps in chains.values() for step in maps if step.may_remark()]
    made = next((chunk.stored for chunk in draft.added if chunk.part == ROWS), None)
    if not speaking or made is None:
        return []
    rows = store.objects.get_frame(made.name, made.checksum).head(REMARKED)
    return list(dict.fromkeys(said for step in speaking for said in step.remarks(rows)))


def stacked_shape(store: Store, stage: Stage, chains: dict[str, tuple[Map, ...]]) -> Shape | None:
    """The schema that all inputs take when there are several; None when there is one."""
    if len(stage.inputs) == 1:
        return None
    made = {source: _made_of_nothing(store, source, chains[port]) for port, source in stage.inputs.items()}
    return common_shape(made, stage.target)


def work_key(fingerprint: str, port: str, name: str, gone: pl.Series) -> str:
    """The name of the work of passing one object, less the ids in `gone`, through the Maps of a port."""
    hidden = sha256(pack(gone.sort())).hexdigest() if len(gone) else ""
    return sha256(f"map\n{fingerprint}\n{port}\n{name}\n{hidden}".encode()).hexdigest()[:32]


def map_rows(
    store: Store, stage: Stage, maps: Sequence[Map], rows: pl.DataFrame, key: str, shape: Shape | None = None
) -> tuple[dict[str, Any], pl.DataFrame]:
    """Pass the rows of one chunk through the Maps: what was written, in names and counts, and the rows that stay."""
    if stage.first:
        rows = drop_columns(rows, PARENT)
    rows = drop_columns(rows, "_object", "_record", "_key")
    total = rows.height
    stay, left = apply_maps(maps, rows)
    if shape is not None:
        stay = fitted(stay, shape)
    counts = Counts(None)
    counts.enter(total)
    counts.count_rows(stay, stage)
    counts.count_left(left, stage)
    result: dict[str, Any] = {
        "rows": vars(store.objects.put_frame(key, stay)),
        "left": vars(store.objects.put_frame(key, _slim(left))) if left.height else None,
        "counts": counts.value(),
        "columns": [(c, str(t)) for c, t in stay.schema.items() if not c.startswith("_")],
    }
    return result, stay


def _slim(left: pl.DataFrame) -> pl.DataFrame:
    """Entries without the columns that say nothing here."""
    return drop_columns(left, *(c for c in (INTO, PARENT) if left[c].null_count() == left.height))


def apply_maps(maps: Sequence[Map], rows: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """(rows that stay, ledger entries of those that left), after all Maps."""
    gone: list[pl.DataFrame] = []
    for step in maps:
        before = rows.height
        try:
            out = step.apply(rows)
        except TillageError as error:
            error.at(step.name())
            raise
        own = out.height if not step.makes_children else out.height - _children(out, rows)
        if own != before:
            raise TillageError(
                f"The step '{step.name()}' was given {before:,} rows and returned {own:,} of them.",
                fix="A Map marks a row that leaves (core.leave) instead of dropping it.",
            )
        rows, left = split_left(out)
        if left.height:
            gone.append(ledger(left, step.name()))
    empty = pl.DataFrame(
        schema={ID: pl.UInt128, REASON: pl.String, INTO: pl.UInt128, STEP: pl.String, PARENT: pl.UInt128}
    )
    return rows, pl.concat([empty, *gone])


def ledger(left: pl.DataFrame, step: str) -> pl.DataFrame:
    """Marked rows as entries of the ledger."""
    none = pl.Series([None], dtype=pl.UInt128).new_from_index(0, left.height)
    own = {c: left[c] if c in left.columns else none for c in (INTO, PARENT)}
    named = pl.Series([step]).new_from_index(0, left.height)
    return pl.DataFrame({ID: left[ID], REASON: left[REASON], INTO: own[INTO], STEP: named, PARENT: own[PARENT]})


def chunks_of(task: Task, result: dict[str, Any]) -> list[NewChunk]:
    """The new chunks that a task's result names."""
    out = [NewChunk(ROWS, Stored(**result["rows"]), source=task.chunk)]
    if result["left"]:
        out.append(NewChunk(LEFT, Stored(**result["left"]), source=task.chunk))
    return out


def _children(out: pl.DataFrame, rows: pl.DataFrame) -> int:
    return without(out.select(ID), rows[ID]).height


def _take_out(store: Store, stage: Stage, draft: Draft, changes: Changes, counts: Counts) -> int:
    """Carry removals of the input over to what was made of it; the rows read."""
    touched = 0
    derived: dict[int | None, list[Chunk]] = {}
    sources = [chunk.id for chunk in (*changes.gone, *(c for c, _ in changes.removed))]
    for part in (ROWS, LEFT):
        for chunk in store.chunks_from(stage.name, part, sources):
            derived.setdefault(chunk.source, []).append(chunk)
    for chunk in changes.gone:
        for own in derived.get(chunk.id, []):
            rows = store.read(own)
            touched += rows.height
            draft.ended.append(own.id)
            _uncount(counts, own, rows, stage)
        counts.leave(chunk.rows - len(store.removed(chunk, changes.since)))
    for chunk, gone in changes.removed:
        counts.leave(len(gone))
        made = derived.get(chunk.id, [])
        if not stage.children:
            touched += _take_shown(store, stage, draft, counts, made, gone)
            continue
        for own in made:
            rows = store.read(own)
            touched += rows.height
            going = only(rows, gone)
            if PARENT in rows.columns:
                going = _with_descendants(rows, gone, store.read(chunk, changes.until, [ID])[ID])
            draft.remove(own, going[ID])
            _uncount(counts, own, going, stage)
    return touched


def _take_shown(
    store: Store, stage: Stage, draft: Draft, counts: Counts, made: Sequence[Chunk], gone: pl.Series
) -> int:
    """Take rows out of what was made of the one chunk that showed them; the rows read."""
    touched = 0
    rest = gone.rename(ID).to_frame()
    for own in (c for c in made if c.part == LEFT):
        entries = store.read(own)
        touched += entries.height
        going = only(entries, gone)
        draft.remove(own, going[ID])
        _uncount(counts, own, going, stage)
        rest = without(rest, going[ID])
    for own, going in shown_among(store, [(c, rest[ID]) for c in made if c.part == ROWS]):
        touched += going.height
        draft.remove(own, going[ID])
        _uncount(counts, own, going, stage)
    return touched


def _with_descendants(rows: pl.DataFrame, gone: pl.Series, shown: pl.Series) -> pl.DataFrame:
    """The rows of `gone` and what this stage made of them; a child that its input shows was made before, and stays."""
    found = gone
    while True:
        made = pl.col(PARENT).is_in(found.implode()) & ~pl.col(ID).is_in(found.implode())
        children = without(rows.filter(made), shown)
        if children.is_empty():
            return only(rows, found)
        found = pl.concat([found, children[ID]])


def _same_columns(store: Store, source: str, since: int | None) -> bool:
    """Whether the input has the columns and types that it had."""
    newest = store.latest(source)
    was = store.version(source, since).columns if since else None
    return newest is not None and was is not None and list(was.items()) == list(newest.columns.items())


def _uncount(counts: Counts, own: Chunk, rows: pl.DataFrame, stage: Stage) -> None:
    if own.part == ROWS:
        counts.count_rows(rows, stage, sign=-1)
    else:
        counts.count_left(rows, stage, sign=-1)


def _made_of_nothing(store: Store, source: str, maps: Sequence[Map]) -> pl.Schema:
    """What the Maps make of no row of a table: its columns, also when it has no chunk to look at."""
    at = store.latest(source)
    none = pl.DataFrame(schema={ID: pl.UInt128, **recorded(at.columns if at else {})})
    return apply_maps(maps, none)[0].schema
