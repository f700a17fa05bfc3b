"""Rows that Maps made of other rows: who came of whom, in whatever version that is kept.

A child says whose it is in the stage that made it, and keeps its id from there on; so that stage alone is read. Cost:
two columns of the chunks of such stages.
"""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from tillage.core.rows import ID, PARENT, distinct
from tillage.flow.pins import fingerprint_with_pins
from tillage.flow.stages import Stage
from tillage.store.tables import LEFT, ROWS, Store


def family(store: Store, stages: Mapping[str, Stage]) -> pl.DataFrame:
    """Every child that a Map ever made beside its parent: `_id`, `_parent`."""
    found = []
    for name in store.stages():
        for part in (ROWS, LEFT) if _may_have_children(store, stages.get(name), name) else ():
            for chunk in store.every_chunk(name, part):
                try:
                    rows = store.objects.get_frame(chunk.object, chunk.checksum, [ID, PARENT])
                except pl.exceptions.ColumnNotFoundError:
                    continue
                found.append(rows.filter(pl.col(PARENT).is_not_null()))
    return pl.concat(found).unique() if found else pl.DataFrame(schema={ID: pl.UInt128, PARENT: pl.UInt128})


def _may_have_children(store: Store, stage: Stage | None, name: str) -> bool:
    """Whether a stage makes children, or did by an earlier plan, of which nothing but its print is known."""
    if stage is None or any(step.makes_children for chain in stage.maps.values() for step in chain):
        return True
    return stage.kind not in ("source", "result", "learn") and made_by_other_plans(store, stage)


def made_by_other_plans(store: Store, stage: Stage) -> bool:
    """Whether any version of a stage was made by another plan, or other code, than there is now."""
    last = store.latest(stage.name)
    if last is None:
        return False
    return store.plans_of(stage.name) > 1 or last.fingerprint != fingerprint_with_pins(store, stage)


def up(kin: pl.DataFrame, wanted: pl.Series) -> pl.Series:
    """Rows, and all that they were made of.

    >>> kin = pl.DataFrame({"_id": [2, 3], "_parent": [1, 2]}, schema={"_id": pl.UInt128, "_parent": pl.UInt128})
    >>> up(kin, pl.Series([3], dtype=pl.UInt128)).sort().to_list()
    [1, 2, 3]
    """
    return _spread(kin, wanted, ID, PARENT)


def down(kin: pl.DataFrame, wanted: pl.Series) -> pl.Series:
    """Rows, and all that was made of them.

    >>> kin = pl.DataFrame({"_id": [2, 3], "_parent": [1, 2]}, schema={"_id": pl.UInt128, "_parent": pl.UInt128})
    >>> down(kin, pl.Series([2], dtype=pl.UInt128)).sort().to_list()
    [2, 3]
    """
    return _spread(kin, wanted, PARENT, ID)


def _spread(kin: pl.DataFrame, wanted: pl.Series, near: str, far: str) -> pl.Series:
    found = distinct([wanted]).rename(ID)
    if kin.is_empty():
        return found
    while True:
        more = kin.join(found.rename(near).to_frame(), on=near, how="semi")[far].rename(ID)
        grown = pl.concat([found, more]).unique()
        if len(grown) == len(found):
            return found
        found = grown
