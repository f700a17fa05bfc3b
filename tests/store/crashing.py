"""A small life of a store, that can be begun again wherever it was cut off; run as a script, it lives one.

`python crashing.py FOLDER [PIECES]` prints `ready` once its imports are done, then works, then prints the end state.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import polars as pl

from tillage.core.rows import ID, ids, only
from tillage.flow.compact import compact
from tillage.flow.stages import Stage
from tillage.store import objects
from tillage.store.gc import collect
from tillage.store.index import KEY, Index
from tillage.store.locate import locate
from tillage.store.objects import Stored
from tillage.store.purge import purge
from tillage.store.tables import LEFT, ROWS, Draft, NewChunk, Store
from tillage.store.verify import verify

ROWS_A_PIECE = 40
PIECES = 26
"""More small chunks than compaction leaves alone."""
SMALL = 1600
"""Bytes of an object that is kept in the catalog: some are, most are files."""
STAGES = {"t": Stage("t", "t", "group"), "u": Stage("u", "u", "gate", {"rows": "t"})}
PURGED = "crashing.purged"

Saw = Callable[[Store], None]


def numbers(values: range) -> pl.Series:
    """Ids spread over 128 bits, as those of rows are."""
    return ids(v * 0x9E3779B97F4A7C15F39CC0605CEDC835 % (1 << 128) for v in values)


def frame(values: range, note: str) -> pl.DataFrame:
    """Rows whose notes do not compress, so that most pieces are files."""
    notes = [f"{note} {v} {sha256(f'{note} {v}'.encode()).hexdigest()}" for v in values]
    return pl.DataFrame({ID: numbers(values), "n": list(values), "note": notes})


def entries(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.select(pl.col(ID).alias(KEY), ID)


def counts(store: Store, draft: Draft, stage: str, left: int = 0) -> dict[str, Any]:
    """The counts of a stage as the draft leaves it: law 1 in numbers."""
    ended = set(draft.ended)
    rows = sum(c.rows - len(store.removed(c)) for c in store.chunks(stage) if c.id not in ended)
    rows -= sum(len(g) for c, g in draft.removals.items() if store.chunk(c).part == ROWS)
    rows += sum(n.stored.rows - (0 if n.removed is None else len(n.removed)) for n in draft.added if n.part == ROWS)
    dropped = {"old": left} if left else {}
    return {
        "in": rows + left,
        "rows": rows,
        "created": 0,
        "dropped": dropped,
        "merged": 0,
        "consumed": 0,
        "quarantined": {},
    }


def new_draft(store: Store, stage: str, step: int, **inputs: int) -> Draft:
    columns = {"n": "Int64", "note": "String"}
    return Draft(stage, f"step {step}", f"fingerprint {stage}", inputs, columns=columns, facts={"step": step})


def put(store: Store, rows: pl.DataFrame, part: str = ROWS) -> NewChunk:
    key = f"{int(rows[ID][0]):032x}"
    return NewChunk(part, store.objects.put_frame(key, rows))


def begin(store: Store, pieces: int) -> None:
    """Many small chunks, and the index of their ids; two stages in one commit."""
    draft = new_draft(store, "t", 1)
    every = frame(range(pieces * ROWS_A_PIECE), "first")
    draft.added = [put(store, every[at : at + ROWS_A_PIECE]) for at in range(0, every.height, ROWS_A_PIECE)]
    Index(store, "t", "ids").change(draft, entries(every), entries(every.clear()))
    draft.counts = counts(store, draft, "t")
    other = new_draft(store, "v", 1)
    other.added = [put(store, frame(range(7), "aside"))]
    other.counts = counts(store, other, "v")
    store.commit(draft, other)


def update(store: Store, pieces: int) -> None:
    """Some rows changed, some left for the ledger; finished work is remembered before the commit, and used again."""
    draft = new_draft(store, "t", 2)
    changed = frame(range(30, 50), "second")
    gone = frame(range(60, 64), "first")
    for chunk, rows in locate(store, "t", pl.concat([changed[ID], gone[ID]])):
        draft.remove(chunk, rows[ID])
    known = store.recall("work of step 2")
    stored = Stored(**known) if known else store.objects.put_frame("5" * 32, changed)
    store.remember([("work of step 2", vars(stored))])
    ledger = gone.select(
        ID,
        pl.lit("old").alias("_reason"),
        pl.lit(None, dtype=pl.UInt128).alias("_into"),
        pl.lit("step").alias("_step"),
        pl.lit(None, dtype=pl.UInt128).alias("_parent"),
    )
    draft.added = [NewChunk(ROWS, stored), put(store, ledger, LEFT)]
    Index(store, "t", "ids").change(draft, entries(changed), entries(pl.concat([changed, gone])))
    draft.counts = counts(store, draft, "t", left=4)
    store.commit(draft)


def follow(store: Store, pieces: int) -> None:
    """A stage that shows the chunks of another, copying nothing."""
    newest = store.latest("t")
    assert newest is not None
    draft = new_draft(store, "u", 3, t=newest.version)
    for chunk in store.chunks("t"):
        hidden = pl.concat([store.removed(chunk), only(store.read(chunk), numbers(range(70, 72)))[ID]])
        stored = Stored(chunk.object, chunk.checksum, chunk.size, chunk.rows)
        draft.added.append(NewChunk(ROWS, stored, source=chunk.id, removed=hidden if len(hidden) else None))
    draft.counts = counts(store, draft, "u")
    store.commit(draft)


def merge(store: Store, pieces: int) -> None:
    """Compaction, which makes a version of both stages where there are chunks enough, and then removals in `v`."""
    compact(store, STAGES)
    draft = new_draft(store, "v", 4)
    [first] = store.chunks("v")[:1]
    draft.remove(first, numbers(range(2)))
    draft.added = [put(store, frame(range(7, 9), "aside"))]
    draft.counts = counts(store, draft, "v")
    store.commit(draft)


ERASURES = (
    {"t": range(28, 32), "v": range(1, 3)},
    {"t": range(62, 72), "u": range(60, 72)},
)
"""Rows of all kinds, out of every version: shown, changed, in the ledger, hidden in the stage that follows."""


def erase(store: Store, n: int) -> None:
    purge(store, {stage: numbers(values) for stage, values in ERASURES[n].items()})
    store.catalog.set_meta(PURGED, str(n + 1))


STEPS: tuple[tuple[str, int, Callable[[Store, int], None]], ...] = (
    ("t", 1, begin),
    ("t", 2, update),
    ("u", 3, follow),
    ("v", 4, merge),
)


def live(store: Store, pieces: int = PIECES, saw: Saw = lambda store: None) -> None:
    """Do what is not done yet, from the first commit to the last collection; `saw` is told after each step."""
    for stage, step, work in STEPS:
        last = store.latest(stage)
        if last is None or last.facts["step"] < step:
            work(store, pieces)
            saw(store)
    for n in range(int(store.catalog.meta(PURGED) or 0), len(ERASURES)):
        erase(store, n)
        saw(store)
    collect(store, keep=1)
    saw(store)


def digests(store: Store) -> dict[str, str]:
    """The digest of every version that is kept."""
    return {
        f"{stage}@{version.version}": store.digest(stage, version.version)
        for stage in store.stages()
        for version in store.versions(stage)
    }


def state(store: Store) -> dict[str, Any]:
    """All that an interruption must not change."""
    verified = verify(store)
    return {
        "digests": digests(store),
        "counts": {s: v.counts for s in store.stages() for v in store.versions(s)[-1:]},
        "entries": sorted(str(e) for f in store.frames("t", "index:ids") for e in f[ID].to_list()),
        "ledger": sorted(str(e) for f in store.frames("t", LEFT) for e in f[ID].to_list()),
        "findings": [f.message for f in verified.findings],
        "orphans": verified.orphans,
    }


def main() -> None:
    objects.SMALL = SMALL
    print("ready", flush=True)
    store = Store(Path(sys.argv[1]))
    live(store, int(sys.argv[2]) if len(sys.argv) > 2 else PIECES)
    print(json.dumps(state(store)), flush=True)
    store.close()


if __name__ == "__main__":
    main()
