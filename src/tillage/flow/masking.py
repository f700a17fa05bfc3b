"""Names of objects that hold a value of a row: after an erasure they hold a salted digest in its place.

A database's cursor names its objects by the values between which they were read, and the last one may be the person's:
an address, a number of theirs. The source alone knows such names (`Following.masked`); which of its objects are meant
is found here, from the rows that go, or that a tombstone has kept out. Cost: the chunks that hold those rows.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import polars as pl

from tillage.core.rows import ID, only
from tillage.flow.following import Following, Held
from tillage.flow.stages import Stage
from tillage.flow.tombstones import stages_of
from tillage.store.catalog import dump, load
from tillage.store.locate import holding
from tillage.store.purge import QUARANTINE
from tillage.store.tables import LEFT, ROWS, Store

OBJECT = "_object"
Statement = tuple[str, tuple[Any, ...]]


def masks(store: Store, stages: Mapping[str, Stage], gone: pl.Series) -> list[Statement]:
    """What to write into the catalog so that no object is named by a value of the rows that go; asked before the purge,
    to be run in its transaction."""
    out: list[Statement] = []
    for stage in stages.values():
        if isinstance(stage.step, Following):
            for name in stages_of(stage.name):
                out += _masked(store, name, stage.step, _objects_of(store, name, gone))
    return out


def _objects_of(store: Store, stage: str, gone: pl.Series) -> set[int]:
    """The objects in which any of these rows stood, in whatever version that is kept."""
    found: set[int] = set()
    for part in (ROWS, LEFT, QUARANTINE):
        every = store.every_chunk(stage, part)
        for chunk in every if part == QUARANTINE else holding(store, stage, gone, part, every):
            if store.origins(chunk):  # by another plan a stage of this name may have held what steps had made
                rows = store.objects.get_frame(chunk.object, chunk.checksum, [ID, OBJECT])
                found |= set(only(rows, gone)[OBJECT].to_list())
    return found


def _masked(store: Store, stage: str, source: Following, objects: Collection[int]) -> list[Statement]:
    if not objects:
        return []
    rows = store.catalog.rows("SELECT * FROM sources WHERE stage = ? ORDER BY path", stage)
    held = [Held(r["path"], load(r["stamp"]), load(r["state"])) for r in rows]
    named = {h.path for h, r in zip(held, rows, strict=True) if r["ordinal"] in objects}
    query = "UPDATE sources SET path = ?, stamp = ?, state = ? WHERE stage = ? AND ordinal = ? AND added = ?"
    return [
        (query, (now.path, dump(now.stamp), dump(now.state), stage, r["ordinal"], r["added"]))
        for now, was, r in zip(source.masked(held, named), held, rows, strict=True)
        if now != was
    ]
