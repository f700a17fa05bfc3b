"""How rows are joined at a stage that looks across rows: members of a Group, rows beside one another in a Whole.

A Group's key is computed from the row and hashed as at the run; members come from the pages of its index that hold
the key. A Whole is asked itself, by its own `change`, which rows would fare otherwise if these were not there.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import polars as pl
import polars_hash as plh

from tillage.core.keys import hash_text
from tillage.core.rows import ID, INTO, MERGED, PARENT, REASON, high, ids, low, without
from tillage.core.step import Group, Whole
from tillage.flow.keyed import INDEX, PORT
from tillage.flow.recall import Asked
from tillage.flow.stages import Stage
from tillage.promises.trace_places import Places, pairs, rows_in
from tillage.store.index import DELTA, KEY, Index
from tillage.store.tables import LEFT, ROWS, Chunk

AHEAD = 512
"""Output rows of one key that are looked for at once, at most."""


@dataclass(frozen=True)
class Members:
    """Rows that stand under one key: those named, and how many there are in all."""

    named: tuple[tuple[int, str], ...]
    """(row, port), by row."""
    total: int


def members(places: Places, stage: Stage, keys: Sequence[int], limit: int | None) -> dict[int, Members]:
    """The rows of a Group that stand under these keys, `limit` of each by name."""
    found: dict[int, list[tuple[int, str]]] = {}
    totals: dict[int, int] = {}
    for chunk in _pages(places, stage, keys):
        for key, (named, total) in places.smallest(chunk, keys, PORT if len(stage.inputs) > 1 else None, limit).items():
            port = next(iter(stage.inputs))
            found.setdefault(key, []).extend((row, said or port) for row, said in named)
            totals[key] = totals.get(key, 0) + total
    return {key: Members(tuple(sorted(rows)[:limit]), totals[key]) for key, rows in found.items()}


def _pages(places: Places, stage: Stage, keys: Iterable[int]) -> list[Chunk]:
    """The chunks of a stage's index that may hold entries of some keys."""
    store, part = places.store, f"index:{INDEX}"
    query = "SELECT max(page) FROM chunks WHERE stage = ? AND part = ? AND ended IS NULL"
    largest = store.catalog.row(query, stage.name, part)
    pages = {DELTA}
    if largest is not None and largest[0] is not None and largest[0] > 0:
        bits = int(largest[0]).bit_length() - 1  # of 2^b pages, one is number 2^b + the key's top b bits
        pages |= {(1 << bits) + (key >> (128 - bits)) for key in keys}
    return [chunk for page in sorted(pages) for chunk in store.chunks(stage.name, part, page=page)]


def keys_of(stage: Stage, port: str, rows: pl.DataFrame) -> pl.Series:
    """The hashed keys of rows that come into a Group by a port."""
    if not isinstance(stage.step, Group):
        raise TypeError(stage.name)
    return hash_text(rows, stage.step.key(rows, port))


def outputs(
    places: Places, stage: Stage, version: int, key: int, limit: int | None
) -> tuple[list[tuple[int, int]], int]:
    """The rows that a Group made of a key, `limit` of them with their chunks, and how many there are in all."""
    found: list[tuple[int, int]] = []
    at, size = 0, 2  # mostly a key has one row
    while True:
        wanted = _made(places, stage, key, at, size)
        here = dict(pairs(places.find(stage, version, wanted)))
        found += [(i, here[i]) for i in wanted if i in here]
        if len(here) < len(wanted):
            return found if limit is None else found[:limit], len(found)
        at, size = at + size, min(8 * size, AHEAD)


def _made(places: Places, stage: Stage, key: int, at: int, size: int) -> list[int]:
    """The ids that the rows of a key bear, from occurrence `at` on."""
    numbers = pl.DataFrame({"n": pl.Series(range(at, at + size), dtype=pl.Int64)})
    keyed = numbers.with_columns(pl.Series(KEY, [key] * size, dtype=pl.UInt128))
    unit = keyed.select(plh.hash_rows(low(KEY), high(KEY), pl.col("n")).alias("u"))
    hashed = unit.select(plh.col("u").nchash.xxh3_128().alias("u"))["u"]
    return [int(i) for i in places.store.keys.key_ids(stage.target, hashed)]


def clean(stage: Stage, rows: pl.DataFrame) -> pl.DataFrame:
    """Rows as a stage that looks across rows saw them."""
    kept = (ID,) if stage.first else (ID, PARENT)
    return rows[[c for c in rows.columns if c in kept or not c.startswith("_")]]


def otherwise(places: Places, stage: Stage, rows: pl.DataFrame) -> pl.DataFrame:
    """The other rows that a Whole would decide otherwise if these were gone: `_id`, `_reason`, `_into`."""
    step = stage.step
    if not isinstance(step, Whole):
        raise TypeError(stage.name)
    removed = step.entries(clean(stage, rows))
    none = pl.DataFrame(schema={ID: pl.UInt128, REASON: pl.String, INTO: pl.UInt128})
    if _beside(places, stage, removed).is_empty():  # `change` sees rows by their keys alone, and nobody shares these
        return none
    newest = places.store.latest(stage.name)
    seen = newest.inputs.get(stage.inputs["rows"], 0) if newest else 0
    asked = Asked(places.store, stage, step, Index(places.store, stage.name, INDEX), seen)
    decided = step.change(asked, removed.clear(), removed)
    return without(decided.select(none.columns), removed[ID].unique())


def beside(places: Places, stage: Stage, rows: pl.DataFrame) -> pl.Series:
    """The ids of the rows that a Whole compared with these."""
    if not isinstance(stage.step, Whole):
        raise TypeError(stage.name)
    return _beside(places, stage, stage.step.entries(clean(stage, rows)))


def _beside(places: Places, stage: Stage, own: pl.DataFrame) -> pl.Series:
    keys = sorted(set(own[KEY].to_list()))
    rows: set[int] = set()
    for chunk in _pages(places, stage, keys):
        rows |= set(places.pick_by(chunk, keys, KEY, [ID])[ID].to_list())
    return ids(sorted(rows - set(own[ID].to_list())))


def merged_into(places: Places, stage: Stage, version: int, keepers: Iterable[int]) -> dict[int, list[int]]:
    """Keeper to the rows that were merged into it.

    Where the Whole follows changes key by key and stands at its newest version, its index says which rows to look at;
    else the ledger of the stage is read.
    """
    wanted = ids(keepers)
    chunks = places.chunks(stage.name, LEFT, version)
    if not chunks or wanted.is_empty():
        return {}
    frames = []
    newest = places.latest(stage.name)
    by_key = isinstance(stage.step, Whole) and stage.step.decides_by_key()
    if by_key and newest is not None and newest.version == version and sum(c.rows for c in chunks) > AHEAD:
        rows = _rows_behind(places, stage, version, wanted)
        compared = beside(places, stage, rows).to_list() if rows.height else []
        frames = [places.find(stage, version, compared, LEFT, None)]
    else:
        frames = [places.read(c, version, None) for c in chunks]
    out: dict[int, list[int]] = {}
    for frame in frames:
        if INTO in frame.columns:
            merged = frame.filter((pl.col(REASON) == MERGED) & pl.col(INTO).is_in(wanted.implode()))
            for row, keeper in merged.select(ID, INTO).rows():
                out.setdefault(keeper, []).append(row)
    return {keeper: sorted(rows) for keeper, rows in out.items()}


def _rows_behind(places: Places, stage: Stage, version: int, wanted: pl.Series) -> pl.DataFrame:
    out = []
    for source in rows_in(stage):
        number = places.seen(stage.name, version, source)
        if number is not None:
            out.append(places.find(places.stages[source], number, wanted.to_list(), ROWS, None))
    return pl.concat(out, how="diagonal_relaxed") if out else pl.DataFrame(schema={ID: pl.UInt128})
